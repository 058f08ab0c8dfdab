import { scenario } from "@faultline/checker";

/** A CPU wants a page of device-private memory that the device is writing. */
export default scenario({
  title: "a CPU fault against the device that has the page",
  machine: { cpus: 1, devices: 1, devicePages: 2 },

  *setup(t) {
    const page = yield* t.mmap(1);
    yield* t.store32(page, 100);
    yield* t.drainLruBatches();
    yield* t.migrateToDevice(0, page, 1);
    return { page, expected: 100, stored: 0 };
  },

  threads: {
    device: {
      on: { device: 0 },
      *run(t, s) {
        if ((yield* t.deviceStore32(0, s.page + 4, 7)) === 0) s.stored = 7;
      },
    },
    fault: {
      on: { cpu: 0 },
      *run(t, s) {
        yield* t.atomicAdd32(s.page, 1);
        s.expected += 1;
      },
    },
  },

  *check(t, s) {
    const value = yield* t.load32(s.page);
    const other = yield* t.load32(s.page + 4);
    return value === s.expected && other === s.stored ? null : `an update is lost: the words are ${value} and ${other} instead of ${s.expected} and ${s.stored}`;
  },
});
