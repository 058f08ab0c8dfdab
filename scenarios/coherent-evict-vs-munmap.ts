import { scenario } from "@faultline/checker";

/** A coherent device is emptied while the memory is unmapped that has a page there. */
export default scenario({
  title: "eviction of a coherent device against munmap()",
  machine: { cpus: 1, devices: 3, devicePages: 2 },

  *setup(t) {
    const page = yield* t.mmap(1);
    yield* t.store32(page, 100);
    yield* t.drainLruBatches();
    yield* t.migrateToDevice(2, page, 1);
    return { page, expected: 100 };
  },

  threads: {
    evict: {
      on: { device: 2 },
      *run(t) {
        yield* t.evictDevice(2);
      },
    },
    munmap: {
      on: { cpu: 0 },
      *run(t, s) {
        yield* t.munmap(s.page, 1);
      },
    },
  },

  *check(_t, s) {
    yield* [];
    return s.expected === 100 || s.expected === 101 ? null : "there is one addition";
  },
});
