import { scenario } from "@faultline/checker";

/**
 * Balancing scans memory that is a device's: pages that the CPU cannot address wait for no hinting fault, but their entries lose
 * the permission to write, as with any change of permissions, and the device is told. It has its memory read-only from then on,
 * and a store of the device's answers -EFAULT, until a CPU has had the page back.
 */
export default scenario({
  title: "NUMA scan against a device that writes to its own memory",
  machine: { cpus: 1, devices: 1, devicePages: 4 },

  *setup(t) {
    const page = yield* t.mmap(1);
    yield* t.store32(page, 100);
    yield* t.drainLruBatches();
    yield* t.migrateToDevice(0, page, 1);
    return { page, wrote: 0 };
  },

  threads: {
    scan: {
      on: { cpu: 0 },
      *run(t, s) {
        yield* t.numaScan(s.page, 1);
      },
    },
    store: {
      on: { device: 0 },
      *run(t, s) {
        s.wrote = yield* t.deviceStore32(0, s.page, 101);
      },
    },
  },

  *check(t, s) {
    const value = yield* t.load32(s.page);
    const expected = s.wrote < 0 ? 100 : 101;
    if (s.wrote < 0 && s.wrote !== -14) return `the device's store answered ${s.wrote}`;
    return value === expected ? null : `the device's store answered ${s.wrote}, and the word is ${value}`;
  },
});
