import { scenario } from "@faultline/checker";

/**
 * A page waits for a NUMA hinting fault. A device that wants it exclusively faults it in first, since the entry cannot be
 * written; the program's access may come at any time (make_device_exclusive(), do_numa_page()).
 */
export default scenario({
  title: "NUMA hinting fault against device-exclusive access",
  machine: { cpus: 2, devices: 1 },

  *setup(t) {
    const page = yield* t.mmap(1);
    yield* t.store32(page, 100);
    yield* t.drainLruBatches();
    yield* t.numaScan(page, 1);
    return { page, expected: 101 };
  },

  threads: {
    fault: {
      on: { cpu: 0 },
      *run(t, s) {
        yield* t.atomicAdd32(s.page, 1);
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
