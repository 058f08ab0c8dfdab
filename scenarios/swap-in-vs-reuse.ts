import { scenario } from "@faultline/checker";
import { Madv } from "@faultline/kernel";

/**
 * A fault finds a folio in the swap cache, and waits. Meanwhile the page is thrown away, written anew, and swapped out to
 * the same slot: the entry is what it was, the folio is not ("mm: fix swapin race condition", 2010).
 */
export default scenario({
  title: "swap-in against the slot's next page",
  machine: { cpus: 2, devices: 0, swapSlots: 3 },

  *setup(t) {
    const page = yield* t.mmap(2);
    yield* t.store32(page, 100);
    yield* t.store32(page + 4096, 1);
    yield* t.drainLruBatches();
    // Written to its slot, and still in the swap cache. The other page has the other slot: the next is the first again.
    yield* t.madvise(page, 1, Madv.PAGEOUT);
    yield* t.madvise(page + 4096, 1, Madv.PAGEOUT);
    return { page };
  },

  threads: {
    fault: {
      on: { cpu: 0 },
      *run(t, s) {
        yield* t.atomicAdd32(s.page, 1);
      },
    },
    reuse: {
      on: { cpu: 1 },
      *run(t, s) {
        yield* t.madvise(s.page, 1, Madv.DONTNEED);
        yield* t.store32(s.page, 9);
        yield* t.k.swap.lruAddDrain(t.k);
        yield* t.madvise(s.page, 1, Madv.PAGEOUT);
      },
    },
  },

  *check(t, s) {
    const value = yield* t.load32(s.page);
    return value === 9 || value === 10 ? null : `the word is ${value}, which no order of the two can give`;
  },
});
