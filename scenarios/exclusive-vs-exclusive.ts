import { scenario } from "@faultline/checker";

/**
 * Two devices want one page exclusively: the second takes it back from the first, as a CPU would
 * ("mm/rmap: avoid -EBUSY from make_device_exclusive()", 2025).
 */
export default scenario({
  title: "device-exclusive access of two devices",
  machine: { cpus: 1, devices: 2 },

  *setup(t) {
    const page = yield* t.mmap(1);
    yield* t.store32(page, 1);
    yield* t.drainLruBatches();
    return { page, taken: 0 };
  },

  threads: {
    first: {
      on: { device: 0 },
      *run(t, s) {
        // Kernels before 6.15 may answer EBUSY.
        if ((yield* t.makeExclusive(0, s.page, 1)) === 0) s.taken++;
      },
    },
    second: {
      on: { device: 1 },
      *run(t, s) {
        if ((yield* t.makeExclusive(1, s.page, 1)) === 0) s.taken++;
      },
    },
  },

  *check(t, s) {
    const { testHmm } = t.k;
    const owners = t.devices.filter(({ table }) => table.get(s.page / 4096)?.atomic === true).length;
    if (owners !== Math.min(s.taken, 1)) return `${s.taken} devices were given the page, and ${owners} have it`;
    for (const mirror of t.devices) yield* testHmm.deviceAtomicAdd32(t.k, mirror, s.page, 10);
    const value = yield* t.load32(s.page);
    return value === 21 ? null : `an update is lost: the word is ${value} instead of 21`;
  },
});
