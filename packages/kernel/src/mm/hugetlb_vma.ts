/**
 * @linux mm/hugetlb.c
 * @own alignRemap, changeHugetlbProtection, closeVma, copyHugetlbEntry, copyPinnedHugetlb, dontneed, hstateOfFlags,
 *   inherit, inheritInChild, isPinnedEntry, keepReserved, maySplit, mmapAnonHugetlb, mmapHugetlb, moveHugetlbEntry,
 *   passOn, unmapRange, zapHugetlbRange
 */
import { SWITCH, type Atomic, type MaySleep } from "../kernel/coroutine.js";
import { Errno } from "../kernel/errno.js";
import { RwSem } from "../kernel/locks.js";
import { Op, tableObject } from "../kernel/op.js";
import type { Kernel } from "../kernel.js";
import { hugetlbFileSetup } from "../fs/hugetlbfs.js";
import { fput } from "../fs/vfs.js";
import { PTE, ptePresent } from "../arch/pgtable.js";
import { VmFault } from "./fault_flags.js";
import { HPG, type Hstate } from "./hstate.js";
import { vmaLock } from "./hugetlb.js";
import type { RemapRequest } from "./mremap.js";
import { hstateOf, hugeIndex, inodeOf } from "./hugetlb_reserve.js";
import { VM, VM_LOCKED_MASK, type Mm, type Vma } from "./mm_types.js";
import type { MmuGather } from "./mmu_gather.js";
import { NotifyEvent, type NotifierRange } from "./mmu_notifier.js";
import { NO_PAGE, PG } from "./page.js";
import { PteMarker } from "./pte_marker.js";
import { isUffdRwp, trapped } from "./uffd_rwp.js";
import { isUffdWp, UffdWp } from "./uffd_wp.js";
import type { VmOps } from "./vm_ops.js";
import { maybeMkwrite, vmPageProt } from "./vm_prot.js";

/* Areas that come, are cut, and go. */

/** Faults in huge pages go their own way. */
const HUGETLB_VM_OPS: VmOps = {
  *fault() {
    return VmFault.SIGBUS;
  },
  mapsAround: false,
};

/** log2 of the size of a page, in the flags of mmap and memfd_create: from this bit on, six bits; 0 for the default size. */
const MAP_HUGE_SHIFT = 26;

/** The pool that flags of mmap, memfd_create or shmget name; undefined where there is none. */
export function hstateOfFlags(k: Kernel, flags: number): Hstate | undefined {
  const log = (flags >>> MAP_HUGE_SHIFT) & 63;
  return log === 0 ? k.m.hugetlb.defaultHstate : k.m.hugetlb.ofOrder(log - 12);
}

/** mmap(2) with MAP_ANONYMOUS and MAP_HUGETLB: of a file of its own, that has no name. */
export function* mmapAnonHugetlb(k: Kernel, mm: Mm, addr: number, len: number, prot: number, flags: number, pgoff: number): MaySleep<number> {
  const h = k.hugetlbVma.hstateOfFlags(k, flags);
  if (h === undefined) return -Errno.EINVAL;
  const bytes = Math.ceil(len / h.bytes) * h.bytes;
  const file = yield* hugetlbFileSetup(k, h, "anon_hugepage", bytes);
  const result = yield* k.mmap.doMmap(k, mm, addr, bytes, prot, flags, file, pgoff);
  yield* fput(k, file);
  return result;
}

/** Makes a new area one of huge pages, and reserves them: 0, -EINVAL for an offset within a page, -ENOMEM. */
export function* mmapHugetlb(k: Kernel, vma: Vma): MaySleep<number> {
  const { m } = k;
  const shared = (vma.flags & VM.MAYSHARE) !== 0;
  vma.ops = HUGETLB_VM_OPS;
  vma.flags = (vma.flags | VM.HUGETLB | VM.DONTEXPAND) & ~(VM_LOCKED_MASK | VM.ACCOUNT);
  vma.hugetlb = { resv: null, unmapped: false, lock: shared ? new RwSem(m.locks, "hugetlb_vma_lock") : null };
  const inode = inodeOf(vma);
  const h = hstateOf(vma);
  if (vma.pgoff % h.pages !== 0) return -Errno.EINVAL;
  const end = vma.pgoff + vma.pages;
  if (!inode.lock.tryWrite()) yield* inode.lock.write();
  const noreserve = (vma.flags & VM.NORESERVE) !== 0 || inode.reservedByOwner;
  const error = yield* k.hugetlbReserve.reservePages(k, inode, vma.pgoff / h.pages, end / h.pages, vma, noreserve);
  if (m.point(Op.Inode, inode.ino)) yield SWITCH;
  if (error === 0 && (vma.flags & VM.WRITE) !== 0 && inode.size < end * 4096) inode.size = end * 4096;
  inode.atimeNs = m.now();
  if (!inode.lock.tryUnlock()) yield* inode.lock.unlock();
  return error;
}

/** An area that is like another, or a part of it: what that has reserved is the new one's as well. */
export function inherit(k: Kernel, vma: Vma, from: Vma): void {
  const { resv, unmapped, lock } = from.hugetlb!;
  vma.hugetlb = { resv, unmapped, lock: lock === null ? null : new RwSem(k.m.locks, "hugetlb_vma_lock") };
  if (resv !== null) resv.users++;
}

/** A child's area: what its parent has reserved for itself is none of its. */
export function inheritInChild(k: Kernel, vma: Vma, from: Vma): void {
  vma.hugetlb = { resv: null, unmapped: false, lock: from.hugetlb!.lock === null ? null : new RwSem(k.m.locks, "hugetlb_vma_lock") };
}

/** What an area has reserved lives on in another. */
export function passOn(vma: Vma): void {
  const { resv } = vma.hugetlb!;
  if (resv !== null) resv.users--;
  vma.hugetlb!.resv = null;
}

/** An area is gone: what it has reserved and not used is promised no more. */
export function* closeVma(k: Kernel, vma: Vma): MaySleep<void> {
  const resv = vma.hugetlb?.resv ?? null;
  if (resv === null) return;
  const { hstate, spool } = inodeOf(vma).fs;
  const start = hugeIndex(vma, vma.startVpn);
  const end = start + vma.pages / hstate.pages;
  if (!resv.lock.tryLock()) yield* resv.lock.lock();
  const unused = resv.missing(start, end);
  resv.users--;
  if (!resv.lock.tryUnlock()) yield* resv.lock.unlock();
  if (unused > 0) yield* k.hugetlbReserve.giveBack(k, hstate, spool, unused);
}

/** Whether an area can be cut at a page: 0, or -EINVAL inside a huge page. */
export function maySplit(_k: Kernel, vma: Vma, vpn: number): number {
  if ((vma.flags & VM.HUGETLB) === 0 || vpn <= vma.startVpn || vpn >= vma.endVpn) return 0;
  return vpn % hstateOf(vma).pages === 0 ? 0 : -Errno.EINVAL;
}

/* What is mapped. */

/**
 * Takes everything in [start, end) out of the page tables; the caller notifies and finishes the gather.
 * With a folio only that one, and the area is to know that it has lost it. Without `evenCows` what a
 * private mapping has of its own stays.
 */
export function* unmapHugepageRange(k: Kernel, tlb: MmuGather, vma: Vma, start: number, end: number, only = NO_PAGE, evenCows = true): MaySleep<void> {
  const { m } = k;
  const { memmap } = m;
  const { mm } = vma;
  const h = hstateOf(vma);
  for (let vpn = start; vpn < end; vpn += h.pages) {
    if (m.point(Op.TableRead, tableObject(mm.id, vpn))) yield SWITCH;
    const entry = k.hugetlb.hugetlbWalk(k, mm, vpn, h);
    if (entry < 0 || !m.pt.isLeaf(entry)) continue;
    const ptl = m.pt.lockOf(entry);
    if (!ptl.tryLock()) yield* ptl.lock();
    if (m.point(Op.PteRead, entry)) yield SWITCH;
    const folio = ptePresent(m.pt.flags(entry)) ? memmap.pfnToPage(m.pt.pfn(entry)) : NO_PAGE;
    const marker = k.pteMarker.pteMarker(m.pt.flags(entry), m.pt.pfn(entry));
    if (marker !== 0 && only === NO_PAGE && (tlb.dropsMarkers || (evenCows && marker !== PteMarker.UFFD_WP))) yield* k.memory.setPteAt(k, mm, vpn, entry, 0, 0);
    const other = marker !== 0 || (only !== NO_PAGE && folio !== only) || (!evenCows && !k.zap.namesFilePage(k, entry));
    if (m.pt.isNone(entry) || other) {
      if (!ptl.tryUnlock()) yield* ptl.unlock();
      continue;
    }
    if (only !== NO_PAGE) vma.hugetlb!.unmapped = true;
    const [flags] = yield* k.memory.ptepGetAndClear(k, vpn, entry);
    m.touches(Op.TableWrite, tableObject(mm.id, vpn));
    mm.hugetlbPages -= h.pages;
    if (folio !== NO_PAGE) {
      k.mmGather.tlbRemoveEntry(k, tlb, vpn);
      k.mmGather.tlbRemoveEntry(k, tlb, vpn + h.pages - 1);
      if ((flags & PTE.D) !== 0) memmap.set(folio, PG.dirty);
      yield* k.hugetlb.removeRmap(k, folio);
    }
    if (!tlb.dropsMarkers && isUffdWp(vma, flags)) yield* k.uffdWp.installMarker(k, vma, vpn, entry);
    if (!ptl.tryUnlock()) yield* ptl.unlock();
    if (folio === NO_PAGE) continue;
    yield* k.hugetlbVma.keepReserved(k, vma, vpn, folio);
    k.mmGather.tlbRemovePage(k, tlb, folio);
  }
}

/** A page of a private mapping is taken out: it is reserved again, so that nobody else gets it meanwhile. */
export function* keepReserved(k: Kernel, vma: Vma, vpn: number, folio: number): Atomic<void> {
  const { hugetlb, memmap } = k.m;
  if (vma.hugetlb!.resv === null || !memmap.isAnon(folio)) return;
  if (!hugetlb.lock.tryLock()) yield* hugetlb.lock.lock();
  // Not where the page would leave the pool anyway.
  const keeps = hstateOf(vma).surplusHugePages === 0;
  if (keeps) {
    k.m.touches(Op.PageFlags, folio);
    memmap.private[folio]! |= HPG.restoreReserve;
  }
  if (!hugetlb.lock.tryUnlock()) yield* hugetlb.lock.unlock();
  if (keeps) yield* k.hugetlbReserve.vmaAddReservation(k, vma, vpn);
}

/** MADV_DONTNEED: whole pages only. The end is rounded down, since who asks may not know how large they are. */
export function* dontneed(k: Kernel, vma: Vma, start: number, end: number): MaySleep<number> {
  const { pages } = hstateOf(vma);
  if (start % pages !== 0) return -Errno.EINVAL;
  yield* k.hugetlbVma.zapHugetlbRange(k, vma, start, end - (end % pages));
  return 0;
}

/** Takes whole pages out, and frees them: faults wait until what is taken out is back in the pool. */
export function* zapHugetlbRange(k: Kernel, vma: Vma, start: number, end: number): MaySleep<void> {
  const mapping = vma.mapping!;
  const lock = vmaLock(vma);
  if (lock !== null && !lock.tryWrite()) yield* lock.write();
  if (!mapping.lock.tryWrite()) yield* mapping.lock.write();
  yield* k.hugetlbVma.unmapRange(k, vma, start, end);
  if (lock !== null && !lock.tryUnlock()) yield* lock.unlock();
  if (!mapping.lock.tryUnlock()) yield* mapping.lock.unlock();
}

/** Takes everything in [start, end) out of the page tables, and frees it; with a folio only that, which the area has then lost. */
export function* unmapRange(k: Kernel, vma: Vma, start: number, end: number, only = NO_PAGE): MaySleep<void> {
  const range: NotifierRange = { mm: vma.mm, startVpn: start, endVpn: end, event: NotifyEvent.CLEAR, owner: null };
  const tlb = k.mmGather.tlbGather(k, vma.mm);
  yield* k.mmuNotifier.invalidateRangeStart(k, range);
  yield* k.hugetlbVma.unmapHugepageRange(k, tlb, vma, start, end, only);
  yield* k.mmuNotifier.invalidateRangeEnd(k, range);
  yield* k.mmGather.tlbFinish(k, tlb);
}

/** The page of a private mapping is taken from all that have it without a reservation of their own: children. */
export function* unmapRefPrivate(k: Kernel, vma: Vma, vpn: number, folio: number): MaySleep<void> {
  const mapping = vma.mapping!;
  const { pages } = hstateOf(vma);
  const index = vma.linearIndex(vpn);
  if (!mapping.lock.tryWrite()) yield* mapping.lock.write();
  for (const other of [...mapping.vmas]) {
    const at = other.startVpn + (index - other.pgoff);
    if (other === vma || at < other.startVpn || at >= other.endVpn) continue;
    if ((other.flags & VM.MAYSHARE) !== 0 || other.hugetlb!.resv !== null) continue;
    yield* k.hugetlbVma.unmapRange(k, other, at, at + pages, folio);
  }
  if (!mapping.lock.tryUnlock()) yield* mapping.lock.unlock();
}

/**
 * mprotect(2), and userfaultfd's protection: every entry of [start, end) has the VMA's new permissions. 1 when any has
 * changed, 0, or -ENOMEM for want of a table for markers. The caller notifies and flushes.
 */
export function* changeHugetlbProtection(k: Kernel, vma: Vma, start: number, end: number, wp: UffdWp): MaySleep<number> {
  const { m } = k;
  const h = hstateOf(vma);
  let changed = 0;
  for (let vpn = start; vpn < end; vpn += h.pages) {
    if (m.point(Op.TableRead, tableObject(vma.mm.id, vpn))) yield SWITCH;
    let entry = k.hugetlb.hugetlbWalk(k, vma.mm, vpn, h);
    const marks = wp === UffdWp.Protect && k.uffdWp.wpUsesMarkers(vma);
    if (marks && entry < 0) {
      entry = yield* k.hugetlb.hugePteAlloc(k, vma.mm, vpn, h);
      if (entry < 0) return -Errno.ENOMEM;
    }
    if (entry < 0 || (!m.pt.isLeaf(entry) && !marks)) continue;
    const ptl = m.pt.lockOf(entry);
    if (!ptl.tryLock()) yield* ptl.lock();
    if (m.point(Op.PteRead, entry)) yield SWITCH;
    if (m.pt.isNone(entry) || k.pteMarker.pteMarker(m.pt.flags(entry), m.pt.pfn(entry)) !== 0) {
      if (wp !== UffdWp.Keep) yield* k.uffdWp.changeNonePte(k, vma, vpn, entry, wp);
    } else {
      const old = yield* k.memory.ptepModify(k, vma.mm, vpn, entry, (flags) => k.uffdWp.changedPte(k, vma, flags, m.pt.pfn(entry), wp));
      if (old !== m.pt.flags(entry)) changed = 1;
    }
    if (!ptl.tryUnlock()) yield* ptl.unlock();
  }
  return changed;
}

/** fork: the child has what its parent has, read-only on both sides where a write is to copy. 0 or -ENOMEM. */
export function* copyHugetlbPageRange(k: Kernel, dst: Vma, src: Vma, cow: boolean): MaySleep<number> {
  const { m } = k;
  const h = hstateOf(src);
  for (let vpn = src.startVpn; vpn < src.endVpn; vpn += h.pages) {
    if (m.point(Op.TableRead, tableObject(src.mm.id, vpn))) yield SWITCH;
    const from = k.hugetlb.hugetlbWalk(k, src.mm, vpn, h);
    if (from < 0) continue;
    const to = yield* k.hugetlb.hugePteAlloc(k, dst.mm, vpn, h);
    if (to < 0) return -Errno.ENOMEM;
    if (!m.pt.isLeaf(from)) continue;
    const [dstPtl, srcPtl] = [m.pt.lockOf(to), m.pt.lockOf(from)];
    if (!dstPtl.tryLock()) yield* dstPtl.lock();
    if (!srcPtl.tryLock()) yield* srcPtl.lock();
    if (m.point(Op.PteRead, from)) yield SWITCH;
    const pinned = yield* k.hugetlbVma.isPinnedEntry(k, src, from);
    if (!pinned && !m.pt.isNone(from)) yield* k.hugetlbVma.copyHugetlbEntry(k, dst, src, vpn, to, from, cow);
    if (!srcPtl.tryUnlock()) yield* srcPtl.unlock();
    if (!dstPtl.tryUnlock()) yield* dstPtl.unlock();
    if (pinned && !(yield* k.hugetlbVma.copyPinnedHugetlb(k, dst, src, vpn, to, from))) return -Errno.ENOMEM;
    yield* m.sched.condResched();
  }
  return 0;
}

/** Whether an entry is for a page that a device may write to: the parent must go on having it alone. Its table is locked. */
export function* isPinnedEntry(k: Kernel, vma: Vma, entry: number): Atomic<boolean> {
  const { m } = k;
  const { memmap } = m;
  if (!vma.mm.hasPinned || !ptePresent(m.pt.flags(entry))) return false;
  const folio = memmap.pfnToPage(m.pt.pfn(entry));
  if (m.point(Op.RefCompare, folio)) yield SWITCH;
  return memmap.isAnon(folio) && memmap.isPinned(folio) && memmap.isAnonExclusive(folio);
}

/** The child gets a copy of a pinned page at once; false where there is none for it. The parent's mapping cannot change meanwhile but by reverse walks, which a pin keeps off. */
export function* copyPinnedHugetlb(k: Kernel, dst: Vma, src: Vma, vpn: number, to: number, from: number): MaySleep<boolean> {
  const { m } = k;
  const folio = yield* k.hugetlb.allocHugetlbFolio(k, dst, vpn, false);
  if (folio === NO_PAGE) return false;
  if (m.point(Op.PteRead, from)) yield SWITCH;
  yield* k.hugetlb.copyHugeFolio(k, folio, m.memmap.pfnToPage(m.pt.pfn(from)));
  const ptl = m.pt.lockOf(to);
  if (!ptl.tryLock()) yield* ptl.lock();
  k.hugetlb.addNewAnonRmap(k, folio, dst, vpn);
  const old = m.pt.flags(from);
  const wp = isUffdWp(dst, old) || isUffdRwp(dst, old);
  const prot = vmPageProt(dst.flags) | PTE.D;
  const flags = wp ? trapped(dst, prot | PTE.UFFD_WP) : maybeMkwrite(prot, dst.flags);
  yield* k.memory.setPteAt(k, dst.mm, vpn, to, flags, m.memmap.pageToPfn(folio));
  dst.mm.hugetlbPages += hstateOf(src).pages;
  m.refs?.put(folio, "alloc");
  if (!ptl.tryUnlock()) yield* ptl.unlock();
  yield* k.hugetlb.markMigratable(k, folio);
  return true;
}

/** One entry, from one table to the other; both are locked. */
export function* copyHugetlbEntry(k: Kernel, dst: Vma, src: Vma, vpn: number, to: number, from: number, cow: boolean): Atomic<void> {
  const { m } = k;
  let copy = m.pt.flags(from);
  const pfn = m.pt.pfn(from);
  const marker = k.pteMarker.pteMarker(copy, pfn);
  if (marker !== 0) {
    if (marker !== PteMarker.UFFD_WP || (dst.flags & VM.UFFD_WP) !== 0) yield* k.memory.setPteAt(k, dst.mm, vpn, to, copy, pfn);
    return;
  }
  if (!ptePresent(copy)) {
    if (cow && k.swapops.isMigration(k, copy) && !k.swapops.isReadableMigration(k, copy)) {
      copy = k.swapops.makeReadableMigration(k, copy);
      yield* k.memory.setPteAt(k, src.mm, vpn, from, copy, pfn);
    }
  } else {
    const folio = m.memmap.pfnToPage(pfn);
    yield* k.swap.folioGetUnowned(k, folio);
    yield* k.hugetlb.addRmap(k, folio);
    m.touches(Op.PageFlags, folio);
    if (m.memmap.isAnon(folio)) m.memmap.clear(folio, PG.anonExclusive);
    if (cow) copy = (yield* k.memory.ptepModify(k, src.mm, vpn, from, (now) => now & ~PTE.W)) & ~PTE.W;
  }
  yield* k.memory.setPteAt(k, dst.mm, vpn, to, k.copyRange.childPte(k, dst, src, copy, pfn), pfn);
  dst.mm.hugetlbPages += hstateOf(src).pages;
}

/** What mremap(2) is asked for, in whole huge pages; -EINVAL where that cannot be, or where the area would grow. */
export function alignRemap(_k: Kernel, vma: Vma, r: RemapRequest): RemapRequest | number {
  const { pages } = hstateOf(vma);
  // A new address is looked at even where it means nothing.
  if (r.start % pages !== 0 || r.newStart % pages !== 0) return -Errno.EINVAL;
  const oldPages = Math.ceil(r.oldPages / pages) * pages;
  const newPages = Math.ceil(r.newPages / pages) * pages;
  return newPages > oldPages ? -Errno.EINVAL : { ...r, oldPages, newPages };
}

/** mremap(2): moves the entries of a range; how many pages it came to, fewer than there are where there was no memory for a table. */
export function* moveHugetlbPageTables(k: Kernel, vma: Vma, copy: Vma, start: number, to: number, pages: number): MaySleep<number> {
  const { m } = k;
  const { mm } = vma;
  const h = hstateOf(vma);
  const lock = vmaLock(vma);
  const range: NotifierRange = { mm, startVpn: start, endVpn: start + pages, event: NotifyEvent.CLEAR, owner: null };
  yield* k.mmuNotifier.invalidateRangeStart(k, range);
  if (lock !== null && !lock.tryWrite()) yield* lock.write();
  yield* k.mremap.takeRmapLocks(k, copy);
  let done = 0;
  for (; done < pages; done += h.pages) {
    if (m.point(Op.TableRead, tableObject(mm.id, start + done))) yield SWITCH;
    const from = k.hugetlb.hugetlbWalk(k, mm, start + done, h);
    if (from < 0 || !m.pt.isLeaf(from)) continue;
    const into = yield* k.hugetlb.hugePteAlloc(k, mm, to + done, h);
    if (into < 0) break;
    yield* k.hugetlbVma.moveHugetlbEntry(k, vma, start + done, to + done, from, into);
  }
  yield* k.tlbflush.flushTlbRange(k, mm, start, start + done);
  yield* k.mremap.dropRmapLocks(k, copy);
  if (lock !== null && !lock.tryUnlock()) yield* lock.unlock();
  yield* k.mmuNotifier.invalidateRangeEnd(k, range);
  return done;
}

export function* moveHugetlbEntry(k: Kernel, vma: Vma, vpn: number, to: number, from: number, into: number): Atomic<void> {
  const { m } = k;
  const { mm } = vma;
  const [oldPtl, newPtl] = [m.pt.lockOf(from), m.pt.lockOf(into)];
  if (!oldPtl.tryLock()) yield* oldPtl.lock();
  if (newPtl !== oldPtl && !newPtl.tryLock()) yield* newPtl.lock();
  if (m.point(Op.PteRead, from)) yield SWITCH;
  if (!m.pt.isNone(from)) {
    const [flags, pfn] = yield* k.memory.ptepGetAndClear(k, vpn, from);
    m.touches(Op.TableWrite, tableObject(mm.id, vpn));
    const loses = k.uffdEvents.losesCtx(k, vma);
    const marker = k.pteMarker.pteMarker(flags, pfn);
    if (marker !== PteMarker.UFFD_WP || !loses) {
      yield* k.memory.setPteAt(k, mm, to, into, loses && marker === 0 ? k.mremap.withoutCtx(k, vma, flags, pfn) : flags, pfn);
    }
  }
  if (newPtl !== oldPtl && !newPtl.tryUnlock()) yield* newPtl.unlock();
  if (!oldPtl.tryUnlock()) yield* oldPtl.unlock();
}
