import { scenario } from "@faultline/checker";

/**
 * A page is written while reclaim takes it out of the page table, to the disk and away
 * ("mm: defer flush of writable TLB entries", 2015).
 */
export default scenario({
  title: "reclaim against stores",
  machine: { cpus: 2, devices: 0, swapSlots: 16 },

  *setup(t) {
    const page = yield* t.mmap(1);
    yield* t.store32(page, 1);
    yield* t.drainLruBatches();
    return { page };
  },

  threads: {
    store: {
      on: { cpu: 0 },
      *run(t, s) {
        yield* t.store32(s.page, 2);
      },
    },
    reclaim: {
      on: { cpu: 1 },
      *run(t) {
        yield* t.reclaim(1);
      },
    },
  },

  *check(t, s) {
    // Whatever reclaim began is over: the page comes from where it is now.
    yield* t.reclaim(1);
    const value = yield* t.load32(s.page);
    return value === 2 ? null : `a store is lost: the word is ${value} instead of 2`;
  },
});
