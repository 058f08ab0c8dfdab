import { FollFlag, NO_PAGE, Op, PTE, SWITCH, tableObject, type Atomic, type Kernel, type Mm, type UserPatch } from "@faultline/kernel";

/** A page is taken for mapped that was unmapped before the reference was there. */
const patch: UserPatch = {
  name: "gup-fast-recheck",
  title: "the second look of get_user_pages_fast() at the entry",
  apply: () => ({
    gupFast: {
      *gupFastPte(k: Kernel, mm: Mm, vpn: number, gup: number, site: string): Atomic<number> {
        const { m } = k;
        if (m.point(Op.TableRead, tableObject(mm.id, vpn))) yield SWITCH;
        const ptep = m.pt.find(mm.pgd, vpn);
        if (ptep < 0) return NO_PAGE;
        if (m.point(Op.PteRead, ptep)) yield SWITCH;
        const flags = m.pt.flags(ptep);
        const need = (gup & FollFlag.WRITE) !== 0 ? PTE.V | PTE.W : PTE.V;
        if ((flags & need) !== need || (flags & PTE.SPECIAL) !== 0) return NO_PAGE;
        const page = m.memmap.pfnToPage(m.pt.pfnFor(ptep, vpn));
        return (yield* k.gupPin.tryGrabFolioFast(k, m.memmap.folioOf(page), gup, site)) ? page : NO_PAGE;
      },
    },
  }),
};
export default patch;
