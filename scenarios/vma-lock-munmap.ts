import { scenario } from "@faultline/checker";

/**
 * A fault has found its VMA, and has not locked it yet, when munmap takes it out and frees it
 * ("Per-VMA locks", 2023; "mm: make vma cache SLAB_TYPESAFE_BY_RCU", 2025).
 */
export default scenario({
  title: "per-VMA lock against munmap",
  machine: { cpus: 2, devices: 0 },

  *setup(t) {
    const stays = yield* t.mmap(1);
    const page = yield* t.mmap(1);
    yield* t.mprotect(page, 1, 1);
    return { stays, page };
  },

  threads: {
    fault: {
      on: { cpu: 0 },
      *run(t, s) {
        // As copy_from_user(): a page that is gone by then is no error of the thread's.
        yield* t.k.uaccess.getUser32(t.k, s.page);
      },
    },
    munmap: {
      on: { cpu: 1 },
      *run(t, s) {
        yield* t.munmap(s.page, 1);
      },
    },
  },
});
