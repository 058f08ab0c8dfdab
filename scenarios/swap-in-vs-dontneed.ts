import { scenario } from "@faultline/checker";
import { Madv } from "@faultline/kernel";

/**
 * A fault brings a page back from swap that is being thrown away: slot and entry are looked at again under the
 * page-table lock (free_swap_and_cache(); "mm: fix swapin race condition", 2010).
 */
export default scenario({
  title: "swap-in against MADV_DONTNEED",
  machine: { cpus: 2, devices: 0, swapSlots: 8 },

  *setup(t) {
    const page = yield* t.mmap(1);
    yield* t.store32(page, 100);
    yield* t.drainLruBatches();
    yield* t.reclaim(1);
    return { page };
  },

  threads: {
    fault: {
      on: { cpu: 0 },
      *run(t, s) {
        yield* t.atomicAdd32(s.page, 1);
      },
    },
    dontneed: {
      on: { cpu: 1 },
      *run(t, s) {
        yield* t.madvise(s.page, 1, Madv.DONTNEED);
      },
    },
  },

  *check(t, s) {
    const value = yield* t.load32(s.page);
    return value === 0 || value === 1 ? null : `the word is ${value}, which no order of the two can give`;
  },
});
