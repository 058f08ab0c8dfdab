import { scenario } from "@faultline/checker";

/**
 * A device takes a page exclusively, and adds to it, while the mapping goes: what the device has of it goes first
 * ("mm: device exclusive memory access", 2021; Documentation/mm/hmm.rst on the order of notifier and page table).
 */
export default scenario({
  title: "device-exclusive access against munmap",
  machine: { cpus: 1, devices: 1 },

  *setup(t) {
    const page = yield* t.mmap(1);
    yield* t.store32(page, 100);
    yield* t.drainLruBatches();
    return { page };
  },

  threads: {
    munmap: {
      on: { cpu: 0 },
      *run(t, s) {
        yield* t.munmap(s.page, 1);
      },
    },
    exclusive: {
      on: { device: 0 },
      *run(t, s) {
        yield* t.deviceAtomicAdd32(0, s.page, 10);
      },
    },
  },
});
