import { scenario } from "@faultline/checker";
import { Madv } from "@faultline/kernel";

/**
 * A fault finds a page in the swap cache that reclaim is about to free: under the folio lock it may be in the cache
 * no more, or be somebody else's ("mm: fix swapin race condition", 2010).
 */
export default scenario({
  title: "swap-in against reclaim of the swap cache",
  machine: { cpus: 2, devices: 0, swapSlots: 8 },

  *setup(t) {
    const page = yield* t.mmap(1);
    yield* t.store32(page, 100);
    yield* t.drainLruBatches();
    // Written to its slot, and mapped nowhere; reclaim would free it next.
    yield* t.madvise(page, 1, Madv.PAGEOUT);
    return { page };
  },

  threads: {
    fault: {
      on: { cpu: 0 },
      *run(t, s) {
        yield* t.atomicAdd32(s.page, 1);
      },
    },
    reclaim: {
      on: { cpu: 1 },
      *run(t) {
        yield* t.shrinkLruvec();
      },
    },
  },

  *check(t, s) {
    const value = yield* t.load32(s.page);
    return value === 101 ? null : `an update is lost: the word is ${value} instead of 101`;
  },
});
