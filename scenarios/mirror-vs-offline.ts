import { scenario } from "@faultline/checker";

/**
 * A device writes to a page that moves to another frame: it is told before the migration entry is there, and faults
 * for the new frame behind it (Documentation/mm/page_migration.rst).
 */
export default scenario({
  title: "store of a device against migration",
  machine: { cpus: 1, devices: 1 },

  *setup(t) {
    const page = yield* t.mmap(1);
    yield* t.store32(page, 1);
    yield* t.drainLruBatches();
    return { page, frame: t.frameOf(page) };
  },

  threads: {
    offline: {
      on: { cpu: 0 },
      *run(t, s) {
        yield* t.offline(s.frame);
      },
    },
    mirror: {
      on: { device: 0 },
      *run(t, s) {
        yield* t.deviceStore32(0, s.page, 2);
      },
    },
  },

  *check(t, s) {
    if (t.frameOf(s.page) === s.frame) return "the page has not moved";
    const value = yield* t.load32(s.page);
    return value === 2 ? null : `an update is lost: the word is ${value} instead of 2`;
  },
});
