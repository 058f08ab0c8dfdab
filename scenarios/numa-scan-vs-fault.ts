import { scenario } from "@faultline/checker";

/**
 * Balancing protects a page for hinting while a thread writes to it: the entry is made to grant nothing under its page-table
 * lock, and given back by whoever faults on it (mm/mprotect.c, MM_CP_PROT_NUMA; do_numa_page()).
 */
export default scenario({
  title: "NUMA scan against stores",
  machine: { cpus: 2, devices: 0 },

  *setup(t) {
    const page = yield* t.mmap(1);
    yield* t.store32(page, 100);
    yield* t.drainLruBatches();
    return { page };
  },

  threads: {
    scan: {
      on: { cpu: 0 },
      *run(t, s) {
        yield* t.numaScan(s.page, 1);
        yield* t.atomicAdd32(s.page, 10);
      },
    },
    store: {
      on: { cpu: 1 },
      *run(t, s) {
        yield* t.atomicAdd32(s.page, 1);
        yield* t.atomicAdd32(s.page, 1);
      },
    },
  },

  *check(t, s) {
    const value = yield* t.load32(s.page);
    return value === 112 ? null : `an update is lost: the word is ${value} instead of 112`;
  },
});
