import { scenario } from "@faultline/checker";

/**
 * UFFDIO_MOVE of a page that another thread writes to: the write is in the page that was moved, or in a new one at the old
 * address ("userfaultfd: UFFDIO_MOVE uABI", 2024).
 */
export default scenario({
  title: "userfaultfd: UFFDIO_MOVE against a store",
  machine: { cpus: 2, devices: 0 },

  *setup(t) {
    const source = yield* t.mmap(1);
    const page = yield* t.mmap(1);
    yield* t.store32(source, 7);
    const uffd = yield* t.userfaultfd();
    yield* t.uffdRegister(uffd, page, 1, true, false);
    yield* t.drainLruBatches();
    return { source, page, uffd };
  },

  threads: {
    move: {
      on: { cpu: 0 },
      *run(t, s) {
        yield* t.uffdMove(s.uffd, s.page, s.source, 1);
      },
    },
    store: {
      on: { cpu: 1 },
      *run(t, s) {
        yield* t.store32(s.source, 8);
      },
    },
  },

  *check(t, s) {
    const moved = yield* t.load32(s.page);
    const left = yield* t.load32(s.source);
    return moved + left === 8 || (moved === 7 && left === 8) ? null : `the page that was moved has ${moved}, the old address ${left}`;
  },
});
