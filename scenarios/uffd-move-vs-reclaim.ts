import { scenario } from "@faultline/checker";
import { Madv } from "@faultline/kernel";

/**
 * UFFDIO_MOVE against reclaim of the page that it moves: in memory, in swap or on its way, it arrives as it was
 * ("mm: userfaultfd: fix race of userfaultfd_move and swap cache", 2025).
 */
export default scenario({
  title: "userfaultfd: UFFDIO_MOVE against reclaim",
  machine: { cpus: 2, devices: 0, swapSlots: 4 },

  *setup(t) {
    const source = yield* t.mmap(1);
    const page = yield* t.mmap(1);
    yield* t.store32(source, 7);
    const uffd = yield* t.userfaultfd();
    yield* t.uffdRegister(uffd, page, 1, true, false);
    yield* t.drainLruBatches();
    return { source, page, uffd, moved: 0 };
  },

  threads: {
    move: {
      on: { cpu: 0 },
      *run(t, s) {
        s.moved = yield* t.uffdMove(s.uffd, s.page, s.source, 1);
      },
    },
    reclaim: {
      on: { cpu: 1 },
      *run(t, s) {
        yield* t.madvise(s.source, 1, Madv.PAGEOUT);
      },
    },
  },

  *check(t, s) {
    const where = s.moved === 4096 ? s.page : s.source;
    if (s.moved !== 4096 && s.moved !== -16) return `UFFDIO_MOVE answers ${s.moved}`;
    const value = yield* t.load32(where);
    return value === 7 ? null : `the page has ${value} instead of 7`;
  },
});
