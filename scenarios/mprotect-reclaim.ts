import { scenario } from "@faultline/checker";

/**
 * Reclaim takes a page whose permissions are just being withdrawn: the flush that mprotect() owes is still to come
 * (the same thread of 2017: "mm, mprotect: flush TLB if potentially racing with a parallel reclaim …").
 */
export default scenario({
  title: "mprotect(PROT_NONE) against reclaim",
  machine: { cpus: 2, devices: 0, swapSlots: 16 },

  *setup(t) {
    const page = yield* t.mmap(1);
    yield* t.store32(page, 7);
    yield* t.drainLruBatches();
    return { page };
  },

  threads: {
    protect: {
      on: { cpu: 0 },
      *run(t, s) {
        yield* t.mprotect(s.page, 1, 0);
      },
    },
    reclaim: {
      on: { cpu: 1 },
      *run(t) {
        yield* t.reclaim(1);
      },
    },
  },
});
