import { SWITCH, Op, type Kernel, type MaySleep, type UserPatch, type Vma } from "@faultline/kernel";

/** What a CPU has written before a device takes the page looks clean, and reclaim drops it. */
const patch: UserPatch = {
  name: "exclusive-dirty",
  title: "the dirty bit of the entry that make_device_exclusive() replaces",
  apply: () => ({
    rmap: {
      *setExclusivePte(k: Kernel, vma: Vma, vpn: number, _folio: number, page: number, ptep: number): MaySleep<void> {
        const { m } = k;
        const [flags] = yield* k.memory.ptepClearFlush(k, vma, vpn, ptep);
        if (m.point(Op.PteWrite, ptep)) yield SWITCH;
        k.memory.setPte(k, vma.mm, vpn, ptep, k.swapops.makeDeviceExclusive(k, flags), m.memmap.pageToPfn(page));
      },
    },
  }),
};
export default patch;
