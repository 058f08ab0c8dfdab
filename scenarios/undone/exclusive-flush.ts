import { Op, PG, PTE, SWITCH, type Kernel, type MaySleep, type UserPatch, type Vma } from "@faultline/kernel";

/** CPUs go on through what they have cached of a page that is exclusive to a device. */
const patch: UserPatch = {
  name: "exclusive-flush",
  title: "the TLB flush in make_device_exclusive()",
  apply: () => ({
    rmap: {
      *setExclusivePte(k: Kernel, vma: Vma, vpn: number, folio: number, page: number, ptep: number): MaySleep<void> {
        const { m } = k;
        if (m.point(Op.PteWrite, ptep)) yield SWITCH;
        const flags = m.pt.flags(ptep);
        if ((flags & PTE.D) !== 0) m.memmap.set(folio, PG.dirty);
        yield* k.memory.setPteAt(k, vma.mm, vpn, ptep, k.swapops.makeDeviceExclusive(k, flags), m.memmap.pageToPfn(page));
      },
    },
  }),
};
export default patch;
