import { vmPageProt, type Atomic, type Kernel, type UserPatch, type Vmf } from "@faultline/kernel";

/** What the fault found before it had the lock is mapped, whatever has become of it. */
const patch: UserPatch = {
  name: "numa-hint-recheck",
  title: "the second look of do_numa_page() at the entry, under its lock",
  apply: () => ({
    numaFault: {
      *hintUnchanged(k: Kernel, vmf: Vmf): Atomic<boolean> {
        const ptl = k.m.pt.lockOf(vmf.ptep);
        if (!ptl.tryLock()) yield* ptl.lock();
        return true;
      },
      *rebuildMapping(k: Kernel, vmf: Vmf): Atomic<void> {
        yield* k.memory.setPteAt(k, vmf.vma.mm, vmf.vpn, vmf.ptep, vmPageProt(vmf.vma.flags), vmf.origPfn);
      },
    },
  }),
};
export default patch;
