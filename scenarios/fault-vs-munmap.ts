import { scenario } from "@faultline/checker";

/**
 * A thread faults a page in while its mapping goes, page table and all: the fault holds the lock of the VMA, and
 * munmap() waits for it ("Per-VMA locks", 2023).
 */
export default scenario({
  title: "CPU fault against munmap",
  machine: { cpus: 2, devices: 0 },

  *setup(t) {
    const page = yield* t.mmap(2);
    // The VMA has its anon_vma, so that faults need no mmap_lock.
    yield* t.store32(page, 100);
    yield* t.drainLruBatches();
    return { page };
  },

  threads: {
    fault: {
      on: { cpu: 0 },
      *run(t, s) {
        // As copy_to_user(): a page that is gone by then is no error of the thread's.
        yield* t.k.uaccess.putUser32(t.k, s.page + 4096, 1);
      },
    },
    munmap: {
      on: { cpu: 1 },
      *run(t, s) {
        yield* t.munmap(s.page, 2);
      },
    },
  },

  *check(t, s) {
    const value = yield* t.k.uaccess.getUser32(t.k, s.page + 4096);
    return value === null ? null : `munmap() has returned, and the word can be read: ${value}`;
  },
});
