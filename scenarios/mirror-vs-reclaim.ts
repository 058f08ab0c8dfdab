import { scenario } from "@faultline/checker";
import { Madv } from "@faultline/kernel";

/**
 * A device writes to a page that is swapped out: the device drops it first, and its driver has said that the page is
 * dirty, which the CPU's entry does not know (Documentation/mm/hmm.rst).
 */
export default scenario({
  title: "store of a device against reclaim",
  machine: { cpus: 1, devices: 1, swapSlots: 8 },

  *setup(t) {
    const page = yield* t.mmap(1);
    yield* t.store32(page, 1);
    yield* t.drainLruBatches();
    // A copy of it is on disk: only what is dirty is written there again.
    yield* t.madvise(page, 1, Madv.PAGEOUT);
    yield* t.load32(page);
    return { page };
  },

  threads: {
    reclaim: {
      on: { cpu: 0 },
      *run(t, s) {
        yield* t.madvise(s.page, 1, Madv.PAGEOUT);
      },
    },
    mirror: {
      on: { device: 0 },
      *run(t, s) {
        yield* t.deviceStore32(0, s.page, 2);
      },
    },
  },

  *check(t, s) {
    yield* t.madvise(s.page, 1, Madv.PAGEOUT);
    const value = yield* t.load32(s.page);
    return value === 2 ? null : `an update is lost: the word is ${value} instead of 2`;
  },
});
