import { scenario } from "@faultline/checker";
import { Prot } from "@faultline/kernel";

/**
 * A thread writes through its TLB while the page is unmapped and freed: the flush comes before the free
 * ("mm: split 'tlb_flush_mmu()' into tlb flushing and memory freeing parts", 2014).
 */
export default scenario({
  title: "CPU store against munmap",
  machine: { cpus: 2, devices: 0 },

  *setup(t) {
    // A neighbour in the same page table, which stays.
    const stays = yield* t.mmap(1);
    yield* t.store32(stays, 5);
    yield* t.mprotect(stays, 1, Prot.READ);
    const page = yield* t.mmap(1);
    yield* t.store32(page, 100);
    yield* t.drainLruBatches();
    return { stays, page };
  },

  threads: {
    store: {
      on: { cpu: 0 },
      *run(t, s) {
        yield* t.k.uaccess.putUser32(t.k, s.page, 1);
      },
    },
    munmap: {
      on: { cpu: 1 },
      *run(t, s) {
        yield* t.munmap(s.page, 1);
      },
    },
  },

  *check(t, s) {
    const value = yield* t.load32(s.stays);
    return value === 5 ? null : `the word beside it is ${value} instead of 5`;
  },
});
