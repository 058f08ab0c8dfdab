import { scenario } from "@faultline/checker";

/**
 * Reclaim takes a page out that a device has exclusively, and that a CPU wants ("mm: fixes for device-exclusive
 * entries (hmm)", 2025: before it, such pages could not be swapped out).
 */
export default scenario({
  title: "reclaim against device-exclusive access against CPU fault",
  machine: { cpus: 2, devices: 1, swapSlots: 16 },

  *setup(t) {
    const page = yield* t.mmap(1);
    yield* t.store32(page, 100);
    yield* t.makeExclusive(0, page, 1);
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
    reclaim: {
      on: { cpu: 1 },
      *run(t) {
        yield* t.reclaim(1);
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
