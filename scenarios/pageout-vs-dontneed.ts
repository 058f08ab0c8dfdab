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
    return { page, seen: 0 };
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
        s.seen = yield* t.load32(s.page);
      },
    },
  },

  *check(_t, s) {
    yield* [];
    return s.seen === 0 ? null : `MADV_DONTNEED has returned, and the word is still ${s.seen}`;
  },
});
