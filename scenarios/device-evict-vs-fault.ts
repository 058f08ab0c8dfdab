import { scenario } from "@faultline/checker";

/** A driver takes its memory back, wherever it is mapped, while a CPU wants a page of it. */
export default scenario({
  title: "eviction of a device against a CPU fault",
  machine: { cpus: 1, devices: 1, devicePages: 2 },

  *setup(t) {
    const page = yield* t.mmap(1);
    yield* t.store32(page, 100);
    yield* t.drainLruBatches();
    yield* t.migrateToDevice(0, page, 1);
    return { page, expected: 100 };
  },

  threads: {
    evict: {
      on: { device: 0 },
      *run(t) {
        yield* t.evictDevice(0);
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
