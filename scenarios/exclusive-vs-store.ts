import { scenario } from "@faultline/checker";
import { Madv } from "@faultline/kernel";

/**
 * A page is written just before a device takes it exclusively, and there is a copy of it on disk: the dirty bit of the
 * entry that goes must reach the folio ("mm: fixes for device-exclusive entries (hmm)", 2025).
 */
export default scenario({
  title: "device-exclusive access against CPU store to a page with a copy in swap",
  machine: { cpus: 1, devices: 1, swapSlots: 8 },

  *setup(t) {
    const page = yield* t.mmap(1);
    yield* t.store32(page, 1);
    yield* t.drainLruBatches();
    yield* t.madvise(page, 1, Madv.PAGEOUT);
    yield* t.load32(page);
    return { page };
  },

  threads: {
    store: {
      on: { cpu: 0 },
      *run(t, s) {
        yield* t.store32(s.page, 2);
      },
    },
    exclusive: {
      on: { device: 0 },
      *run(t, s) {
        yield* t.makeExclusive(0, s.page, 1);
      },
    },
  },

  *check(t, s) {
    yield* t.drainLruBatches();
    yield* t.reclaim(1);
    const value = yield* t.load32(s.page);
    return value === 2 ? null : `an update is lost: the word is ${value} instead of 2`;
  },
});
