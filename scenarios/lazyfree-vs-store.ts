import { scenario } from "@faultline/checker";
import { Madv } from "@faultline/kernel";

/**
 * A program gives a page up by MADV_FREE, and writes to it again, while another thread reclaims it: what is written
 * behind MADV_FREE stays ("mm: support madvise(MADV_FREE)", 2016: clean entry, flush, and dirty bit).
 */
export default scenario({
  title: "MADV_FREE and a store against reclaim",
  machine: { cpus: 2, devices: 0, swapSlots: 8 },

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
        yield* t.madvise(s.page, 1, Madv.FREE);
        // Else it would wait in the CPU's batch.
        yield* t.k.swap.lruAddDrain(t.k);
        yield* t.store32(s.page, 7);
      },
    },
    reclaim: {
      on: { cpu: 1 },
      *run(t) {
        yield* t.shrinkLruvec();
      },
    },
  },

  *check(t, s) {
    yield* t.reclaim(1);
    const value = yield* t.load32(s.page);
    return value === 7 ? null : `an update is lost: the word is ${value} instead of 7`;
  },
});
