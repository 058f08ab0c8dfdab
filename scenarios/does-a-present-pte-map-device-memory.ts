import { scenario } from "@faultline/checker";

/**
 * Does a present entry for memory that no CPU can reach ever occur? No: while a page moves there or back its entry is a
 * migration entry, and then one for the device; every step of this is looked at ("HMM: un-addressable device memory", 2017).
 */
export default scenario({
  title: "does a present PTE for unaddressable memory ever occur?",
  machine: { cpus: 1, devices: 1, devicePages: 4 },

  *setup(t) {
    const page = yield* t.mmap(1);
    yield* t.store32(page, 1);
    yield* t.drainLruBatches();
    return { page };
  },

  threads: {
    cpu: {
      on: { cpu: 0 },
      *run(t, s) {
        yield* t.atomicAdd32(s.page, 1);
      },
    },
    migrate: {
      on: { device: 0 },
      *run(t, s) {
        yield* t.migrateToDevice(0, s.page, 1);
      },
    },
  },

  *check(t, s) {
    const value = yield* t.load32(s.page);
    return value === 2 ? null : `the word is ${value} instead of 2`;
  },
});
