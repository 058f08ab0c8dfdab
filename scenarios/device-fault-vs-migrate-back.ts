import { scenario } from "@faultline/checker";

/** A CPU wants a page of device-private memory that its driver brings back at the same time. */
export default scenario({
  title: "a CPU fault against migration back from the device",
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
      on: { device: 0 },
      *run(t, s) {
        yield* t.migrateToSystem(0, s.page, 1);
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
    return value === s.expected ? null : `an update is lost: the word is ${value} instead of ${s.expected}`;
  },
});
