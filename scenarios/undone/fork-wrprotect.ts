import type { Atomic, Kernel, UserPatch, Vma } from "@faultline/kernel";

/** The parent writes to pages that the child has, too. */
const patch: UserPatch = {
  name: "fork-wrprotect",
  title: "the write protection of the parent's entries in fork",
  apply: (base) => ({
    copyRange: {
      *copyPresentPte(k: Kernel, dst: Vma, src: Vma, vpn: number, to: number, from: number, flags: number, pfn: number): Atomic<void> {
        yield* base.copyRange.copyPresentPte(k, dst, src, vpn, to, from, flags, pfn);
        yield* k.memory.setPteAt(k, src.mm, vpn, from, flags, pfn);
      },
    },
  }),
};
export default patch;
