import type { Atomic, Copied, Kernel, UserPatch, Vma } from "@faultline/kernel";

/** The child gets a device-exclusive entry, which counts as a mapping that nobody has counted. */
const patch: UserPatch = {
  name: "fork-exclusive-restore",
  title: "that fork takes pages back from a device, rather than copy its entries",
  apply: (base) => ({
    copyRange: {
      *copyNonpresentPte(k: Kernel, dst: Vma, src: Vma, vpn: number, to: number, from: number, flags: number, pfn: number): Atomic<Copied> {
        const blind: Kernel = { ...k, swapops: { ...k.swapops, isDeviceExclusive: () => false } };
        return yield* base.copyRange.copyNonpresentPte(blind, dst, src, vpn, to, from, flags, pfn);
      },
    },
  }),
};
export default patch;
