import { scenario } from "@faultline/checker";
import { Madv } from "@faultline/kernel";

/**
 * A disk reads into a page that is pinned while the page is paged out and written to again. What is pinned keeps its mapping: were
 * it unmapped, the next write would find others at it, and go to a copy that the disk knows nothing of.
 */
export default scenario({
  title: "MADV_PAGEOUT against a pin",
  machine: { cpus: 2, devices: 0, swapSlots: 8 },

  *setup(t) {
    const page = yield* t.mmap(1);
    yield* t.store32(page, 1);
    yield* t.drainLruBatches();
    return { page };
  },

  threads: {
    read: {
      on: { cpu: 0 },
      *run(t, s) {
        const page = yield* t.pinUserPage(s.page, true);
        yield* t.store32(s.page + 4, 2);
        yield* t.writeUserPage(page, 9);
        yield* t.unpinUserPage(page, true);
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
    const [read, wrote] = [yield* t.load32(s.page), yield* t.load32(s.page + 4)];
    return read === 9 && wrote === 2 ? null : `the words are ${read} and ${wrote} instead of 9 and 2`;
  },
});
