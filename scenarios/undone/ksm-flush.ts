import type { Atomic, Kernel, PteValue, UserPatch, Vma } from "@faultline/kernel";

/** Takes the entry, and leaves it in the TLBs. */
function* clear(k: Kernel, _vma: Vma, vpn: number, ptep: number): Atomic<[number, number]> {
  return yield* k.memory.ptepGetAndClear(k, vpn, ptep);
}

/** A page is write-protected to be merged, and CPUs go on writing through what they have cached. */
const patch: UserPatch = {
  name: "ksm-flush",
  title: "the TLB flush when ksmd write-protects a page",
  apply: (base) => ({
    ksmMerge: {
      *entryProtected(k: Kernel, vma: Vma, folio: number, vpn: number, ptep: number): Atomic<PteValue | null> {
        const lazy: Kernel = { ...k, memory: { ...k.memory, ptepClearFlush: clear } };
        return yield* base.ksmMerge.entryProtected(lazy, vma, folio, vpn, ptep);
      },
    },
  }),
};
export default patch;
