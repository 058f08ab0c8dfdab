import type { Atomic, Kernel, MaySleep, UserPatch, Vmf } from "@faultline/kernel";

/** Locks the entry, and does not look whether it is what it was. */
function* lockPte(k: Kernel, vmf: Vmf): Atomic<boolean> {
  const ptl = k.m.pt.lockOf(vmf.ptep);
  if (!ptl.tryLock()) yield* ptl.lock();
  return true;
}

/** Whatever became of the entry while the folio lock was waited for, an ordinary one is put in its place. */
const patch: UserPatch = {
  name: "exclusive-fault-recheck",
  title: "the recheck of a device-exclusive entry after the folio lock",
  apply: (base) => ({
    memory: {
      *removeDeviceExclusiveEntry(k: Kernel, vmf: Vmf): MaySleep<number> {
        const blind: Kernel = { ...k, memory: { ...k.memory, pteLockUnchanged: lockPte } };
        return yield* base.memory.removeDeviceExclusiveEntry(blind, vmf);
      },
    },
  }),
};
export default patch;
