import { scenario } from "@faultline/checker";
import { Madv } from "@faultline/kernel";

/** Memory of a coherent device is on no LRU list: who pages it out leaves it, whatever a CPU and the device do to it. */
export default scenario({
  title: "MADV_PAGEOUT of a page of a coherent device against its stores",
  machine: { cpus: 2, devices: 3, devicePages: 2, swapSlots: 2 },

  *setup(t) {
    const page = yield* t.mmap(1);
    yield* t.store32(page, 100);
    yield* t.drainLruBatches();
    yield* t.migrateToDevice(2, page, 1);
    return { page, expected: 100 };
  },

  threads: {
    pageout: {
      on: { cpu: 0 },
      *run(t, s) {
        yield* t.madvise(s.page, 1, Madv.PAGEOUT);
      },
    },
    back: {
      on: { device: 2 },
      *run(t, s) {
        yield* t.migrateToSystem(2, s.page, 1);
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
