import { scenario } from "@faultline/checker";
import { Madv } from "@faultline/kernel";

/**
 * A copy of a page of a file moves to a device, a hole is punched into the file, and a CPU writes to the copy: that is no page of the file, and stays.
 */
export default scenario({
  title: "migration of a private copy to a device, the punching of its file, and a store",
  machine: { cpus: 2, devices: 1, devicePages: 2 },

  *setup(t) {
    const shared = yield* t.mmapShared(1);
    yield* t.store32(shared, 7);
    const page = yield* t.mmapPrivate(shared, 1);
    yield* t.store32(page, 100);
    yield* t.drainLruBatches();
    return { shared, page, expected: 100 };
  },

  threads: {
    migrate: {
      on: { device: 0 },
      *run(t, s) {
        yield* t.migrateToDevice(0, s.page, 1);
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
