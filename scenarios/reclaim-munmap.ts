import { scenario } from "@faultline/checker";
import { Madv } from "@faultline/kernel";

/**
 * Reclaim walks to the mapping of a page while the mapping goes away, tables and all
 * ("mm: unlink vma before pagetables", 2005).
 */
export default scenario({
  title: "reclaim against munmap",
  machine: { cpus: 2, devices: 0, swapSlots: 16 },

  *setup(t) {
    const page = yield* t.mmap(1);
    yield* t.store32(page, 100);
    yield* t.drainLruBatches();
    // Reclaim would keep a page that was used just now.
    yield* t.madvise(page, 1, Madv.COLD);
    yield* t.drainLruBatches();
    return { page };
  },

  threads: {
    munmap: {
      on: { cpu: 0 },
      *run(t, s) {
        yield* t.munmap(s.page, 1);
      },
    },
    reclaim: {
      on: { cpu: 1 },
      *run(t) {
        yield* t.shrinkLruvec();
      },
    },
  },
});
