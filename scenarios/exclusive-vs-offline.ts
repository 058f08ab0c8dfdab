import { scenario } from "@faultline/checker";

/**
 * A device takes a page exclusively that is just being moved to another frame: whoever has its folio lock first
 * ("mm/rmap: handle device-exclusive entries correctly in try_to_migrate_one()", 2025).
 */
export default scenario({
  title: "device-exclusive access against offlining",
  machine: { cpus: 1, devices: 1 },

  *setup(t) {
    const page = yield* t.mmap(1);
    yield* t.store32(page, 100);
    yield* t.drainLruBatches();
    return { page, frame: t.frameOf(page) };
  },

  threads: {
    exclusive: {
      on: { device: 0 },
      *run(t, s) {
        // Kernels before 6.15 may answer EBUSY.
        yield* t.makeExclusive(0, s.page, 1);
      },
    },
    offline: {
      on: { cpu: 0 },
      *run(t, s) {
        // One of the attempts of which offlining makes as many as it takes.
        yield* t.migrate(s.frame);
      },
    },
  },

  *check(t, s) {
    // Nobody is in the way any more, though the device may have the page.
    yield* t.offline(s.frame);
    if (t.frameOf(s.page) === s.frame) return "the page has not moved";
    yield* t.deviceAtomicAdd32(0, s.page, 10);
    const value = yield* t.load32(s.page);
    return value === 110 ? null : `an update is lost: the word is ${value} instead of 110`;
  },
});
