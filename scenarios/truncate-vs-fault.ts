import { scenario } from "@faultline/checker";
import { Madv } from "@faultline/kernel";

/**
 * A file becomes empty while a mapping of it is written to for the first time: what was mapped goes, and whoever comes later gets SIGBUS.
 */
export default scenario({
  title: "truncation against a fault",
  machine: { cpus: 2, devices: 0 },

  *setup(t) {
    const page = yield* t.mmapShared(1);
    yield* t.store32(page, 7);
    // The file has it, and nothing maps it.
    yield* t.madvise(page, 1, Madv.DONTNEED);
    yield* t.drainLruBatches();
    return { page, stored: false };
  },

  threads: {
    truncate: {
      on: { cpu: 0 },
      *run(t, s) {
        yield* t.truncate(s.page, 0);
      },
    },
    fault: {
      on: { cpu: 1 },
      *run(t, s) {
        s.stored = yield* t.tryStore32(s.page + 4, 9);
      },
    },
  },

  *check(t, s) {
    const left = yield* t.tryLoad32(s.page + 4);
    return left === null ? null : `behind the end of the file there is ${left}`;
  },
});
