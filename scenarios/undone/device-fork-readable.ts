import type { Kernel, UserPatch } from "@faultline/kernel";

/** After fork parent and child may both write a page that is in memory of a device. */
const patch: UserPatch = {
  name: "device-fork-readable",
  title: "device-private entries that become readable in copy_nonpresent_pte()",
  apply: () => ({
    swapops: { makeReadableDevicePrivate: (_k: Kernel, flags: number): number => flags },
  }),
};
export default patch;
