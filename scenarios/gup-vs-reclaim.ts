import { scenario } from "@faultline/checker";
import { Madv } from "@faultline/kernel";

/**
 * A driver holds a page by get_user_pages_fast(), and writes to it, while another thread sends it to swap: who holds a
 * reference keeps reclaim from freeing it (__remove_mapping() on the order of reference and dirty flag).
 */
export default scenario({
  title: "get_user_pages_fast against reclaim",
  machine: { cpus: 2, devices: 0, swapSlots: 8 },

  *setup(t) {
    const page = yield* t.mmap(1);
    yield* t.store32(page, 1);
    yield* t.drainLruBatches();
    // A copy of it is on disk: it could be freed without being written.
    yield* t.madvise(page, 1, Madv.PAGEOUT);
    yield* t.load32(page);
    return { page };
  },

  threads: {
    gup: {
      on: { cpu: 0 },
      *run(t, s) {
        const page = yield* t.getUserPage(s.page, true);
        yield* t.writeUserPage(page, 7);
        yield* t.putUserPage(page);
      },
    },
    reclaim: {
      on: { cpu: 1 },
      *run(t, s) {
        yield* t.madvise(s.page, 1, Madv.PAGEOUT);
      },
    },
  },

  *check(t, s) {
    const value = yield* t.load32(s.page);
    return value === 7 ? null : `an update is lost: the word is ${value} instead of 7`;
  },
});
