import { scenario } from "@faultline/checker";
import { Madv } from "@faultline/kernel";

/**
 * MADV_DONTNEED meets a swap entry whose page this CPU may still have in its TLB: reclaim flushes later
 * ("mm, mprotect: flush TLB if potentially racing with a parallel reclaim leaving stale TLB entries", 2017).
 */
export default scenario({
  title: "MADV_DONTNEED against reclaim",
  machine: { cpus: 2, devices: 0, swapSlots: 16 },

  *setup(t) {
    const page = yield* t.mmap(1);
    yield* t.store32(page, 7);
    yield* t.drainLruBatches();
    // Reclaim keeps a page that was used just now, and forgets that it was; the TLB does not hear of it.
    yield* t.shrinkLruvec();
    return { page, seen: 0 };
  },

  threads: {
    dontneed: {
      on: { cpu: 0 },
      *run(t, s) {
        yield* t.madvise(s.page, 1, Madv.DONTNEED);
        s.seen = yield* t.load32(s.page);
      },
    },
    reclaim: {
      on: { cpu: 1 },
      *run(t) {
        yield* t.shrinkLruvec();
      },
    },
  },

  *check(_t, s) {
    yield* [];
    return s.seen === 0 ? null : `MADV_DONTNEED has returned, and the word is still ${s.seen}`;
  },
});
