import { scenario } from "@faultline/checker";

/**
 * UFFDIO_MOVE of a page that a disk reads into by a pin: what is pinned is not moved, and what has been moved does not
 * change any more by what comes to the old address ("userfaultfd: UFFDIO_MOVE uABI", 2024).
 */
export default scenario({
  title: "userfaultfd: UFFDIO_MOVE against a pin",
  machine: { cpus: 2, devices: 0 },

  *setup(t) {
    const source = yield* t.mmap(1);
    const page = yield* t.mmap(1);
    yield* t.store32(source, 7);
    const uffd = yield* t.userfaultfd();
    yield* t.uffdRegister(uffd, page, 1, true, false);
    yield* t.drainLruBatches();
    return { source, page, uffd, moved: 0, first: 0 };
  },

  threads: {
    move: {
      on: { cpu: 0 },
      *run(t, s) {
        s.moved = yield* t.uffdMove(s.uffd, s.page, s.source, 1);
        if (s.moved === 4096) s.first = yield* t.load32(s.page);
      },
    },
    read: {
      on: { cpu: 1 },
      *run(t, s) {
        const page = yield* t.pinUserPage(s.source, true);
        yield* t.writeUserPage(page, 9);
        yield* t.unpinUserPage(page, true);
      },
    },
  },

  *check(t, s) {
    if (s.moved === -16) return (yield* t.load32(s.source)) === 9 ? null : "what was read is lost";
    if (s.moved !== 4096) return `UFFDIO_MOVE answers ${s.moved}`;
    const last = yield* t.load32(s.page);
    return s.first === last ? null : `the page that was moved had ${s.first}, and then ${last}`;
  },
});
