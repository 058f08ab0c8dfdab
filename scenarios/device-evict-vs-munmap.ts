import { scenario } from "@faultline/checker";

/** A driver takes its memory back while a mapping of it goes. */
export default scenario({
  title: "eviction of a device against munmap",
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
    munmap: {
      on: { cpu: 0 },
      *run(t, s) {
        yield* t.munmap(s.page, 1);
      },
    },
  },
});
