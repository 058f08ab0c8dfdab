import { scenario } from "@faultline/checker";

/**
 * Two threads touch a page that is in swap: it is read once, mapped once, and its slot is freed once
 * ("mm: fix swapin race condition", 2010, for what must be looked at again under the folio lock).
 */
export default scenario({
  title: "swap-in against swap-in of one page",
  machine: { cpus: 2, devices: 0, swapSlots: 8 },

  *setup(t) {
    const page = yield* t.mmap(1);
    yield* t.store32(page, 100);
    yield* t.drainLruBatches();
    yield* t.reclaim(1);
    return { page };
  },

  threads: {
    first: {
      on: { cpu: 0 },
      *run(t, s) {
        yield* t.atomicAdd32(s.page, 1);
      },
    },
    second: {
      on: { cpu: 1 },
      *run(t, s) {
        yield* t.atomicAdd32(s.page, 10);
      },
    },
  },

  *check(t, s) {
    const value = yield* t.load32(s.page);
    return value === 111 ? null : `an update is lost: the word is ${value} instead of 111`;
  },
});
