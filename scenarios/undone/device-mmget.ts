import type { Dmirror, Kernel, MaySleep, UserPatch } from "@faultline/kernel";

/** The test driver looks whether the address space is in use, and takes no reference to it. */
const patch: UserPatch = {
  name: "device-mmget",
  title: "the reference to the address space during a device fault (mmget_not_zero())",
  apply: () => ({
    testHmm: {
      *dmirrorFault(k: Kernel, dmirror: Dmirror, startVpn: number, endVpn: number, write: boolean): MaySleep<number> {
        if (dmirror.mm.users === 0) return -14;
        return yield* k.testHmm.dmirrorFaultBatch(k, dmirror, startVpn, endVpn - startVpn, write, false);
      },
    },
  }),
};
export default patch;
