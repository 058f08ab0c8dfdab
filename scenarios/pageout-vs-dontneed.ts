import { scenario } from "@faultline/checker";
import { Madv } from "@faultline/kernel";

/**
 * A page is thrown away that another thread has on its way to swap: slot, swap cache and folio each have one owner
 * in the end (free_swap_and_cache(), and the trylock in it).
 */
export default scenario({
  title: "MADV_PAGEOUT against MADV_DONTNEED",
  machine: { cpus: 2, devices: 0, swapSlots: 8 },

  *setup(t) {
    const page = yield* t.mmap(1);
    yield* t.store32(page, 100);
    yield* t.drainLruBatches();
    return { page };
  },

  threads: {
    pageout: {
      on: { cpu: 0 },
      *run(t, s) {
        yield* t.madvise(s.page, 1, Madv.PAGEOUT);
      },
    },
    dontneed: {
      on: { cpu: 1 },
      *run(t, s) {
        yield* t.madvise(s.page, 1, Madv.DONTNEED);
      },
    },
  },

  *check(t, s) {
    const value = yield* t.load32(s.page);
    return value === 0 ? null : `the word is ${value} after MADV_DONTNEED`;
  },
});
