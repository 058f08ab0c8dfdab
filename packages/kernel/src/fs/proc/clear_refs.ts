/**
 * @linux fs/proc/task_mmu.c
 * @own clearReferenced, clearReferencedPte, clearSoftDirtyPte, storeClearRefs
 */
import { SWITCH, type Atomic, type MaySleep } from "../../kernel/coroutine.js";
import { Errno } from "../../kernel/errno.js";
import { Op, tableObject } from "../../kernel/op.js";
import type { Kernel } from "../../kernel.js";
import { PTE, PTRS_PER_TABLE, USER_VPN_END, ptePresent } from "../../arch/pgtable.js";
import { VM, type Mm, type Vma } from "../../mm/mm_types.js";
import { NotifyEvent, type NotifierRange } from "../../mm/mmu_notifier.js";
import { PG } from "../../mm/page.js";

/** What can be written to /proc/PID/clear_refs (Documentation/filesystems/proc.rst). */
enum ClearRefs {
  /** Pages count as not used: all of them, anonymous mappings, or mappings of files. */
  ALL = 1,
  ANON,
  MAPPED,
  /** Writes are tracked from here on: pagemap's soft-dirty bits are all clear. */
  SOFT_DIRTY,
  /** VmHWM is what is resident now. */
  MM_HIWATER_RSS,
}

/** Longest text that is taken of what is written; the rest is passed over. */
const TEXT_MAX = 12;

/** A write to /proc/PID/clear_refs: 0, -EINVAL, or -ERANGE for what is no int. The address space may be gone: then there is nothing to do. */
export function* storeClearRefs(k: Kernel, mm: Mm | null, text: string): MaySleep<number> {
  const trimmed = text.slice(0, TEXT_MAX).replace(/\0.*$/s, "").trim();
  const type = /^[-+]?\d+$/.test(trimmed) ? Number(trimmed) : NaN;
  if (type !== (type | 0) && !Number.isNaN(type)) return -Errno.ERANGE;
  if (ClearRefs[type] === undefined) return -Errno.EINVAL;
  if (mm === null || !(yield* k.fork.mmgetNotZero(k, mm))) return 0;
  if (!mm.mmapLock.tryWrite()) yield* mm.mmapLock.write();
  if (type === ClearRefs.MM_HIWATER_RSS) {
    if (k.m.point(Op.MmCounter, mm.id)) yield SWITCH;
    mm.highRss = mm.rssPages();
  } else if (type === ClearRefs.SOFT_DIRTY) yield* k.clearRefs.clearSoftDirty(k, mm);
  else yield* k.clearRefs.clearReferenced(k, mm, type);
  yield* k.memory.mmapWriteUnlock(k, mm);
  yield* k.fork.mmput(k, mm);
  return 0;
}

/** Entries become read-only, so that the next write of each page faults, and devices forget what they may write. */
export function* clearSoftDirty(k: Kernel, mm: Mm): MaySleep<void> {
  for (const vma of mm.vmas) {
    yield* k.memory.vmaStartWrite(k, vma);
    vma.flags &= ~VM.SOFTDIRTY;
  }
  const range: NotifierRange = { mm, startVpn: 0, endVpn: USER_VPN_END, event: NotifyEvent.SOFT_DIRTY, owner: null };
  yield* k.mmuNotifier.invalidateRangeStart(k, range);
  for (const vma of mm.vmas) if (!vma.isHugetlb) yield* eachEntry(k, vma, k.clearRefs.clearSoftDirtyPte);
  yield* k.mmuNotifier.invalidateRangeEnd(k, range);
  yield* k.tlbflush.flushTlbMm(k, mm);
}

/**
 * A page that is pinned for DMA stays writable, and soft-dirty: to write-protect it would lead to a copy that the
 * device does not see (since 5.11). Not so where 2 MiB are mapped as one; and 2 MiB that a device has as one stay soft-dirty.
 */
export function* clearSoftDirtyPte(k: Kernel, vma: Vma, vpn: number, ptep: number): Atomic<void> {
  const { m } = k;
  const flags = m.pt.flags(ptep);
  if (m.pt.isHuge(ptep) && k.swapops.isDevicePrivate(k, flags)) return;
  const cow = (vma.flags & (VM.SHARED | VM.MAYWRITE)) === VM.MAYWRITE;
  if (vma.mm.hasPinned && cow && ptePresent(flags) && (flags & (PTE.W | PTE.SPECIAL)) === PTE.W && !m.pt.isHuge(ptep)) {
    const folio = m.memmap.folioOf(m.memmap.pfnToPage(m.pt.pfn(ptep)));
    if (m.point(Op.RefCompare, folio)) yield SWITCH;
    if (m.memmap.isPinned(folio)) return;
  }
  yield* k.memory.ptepModify(k, vma.mm, vpn, ptep, (flags) =>
    ptePresent(flags) ? flags & ~(PTE.W | PTE.SOFT_DIRTY) : flags & ~PTE.SWP_SOFT_DIRTY,
  );
}

/** Accessed bits go, and what else says that a page was used. Not flushed: a stale one costs precision, nothing else. */
export function* clearReferenced(k: Kernel, mm: Mm, type: ClearRefs): MaySleep<void> {
  for (const vma of mm.vmas) {
    yield* k.memory.vmaStartWrite(k, vma);
    if (vma.isHugetlb || (type === ClearRefs.ANON && vma.file !== null) || (type === ClearRefs.MAPPED && vma.file === null)) continue;
    yield* eachEntry(k, vma, k.clearRefs.clearReferencedPte);
  }
}

export function* clearReferencedPte(k: Kernel, vma: Vma, vpn: number, ptep: number): Atomic<void> {
  const { m } = k;
  const flags = m.pt.flags(ptep);
  if (!ptePresent(flags) || (flags & PTE.SPECIAL) !== 0) return;
  const folio = m.memmap.folioOf(m.memmap.pfnToPage(m.pt.pfn(ptep)));
  yield* k.memory.ptepModify(k, vma.mm, vpn, ptep, (now) => now & ~PTE.A);
  if (m.point(Op.PageFlags, folio)) yield SWITCH;
  m.memmap.clear(folio, PG.young | PG.referenced);
}

/** Calls a function for each entry of a VMA that is not empty, under its lock; one for 2 MiB that are mapped as one. */
function* eachEntry(
  k: Kernel,
  vma: Vma,
  visit: (k: Kernel, vma: Vma, vpn: number, ptep: number) => Atomic<void>,
): MaySleep<void> {
  const { m } = k;
  // Of hugetlb neither is kept.
  if (vma.isHugetlb) return;
  for (let vpn = vma.startVpn; vpn < vma.endVpn; ) {
    const end = Math.min(vma.endVpn, (vpn | (PTRS_PER_TABLE - 1)) + 1);
    if (m.point(Op.TableRead, tableObject(vma.mm.id, vpn))) yield SWITCH;
    const first = m.pt.find(vma.mm.pgd, vpn);
    if (first >= 0) {
      const huge = m.pt.isHuge(first);
      const ptl = m.pt.lockOf(first);
      if (!ptl.tryLock()) yield* ptl.lock();
      // Split while the lock was waited for: the pages have entries of their own now.
      const split = huge && m.pt.child(first) >= 0;
      for (let i = 0; i < (huge ? 1 : end - vpn) && !split; i++) {
        if (m.pt.isNone(first + i)) continue;
        if (m.point(Op.PteRead, first + i)) yield SWITCH;
        yield* visit(k, vma, vpn + i, first + i);
      }
      if (!ptl.tryUnlock()) yield* ptl.unlock();
      if (split) continue;
    }
    vpn = end;
    yield* m.sched.condResched();
  }
}
