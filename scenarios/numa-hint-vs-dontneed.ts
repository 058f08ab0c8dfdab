import { scenario } from "@faultline/checker";
import { Madv } from "@faultline/kernel";

/**
 * An access to a page that waits for a NUMA hinting fault, while MADV_DONTNEED takes the page: the fault looks at the entry
 * again under its lock before it makes it accessible (pte_same() in do_numa_page()).
 */
export default scenario({
  title: "NUMA hinting fault against MADV_DONTNEED",
  machine: { cpus: 2, devices: 0 },

  *setup(t) {
    const page = yield* t.mmap(1);
    yield* t.store32(page, 100);
    yield* t.drainLruBatches();
    yield* t.numaScan(page, 1);
    return { page, seen: 0 };
  },

  threads: {
    fault: {
      on: { cpu: 0 },
      *run(t, s) {
        s.seen = yield* t.load32(s.page);
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
    const value = yield* t.load32(s.page);
    if (value !== 0) return `MADV_DONTNEED has returned, and the word is still ${value}`;
    return s.seen === 0 || s.seen === 100 ? null : `the thread has read ${s.seen}`;
  },
});
