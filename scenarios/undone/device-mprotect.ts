import type { Kernel, UserPatch, Vma } from "@faultline/kernel";

/** mprotect() leaves device-private entries as they are. */
const patch: UserPatch = {
  name: "device-mprotect",
  title: "device-private entries that become readable in change_pte_range()",
  apply: (base) => ({
    mprotect: {
      changedSwapPte: (k: Kernel, vma: Vma, old: number): number => (k.swapops.isDevicePrivate(k, old) ? old : base.mprotect.changedSwapPte(k, vma, old)),
    },
  }),
};
export default patch;
