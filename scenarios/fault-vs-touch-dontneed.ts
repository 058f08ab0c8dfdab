import { scenario } from "@faultline/checker";
import { Madv } from "@faultline/kernel";

/**
 * A fault finds the page mapped by another thread, which throws it away again before the fault has the page-table lock:
 * under it the entry is looked at again ("mm: split page table lock", 2005).
 */
export default scenario({
  title: "CPU fault against another that is thrown away at once",
  machine: { cpus: 2, devices: 0 },

  *setup(t) {
    const page = yield* t.mmap(2);
    // The VMA has its anon_vma, and its page table.
    yield* t.store32(page + 4096, 1);
    return { page };
  },

  threads: {
    fault: {
      on: { cpu: 0 },
      *run(t, s) {
        yield* t.atomicAdd32(s.page, 1);
      },
    },
    touch: {
      on: { cpu: 1 },
      *run(t, s) {
        yield* t.store32(s.page, 10);
        yield* t.madvise(s.page, 1, Madv.DONTNEED);
      },
    },
  },

  *check(t, s) {
    const value = yield* t.load32(s.page);
    return value === 0 || value === 1 ? null : `the word is ${value}, which no order of the two can give`;
  },
});
