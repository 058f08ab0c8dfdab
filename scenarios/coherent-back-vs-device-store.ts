import { scenario } from "@faultline/checker";

/** A page comes back from a coherent device, while that writes to it. */
export default scenario({
  title: "migration back from a coherent device against a store of its own",
  machine: { cpus: 1, devices: 3, devicePages: 2 },

  *setup(t) {
    const page = yield* t.mmap(1);
    yield* t.store32(page, 100);
    yield* t.drainLruBatches();
    yield* t.migrateToDevice(2, page, 1);
    return { page, expected: 100 };
  },

  threads: {
    back: {
      on: { cpu: 0 },
      *run(t, s) {
        yield* t.migrateToSystem(2, s.page, 1);
      },
    },
    device: {
      on: { device: 2 },
      *run(t, s) {
        yield* t.deviceStore32(2, s.page, 200);
        s.expected = 200;
      },
    },
  },

  *check(t, s) {
    const value = yield* t.load32(s.page);
    return value === s.expected ? null : `an update is lost: the word is ${value} instead of ${s.expected}`;
  },
});
