import { scenario } from "@faultline/checker";
import { Madv } from "@faultline/kernel";

/** A device takes a copy of a page of a file exclusively while a hole is punched into the file, and a CPU writes to the copy. */
export default scenario({
  title: "device-exclusive access to a private copy, the punching of its file, and a store",
  machine: { cpus: 2, devices: 1 },

  *setup(t) {
    const shared = yield* t.mmapShared(1);
    yield* t.store32(shared, 7);
    const page = yield* t.mmapPrivate(shared, 1);
    yield* t.store32(page, 100);
    yield* t.drainLruBatches();
    return { shared, page, expected: 100 };
  },

  threads: {
    exclusive: {
      on: { device: 0 },
      *run(t, s) {
        yield* t.deviceAtomicAdd32(0, s.page, 10);
        s.expected += 10;
      },
    },
    punch: {
      on: { cpu: 0 },
      *run(t, s) {
        yield* t.madvise(s.shared, 1, Madv.REMOVE);
      },
    },
    store: {
      on: { cpu: 1 },
      *run(t, s) {
        yield* t.atomicAdd32(s.page, 1);
        s.expected += 1;
      },
    },
  },

  *check(t, s) {
    const hole = yield* t.load32(s.shared);
    if (hole !== 0) return `the file still has ${hole} there`;
    const value = yield* t.load32(s.page);
    return value === s.expected ? null : `an update is lost: the word is ${value} instead of ${s.expected}`;
  },
});
