import type { Atomic, Kernel, UserPatch, Vma } from "@faultline/kernel";

/** A VMA is freed into which a fault is just looking. */
const patch: UserPatch = {
  name: "vma-rcu",
  title: "the grace period before a VMA is freed",
  apply: () => ({
    mmap: {
      *vmAreaFree(k: Kernel, vma: Vma): Atomic<void> {
        yield* k.mmap.vmAreaGone(k, vma);
      },
    },
  }),
};
export default patch;
