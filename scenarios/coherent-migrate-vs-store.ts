import { scenario } from "@faultline/checker";

/** A page moves to memory of a device that CPUs reach as any other, while a CPU writes to it: it goes with what was written, or stays. */
export default scenario({
  title: "migration to a coherent device against a store",
  machine: { cpus: 1, devices: 3, devicePages: 2 },

  *setup(t) {
    const page = yield* t.mmap(1);
    yield* t.store32(page, 100);
    yield* t.drainLruBatches();
    return { page, expected: 100 };
  },

  threads: {
    migrate: {
      on: { device: 2 },
      *run(t, s) {
        yield* t.migrateToDevice(2, s.page, 1);
      },
    },
    store: {
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
