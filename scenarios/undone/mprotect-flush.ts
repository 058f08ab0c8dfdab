import type { Atomic, Kernel, MaySleep, UserPatch, Vma } from "@faultline/kernel";

function* nothing(): Atomic<void> {
  yield* [];
}

/** CPUs keep a permission that mprotect() has taken away. */
const patch: UserPatch = {
  name: "mprotect-flush",
  title: "the TLB flush of mprotect()",
  apply: (base) => ({
    mprotect: {
      *changePteRange(k: Kernel, vma: Vma, start: number, end: number, ...rest): MaySleep<number> {
        const lazy: Kernel = { ...k, tlbflush: { ...k.tlbflush, flushTlbRange: nothing } };
        return yield* base.mprotect.changePteRange(lazy, vma, start, end, ...rest);
      },
    },
  }),
};
export default patch;
