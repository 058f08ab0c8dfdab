import type { Atomic, Kernel, MaySleep, UserPatch, Vma } from "@faultline/kernel";

function* nothing(): Atomic<void> {
  yield* [];
}

/** A CPU writes on through a translation that says "dirty already", and reclaim finds the entry clean. */
const patch: UserPatch = {
  name: "lazyfree-flush",
  title: "the TLB flush of MADV_FREE",
  apply: (base) => ({
    madvise: {
      *freeRange(k: Kernel, vma: Vma, start: number, end: number): MaySleep<void> {
        const lazy: Kernel = { ...k, tlbflush: { ...k.tlbflush, flushTlbRange: nothing } };
        yield* base.madvise.freeRange(lazy, vma, start, end);
      },
    },
  }),
};
export default patch;
