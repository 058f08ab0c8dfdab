import { type Kernel, type MaySleep, type OverlayFactory, PG, PTE, SWITCH, Op, type Vma } from "@faultline/kernel";

/** make_device_exclusive() without the TLB flush: CPUs go on through what they have cached. */
const noExclusiveFlush: OverlayFactory = () => ({
  rmap: {
    *setExclusivePte(k: Kernel, vma: Vma, vpn: number, folio: number, page: number, ptep: number): MaySleep<void> {
      const { m } = k;
      if (m.point(Op.PteWrite, ptep)) yield SWITCH;
      const flags = m.pt.flags(ptep);
      if ((flags & PTE.D) !== 0) m.memmap.set(folio, PG.dirty);
      yield* k.memory.setPteAt(k, vma.mm, vpn, ptep, k.swapops.makeDeviceExclusive(k, flags), m.memmap.pageToPfn(page));
    },
  },
});

export default noExclusiveFlush;
