import { Madv } from "@faultline/kernel";
import { scenario } from "@faultline/checker";

/** Reclaim swaps a page out that is to move: whoever has its folio lock first (Documentation/mm/page_migration.rst). */
export default scenario({
  title: "migration against reclaim",
  machine: { cpus: 2, devices: 0, swapSlots: 16 },

  *setup(t) {
    const page = yield* t.mmap(1);
    yield* t.store32(page, 100);
    yield* t.drainLruBatches();
    return { page, frame: t.frameOf(page) };
  },

  threads: {
    reclaim: {
      on: { cpu: 0 },
      *run(t, s) {
        yield* t.madvise(s.page, 1, Madv.PAGEOUT);
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
    return value === 100 ? null : `the word is ${value} instead of 100`;
  },
});
