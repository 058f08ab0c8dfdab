import type { Atomic, Kernel, UserPatch, Vma } from "@faultline/kernel";

/** What the walk has found may be another entry by the time that it is replaced. */
const patch: UserPatch = {
  name: "unmap-ptl",
  title: "the page-table lock kept between reading and clearing an entry, in reclaim",
  apply: (base) => ({
    rmap: {
      *unmapOneToSwap(k: Kernel, vma: Vma, vpn: number, folio: number, page: number, ptep: number): Atomic<boolean> {
        const ptl = k.m.pt.lockOf(ptep);
        if (!ptl.tryUnlock()) yield* ptl.unlock();
        if (!ptl.tryLock()) yield* ptl.lock();
        return yield* base.rmap.unmapOneToSwap(k, vma, vpn, folio, page, ptep);
      },
    },
  }),
};
export default patch;
