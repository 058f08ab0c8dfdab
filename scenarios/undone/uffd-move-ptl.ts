import { Op, SWITCH, type Atomic, type Kernel, type UserPatch } from "@faultline/kernel";

/** A page that reclaim is about to put into swap looks like a hole, and is left behind. */
const patch: UserPatch = {
  name: "uffd-move-ptl",
  title: "the page-table lock of UFFDIO_MOVE's first look",
  apply: () => ({
    uffdMove: {
      *readLocked(k: Kernel, ptep: number): Atomic<[number, number]> {
        if (k.m.point(Op.PteRead, ptep)) yield SWITCH;
        return [k.m.pt.flags(ptep), k.m.pt.pfn(ptep)];
      },
    },
  }),
};
export default patch;
