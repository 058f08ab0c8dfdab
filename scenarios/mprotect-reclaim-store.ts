import { scenario } from "@faultline/checker";

/**
 * mprotect() meets a swap entry whose page this CPU may still write through its TLB: reclaim flushes later
 * ("mm, mprotect: flush TLB if potentially racing with a parallel reclaim leaving stale TLB entries", 2017).
 */
export default scenario({
  title: "mprotect(PROT_READ) and a store against reclaim",
  machine: { cpus: 2, devices: 0, swapSlots: 16 },

  *setup(t) {
    const page = yield* t.mmap(1);
    yield* t.store32(page, 7);
    yield* t.drainLruBatches();
    return { page, written: false };
  },

  threads: {
    protect: {
      on: { cpu: 0 },
      *run(t, s) {
        yield* t.mprotect(s.page, 1, 1);
        s.written = (yield* t.k.uaccess.putUser32(t.k, s.page, 8)) === 0;
      },
    },
    reclaim: {
      on: { cpu: 1 },
      *run(t) {
        yield* t.reclaim(1);
      },
    },
  },

  *check(_t, s) {
    yield* [];
    return s.written ? "mprotect() has made the page read-only, and it can be written" : null;
  },
});
