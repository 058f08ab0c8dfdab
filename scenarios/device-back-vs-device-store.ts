import { scenario } from "@faultline/checker";

/** A driver brings a page back from its device, which is writing it. */
export default scenario({
  title: "migration back from the device against the device",
  machine: { cpus: 1, devices: 1, devicePages: 2 },

  *setup(t) {
    const page = yield* t.mmap(1);
    yield* t.store32(page, 100);
    yield* t.drainLruBatches();
    yield* t.migrateToDevice(0, page, 1);
    return { page, expected: 100 };
  },

  threads: {
    back: {
      on: { cpu: 0 },
      *run(t, s) {
        yield* t.migrateToSystem(0, s.page, 1);
      },
    },
    device: {
      on: { device: 0 },
      *run(t, s) {
        if ((yield* t.deviceStore32(0, s.page, 7)) === 0) s.expected = 7;
      },
    },
  },

  *check(t, s) {
    const value = yield* t.load32(s.page);
    return value === s.expected ? null : `an update is lost: the word is ${value} instead of ${s.expected}`;
  },
});
