import { scenario } from "@faultline/checker";

/**
 * One device writes to a page through its mirror, another takes it exclusively: make_device_exclusive() tells all
 * devices, its owner too ("mm: device exclusive memory access", 2021: MMU_NOTIFY_EXCLUSIVE).
 */
export default scenario({
  title: "hmm_range_fault against device-exclusive access",
  machine: { cpus: 1, devices: 2 },

  *setup(t) {
    const page = yield* t.mmap(1);
    yield* t.store32(page, 0);
    yield* t.drainLruBatches();
    return { page };
  },

  threads: {
    mirror: {
      on: { device: 0 },
      *run(t, s) {
        yield* t.deviceStore32(0, s.page, 100);
      },
    },
    exclusive: {
      on: { device: 1 },
      *run(t, s) {
        yield* t.makeExclusive(1, s.page, 1);
      },
    },
  },

  *check(t, s) {
    const value = yield* t.load32(s.page);
    return value === 100 ? null : `an update is lost: the word is ${value} instead of 100`;
  },
});
