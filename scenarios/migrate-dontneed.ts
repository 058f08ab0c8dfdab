import { Madv } from "@faultline/kernel";
import { scenario } from "@faultline/checker";

/**
 * A page that a device has exclusively goes away while it moves ("mm/rmap: handle device-exclusive entries
 * correctly in try_to_migrate_one()", 2025).
 */
export default scenario({
  title: "migration against MADV_DONTNEED",
  machine: { cpus: 2, devices: 1 },

  *setup(t) {
    const page = yield* t.mmap(1);
    yield* t.store32(page, 100);
    yield* t.makeExclusive(0, page, 1);
    yield* t.drainLruBatches();
    return { page, frame: t.frameOf(page) };
  },

  threads: {
    dontneed: {
      on: { cpu: 0 },
      *run(t, s) {
        yield* t.madvise(s.page, 1, Madv.DONTNEED);
      },
    },
    offline: {
      on: { cpu: 1 },
      *run(t, s) {
        yield* t.offline(s.frame);
      },
    },
  },

  *check(t, s) {
    const value = yield* t.load32(s.page);
    return value === 0 ? null : `the word is ${value} after MADV_DONTNEED`;
  },
});
