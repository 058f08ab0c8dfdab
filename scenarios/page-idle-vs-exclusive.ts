import { scenario } from "@faultline/checker";

/**
 * Idle page tracking walks the mappings of a page while a device takes it exclusively, and a CPU takes it back
 * ("mm/page_idle: handle device-exclusive entries correctly in page_idle_clear_pte_refs_one()", 2025): an entry that is not
 * present is old, and stays as it is.
 */
export default scenario({
  title: "idle page tracking against device-exclusive access",
  machine: { cpus: 2, devices: 1 },

  *setup(t) {
    const page = yield* t.mmap(1);
    yield* t.store32(page, 100);
    yield* t.drainLruBatches();
    return { page, frame: t.frameOf(page), expected: 101 };
  },

  threads: {
    track: {
      on: { cpu: 0 },
      *run(t, s) {
        yield* t.markIdle(s.frame);
        yield* t.atomicAdd32(s.page, 1);
      },
    },
    exclusive: {
      on: { device: 0 },
      *run(t, s) {
        // Kernels before 6.15 may answer EBUSY, and then nothing was added.
        if ((yield* t.deviceAtomicAdd32(0, s.page, 10)) >= 0) s.expected += 10;
      },
    },
  },

  *check(t, s) {
    const value = yield* t.load32(s.page);
    return value === s.expected ? null : `an update is lost: the word is ${value} instead of ${s.expected}`;
  },
});
