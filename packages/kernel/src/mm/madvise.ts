/**
 * @linux mm/madvise.c
 * @omits `can_do_file_pageout()`: MADV_PAGEOUT takes pages of a file also from who may not write to it.
 * @omits Taking one VMA lock where Linux does (`try_vma_read_lock()`): every advice takes mmap_lock.
 * @omits MADV_WILLNEED of a file in memory or of the host starts no read of its own.
 * @own adviseRange, adviseStable, changeFlags, coldOrPageout, freeRange, refusesDrop, removeRange, willneed
 */
import { SWITCH, type Atomic, type MaySleep } from "../kernel/coroutine.js";
import { Errno } from "../kernel/errno.js";
import { Op, tableObject } from "../kernel/op.js";
import type { Kernel } from "../kernel.js";
import type { Machine } from "../machine.js";
import { FallocFl, vfsFallocate } from "../fs/fallocate.js";
import { fput } from "../fs/vfs.js";
import { HPAGE_PMD_NR, PTE, PTRS_PER_TABLE, USER_VPN_END, ptePresent } from "../arch/pgtable.js";
import { BatchKind } from "./folio_batch.js";
import { RssKind, VM, VM_SPECIAL, type Mm, type Vma } from "./mm_types.js";
import { NotifyEvent, type NotifierRange } from "./mmu_notifier.js";
import { NO_PAGE, PG } from "./page.js";
import { radixToSwpEntry, xaIsValue } from "./address_space.js";
import { PteMarker } from "./pte_marker.js";

/** MADV_* as the generic ABI has them. */
export enum Madv {
  NORMAL = 0,
  RANDOM = 1,
  SEQUENTIAL = 2,
  WILLNEED = 3,
  DONTNEED = 4,
  FREE = 8,
  REMOVE = 9,
  DONTFORK = 10,
  DOFORK = 11,
  MERGEABLE = 12,
  UNMERGEABLE = 13,
  HUGEPAGE = 14,
  NOHUGEPAGE = 15,
  DONTDUMP = 16,
  DODUMP = 17,
  WIPEONFORK = 18,
  KEEPONFORK = 19,
  COLD = 20,
  PAGEOUT = 21,
  POPULATE_READ = 22,
  POPULATE_WRITE = 23,
  DONTNEED_LOCKED = 24,
  COLLAPSE = 25,
  HWPOISON = 100,
  SOFT_OFFLINE = 101,
  GUARD_INSTALL = 102,
  GUARD_REMOVE = 103,
}

/** Advice that changes a VMA's flags: bits to set, and bits to clear. */
const FLAG_ADVICE: Partial<Record<number, readonly [set: number, clear: number]>> = {
  [Madv.NORMAL]: [0, VM.RAND_READ | VM.SEQ_READ],
  [Madv.RANDOM]: [VM.RAND_READ, VM.SEQ_READ],
  [Madv.SEQUENTIAL]: [VM.SEQ_READ, VM.RAND_READ],
  [Madv.DONTFORK]: [VM.DONTCOPY, 0],
  [Madv.DOFORK]: [0, VM.DONTCOPY],
  [Madv.HUGEPAGE]: [VM.HUGEPAGE, VM.NOHUGEPAGE],
  [Madv.NOHUGEPAGE]: [VM.NOHUGEPAGE, VM.HUGEPAGE],
  [Madv.DONTDUMP]: [VM.DONTDUMP, 0],
  [Madv.DODUMP]: [0, VM.DONTDUMP],
  [Madv.WIPEONFORK]: [VM.WIPEONFORK, 0],
  [Madv.KEEPONFORK]: [0, VM.WIPEONFORK],
  [Madv.MERGEABLE]: [VM.MERGEABLE, 0],
  [Madv.UNMERGEABLE]: [0, VM.MERGEABLE],
};

/** madvise(2). Unknown advice is EINVAL; holes are skipped and reported as ENOMEM at the end. */
export function* doMadvise(k: Kernel, mm: Mm, addr: number, len: number, advice: number): MaySleep<number> {
  const flagAdvice = FLAG_ADVICE[advice];
  if (flagAdvice === undefined && Madv[advice] === undefined) return -Errno.EINVAL;
  if (addr % 4096 !== 0) return -Errno.EINVAL;
  const start = addr / 4096;
  const pages = Math.ceil(len / 4096);
  // A negative number is an unsigned one of more than half of what there is: it must not be rounded up to 0, nor go around.
  if ((len < 0 && pages === 0) || (pages < 0 && start + pages >= 0 && start >= 0) || (start < 0 && pages > 0 && start + pages >= 0)) return -Errno.EINVAL;
  if (pages === 0) return 0;
  // Of the kernel's half, where nothing is mapped.
  if (start < 0 || pages < 0) return start < 0 ? -Errno.ENOMEM : yield* adviseMapped(k, mm, start, USER_VPN_END + 1, advice);
  return yield* adviseMapped(k, mm, start, start + pages, advice);
}

/** Advice about [start, end), of pages. */
function* adviseMapped(k: Kernel, mm: Mm, start: number, end: number, advice: number): MaySleep<number> {
  const flagAdvice = FLAG_ADVICE[advice];
  if (advice === Madv.HWPOISON || advice === Madv.SOFT_OFFLINE) return yield* k.memoryFailure.injectError(k, start, end, advice === Madv.SOFT_OFFLINE);
  if (advice === Madv.POPULATE_READ || advice === Madv.POPULATE_WRITE) {
    return yield* k.populate.madvisePopulate(k, mm, start, end, advice === Madv.POPULATE_WRITE);
  }
  const write = flagAdvice !== undefined;
  if (write) {
    if (!mm.mmapLock.tryWrite()) yield* mm.mmapLock.write();
  } else if (!mm.mmapLock.tryRead()) yield* mm.mmapLock.read();
  let result = 0;
  let vpn = start;
  while (vpn < end) {
    const i = mm.findVmaIndex(vpn);
    const vma = i < 0 ? undefined : mm.vmas[i];
    if (vma === undefined || vma.startVpn >= end) {
      result = -Errno.ENOMEM;
      break;
    }
    if (vma.startVpn > vpn) result = -Errno.ENOMEM;
    const from = Math.max(vpn, vma.startVpn);
    const to = Math.min(end, vma.endVpn);
    const error = !k.mseal.sealAllowsAdvice(k, vma, advice)
      ? -Errno.EPERM
      : write
        ? yield* k.madvise.changeFlags(k, mm, vma, from, to, advice, flagAdvice)
        : yield* k.madvise.adviseRange(k, vma, from, to, advice);
    if (error !== 0) {
      result = error;
      break;
    }
    vpn = to;
  }
  if (write) yield* k.memory.mmapWriteUnlock(k, mm);
  else if (!mm.mmapLock.tryUnlock()) yield* mm.mmapLock.unlock();
  if (advice === Madv.DONTNEED || advice === Madv.DONTNEED_LOCKED) yield* k.ptReclaim.reclaimPageTables(k, mm, start, vpn);
  return result;
}

export function* changeFlags(
  k: Kernel,
  mm: Mm,
  vma: Vma,
  start: number,
  end: number,
  advice: number,
  [set, clear]: readonly [number, number],
): MaySleep<number> {
  if (refusesAdvice(vma, advice)) return -Errno.EINVAL;
  // KSM passes over what it cannot share.
  if (advice === Madv.MERGEABLE && !k.ksm.ksmCompatible(k, vma.flags)) return 0;
  if (advice === Madv.MERGEABLE || advice === Madv.UNMERGEABLE) {
    const error = yield* k.ksm.ksmMadvise(k, vma, start, end, advice === Madv.MERGEABLE);
    if (error !== 0) return error === -Errno.ENOMEM ? -Errno.EAGAIN : error;
  }
  const flags = (vma.flags & ~clear) | set;
  if (flags === vma.flags) {
    if (advice === Madv.HUGEPAGE) yield* k.khugepaged.khugepagedEnterVma(k, vma);
    return 0;
  }
  const part = yield* k.vma.modifyVma(k, mm, vma, start, end, { flags });
  // Of too many VMAs there may be fewer later.
  if (typeof part === "number") return part === -Errno.ENOMEM ? -Errno.EAGAIN : part;
  if (advice === Madv.HUGEPAGE) yield* k.khugepaged.khugepagedEnterVma(k, part);
  return 0;
}

/** Whether a mapping cannot have the flag that the advice stands for, or must keep it. */
function refusesAdvice({ flags, ops, isHugetlb }: Vma, advice: number): boolean {
  if (advice === Madv.WIPEONFORK) return ops !== null;
  if (advice === Madv.KEEPONFORK) return (flags & VM.DROPPABLE) !== 0;
  // Huge pages are not mapped by a driver, whatever else they have in common with what is.
  const special = !isHugetlb && (flags & VM_SPECIAL) !== 0;
  if (advice === Madv.DOFORK) return special;
  return advice === Madv.DODUMP && (special || (flags & VM.DROPPABLE) !== 0);
}

export function* adviseRange(k: Kernel, vma: Vma, start: number, end: number, advice: number): MaySleep<number> {
  const drops = advice === Madv.DONTNEED || advice === Madv.DONTNEED_LOCKED || advice === Madv.FREE;
  if (!drops || !k.uffdEvents.wantsRemove(k, vma)) return yield* k.madvise.adviseStable(k, vma, start, end, advice);
  const refused = k.madvise.refusesDrop(k, vma, advice);
  if (refused !== 0) return refused;
  const now = yield* k.uffdEvents.removeEvent(k, vma, start, end);
  if (typeof now === "number") return now;
  // The rest of what was split off meanwhile is left alone.
  return yield* k.madvise.adviseStable(k, now, start, Math.min(end, now.endVpn), advice);
}

/** Whether pages of a VMA cannot be dropped: -EINVAL, or 0. */
export function refusesDrop(_k: Kernel, { flags, ops }: Vma, advice: number): number {
  if ((flags & VM.PFNMAP) !== 0) return -Errno.EINVAL;
  if (advice !== Madv.DONTNEED_LOCKED && (flags & VM.LOCKED) !== 0) return -Errno.EINVAL;
  return advice === Madv.FREE && ops !== null ? -Errno.EINVAL : 0;
}

/** Advice for a range of one VMA, which stays that. */
export function* adviseStable(k: Kernel, vma: Vma, start: number, end: number, advice: number): MaySleep<number> {
  const locked = (vma.flags & VM.LOCKED) !== 0;
  switch (advice) {
    case Madv.DONTNEED:
    case Madv.DONTNEED_LOCKED:
      if (k.madvise.refusesDrop(k, vma, advice) !== 0) return -Errno.EINVAL;
      if (vma.isHugetlb) return yield* k.hugetlbVma.dontneed(k, vma, start, end);
      yield* k.zap.zapPageRange(k, vma, start, end);
      return 0;
    case Madv.FREE:
      if (k.madvise.refusesDrop(k, vma, advice) !== 0) return -Errno.EINVAL;
      yield* k.madvise.freeRange(k, vma, start, end);
      return 0;
    case Madv.COLD:
    case Madv.PAGEOUT:
      if (locked || vma.isHugetlb || (vma.flags & VM.PFNMAP) !== 0) return -Errno.EINVAL;
      yield* k.madvise.coldOrPageout(k, vma, start, end, advice === Madv.PAGEOUT);
      return 0;
    case Madv.REMOVE:
      return yield* k.madvise.removeRange(k, vma, start, end);
    case Madv.COLLAPSE:
      return yield* k.khugepaged.madviseCollapse(k, vma, start, end);
    case Madv.WILLNEED:
      if (vma.isHugetlb) return 0;
      yield* k.madvise.willneed(k, vma, start, end);
      return 0;
    case Madv.GUARD_INSTALL:
      return yield* k.guard.guardInstall(k, vma, start, end);
    case Madv.GUARD_REMOVE:
      return yield* k.guard.guardRemove(k, vma, start, end);
    default:
      return -Errno.EINVAL;
  }
}

/**
 * Visits the entries of a range table by table: `visit` is called under the page-table lock. Where
 * 2 MiB are mapped as one, `visitHuge` is called under their entry's lock; if it says false, they
 * are split first.
 */
function* eachEntry(
  k: Kernel,
  vma: Vma,
  start: number,
  end: number,
  visit: (ptep: number, vpn: number) => Atomic<void>,
  visitHuge: VisitHuge,
): MaySleep<void> {
  const { m } = k;
  for (let vpn = start; vpn < end; ) {
    const tableEnd = Math.min(end, (Math.floor(vpn / PTRS_PER_TABLE) + 1) * PTRS_PER_TABLE);
    if (m.point(Op.TableRead, tableObject(vma.mm.id, vpn))) yield SWITCH;
    const pmd = m.pt.pmd(vma.mm.pgd, vpn);
    if (pmd >= 0 && m.pt.isLeaf(pmd)) {
      if (yield* visitLocked(k, pmd, vpn, tableEnd - vpn === HPAGE_PMD_NR, visitHuge)) {
        vpn = tableEnd;
        continue;
      }
      yield* k.hugeMemory.splitHugePmd(k, vma, vpn);
      continue;
    }
    const first = m.pt.lookup(vma.mm.pgd, vpn);
    if (first >= 0) {
      const ptl = m.pt.lockOf(first);
      if (!ptl.tryLock()) yield* ptl.lock();
      if (k.tlbBatch.isFlushPending(k, vma.mm)) yield* k.tlbBatch.flushTlbBatchedPending(k, vma.mm);
      for (let i = 0; vpn + i < tableEnd; i++) {
        if (m.pt.isNone(first + i)) continue;
        if (m.point(Op.PteRead, first + i)) yield SWITCH;
        yield* visit(first + i, vpn + i);
      }
      if (!ptl.tryUnlock()) yield* ptl.unlock();
    }
    vpn = tableEnd;
    yield* m.sched.condResched();
  }
}

/** `whole`: the range has all of what the entry maps. */
type VisitHuge = (pmd: number, vpn: number, whole: boolean) => Atomic<boolean>;

/** The part of a huge page that is not in the range keeps what it has; the page of zeros has nothing to lose. */
function wholeOrZero(m: Machine, visit: (pmd: number, vpn: number) => Atomic<boolean>): VisitHuge {
  return function* (pmd, vpn, whole): Atomic<boolean> {
    // A folio that others map is not split for this range: it stays mapped as it is.
    if ((m.pt.flags(pmd) & PTE.SPECIAL) !== 0 || !whole) return true;
    return yield* visit(pmd, vpn);
  };
}

function* visitLocked(
  k: Kernel,
  pmd: number,
  vpn: number,
  whole: boolean,
  visitHuge: VisitHuge,
): Atomic<boolean> {
  const { m } = k;
  const ptl = m.pt.lockOf(pmd);
  if (!ptl.tryLock()) yield* ptl.lock();
  if (m.point(Op.PteRead, pmd)) yield SWITCH;
  const done = m.pt.isLeaf(pmd) && (yield* visitHuge(pmd, vpn, whole));
  if (!ptl.tryUnlock()) yield* ptl.unlock();
  return done;
}

/**
 * Splits large folios that reach across an end of the range, or of which a part is not mapped any
 * more: the advice is about what is mapped in the range alone.
 */
function* splitPartial(k: Kernel, vma: Vma, start: number, end: number): MaySleep<void> {
  const { m } = k;
  const { memmap, thp } = m;
  m.touches(Op.Thp, 0);
  // Those that are mapped in part wait to be split; where none waits, only the ends can have any.
  const step = thp.deferredSplit.size > 0 ? 1 : Math.max(1, end - 1 - start);
  for (let vpn = start; vpn < end; vpn += step) {
    const page = yield* getMappedPage(k, vma, vpn);
    if (page === NO_PAGE) continue;
    const folio = memmap.folioOf(page);
    if (yield* k.rmap.folioMaybeMappedShared(k, folio)) {
      yield* k.swap.folioPut(k, folio, "madvise");
      continue;
    }
    if ((!covers(k, page, vpn, start, end) || thp.deferredSplit.has(folio)) && (yield* k.folioLock.folioTrylock(k, folio))) {
      yield* k.hugeSplit.splitFolio(k, folio);
      yield* k.folioLock.folioUnlock(k, folio);
    }
    yield* k.swap.folioPut(k, folio, "madvise");
  }
}

/** The page of a large folio that is mapped at an address, its folio referenced; NO_PAGE where there is none. */
function* getMappedPage(k: Kernel, vma: Vma, vpn: number): Atomic<number> {
  const { m } = k;
  if (m.point(Op.TableRead, tableObject(vma.mm.id, vpn))) yield SWITCH;
  const entry = m.pt.find(vma.mm.pgd, vpn);
  if (entry < 0) return NO_PAGE;
  const ptl = m.pt.lockOf(entry);
  if (!ptl.tryLock()) yield* ptl.lock();
  if (m.point(Op.PteRead, entry)) yield SWITCH;
  const flags = m.pt.flags(entry);
  let page = NO_PAGE;
  if (ptePresent(flags) && (flags & PTE.SPECIAL) === 0 && !(m.pt.isHuge(entry) && !m.pt.isLeaf(entry))) {
    page = m.memmap.pfnToPage(m.pt.pfnFor(entry, vpn));
    const folio = m.memmap.folioOf(page);
    if (m.memmap.isLarge(folio)) yield* k.swap.folioGet(k, folio, "madvise");
    else page = NO_PAGE;
  }
  if (!ptl.tryUnlock()) yield* ptl.unlock();
  return page;
}

/** Whether the range has all of the folio whose page is mapped at `vpn`. */
function covers(k: Kernel, page: number, vpn: number, start: number, end: number): boolean {
  const { memmap } = k.m;
  const folio = memmap.folioOf(page);
  const first = vpn - (page - folio);
  return first >= start && first + memmap.folioPages(folio) <= end;
}

/** Whether others may map a folio that an entry maps, or, where it maps single pages, any of its pages twice. */
function mappedByOthers(k: Kernel, folio: number, entry: number): boolean {
  const { memmap, pt } = k.m;
  k.m.touches(Op.MapCount, folio);
  return pt.isHuge(entry) ? k.rmap.maybeMappedShared(k, folio) : memmap.folioMapcount(folio) !== memmap.folioPages(folio);
}

/** MADV_COLD and MADV_PAGEOUT: present, unshared pages only; non-present entries are passed over. */
export function* coldOrPageout(k: Kernel, vma: Vma, start: number, end: number, pageout: boolean): MaySleep<void> {
  const { m } = k;
  const { memmap } = m;
  yield* k.swap.lruAddDrain(k);
  yield* splitPartial(k, vma, start, end);
  let cleared = false;
  for (let vpn = start; vpn < end; ) {
    const tableEnd = Math.min(end, (Math.floor(vpn / PTRS_PER_TABLE) + 1) * PTRS_PER_TABLE);
    const isolated: number[] = [];
    const visit = function* (entry: number, at: number): Atomic<boolean> {
      const flags = m.pt.flags(entry);
      if (!ptePresent(flags) || (flags & PTE.SPECIAL) !== 0) return true;
      const page = memmap.pfnToPage(m.pt.pfn(entry));
      if (memmap.isZoneDevice(page)) return true;
      const folio = memmap.folioOf(page);
      // Other mappings of it have a say, too.
      if (mappedByOthers(k, folio, entry) || !covers(k, page, at, start, end)) return true;
      // Reclaim does not ask for it (since 6.9).
      if (!pageout) {
        const old = yield* k.memory.ptepModify(k, vma.mm, at, entry, (now) => now & ~PTE.A);
        if ((old & PTE.A) !== 0) cleared = true;
      }
      memmap.clear(folio, PG.referenced);
      if (!pageout) yield* k.swap.batchAdd(k, BatchKind.deactivate, folio);
      else if (yield* k.swap.folioIsolateLru(k, folio)) isolated.push(folio);
      return true;
    };
    yield* eachEntry(k, vma, vpn, tableEnd, function* (ptep, at): Atomic<void> { yield* visit(ptep, at); }, wholeOrZero(m, visit));
    if (isolated.length > 0) yield* k.vmscan.reclaimFolios(k, isolated);
    vpn = tableEnd;
  }
  // A CPU that goes on with its translation would not say that it uses the page again.
  if (cleared) yield* k.tlbflush.flushTlbRange(k, vma.mm, start, end);
}

/** MADV_FREE: clean, lazily freed pages; swap entries are dropped at once. */
export function* freeRange(k: Kernel, vma: Vma, start: number, end: number): MaySleep<void> {
  const { m } = k;
  const { memmap } = m;
  const range: NotifierRange = { mm: vma.mm, startVpn: start, endVpn: end, event: NotifyEvent.CLEAR, owner: null };
  yield* k.swap.lruAddDrain(k);
  yield* splitPartial(k, vma, start, end);
  yield* k.mmuNotifier.invalidateRangeStart(k, range);
  let cleared = false;
  const visit = function* (ptep: number, vpn: number): Atomic<boolean> {
    const flags = m.pt.flags(ptep);
    if (k.swapops.isHwpoison(k, flags)) {
      yield* k.memory.setPteAt(k, vma.mm, vpn, ptep, 0, 0);
      return true;
    }
    if (k.swapops.isSwapEntry(k, flags)) {
      const offset = m.pt.pfn(ptep);
      yield* k.memory.setPteAt(k, vma.mm, vpn, ptep, 0, 0);
      vma.mm.addRss(RssKind.swap, -1);
      yield* k.swapfile.freeSwapAndCache(k, offset);
      return true;
    }
    if (k.pteMarker.pteMarker(flags, m.pt.pfn(ptep)) === PteMarker.POISONED) {
      yield* k.memory.setPteAt(k, vma.mm, vpn, ptep, 0, 0);
      return true;
    }
    if (!ptePresent(flags) || (flags & PTE.SPECIAL) !== 0) return true;
    const page = memmap.pfnToPage(m.pt.pfn(ptep));
    const folio = memmap.folioOf(page);
    if (memmap.isZoneDevice(page) || !covers(k, page, vpn, start, end)) return true;
    const huge = m.pt.isHuge(ptep);
    // Of 2 MiB that are mapped as one only the entries may say that they are dirty.
    if (huge || memmap.has(folio, PG.swapcache) || memmap.has(folio, PG.dirty)) {
      if (!(yield* k.folioLock.folioTrylock(k, folio))) return true;
      // What others map is dirty for them as well. A copy that is being written, or that others need, says that the page cannot go yet.
      const free = !mappedByOthers(k, folio, ptep) && (!memmap.has(folio, PG.swapcache) || (yield* k.swapfile.folioFreeSwap(k, folio)));
      if (free) memmap.clear(folio, PG.dirty);
      yield* k.folioLock.folioUnlock(k, folio);
      if (!free) return true;
    }
    const old = yield* k.memory.ptepModify(k, vma.mm, vpn, ptep, (now) => now & ~(PTE.A | PTE.D));
    if ((old & (PTE.A | PTE.D)) !== 0) cleared = true;
    yield* k.swap.batchAdd(k, BatchKind.lazyfree, folio);
    return true;
  };
  yield* eachEntry(k, vma, start, end, function* (ptep, vpn): Atomic<void> { yield* visit(ptep, vpn); }, wholeOrZero(m, visit));
  // Without the flush a CPU would go on writing through a translation that says "dirty already".
  if (cleared) yield* k.tlbflush.flushTlbRange(k, vma.mm, start, end);
  yield* k.mmuNotifier.invalidateRangeEnd(k, range);
}

/**
 * MADV_REMOVE: punches a hole into the file that is mapped there, and so into every mapping of it. mmap_lock is
 * dropped meanwhile: the file's own lock comes before it.
 */
export function* removeRange(k: Kernel, vma: Vma, start: number, end: number): MaySleep<number> {
  const { file, mm } = vma;
  if ((vma.flags & VM.LOCKED) !== 0 || file === null || vma.mapping === null) return -Errno.EINVAL;
  if ((vma.flags & (VM.SHARED | VM.MAYWRITE)) !== (VM.SHARED | VM.MAYWRITE)) return -Errno.EACCES;
  const offset = vma.linearIndex(start) * 4096;
  file.references++;
  if (k.uffdEvents.wantsRemove(k, vma)) yield* k.uffdEvents.removeEvent(k, vma, start, end);
  if (!mm.mmapLock.tryUnlock()) yield* mm.mmapLock.unlock();
  const result = yield* vfsFallocate(k, file, FallocFl.PUNCH_HOLE | FallocFl.KEEP_SIZE, offset, (end - start) * 4096);
  yield* fput(k, file);
  if (!mm.mmapLock.tryRead()) yield* mm.mmapLock.read();
  return result;
}

/** MADV_WILLNEED: starts reading what is in swap, of the mapping's own or of its file. */
export function* willneed(k: Kernel, vma: Vma, start: number, end: number): MaySleep<void> {
  const { m } = k;
  const offsets: number[] = [];
  const visit = function* (ptep: number): Atomic<void> {
    if (m.point(Op.PteRead, ptep)) yield SWITCH;
    if (k.swapops.isSwapEntry(k, m.pt.flags(ptep))) offsets.push(m.pt.pfn(ptep));
  };
  // What is mapped by one entry is not in swap.
  yield* eachEntry(k, vma, start, end, visit, function* (): Atomic<boolean> { return true; });
  if (vma.mapping !== null) {
    for (const index of vma.mapping.indexesIn(vma.linearIndex(start), vma.linearIndex(end))) {
      if (m.point(Op.PageCacheRead, vma.mapping.object(index))) yield SWITCH;
      const entry = vma.mapping.at(index);
      if (xaIsValue(entry)) offsets.push(radixToSwpEntry(entry));
    }
  }
  for (const offset of offsets) {
    const folio = yield* k.swapState.readSwapCacheAsync(k, offset);
    if (folio >= 0) yield* k.swap.folioPut(k, folio, "swapin");
  }
  // What was read goes on the LRU now.
  yield* k.swap.lruAddDrain(k);
}
