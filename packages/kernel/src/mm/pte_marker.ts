/**
 * @linux mm/memory.c
 * @own pteMarker
 */
import type { MaySleep } from "../kernel/coroutine.js";
import type { Kernel } from "../kernel.js";
import { PTE, swapType } from "../arch/pgtable.js";
import { VmFault } from "./fault_flags.js";
import type { Vmf } from "./memory.js";
import { VM } from "./mm_types.js";
import { withSwapType } from "./swapops.js";

/**
 * Entries that say something about an address where no page is: there is neither a reference nor a
 * map count behind them, and RSS does not count them. What they say are the bits of `PteMarker` in
 * the place of the swap offset.
 */
export enum PteMarker {
  /** Write-protected by userfaultfd: what is mapped here next begins so. */
  UFFD_WP = 1 << 0,
  /** Every access fails as if the memory were broken (UFFDIO_POISON). */
  POISONED = 1 << 1,
  /** Every access is a SIGSEGV (MADV_GUARD_INSTALL). */
  GUARD = 1 << 2,
}

/** The last of the types, behind the device ones, whose number says how many swap devices there can be. */
export const SWP_PTE_MARKER = 31;

/** Flags of a marker entry. */
export const PTE_MARKER_FLAGS = withSwapType(SWP_PTE_MARKER);

/** What a marker says, as bits of `PteMarker`; 0 for an entry that is none. */
export function pteMarker(flags: number, pfn: number): number {
  return (flags & PTE.SWAP) !== 0 && swapType(flags) === SWP_PTE_MARKER ? pfn : 0;
}

/** A fault on a marker: broken memory first, then a guard region. */
export function* handlePteMarker(k: Kernel, vmf: Vmf): MaySleep<number> {
  const marker = pteMarker(vmf.origFlags, vmf.origPfn);
  if ((marker & PteMarker.POISONED) !== 0) return VmFault.HWPOISON;
  if ((marker & PteMarker.GUARD) !== 0) return VmFault.SIGSEGV;
  if ((marker & PteMarker.UFFD_WP) === 0) return VmFault.SIGBUS;
  if ((vmf.vma.flags & VM.UFFD_WP) !== 0) return yield* k.memory.doPteMissing(k, vmf);
  // Left from before it was unregistered: the access is tried again, on an empty entry.
  if (yield* k.memory.pteLockUnchanged(k, vmf)) {
    yield* k.memory.setPteAt(k, vmf.vma.mm, vmf.vpn, vmf.ptep, 0, 0);
    const ptl = k.m.pt.lockOf(vmf.ptep);
    if (!ptl.tryUnlock()) yield* ptl.unlock();
  }
  return 0;
}
