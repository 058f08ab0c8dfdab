import { scenario } from "@faultline/checker";

/** Idle page tracking, with a reference and without the folio's lock, goes through the mappings of a page that is unmapped. */
export default scenario({
  title: "idle page tracking against munmap",
  machine: { cpus: 2, devices: 0 },

  *setup(t) {
    const page = yield* t.mmap(1);
    yield* t.store32(page, 100);
    yield* t.drainLruBatches();
    return { page, frame: t.frameOf(page) };
  },

  threads: {
    track: {
      on: { cpu: 0 },
      *run(t, s) {
        yield* t.markIdle(s.frame);
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
