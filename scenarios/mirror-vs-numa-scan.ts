import { scenario } from "@faultline/checker";

/**
 * A device mirrors a page that balancing protects for hinting: the scan notifies (MMU_NOTIFY_PROTECTION_VMA), though no permission
 * of the program's changes, and hmm_range_fault() takes the entry for one that is not there, and faults.
 */
export default scenario({
  title: "hmm_range_fault against a NUMA scan",
  machine: { cpus: 1, devices: 1 },

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
      },
    },
    mirror: {
      on: { device: 0 },
      *run(t, s) {
        yield* t.deviceStore32(0, s.page, 1);
        yield* t.deviceStore32(0, s.page, 2);
      },
    },
  },

  *check(t, s) {
    const value = yield* t.load32(s.page);
    return value === 2 ? null : `the device has written 2, and the word is ${value}`;
  },
});
