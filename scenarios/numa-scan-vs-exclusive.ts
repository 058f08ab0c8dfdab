import { scenario } from "@faultline/checker";

/**
 * Balancing scans a page while a device takes it exclusively. An exclusive entry is not present, and the scan leaves it as it
 * is: it must not become one that grants nothing, of which nobody would know that a device has the page.
 */
export default scenario({
  title: "NUMA scan against device-exclusive access",
  machine: { cpus: 2, devices: 1 },

  *setup(t) {
    const page = yield* t.mmap(1);
    yield* t.store32(page, 100);
    yield* t.drainLruBatches();
    return { page, expected: 100 };
  },

  threads: {
    scan: {
      on: { cpu: 0 },
      *run(t, s) {
        yield* t.numaScan(s.page, 1);
        yield* t.atomicAdd32(s.page, 1);
        s.expected += 1;
      },
    },
    exclusive: {
      on: { device: 0 },
      *run(t, s) {
        // Kernels before 6.15 may answer EBUSY, and then nothing was added.
        if ((yield* t.deviceAtomicAdd32(0, s.page, 10)) >= 0) s.expected += 10;
      },
    },
  },

  *check(t, s) {
    const value = yield* t.load32(s.page);
    return value === s.expected ? null : `an update is lost: the word is ${value} instead of ${s.expected}`;
  },
});
