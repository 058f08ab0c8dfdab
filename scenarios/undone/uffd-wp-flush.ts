import type { Kernel, MaySleep, UffdWp, UserPatch, Vma } from "@faultline/kernel";

/** A CPU goes on writing to what is protected. */
const patch: UserPatch = {
  name: "uffd-wp-flush",
  title: "the TLB flush of UFFDIO_WRITEPROTECT",
  apply: (base) => ({
    mprotect: {
      *changePteRange(k: Kernel, vma: Vma, start: number, end: number, wp?: UffdWp): MaySleep<number> {
        const blind: Kernel = { ...k, tlbflush: { ...k.tlbflush, *flushTlbRange() {} } };
        return yield* base.mprotect.changePteRange(blind, vma, start, end, wp);
      },
    },
  }),
};
export default patch;
