import { scenario } from "@faultline/checker";

/**
 * Two that want one page: a device takes it from a CPU that takes it back, and each adds to a word of it
 * ("mm: device exclusive memory access", 2021; "mm: fixes for device-exclusive entries (hmm)", 2025).
 */
export default scenario({
  title: "CPU fault against device-exclusive access",
  machine: { cpus: 2, devices: 1 },

  *setup(t) {
    const page = yield* t.mmap(1);
    yield* t.store32(page, 100);
    yield* t.drainLruBatches();
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
