import { scenario } from "@faultline/checker";
import { Madv } from "@faultline/kernel";

/**
 * A thread adds to a page while another sends it to swap. The TLBs are flushed once for many pages, but before any
 * of them is written ("mm: defer flush of writable TLB entries", 2015).
 */
export default scenario({
  title: "CPU store against MADV_PAGEOUT",
  machine: { cpus: 2, devices: 0, swapSlots: 8 },

  *setup(t) {
    const page = yield* t.mmap(1);
    yield* t.store32(page, 100);
    yield* t.drainLruBatches();
    return { page };
  },

  threads: {
    store: {
      on: { cpu: 0 },
      *run(t, s) {
        yield* t.atomicAdd32(s.page, 1);
      },
    },
    pageout: {
      on: { cpu: 1 },
      *run(t, s) {
        yield* t.madvise(s.page, 1, Madv.PAGEOUT);
      },
    },
  },

  *check(t, s) {
    // Whatever was begun is over: the page comes from where it is now.
    yield* t.reclaim(1);
    const value = yield* t.load32(s.page);
    return value === 101 ? null : `an update is lost: the word is ${value} instead of 101`;
  },
});
