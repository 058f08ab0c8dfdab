import { Madv } from "@faultline/kernel";
import { scenario } from "@faultline/checker";

/**
 * The only huge page of the pool is taken from a private mapping and given back while another thread
 * stores to it: the store must wait for the page, and never find the pool empty, which would be SIGBUS
 * ("hugetlbfs: close race between MADV_DONTNEED and page fault", 2023).
 */
export default scenario({
  title: "store to a huge page against MADV_DONTNEED",
  machine: { cpus: 2, devices: 0, frames: 2048 },

  *setup(t) {
    const pool = yield* t.setHugePages(1);
    const page = yield* t.mmapHuge(1);
    yield* t.store32(page, 1);
    return { pool, page, stored: false };
  },

  threads: {
    store: {
      on: { cpu: 0 },
      *run(t, s) {
        s.stored = yield* t.tryStore32(s.page, 7);
      },
    },
    dontneed: {
      on: { cpu: 1 },
      *run(t, s) {
        yield* t.madvise(s.page, 512, Madv.DONTNEED);
      },
    },
  },

  *check(t, s) {
    if (s.pool !== 1) return `the pool has ${s.pool} pages`;
    if (!s.stored) return "the store got a signal";
    const value = yield* t.load32(s.page);
    return value === 7 || value === 0 ? null : `the word is ${value}`;
  },
});
