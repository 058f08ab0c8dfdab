import { scenario } from "@faultline/checker";
import { Madv } from "@faultline/kernel";

/**
 * read() with O_DIRECT pins a page, and a disk writes to it, while MADV_DONTNEED throws it away. The frame stays until the
 * pin is gone; whether the program sees what was read depends on who was first (Documentation/core-api/pin_user_pages.rst).
 */
export default scenario({
  title: "MADV_DONTNEED against an O_DIRECT pin",
  machine: { cpus: 2, devices: 0 },

  *setup(t) {
    const page = yield* t.mmap(1);
    yield* t.store32(page, 5);
    yield* t.drainLruBatches();
    return { page };
  },

  threads: {
    read: {
      on: { cpu: 0 },
      *run(t, s) {
        const page = yield* t.pinUserPage(s.page, true);
        yield* t.writeUserPage(page, 9);
        yield* t.unpinUserPage(page, true);
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
    const word = yield* t.load32(s.page);
    return word === 0 || word === 9 ? null : `the page holds ${word}`;
  },
});
