import type { Kernel, OverlayFactory, Vmf } from "@faultline/kernel";
import type { Atomic } from "@faultline/kernel";

/**
 * The fault on a device-exclusive entry without the recheck: whatever became of the entry while
 * the folio lock was waited for, an ordinary one is put in its place.
 */
const noExclusiveRecheck: OverlayFactory = (base) => ({
  memory: {
    *removeDeviceExclusiveEntry(k: Kernel, vmf: Vmf) {
      const blind: Kernel = {
        ...k,
        memory: {
          ...k.memory,
          *pteLockUnchanged(kernel: Kernel, at: Vmf): Atomic<boolean> {
            const ptl = kernel.m.pt.lockOf(at.ptep);
            if (!ptl.tryLock()) yield* ptl.lock();
            return true;
          },
        },
      };
      return yield* base.memory.removeDeviceExclusiveEntry(blind, vmf);
    },
  },
});

export default noExclusiveRecheck;
