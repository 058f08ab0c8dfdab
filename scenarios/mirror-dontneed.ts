import { scenario } from "@faultline/checker";
import { Madv } from "@faultline/kernel";

/**
 * A device mirrors a page by hmm_range_fault() while it is thrown away and written anew
 * (Documentation/mm/hmm.rst, mmu_interval_read_retry()).
 */
export default scenario({
  title: "hmm_range_fault against MADV_DONTNEED against CPU store",
  machine: { cpus: 2, devices: 1 },

  *setup(t) {
    const page = yield* t.mmap(1);
    yield* t.store32(page, 1);
    yield* t.drainLruBatches();
    return { page };
  },

  threads: {
    store: {
      on: { cpu: 0 },
      *run(t, s) {
        yield* t.store32(s.page, 7);
      },
    },
    dontneed: {
      on: { cpu: 1 },
      *run(t, s) {
        yield* t.madvise(s.page, 1, Madv.DONTNEED);
      },
    },
    mirror: {
      on: { device: 0 },
      *run(t, s) {
        yield* t.deviceFault(0, s.page, 1, true);
      },
    },
  },
});
