import { scenario } from "@faultline/checker";

/** A page moves to a device while its mapping goes. */
export default scenario({
  title: "migration to a device against munmap",
  machine: { cpus: 1, devices: 1, devicePages: 2 },

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
        yield* t.deviceStore32(0, s.page, 1);
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
