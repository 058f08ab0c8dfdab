import { scenario } from "@faultline/checker";
import { Madv } from "@faultline/kernel";

/**
 * A device mirrors a page that the program has given up, just as reclaim drops it
 * ("mm: support madvise(MADV_FREE)", 2016; Documentation/mm/hmm.rst).
 */
export default scenario({
  title: "hmm_range_fault against reclaim of a lazily freed page",
  machine: { cpus: 1, devices: 1, swapSlots: 16 },

  *setup(t) {
    const page = yield* t.mmap(1);
    yield* t.store32(page, 1);
    yield* t.drainLruBatches();
    yield* t.madvise(page, 1, Madv.FREE);
    yield* t.drainLruBatches();
    return { page };
  },

  threads: {
    reclaim: {
      on: { cpu: 0 },
      *run(t) {
        yield* t.reclaim(1);
      },
    },
    mirror: {
      on: { device: 0 },
      *run(t, s) {
        yield* t.deviceFault(0, s.page, 1, true);
      },
    },
  },

  *check(t, s) {
    const value = yield* t.load32(s.page);
    return value === 0 || value === 1 ? null : `the word is ${value}, and was never anything but 0 and 1`;
  },
});
