import { scenario } from "@faultline/checker";
import { Madv } from "@faultline/kernel";

/**
 * A page is written while it moves, of which there is a copy on disk: that it is dirty, only the CPU's entry knows, and
 * the migration entry must tell the folio ("mm: remember young/dirty bit for page migrations", 2022).
 */
export default scenario({
  title: "migration against CPU store to a page with a copy in swap",
  machine: { cpus: 2, devices: 0, swapSlots: 8 },

  *setup(t) {
    const page = yield* t.mmap(1);
    yield* t.store32(page, 1);
    yield* t.drainLruBatches();
    yield* t.madvise(page, 1, Madv.PAGEOUT);
    yield* t.load32(page);
    return { page, frame: t.frameOf(page) };
  },

  threads: {
    store: {
      on: { cpu: 0 },
      *run(t, s) {
        yield* t.store32(s.page, 2);
      },
    },
    migrate: {
      on: { cpu: 1 },
      *run(t, s) {
        yield* t.migrate(s.frame);
      },
    },
  },

  *check(t, s) {
    yield* t.drainLruBatches();
    yield* t.madvise(s.page, 1, Madv.PAGEOUT);
    yield* t.reclaim(1);
    const value = yield* t.load32(s.page);
    return value === 2 ? null : `an update is lost: the word is ${value} instead of 2`;
  },
});
