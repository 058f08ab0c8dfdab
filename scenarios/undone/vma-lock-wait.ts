import { Op, SWITCH, type Kernel, type MaySleep, type UserPatch, type Vma } from "@faultline/kernel";

/** munmap() turns new faults away from the VMA, and does not wait for those that have it locked. */
const patch: UserPatch = {
  name: "vma-lock-wait",
  title: "the wait for readers of a VMA's lock",
  apply: () => ({
    memory: {
      *vmaStartWrite(k: Kernel, vma: Vma): MaySleep<void> {
        if (k.m.point(Op.VmaWrite, vma.id)) yield SWITCH;
        vma.lockSeq = vma.mm.lockSeq;
      },
    },
  }),
};
export default patch;
