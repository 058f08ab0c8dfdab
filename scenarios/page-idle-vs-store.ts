import { scenario } from "@faultline/checker";
import { Madv } from "@faultline/kernel";

/**
 * Idle page tracking takes the accessed bit from an entry while a store sets its dirty bit, in one step each
 * (ptep_test_and_clear_young()): reclaim must not take the page for clean.
 */
export default scenario({
  title: "idle page tracking against a store",
  machine: { cpus: 2, devices: 0, swapSlots: 16 },

  *setup(t) {
    const page = yield* t.mmap(1);
    yield* t.store32(page, 100);
    // From swap it comes back clean.
    yield* t.madvise(page, 1, Madv.PAGEOUT);
    yield* t.load32(page);
    yield* t.drainLruBatches();
    return { page, frame: t.frameOf(page) };
  },

  threads: {
    track: {
      on: { cpu: 0 },
      *run(t, s) {
        yield* t.markIdle(s.frame);
      },
    },
    store: {
      on: { cpu: 1 },
      *run(t, s) {
        yield* t.store32(s.page, 101);
      },
    },
  },

  *check(t, s) {
    yield* t.drainLruBatches();
    yield* t.madvise(s.page, 1, Madv.PAGEOUT);
    const value = yield* t.load32(s.page);
    return value === 101 ? null : `an update is lost: the word is ${value} instead of 101`;
  },
});
