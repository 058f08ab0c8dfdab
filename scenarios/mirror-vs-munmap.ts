import { scenario } from "@faultline/checker";

/**
 * A device mirrors a page whose mapping goes: the device drops it before the page is freed
 * ("mm/mmu_notifier: add an interval tree notifier", 2019).
 */
export default scenario({
  title: "hmm_range_fault against munmap",
  machine: { cpus: 1, devices: 1 },

  *setup(t) {
    const page = yield* t.mmap(1);
    yield* t.store32(page, 1);
    yield* t.drainLruBatches();
    return { page };
  },

  threads: {
    munmap: {
      on: { cpu: 0 },
      *run(t, s) {
        yield* t.munmap(s.page, 1);
      },
    },
    mirror: {
      on: { device: 0 },
      *run(t, s) {
        yield* t.deviceStore32(0, s.page, 2);
      },
    },
  },
});
