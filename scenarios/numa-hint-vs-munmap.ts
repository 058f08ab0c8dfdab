import { scenario } from "@faultline/checker";

/** An access to a page that waits for a NUMA hinting fault, while its mapping goes: the fault holds the lock of the VMA. */
export default scenario({
  title: "NUMA hinting fault against munmap",
  machine: { cpus: 2, nodes: 2, devices: 0 },

  *setup(t) {
    const page = yield* t.mmap(1);
    yield* t.store32(page, 100);
    yield* t.drainLruBatches();
    yield* t.numaScan(page, 1);
    return { page };
  },

  threads: {
    munmap: {
      on: { cpu: 0 },
      *run(t, s) {
        yield* t.munmap(s.page, 1);
      },
    },
    // On the other node: the page is to move.
    fault: {
      on: { cpu: 1 },
      *run(t, s) {
        // As copy_to_user(): a page that is gone by then is no error of the thread's.
        yield* t.k.uaccess.putUser32(t.k, s.page, 1);
      },
    },
  },

  *check(t, s) {
    const value = yield* t.k.uaccess.getUser32(t.k, s.page);
    return value === null ? null : `munmap() has returned, and the word can be read: ${value}`;
  },
});
