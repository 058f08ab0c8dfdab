import { scenario } from "@faultline/checker";
import { Madv } from "@faultline/kernel";

/**
 * A thread adds to a page that another throws away. MADV_DONTNEED holds mmap_lock for reading only, as faults do:
 * between them are the page-table lock and the TLB flush (the thread of "mm: split 'tlb_flush_mmu()'", 2014).
 */
export default scenario({
  title: "CPU fault against MADV_DONTNEED",
  machine: { cpus: 2, devices: 0 },

  *setup(t) {
    const page = yield* t.mmap(1);
    yield* t.store32(page, 100);
    yield* t.drainLruBatches();
    return { page };
  },

  threads: {
    fault: {
      on: { cpu: 0 },
      *run(t, s) {
        yield* t.atomicAdd32(s.page, 1);
        yield* t.atomicAdd32(s.page, 1);
      },
    },
    dontneed: {
      on: { cpu: 1 },
      *run(t, s) {
        yield* t.madvise(s.page, 1, Madv.DONTNEED);
      },
    },
  },

  /** The additions behind it are there. */
  *check(t, s) {
    const value = yield* t.load32(s.page);
    return value <= 2 ? null : `the word is ${value} after MADV_DONTNEED`;
  },
});
