/**
 * @linux mm/ksm.c
 * @omits ksmd: nothing is ever merged. Flags, prctl(2) and the files that say so are there.
 * @own setMergeAny
 */
import type { MaySleep } from "../kernel/coroutine.js";
import type { Kernel } from "../kernel.js";
import { VM, VM_SPECIAL, type Mm } from "./mm_types.js";

/*
 * What processes tell KSM. Its thread is not started (/sys/kernel/mm/ksm/run is 0 at boot), so that nothing
 * comes of it but VMA flags.
 */

/** Whether KSM would look at memory with these VM flags. */
export function ksmCompatible(_k: Kernel, flags: number): boolean {
  return (flags & (VM.SHARED | VM.MAYSHARE | VM_SPECIAL | VM.HUGETLB | VM.DROPPABLE)) === 0;
}

/** The flags of a new mapping where all of an address space is mergeable. */
export function ksmVmaFlags(k: Kernel, mm: Mm, flags: number): number {
  return mm.mergeAny && k.ksm.ksmCompatible(k, flags) ? flags | VM.MERGEABLE : flags;
}

/** prctl(PR_SET_MEMORY_MERGE): what there is becomes mergeable, or not, and what is mapped from here on. */
export function* setMergeAny(k: Kernel, mm: Mm, on: boolean): MaySleep<void> {
  if (!mm.mmapLock.tryWrite()) yield* mm.mmapLock.write();
  if (mm.mergeAny !== on) {
    mm.mergeAny = on;
    for (const vma of mm.vmas) {
      yield* k.memory.vmaStartWrite(k, vma);
      if (!on) vma.flags &= ~VM.MERGEABLE;
      else if (k.ksm.ksmCompatible(k, vma.flags)) vma.flags |= VM.MERGEABLE;
    }
  }
  yield* k.memory.mmapWriteUnlock(k, mm);
}
