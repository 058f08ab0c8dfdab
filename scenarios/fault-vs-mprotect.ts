import { scenario } from "@faultline/checker";

/**
 * A fault has found its VMA when mprotect() cuts the page out of it, and takes all access away: under the lock the
 * fault must see that this is not the VMA of the page any more ("Per-VMA locks", 2023).
 */
export default scenario({
  title: "CPU fault against mprotect(PROT_NONE) of its page",
  machine: { cpus: 2, devices: 0 },

  *setup(t) {
    const page = yield* t.mmap(2);
    // The VMA has its anon_vma, so that faults need no mmap_lock.
    yield* t.store32(page, 1);
    return { page: page + 4096 };
  },

  threads: {
    fault: {
      on: { cpu: 0 },
      *run(t, s) {
        // As copy_to_user(): a page that is out of reach by then is no error of the thread's.
        yield* t.k.uaccess.putUser32(t.k, s.page, 1);
      },
    },
    protect: {
      on: { cpu: 1 },
      *run(t, s) {
        yield* t.mprotect(s.page, 1, 0);
      },
    },
  },

  *check(t, s) {
    const value = yield* t.k.uaccess.getUser32(t.k, s.page);
    return value === null ? null : `mprotect() has taken all access away, and the word can be read: ${value}`;
  },
});
