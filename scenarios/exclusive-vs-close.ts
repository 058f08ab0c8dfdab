import { scenario } from "@faultline/checker";

/**
 * The file is closed whose device has a page exclusively, while a CPU wants it back: the device loses it, and nothing of what it has added is lost.
 */
export default scenario({
  title: "the close of a device that has a page exclusively against a CPU fault",
  machine: { cpus: 2, devices: 1 },

  *setup(t) {
    const page = yield* t.mmap(1);
    yield* t.store32(page, 100);
    const fd = yield* t.open("hmm_dmirror0");
    yield* t.engine(fd, "atomicAdd32", page, 1);
    yield* t.drainLruBatches();
    return { page, fd, expected: 101 };
  },

  threads: {
    close: {
      on: { cpu: 0 },
      *run(t, s) {
        yield* t.close(s.fd);
      },
    },
    fault: {
      on: { cpu: 1 },
      *run(t, s) {
        yield* t.atomicAdd32(s.page, 1);
        s.expected += 1;
      },
    },
  },

  *check(t, s) {
    const value = yield* t.load32(s.page);
    return value === s.expected ? null : `an update is lost: the word is ${value} instead of ${s.expected}`;
  },
});
