import { scenario } from "@faultline/checker";

/** A page moves to a device while reclaim wants it. */
export default scenario({
  title: "migration to a device against reclaim",
  machine: { cpus: 1, devices: 1, devicePages: 2, swapSlots: 4 },

  *setup(t) {
    const page = yield* t.mmap(1);
    yield* t.store32(page, 100);
    yield* t.drainLruBatches();
    return { page, expected: 100 };
  },

  threads: {
    migrate: {
      on: { device: 0 },
      *run(t, s) {
        yield* t.migrateToDevice(0, s.page, 1);
      },
    },
    reclaim: {
      on: { cpu: 0 },
      *run(t) {
        yield* t.reclaim(1);
      },
    },
  },

  *check(t, s) {
    const value = yield* t.load32(s.page);
    return value === s.expected ? null : `an update is lost: the word is ${value} instead of ${s.expected}`;
  },
});
