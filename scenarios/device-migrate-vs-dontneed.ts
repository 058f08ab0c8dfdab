import { scenario } from "@faultline/checker";
import { Madv } from "@faultline/kernel";

/**
 * Memory moves to a device while MADV_DONTNEED takes it away, with the address space locked for reading like the migration: it
 * does not wait for locked pages, and may have told the device already when the driver enters what has moved.
 */
export default scenario({
  title: "migration to a device against MADV_DONTNEED",
  machine: { cpus: 1, devices: 1, devicePages: 4 },

  *setup(t) {
    const pages = yield* t.mmap(2);
    // The other page moves from nothing.
    yield* t.store32(pages, 1);
    yield* t.drainLruBatches();
    return { pages };
  },

  threads: {
    dontneed: {
      on: { cpu: 0 },
      *run(t, s) {
        yield* t.madvise(s.pages, 2, Madv.DONTNEED);
      },
    },
    migrate: {
      on: { device: 0 },
      *run(t, s) {
        yield* t.migrateToDevice(0, s.pages, 2);
      },
    },
  },

  *check(t, s) {
    for (const page of [s.pages, s.pages + 4096]) {
      const [device, cpu] = [yield* t.deviceLoad32(0, page), yield* t.load32(page)];
      if (device !== cpu || cpu > 1) return `the device has ${device}, and the CPU ${cpu}`;
    }
    return null;
  },
});
