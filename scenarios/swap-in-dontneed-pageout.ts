import { scenario } from "@faultline/checker";
import { Madv } from "@faultline/kernel";

/**
 * A page in swap: one CPU wants it back, one throws it away, one would send it out again
 * ("mm: fix swapin race condition", 2010).
 */
export default scenario({
  title: "swap-in against MADV_DONTNEED against MADV_PAGEOUT",
  machine: { cpus: 3, devices: 0, swapSlots: 16 },

  *setup(t) {
    const page = yield* t.mmap(1);
    yield* t.store32(page, 7);
    yield* t.drainLruBatches();
    yield* t.reclaim(1);
    return { page };
  },

  threads: {
    add: {
      on: { cpu: 0 },
      *run(t, s) {
        yield* t.atomicAdd32(s.page, 1);
      },
    },
    dontneed: {
      on: { cpu: 1 },
      *run(t, s) {
        yield* t.madvise(s.page, 1, Madv.DONTNEED);
      },
    },
    pageout: {
      on: { cpu: 2 },
      *run(t, s) {
        yield* t.madvise(s.page, 1, Madv.PAGEOUT);
      },
    },
  },

  *check(t, s) {
    const value = yield* t.load32(s.page);
    return value === 0 || value === 1 ? null : `the word is ${value}, which no order can give`;
  },
});
