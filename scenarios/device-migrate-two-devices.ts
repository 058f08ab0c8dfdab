import { scenario } from "@faultline/checker";

/** Two devices want one page in their memory. */
export default scenario({
  title: "two devices migrate one page",
  machine: { cpus: 1, devices: 2, devicePages: 2 },

  *setup(t) {
    const page = yield* t.mmap(1);
    yield* t.store32(page, 100);
    yield* t.drainLruBatches();
    return { page, expected: 100 };
  },

  threads: {
    first: {
      on: { device: 0 },
      *run(t, s) {
        yield* t.migrateToDevice(0, s.page, 1);
      },
    },
    second: {
      on: { device: 1 },
      *run(t, s) {
        yield* t.migrateToDevice(1, s.page, 1);
      },
    },
  },

  *check(t, s) {
    const value = yield* t.load32(s.page);
    return value === s.expected ? null : `an update is lost: the word is ${value} instead of ${s.expected}`;
  },
});
