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
    yield* t.store32(page, 0);
    yield* t.drainLruBatches();
    return { page, expected: 0 };
  },

  threads: {
    first: {
      on: { device: 0 },
      *run(t, s) {
        if ((yield* t.deviceAtomicAdd32(0, s.page, 10)) >= 0) s.expected += 10;
      },
    },
    second: {
      on: { device: 1 },
      *run(t, s) {
        if ((yield* t.deviceAtomicAdd32(1, s.page, 100)) >= 0) s.expected += 100;
      },
    },
  },

  *check(t, s) {
    const value = yield* t.load32(s.page);
    return value === s.expected ? null : `an update is lost: the word is ${value} instead of ${s.expected}`;
  },
});
