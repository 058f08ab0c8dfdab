import { scenario } from "@faultline/checker";
import { Madv } from "@faultline/kernel";

/** A page is on its way to a device and to swap at once, while a CPU writes to it. */
export default scenario({
  title: "migration to a device, MADV_PAGEOUT and a store",
  machine: { cpus: 2, devices: 1, devicePages: 2, swapSlots: 2 },

  *setup(t) {
    const page = yield* t.mmap(1);
    yield* t.store32(page, 100);
    yield* t.drainLruBatches();
    return { page, expected: 100 };
  },

  threads: {
    migrate: {
      on: { device: 0 },
      *run(t, s) {
        yield* t.migrateToDevice(0, s.page, 1);
      },
    },
    pageout: {
      on: { cpu: 0 },
      *run(t, s) {
        yield* t.madvise(s.page, 1, Madv.PAGEOUT);
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
    const value = yield* t.load32(s.page);
    return value === s.expected ? null : `an update is lost: the word is ${value} instead of ${s.expected}`;
  },
});
