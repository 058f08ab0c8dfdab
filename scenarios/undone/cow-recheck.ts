import type { Atomic, Kernel, MaySleep, UserPatch, Vmf } from "@faultline/kernel";

/** Locks the entry, and does not look whether it is what it was. */
function* lockPte(k: Kernel, vmf: Vmf): Atomic<boolean> {
  const ptl = k.m.pt.lockOf(vmf.ptep);
  if (!ptl.tryLock()) yield* ptl.lock();
  return true;
}

/** Of two writes to the page of zeros the second maps a copy over the first one's. */
const patch: UserPatch = {
  name: "cow-recheck",
  title: "the recheck of the entry before a copy is mapped",
  apply: (base) => ({
    memory: {
      *wpPageCopy(k: Kernel, vmf: Vmf): MaySleep<number> {
        const blind: Kernel = { ...k, memory: { ...k.memory, pteLockUnchanged: lockPte } };
        return yield* base.memory.wpPageCopy(blind, vmf);
      },
    },
  }),
};
export default patch;
