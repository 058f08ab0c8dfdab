import { scenario } from "@faultline/checker";

/** A CPU wants a page of device-private memory whose mapping goes. */
export default scenario({
  title: "a CPU fault for a page that a device has against munmap",
  machine: { cpus: 2, devices: 1, devicePages: 2 },

  *setup(t) {
    const page = yield* t.mmap(1);
    yield* t.store32(page, 100);
    yield* t.drainLruBatches();
    yield* t.migrateToDevice(0, page, 1);
    return { page, expected: 100 };
  },

  threads: {
    fault: {
      on: { cpu: 0 },
      *run(t, s) {
        yield* t.tryLoad32(s.page);
      },
    },
    munmap: {
      on: { cpu: 1 },
      *run(t, s) {
        yield* t.munmap(s.page, 1);
      },
    },
  },
});
