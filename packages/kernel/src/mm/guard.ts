/**
 * @linux mm/madvise.c
 * @omits Linux installs markers under the lock of the VMA where it can; here mmap_lock is held for reading.
 * @own guardInstall, guardRemove, installInTable, installMarkers, isGuardMarker, removeInTable
 */
import { SWITCH, type Atomic, type MaySleep } from "../kernel/coroutine.js";
import { Errno } from "../kernel/errno.js";
import { Op, tableObject } from "../kernel/op.js";
import type { Kernel } from "../kernel.js";
import { PTRS_PER_TABLE } from "../arch/pgtable.js";
import { VM, VM_SPECIAL, type Vma } from "./mm_types.js";
import { PTE_MARKER_FLAGS, pteMarker, PteMarker } from "./pte_marker.js";

/** Guard regions (MADV_GUARD_INSTALL): markers where an access is a SIGSEGV, in whatever VMA. They are no VMAs of their own. */

export function isGuardMarker(_k: Kernel, flags: number, pfn: number): boolean {
  return (pteMarker(flags, pfn) & PteMarker.GUARD) !== 0;
}

/** Puts markers in place of all that a range has: 0, -EINVAL for a mapping that cannot have any, -ENOMEM. */
export function* guardInstall(k: Kernel, vma: Vma, start: number, end: number): MaySleep<number> {
  if ((vma.flags & (VM_SPECIAL | VM.LOCKED)) !== 0) return -Errno.EINVAL;
  // So that fork copies the page tables.
  if (vma.file === null) yield* k.rmap.anonVmaPrepare(k, vma);
  vma.flags |= VM.MAYBE_GUARD;
  for (;;) {
    const result = yield* k.guard.installMarkers(k, vma, start, end);
    if (result !== -Errno.EEXIST) return result;
    // What is there goes, all of it at once. Somebody may fault it in again before the markers are there.
    yield* k.zap.zapPageRange(k, vma, start, end);
    if (k.m.retries.again("madvise_guard_install")) yield SWITCH;
  }
}

/** Puts markers where nothing is: 0, -ENOMEM for want of a table, -EEXIST where something is. */
export function* installMarkers(k: Kernel, vma: Vma, start: number, end: number): MaySleep<number> {
  for (let vpn = start; vpn < end; ) {
    const tableEnd = Math.min(end, (Math.floor(vpn / PTRS_PER_TABLE) + 1) * PTRS_PER_TABLE);
    const pmd = yield* k.memory.pmdAlloc(k, vma.mm, vpn);
    if (pmd < 0) return -Errno.ENOMEM;
    if (k.m.point(Op.PteRead, pmd)) yield SWITCH;
    if (k.m.pt.isLeaf(pmd)) return -Errno.EEXIST;
    const first = yield* k.memory.pteAlloc(k, vma.mm, vpn, pmd);
    if (first < 0) return k.m.pt.isLeaf(pmd) ? -Errno.EEXIST : -Errno.ENOMEM;
    if (!(yield* k.guard.installInTable(k, vma, vpn, tableEnd, first))) return -Errno.EEXIST;
    vpn = tableEnd;
    yield* k.m.sched.condResched();
  }
  return 0;
}

/** The same in one table; false where it came to something that is there. */
export function* installInTable(k: Kernel, vma: Vma, start: number, end: number, first: number): Atomic<boolean> {
  const { m } = k;
  const ptl = m.pt.lockOf(first);
  let free = true;
  if (!ptl.tryLock()) yield* ptl.lock();
  for (let vpn = start; vpn < end && free; vpn++) {
    const ptep = first + (vpn - start);
    if (m.point(Op.PteRead, ptep)) yield SWITCH;
    if (m.pt.isNone(ptep)) yield* k.memory.setPteAt(k, vma.mm, vpn, ptep, PTE_MARKER_FLAGS, PteMarker.GUARD);
    else if (!k.guard.isGuardMarker(k, m.pt.flags(ptep), m.pt.pfn(ptep))) {
      // Other marks go with the guard; what stands for a page must be zapped.
      free = pteMarker(m.pt.flags(ptep), m.pt.pfn(ptep)) !== 0;
      if (free) yield* k.memory.setPteAt(k, vma.mm, vpn, ptep, PTE_MARKER_FLAGS, PteMarker.GUARD);
    }
  }
  if (!ptl.tryUnlock()) yield* ptl.unlock();
  return free;
}

/** Takes markers away, and nothing else: 0, or -EINVAL for a mapping that cannot have any. */
export function* guardRemove(k: Kernel, vma: Vma, start: number, end: number): MaySleep<number> {
  const { m } = k;
  if ((vma.flags & VM_SPECIAL) !== 0) return -Errno.EINVAL;
  for (let vpn = start; vpn < end; ) {
    const tableEnd = Math.min(end, (Math.floor(vpn / PTRS_PER_TABLE) + 1) * PTRS_PER_TABLE);
    if (m.point(Op.TableRead, tableObject(vma.mm.id, vpn))) yield SWITCH;
    const first = m.pt.lookup(vma.mm.pgd, vpn);
    if (first >= 0) yield* k.guard.removeInTable(k, vma, vpn, tableEnd, first);
    vpn = tableEnd;
    yield* m.sched.condResched();
  }
  return 0;
}

export function* removeInTable(k: Kernel, vma: Vma, start: number, end: number, first: number): Atomic<void> {
  const { m } = k;
  const ptl = m.pt.lockOf(first);
  if (!ptl.tryLock()) yield* ptl.lock();
  for (let vpn = start; vpn < end; vpn++) {
    const ptep = first + (vpn - start);
    if (m.point(Op.PteRead, ptep)) yield SWITCH;
    if (k.guard.isGuardMarker(k, m.pt.flags(ptep), m.pt.pfn(ptep))) yield* k.memory.setPteAt(k, vma.mm, vpn, ptep, 0, 0);
  }
  if (!ptl.tryUnlock()) yield* ptl.unlock();
}
