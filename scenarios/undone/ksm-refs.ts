import type { Atomic, Kernel, PteValue, UserPatch, Vma } from "@faultline/kernel";

/** A page is merged that somebody may write to by a reference of his own. */
const patch: UserPatch = {
  name: "ksm-refs",
  title: "the look at who else refers to a page that ksmd merges",
  apply: (base) => ({
    ksmMerge: {
      *entryProtected(k: Kernel, vma: Vma, folio: number, vpn: number, ptep: number): Atomic<PteValue | null> {
        const blind: Kernel = { ...k, rmap: { ...k.rmap, expectedRefs: () => k.m.memmap.refcount[folio]! } };
        return yield* base.ksmMerge.entryProtected(blind, vma, folio, vpn, ptep);
      },
    },
  }),
};
export default patch;
