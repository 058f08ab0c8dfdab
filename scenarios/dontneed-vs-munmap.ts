import { scenario } from "@faultline/checker";
import { Madv } from "@faultline/kernel";

/**
 * A page is thrown away by one thread and unmapped by another: it is freed once, and nobody is in the page table when
 * that goes. madvise() holds mmap_lock for reading, munmap() for writing (Documentation/mm/process_addrs.rst).
 */
export default scenario({
  title: "MADV_DONTNEED against munmap",
  machine: { cpus: 2, devices: 0 },

  *setup(t) {
    const page = yield* t.mmap(1);
    yield* t.store32(page, 1);
    yield* t.drainLruBatches();
    return { page };
  },

  threads: {
    dontneed: {
      on: { cpu: 0 },
      *run(t, s) {
        yield* t.madvise(s.page, 1, Madv.DONTNEED);
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
