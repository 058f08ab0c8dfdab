import { scenario } from "@faultline/checker";

/**
 * A page that a device has exclusively moves to another frame, while the device uses it ("mm/rmap: handle
 * device-exclusive entries correctly in try_to_migrate_one()", 2025).
 */
export default scenario({
  title: "migration against device-exclusive access",
  machine: { cpus: 2, devices: 1 },

  *setup(t) {
    const page = yield* t.mmap(1);
    yield* t.store32(page, 100);
    yield* t.makeExclusive(0, page, 1);
    yield* t.drainLruBatches();
    return { page, frame: t.frameOf(page), expected: 100 };
  },

  threads: {
    exclusive: {
      on: { device: 0 },
      *run(t, s) {
        // Kernels before 6.15 may answer EBUSY, and then nothing was added.
        if ((yield* t.deviceAtomicAdd32(0, s.page, 10)) >= 0) s.expected += 10;
      },
    },
    offline: {
      on: { cpu: 1 },
      *run(t, s) {
        yield* t.offline(s.frame);
      },
    },
  },

  *check(t, s) {
    if (t.frameOf(s.page) === s.frame) return "the page has not moved";
    const value = yield* t.load32(s.page);
    return value === s.expected ? null : `an update is lost: the word is ${value} instead of ${s.expected}`;
  },
});
