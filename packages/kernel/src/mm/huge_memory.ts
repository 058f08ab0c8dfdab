/**
 * @linux mm/huge_memory.c
 * @omits Entries of 1 GiB (PUD), DAX, and page frames of drivers in huge entries.
 * @omits `shrink_underused` is kept, and without effect: only folios of which some pages are unmapped are queued.
 * @omits Boot parameters; sysfs has the settings for all sizes, and for each.
 * @own allocHugeAnonFolio, canReuseHuge, depositTable, getThpDisable, handleHugePmd, hugeUserfault, mapHugeFolio,
 *   mapHugeZero, mmGetHugeZero, mmPutHugeZero, pmdClearFlush, pmdInvalidate, pmdStart, replaceHugeZero,
 *   setThpDisable, shrinkHugeZeroFolio, thpEligible, thpGfp, thpVmaAllowable
 */
import { SWITCH, type Atomic, type MaySleep } from "../kernel/coroutine.js";
import { Errno } from "../kernel/errno.js";
import { Op, tableObject } from "../kernel/op.js";
import type { Kernel } from "../kernel.js";
import { HPAGE_PMD_NR, HPAGE_PMD_ORDER, PTE, PTRS_PER_TABLE } from "../arch/pgtable.js";
import type { FaultAt } from "../fs/userfaultfd.js";
import { Event } from "../trace.js";
import { FaultFlag, VmFault } from "./fault_flags.js";
import { RssKind, ThpDisabled, VM, VM_SPECIAL, type Mm, type Vma } from "./mm_types.js";
import type { MmuGather } from "./mmu_gather.js";
import { NotifyEvent, type NotifierRange } from "./mmu_notifier.js";
import { GFP_HUGE_ZERO, GFP_TRANSHUGE, GFP_TRANSHUGE_LIGHT } from "./gfp.js";
import { NO_PAGE, PG } from "./page.js";
import { isHinting } from "./prot_numa.js";
import { alignedWithFile } from "./shmem_huge.js";
import { shmemInode } from "./shmem_inode.js";
import { THP_MIN_ORDER } from "./thp.js";
import { asksFirst, isRwpAsync } from "./uffd_rwp.js";
import { isUffdWp, isWpAsync } from "./uffd_wp.js";
import { maybeMkwrite, vmPageProt } from "./vm_prot.js";

/** The first page of the 2 MiB that a page lies in. */
export function pmdStart(vpn: number): number {
  return vpn & ~(HPAGE_PMD_NR - 1);
}

/** Why somebody asks whether a VMA may have folios of an order. */
export enum Tva {
  /** smaps, which says what a fault could do. */
  Smaps,
  PageFault,
  Khugepaged,
  /** MADV_COLLAPSE, which does not care for the settings. */
  ForcedCollapse,
}

/** PR_THP_DISABLE_EXCEPT_ADVISED. */
const EXCEPT_ADVISED = 2;

/** prctl(PR_SET_THP_DISABLE): since 6.18 with a flag for those that ask for huge pages. EINVAL for other flags, or where there is nothing to disable. */
export function* setThpDisable(k: Kernel, mm: Mm, disable: boolean, flags: number): MaySleep<number> {
  if ((flags & ~EXCEPT_ADVISED) !== 0 || (!disable && flags !== 0)) return -Errno.EINVAL;
  if (!mm.mmapLock.tryWrite()) yield* mm.mmapLock.write();
  mm.thpDisabled = !disable ? ThpDisabled.No : flags === 0 ? ThpDisabled.Completely : ThpDisabled.ExceptAdvised;
  yield* k.memory.mmapWriteUnlock(k, mm);
  return 0;
}

/** What prctl(PR_GET_THP_DISABLE) answers. */
export function getThpDisable(_k: Kernel, mm: Mm): number {
  if (mm.thpDisabled === ThpDisabled.No) return 0;
  return mm.thpDisabled === ThpDisabled.Completely ? 1 : 1 | EXCEPT_ADVISED;
}

/** Whether a VMA is kept from having large folios by its own advice, or by prctl(2) for its address space. */
export function vmaThpDisabled(_k: Kernel, vma: Vma, forced: boolean): boolean {
  const { thpDisabled } = vma.mm;
  if (thpDisabled === ThpDisabled.Completely || (vma.flags & VM.NOHUGEPAGE) !== 0) return true;
  if (forced || (vma.flags & VM.HUGEPAGE) !== 0) return false;
  return thpDisabled === ThpDisabled.ExceptAdvised;
}

/** Whether an aligned folio of this order may be mapped around a page. */
export function thpVmaAllowable(k: Kernel, vma: Vma, vpn: number, order: number, why = Tva.PageFault): boolean {
  if ((vma.flags & VM_SPECIAL) !== 0 || vma.isHugetlb) return false;
  const forced = why === Tva.ForcedCollapse;
  if (k.hugeMemory.vmaThpDisabled(k, vma, forced)) return false;
  const start = vpn & -(1 << order);
  if (start < vma.startVpn || start + (1 << order) > vma.endVpn) return false;
  if (vma.ops !== null) {
    // Which of these a fault gets is decided where the file is filled.
    const inode = shmemInode(vma.file);
    if (why === Tva.PageFault || inode === null || !alignedWithFile(vma, order)) return false;
    return (k.shmemHuge.allowableHugeOrders(k, inode, vma, vma.pgoff, 0, forced) & (1 << order)) !== 0;
  }
  // Nothing was ever mapped there: nothing to make larger.
  if (vma.anonVma === null && why >= Tva.Khugepaged) return false;
  return forced || k.m.thp.orderEnabled(order, (vma.flags & VM.HUGEPAGE) !== 0);
}

/** Whether a VMA could have a large folio somewhere: THPeligible of smaps. */
export function thpEligible(k: Kernel, vma: Vma): boolean {
  for (let order = THP_MIN_ORDER; order <= HPAGE_PMD_ORDER; order++) {
    const last = (vma.endVpn - (1 << order)) & -(1 << order);
    if (last >= vma.startVpn && k.hugeMemory.thpVmaAllowable(k, vma, last, order, Tva.Smaps)) return true;
  }
  return false;
}

/** How hard to try for a huge page in a VMA, by the `defrag` setting. */
export function thpGfp(k: Kernel, vma: Vma): number {
  const { defrag } = k.m.thp;
  const advised = (vma.flags & VM.HUGEPAGE) !== 0;
  if (defrag === "always") return GFP_TRANSHUGE;
  return advised && (defrag === "madvise" || defrag === "defer+madvise") ? GFP_TRANSHUGE : GFP_TRANSHUGE_LIGHT;
}

/* Faults. */

/** Nothing is mapped in a PMD's range: maps 2 MiB at once, or says FALLBACK. */
export function* doHugePmdAnonymousPage(
  k: Kernel,
  vma: Vma,
  vpn: number,
  flags: number,
  pmd: number,
  addr: number,
): MaySleep<number> {
  if (vma.anonVma === null) {
    const prepared = yield* k.memory.vmfAnonPrepare(k, { vma, flags });
    if (prepared !== 0) return prepared;
  }
  if ((vma.flags & VM.UFFD_MISSING) !== 0) return yield* k.hugeMemory.hugeUserfault(k, { vma, vpn, addr, flags }, pmd);
  if (!vma.mm.khugepaged) yield* k.khugepaged.khugepagedEnterVma(k, vma);
  if ((flags & FaultFlag.WRITE) === 0 && k.m.thp.useZeroPage) return yield* k.hugeMemory.mapHugeZero(k, vma, vpn, pmd);
  const folio = yield* k.hugeMemory.allocHugeAnonFolio(k, vma, vpn);
  if (folio === NO_PAGE) return VmFault.FALLBACK;
  return yield* k.hugeMemory.mapHugeFolio(k, vma, vpn, pmd, folio, 0, 0);
}

/** A userfaultfd is told of a fault where nothing is mapped yet. */
export function* hugeUserfault(k: Kernel, at: FaultAt, pmd: number): MaySleep<number> {
  const { m } = k;
  const ptl = m.pt.lockOf(pmd);
  if (!ptl.tryLock()) yield* ptl.lock();
  if (m.point(Op.PteRead, pmd)) yield SWITCH;
  const empty = m.pt.isNone(pmd);
  if (!ptl.tryUnlock()) yield* ptl.unlock();
  return empty ? yield* k.userfaultfd.handleUserfault(k, at, VM.UFFD_MISSING) : 0;
}

/** A charged folio of 2 MiB, cleared; NO_PAGE where small pages must do. */
export function* allocHugeAnonFolio(k: Kernel, vma: Vma, vpn: number): MaySleep<number> {
  const { m } = k;
  const folio = yield* k.pageAlloc.allocFolio(k, k.hugeMemory.thpGfp(k, vma), HPAGE_PMD_ORDER, k.mempolicy.vmaNodes(k, vma, vpn, HPAGE_PMD_ORDER));
  if (folio === NO_PAGE) {
    m.vmstat.events.thp_fault_fallback++;
    m.thp.stats(HPAGE_PMD_ORDER).anon_fault_fallback++;
    return NO_PAGE;
  }
  if (!(yield* k.memcg.chargeLargeFolio(k, folio, m.memcgs.ofMm(vma.mm)))) {
    yield* k.swap.folioPut(k, folio, "alloc");
    m.vmstat.events.thp_fault_fallback++;
    m.vmstat.events.thp_fault_fallback_charge++;
    m.thp.stats(HPAGE_PMD_ORDER).anon_fault_fallback++;
    m.thp.stats(HPAGE_PMD_ORDER).anon_fault_fallback_charge++;
    return NO_PAGE;
  }
  for (let i = 0; i < HPAGE_PMD_NR; i++) m.ram.clear(folio + i);
  return folio;
}

/** Maps a new folio where the entry still is what it was (empty, or the huge page of zeros). */
export function* mapHugeFolio(
  k: Kernel,
  vma: Vma,
  vpn: number,
  pmd: number,
  folio: number,
  oldFlags: number,
  oldPfn: number,
): MaySleep<number> {
  const { m } = k;
  const start = pmdStart(vpn);
  // A table is set aside with each huge entry, so that splitting one never has to allocate.
  const table = oldFlags === 0 ? yield* k.pageAlloc.allocTable(k) : NO_PAGE;
  if (oldFlags === 0 && table === NO_PAGE) {
    yield* k.swap.folioPut(k, folio, "alloc");
    return VmFault.OOM;
  }
  const ptl = m.pt.lockOf(pmd);
  if (!ptl.tryLock()) yield* ptl.lock();
  if (m.point(Op.PteRead, pmd)) yield SWITCH;
  const unchanged = m.pt.same(pmd, oldFlags, oldPfn);
  if (unchanged) {
    if (oldFlags !== 0) yield* k.hugeMemory.pmdClearFlush(k, vma, start, pmd);
    vma.mm.addRss(RssKind.anon, HPAGE_PMD_NR);
    k.rmap.folioAddNewAnonRmapPmd(k, folio, vma, start);
    yield* k.mlockFolio.folioAddLruVma(k, folio, vma);
    if (table !== NO_PAGE) depositTable(vma.mm, table);
    const flags = maybeMkwrite(vmPageProt(vma.flags), vma.flags) | PTE.D | PTE.SOFT_DIRTY;
    yield* k.memory.setPteAt(k, vma.mm, start, pmd, flags, m.memmap.pageToPfn(folio));
    m.refs?.put(folio, "alloc");
    m.vmstat.events.thp_fault_alloc++;
    m.thp.stats(HPAGE_PMD_ORDER).anon_fault_alloc++;
    m.memcgs.get(m.memmap.memcg[folio]!).counters.thpFaultAlloc++;
  }
  if (!ptl.tryUnlock()) yield* ptl.unlock();
  if (!unchanged) {
    if (table !== NO_PAGE) yield* k.pageAlloc.freeTable(k, table);
    yield* k.swap.folioPut(k, folio, "alloc");
  }
  return 0;
}

/** A read where nothing is mapped: the huge page of zeros, read-only. */
export function* mapHugeZero(k: Kernel, vma: Vma, vpn: number, pmd: number): MaySleep<number> {
  const { m } = k;
  if (!(yield* k.hugeMemory.mmGetHugeZero(k, vma.mm))) {
    m.vmstat.events.thp_fault_fallback++;
    return VmFault.FALLBACK;
  }
  const table = yield* k.pageAlloc.allocTable(k);
  if (table === NO_PAGE) return VmFault.OOM;
  const ptl = m.pt.lockOf(pmd);
  if (!ptl.tryLock()) yield* ptl.lock();
  if (m.point(Op.PteRead, pmd)) yield SWITCH;
  const empty = m.pt.isNone(pmd);
  if (empty) {
    depositTable(vma.mm, table);
    const pfn = m.memmap.pageToPfn(m.thp.hugeZeroFolio);
    yield* k.memory.setPteAt(k, vma.mm, pmdStart(vpn), pmd, vmPageProt(vma.flags) | PTE.SPECIAL, pfn);
  }
  if (!ptl.tryUnlock()) yield* ptl.unlock();
  if (!empty) yield* k.pageAlloc.freeTable(k, table);
  return 0;
}

/** Makes sure that there is a huge page of zeros for as long as the address space lives. */
export function* mmGetHugeZero(k: Kernel, mm: Mm): MaySleep<boolean> {
  const { m } = k;
  const { thp } = m;
  if (m.point(Op.Thp, 0)) yield SWITCH;
  if (mm.hasHugeZero) return true;
  let folio = NO_PAGE;
  if (thp.hugeZeroFolio === NO_PAGE) {
    folio = yield* k.pageAlloc.allocFolio(k, GFP_HUGE_ZERO, HPAGE_PMD_ORDER);
    if (folio === NO_PAGE) {
      m.vmstat.events.thp_zero_page_alloc_failed++;
      return false;
    }
    for (let i = 0; i < HPAGE_PMD_NR; i++) m.ram.clear(folio + i);
  }
  if (m.point(Op.Thp, 0)) yield SWITCH;
  if (folio !== NO_PAGE && thp.hugeZeroFolio === NO_PAGE) {
    thp.hugeZeroFolio = folio;
    m.refs?.put(folio, "alloc");
    m.vmstat.events.thp_zero_page_alloc++;
    folio = NO_PAGE;
  }
  if (!mm.hasHugeZero) {
    mm.hasHugeZero = true;
    thp.hugeZeroUsers++;
  }
  if (folio !== NO_PAGE) yield* k.swap.folioPut(k, folio, "alloc");
  return true;
}

/** An address space is gone: nothing of it maps the huge page of zeros any more. */
export function* mmPutHugeZero(k: Kernel, mm: Mm): Atomic<void> {
  if (k.m.point(Op.Thp, 0)) yield SWITCH;
  if (!mm.hasHugeZero) return;
  mm.hasHugeZero = false;
  k.m.thp.hugeZeroUsers--;
}

/** Memory is short: the huge page of zeros goes when nobody maps it. Pages freed. */
export function* shrinkHugeZeroFolio(k: Kernel): Atomic<number> {
  const { m } = k;
  const { thp } = m;
  if (m.point(Op.Thp, 0)) yield SWITCH;
  const folio = thp.hugeZeroFolio;
  if (folio === NO_PAGE || thp.hugeZeroUsers > 0) return 0;
  thp.hugeZeroFolio = NO_PAGE;
  yield* k.swap.folioPutUnowned(k, folio);
  return HPAGE_PMD_NR;
}

/** A fault where 2 MiB are mapped as one. FALLBACK: they no longer are; look at the last level. */
export function* handleHugePmd(k: Kernel, vma: Vma, vpn: number, flags: number, pmd: number, addr: number): MaySleep<number> {
  const { m } = k;
  const ptl = m.pt.lockOf(pmd);
  if (!ptl.tryLock()) yield* ptl.lock();
  if (m.point(Op.PteRead, pmd)) yield SWITCH;
  if (!m.pt.isLeaf(pmd)) {
    if (!ptl.tryUnlock()) yield* ptl.unlock();
    return m.pt.isNone(pmd) ? 0 : VmFault.FALLBACK;
  }
  const old = m.pt.flags(pmd);
  const write = (flags & FaultFlag.WRITE) !== 0;
  if (k.swapops.isMigration(k, old)) {
    if (!ptl.tryUnlock()) yield* ptl.unlock();
    yield* k.migrate.migrationEntryWait(k, pmd);
    return 0;
  }
  if (k.swapops.isDevicePrivate(k, old)) {
    if (!ptl.tryUnlock()) yield* ptl.unlock();
    const vmf = { vma, vpn: pmdStart(vpn), addr, flags, ptep: pmd, origFlags: old, origPfn: m.pt.pfn(pmd), page: NO_PAGE, spareTable: NO_PAGE };
    return yield* k.memory.doDevicePrivate(k, vmf);
  }
  if (asksFirst(vma, old)) {
    const lets = isRwpAsync(vma);
    const pfn = m.pt.pfn(pmd);
    if (lets) yield* k.memory.ptepModify(k, vma.mm, pmdStart(vpn), pmd, (now) => k.uffdRwp.untrapped(k, vma, now, pfn) | PTE.A);
    if (!ptl.tryUnlock()) yield* ptl.unlock();
    return lets ? 0 : yield* k.userfaultfd.handleUserfault(k, { vma, vpn, addr, flags }, VM.UFFD_RWP);
  }
  if (isHinting(vma, old)) {
    return yield* k.numaFault.doHugePmdNumaPage(k, { vma, vpn, addr, flags, ptep: pmd, origFlags: old, origPfn: m.pt.pfn(pmd), page: NO_PAGE, spareTable: NO_PAGE });
  }
  if (write && (old & PTE.W) === 0 && isUffdWp(vma, old)) {
    if (!ptl.tryUnlock()) yield* ptl.unlock();
    if (!isWpAsync(vma)) return yield* k.userfaultfd.handleUserfault(k, { vma, vpn, addr, flags }, VM.UFFD_WP);
    // The mark goes from one page only.
    yield* k.hugeMemory.splitHugePmd(k, vma, vpn);
    return VmFault.FALLBACK;
  }
  if ((write || (flags & FaultFlag.UNSHARE) !== 0) && (old & PTE.W) === 0) {
    return yield* k.hugeMemory.doHugePmdWpPage(k, vma, vpn, flags, pmd);
  }
  const used = write ? PTE.A | PTE.D : PTE.A;
  const marks = write ? used | PTE.SOFT_DIRTY : used;
  yield* k.memory.ptepModify(k, vma.mm, pmdStart(vpn), pmd, (now) => now | marks);
  // The table was right already: a stale translation made this fault.
  if (write && (old & used) === used) k.tlbflush.localFlushPage(k, vpn);
  if (!ptl.tryUnlock()) yield* ptl.unlock();
  return 0;
}

/** A write to a read-only huge entry, its lock held: reuses the folio, replaces the zeros, or splits the entry. */
export function* doHugePmdWpPage(k: Kernel, vma: Vma, vpn: number, flags: number, pmd: number): MaySleep<number> {
  const { m } = k;
  const { memmap } = m;
  const ptl = m.pt.lockOf(pmd);
  const old = m.pt.flags(pmd);
  const pfn = m.pt.pfn(pmd);
  if ((old & PTE.SPECIAL) !== 0) {
    if (!ptl.tryUnlock()) yield* ptl.unlock();
    return yield* k.hugeMemory.replaceHugeZero(k, vma, vpn, pmd, old, pfn);
  }
  const folio = memmap.pfnToPage(pfn);
  if (vma.ops !== null) {
    if (!ptl.tryUnlock()) yield* ptl.unlock();
    yield* k.hugeMemory.splitHugePmd(k, vma, vpn);
    return VmFault.FALLBACK;
  }
  if (memmap.has(folio, PG.anonExclusive) || (yield* k.hugeMemory.canReuseHuge(k, folio))) {
    memmap.set(folio, PG.anonExclusive);
    if ((flags & FaultFlag.UNSHARE) === 0) {
      const now = maybeMkwrite(old, vma.flags) | PTE.A | PTE.D | PTE.SOFT_DIRTY;
      yield* k.memory.setPteAt(k, vma.mm, pmdStart(vpn), pmd, now, pfn);
      k.tlbflush.localFlushPage(k, vpn);
    }
    if (!ptl.tryUnlock()) yield* ptl.unlock();
    return 0;
  }
  if (!ptl.tryUnlock()) yield* ptl.unlock();
  yield* k.hugeMemory.splitHugePmd(k, vma, vpn);
  return VmFault.FALLBACK;
}

/** Whether nobody but this entry refers to the folio. */
export function* canReuseHuge(k: Kernel, folio: number): Atomic<boolean> {
  const { memmap } = k.m;
  if (!(yield* k.folioLock.folioTrylock(k, folio))) return false;
  if (memmap.has(folio, PG.swapcache)) yield* k.swapfile.folioFreeSwap(k, folio);
  if (k.m.point(Op.RefCompare, folio)) yield SWITCH;
  const alone = memmap.refcount[folio] === 1;
  yield* k.folioLock.folioUnlock(k, folio);
  return alone;
}

/**
 * The first write to zeros, or the first pin that is to see what is written: a huge page of one's own, whatever may be mapped
 * anew by now, or where memory has none single pages from here on.
 */
export function* replaceHugeZero(
  k: Kernel,
  vma: Vma,
  vpn: number,
  pmd: number,
  oldFlags: number,
  oldPfn: number,
): MaySleep<number> {
  const folio = yield* k.hugeMemory.allocHugeAnonFolio(k, vma, vpn);
  if (folio === NO_PAGE) {
    yield* k.hugeMemory.splitHugePmd(k, vma, vpn);
    return VmFault.FALLBACK;
  }
  const start = pmdStart(vpn);
  const range = pmdRange(vma.mm, start);
  yield* k.mmuNotifier.invalidateRangeStart(k, range);
  const result = yield* k.hugeMemory.mapHugeFolio(k, vma, vpn, pmd, folio, oldFlags, oldPfn);
  yield* k.mmuNotifier.invalidateRangeEnd(k, range);
  return result;
}

function pmdRange(mm: Mm, start: number): NotifierRange {
  return { mm, startVpn: start, endVpn: start + HPAGE_PMD_NR, event: NotifyEvent.CLEAR, owner: null };
}

/* Tables set aside. Both under the entry's lock. */

export function depositTable(mm: Mm, page: number): void {
  mm.depositedTables.push(page);
  mm.pageTables++;
}

function withdrawTable(mm: Mm): number {
  return mm.depositedTables.pop()!;
}

/* Entries that stop being huge. */

/** Clears a huge entry and flushes all that it maps; what it was is returned as [flags, pfn]. */
export function* pmdClearFlush(k: Kernel, vma: Vma, start: number, pmd: number): Atomic<[number, number]> {
  const { m } = k;
  if (m.point(Op.PteWrite, pmd)) yield SWITCH;
  const flags = m.pt.flags(pmd);
  const pfn = m.pt.pfn(pmd);
  m.touches(Op.TableWrite, tableObject(vma.mm.id, start));
  m.pt.clear(pmd);
  m.sink?.emit(Event.SetPte, pmd, 0, 0, start);
  yield* k.tlbflush.flushTlbRange(k, vma.mm, start, start + HPAGE_PMD_NR);
  return [flags, pfn];
}

/** Maps by last-level entries what a huge entry maps around a page; nothing happens where there is none. */
export function* splitHugePmd(k: Kernel, vma: Vma, vpn: number): MaySleep<void> {
  const { m } = k;
  const start = pmdStart(vpn);
  const range = pmdRange(vma.mm, start);
  yield* k.mmuNotifier.invalidateRangeStart(k, range);
  if (m.point(Op.TableRead, tableObject(vma.mm.id, vpn))) yield SWITCH;
  const pmd = m.pt.pmd(vma.mm.pgd, vpn);
  if (pmd >= 0) {
    const ptl = m.pt.lockOf(pmd);
    if (!ptl.tryLock()) yield* ptl.lock();
    if (m.point(Op.PteRead, pmd)) yield SWITCH;
    if (m.pt.isLeaf(pmd)) yield* k.hugeMemory.splitHugePmdLocked(k, vma, start, pmd);
    if (!ptl.tryUnlock()) yield* ptl.unlock();
  }
  yield* k.mmuNotifier.invalidateRangeEnd(k, range);
}

/**
 * Takes a huge entry from the hardware, and flushes what it maps; its flags until then. It is not empty meanwhile, which
 * would invite others to fill it.
 */
export function* pmdInvalidate(k: Kernel, vma: Vma, start: number, pmd: number): Atomic<number> {
  const { m } = k;
  if (m.point(Op.PteWrite, pmd)) yield SWITCH;
  const flags = m.pt.flags(pmd);
  const pfn = m.pt.pfn(pmd);
  m.touches(Op.TableWrite, tableObject(vma.mm.id, start));
  m.pt.set(pmd, flags & ~PTE.V, pfn);
  m.sink?.emit(Event.SetPte, pmd, flags & ~PTE.V, pfn, start);
  yield* k.tlbflush.flushTlbRange(k, vma.mm, start, start + HPAGE_PMD_NR);
  return flags;
}

/** The same under the entry's lock; the caller notifies. */
export function* splitHugePmdLocked(k: Kernel, vma: Vma, start: number, pmd: number): Atomic<void> {
  const { m } = k;
  const { memmap } = m;
  if (m.point(Op.PteWrite, pmd)) yield SWITCH;
  if (vma.ops !== null) {
    if (k.hugeMigrate.isMigrationPmd(k, pmd)) yield* k.hugeMigrate.clearMigrationPmd(k, vma, start, pmd);
    else yield* k.fileHuge.clearFilePmd(k, vma, start, pmd);
    m.vmstat.events.thp_split_pmd++;
    return;
  }
  const migration = k.hugeMigrate.isMigrationPmd(k, pmd);
  const pfn = m.pt.pfn(pmd);
  const flags = migration ? 0 : yield* k.hugeMemory.pmdInvalidate(k, vma, start, pmd);
  const zero = (flags & PTE.SPECIAL) !== 0;
  const folio = memmap.pfnToPage(pfn);
  if (!zero && !migration) {
    if (m.point(Op.MapCount, folio)) yield SWITCH;
    m.touches(Op.RefGet, folio);
    memmap.refcount[folio]! += HPAGE_PMD_NR - 1;
    if ((flags & PTE.D) !== 0) memmap.set(folio, PG.dirty);
    k.rmap.splitRmapPmd(k, folio, vma);
  }
  // What makes an entry dirty marks it soft-dirty as well; the page of zeros loses the mark.
  const kept = zero ? flags & ~PTE.SOFT_DIRTY : (flags & PTE.D) !== 0 ? flags | PTE.SOFT_DIRTY : flags;
  const node = m.pt.allocateNode(withdrawTable(vma.mm), 0);
  if (migration) k.hugeMigrate.fillMigrationTable(k, start, pmd, node);
  for (let i = 0; i < HPAGE_PMD_NR && !migration; i++) {
    const ptep = node * PTRS_PER_TABLE + i;
    m.touches(Op.PteWrite, ptep);
    m.pt.set(ptep, kept, zero ? memmap.pageToPfn(m.zones.zeroPage) : pfn + i);
    m.sink?.emit(Event.SetPte, ptep, m.pt.flags(ptep), m.pt.pfn(ptep), start + i);
  }
  if (m.point(Op.TableWrite, tableObject(vma.mm.id, start))) yield SWITCH;
  m.touches(Op.PteWrite, pmd);
  m.pt.setChild(pmd, node);
  m.sink?.emit(Event.SetPte, pmd, PTE.V, node, start);
  m.vmstat.events.thp_split_pmd++;
  if (m.config.checking) k.tlbflush.prefetchTable(k, vma.mm, start, node);
}

/** A VMA is about to end (or begin) at a page: no huge entry may reach across. */
export function* vmaAdjustTransHuge(k: Kernel, vma: Vma, vpn: number): MaySleep<void> {
  if (pmdStart(vpn) !== vpn) yield* k.hugeMemory.splitHugePmd(k, vma, vpn);
}

/**
 * Gives a child the huge entry of its parent, read-only on both sides: 0, -ENOMEM, or -EAGAIN where
 * it is huge no more, and the last level must be looked at.
 */
export function* copyHugePmd(k: Kernel, dst: Vma, src: Vma, vpn: number, from: number): MaySleep<number> {
  const { m } = k;
  const start = pmdStart(vpn);
  // Faults find it again.
  if (src.ops !== null) return 0;
  const table = yield* k.pageAlloc.allocTable(k);
  if (table === NO_PAGE) return -Errno.ENOMEM;
  const zero = !src.mm.hasHugeZero || (yield* k.hugeMemory.mmGetHugeZero(k, dst.mm));
  const to = zero ? yield* k.memory.pmdAlloc(k, dst.mm, vpn) : -1;
  if (to < 0) {
    yield* k.pageAlloc.freeTable(k, table);
    return -Errno.ENOMEM;
  }
  const [dstPtl, srcPtl] = [m.pt.lockOf(to), m.pt.lockOf(from)];
  if (!dstPtl.tryLock()) yield* dstPtl.lock();
  if (!srcPtl.tryLock()) yield* srcPtl.lock();
  if (m.point(Op.PteRead, from)) yield SWITCH;
  const migration = k.hugeMigrate.isMigrationPmd(k, from);
  const pinned = m.pt.isLeaf(from) && !migration && (yield* k.copyRange.needsCopyForDma(k, src, m.pt.flags(from), m.pt.pfn(from)));
  const huge = m.pt.isLeaf(from) && !pinned;
  if (migration) {
    depositTable(dst.mm, table);
    yield* k.hugeMigrate.copyMigrationPmd(k, dst, src, start, to, from);
  } else if (huge) {
    const pfn = m.pt.pfn(from);
    if ((m.pt.flags(from) & PTE.SPECIAL) === 0) {
      const folio = m.memmap.pfnToPage(pfn);
      yield* k.swap.folioGetUnowned(k, folio);
      yield* k.rmap.folioDupAnonRmapPmd(k, folio, dst);
      dst.mm.addRss(RssKind.anon, HPAGE_PMD_NR);
    }
    depositTable(dst.mm, table);
    if (k.swapops.isDevicePrivate(k, m.pt.flags(from))) {
      const copy = k.swapops.makeReadableDevicePrivate(k, m.pt.flags(from));
      if (copy !== m.pt.flags(from)) yield* k.memory.setPteAt(k, src.mm, start, from, copy, pfn);
      yield* k.memory.setPteAt(k, dst.mm, start, to, k.copyRange.childPte(k, dst, src, copy, pfn), pfn);
    } else {
      yield* k.memory.ptepModify(k, src.mm, start, from, (now) => now & ~PTE.W);
      yield* k.memory.setPteAt(k, dst.mm, start, to, k.copyRange.childPte(k, dst, src, m.pt.flags(from), pfn) & ~PTE.A, pfn);
    }
  } else if (pinned) {
    // Page by page the child gets copies of what must stay the parent's.
    yield* k.hugeMemory.splitHugePmdLocked(k, src, start, from);
  }
  if (!srcPtl.tryUnlock()) yield* srcPtl.unlock();
  if (!dstPtl.tryUnlock()) yield* dstPtl.unlock();
  if (huge) return 0;
  yield* k.pageAlloc.freeTable(k, table);
  return -Errno.EAGAIN;
}

/** Takes a huge entry out and hands its folio to the gather; false when it is huge no more. */
export function* zapHugePmd(k: Kernel, tlb: MmuGather, vma: Vma, start: number, pmd: number): Atomic<boolean> {
  const { m } = k;
  const ptl = m.pt.lockOf(pmd);
  if (!ptl.tryLock()) yield* ptl.lock();
  if (m.point(Op.PteWrite, pmd)) yield SWITCH;
  if (!m.pt.isLeaf(pmd)) {
    if (!ptl.tryUnlock()) yield* ptl.unlock();
    return false;
  }
  if (k.hugeMigrate.isMigrationPmd(k, pmd)) {
    yield* k.hugeMigrate.clearMigrationPmd(k, vma, start, pmd);
    const unused = vma.ops === null ? withdrawTable(vma.mm) : NO_PAGE;
    if (unused !== NO_PAGE) vma.mm.pageTables--;
    if (!ptl.tryUnlock()) yield* ptl.unlock();
    if (unused !== NO_PAGE) yield* k.pageAlloc.freeTable(k, unused);
    return true;
  }
  const flags = m.pt.flags(pmd);
  const pfn = m.pt.pfn(pmd);
  m.touches(Op.TableWrite, tableObject(vma.mm.id, start));
  m.pt.clear(pmd);
  m.sink?.emit(Event.SetPte, pmd, 0, 0, start);
  k.mmGather.tlbRemoveEntry(k, tlb, start);
  k.mmGather.tlbRemoveEntry(k, tlb, start + HPAGE_PMD_NR - 1);
  if (vma.ops !== null) {
    const folio = m.memmap.pfnToPage(pfn);
    if (k.zap.usedOfFile(k, vma, folio, flags)) yield* k.swap.folioMarkAccessed(k, folio);
    yield* k.fileHuge.unmapFilePmd(k, vma, folio, flags);
    const full = k.mmGather.tlbRemovePage(k, tlb, folio);
    if (!ptl.tryUnlock()) yield* ptl.unlock();
    if (full) yield* k.mmGather.tlbFlushMmu(k, tlb);
    return true;
  }
  const table = withdrawTable(vma.mm);
  vma.mm.pageTables--;
  let full = false;
  if ((flags & PTE.SPECIAL) === 0) {
    const folio = m.memmap.pfnToPage(pfn);
    if (m.point(Op.MapCount, folio)) yield SWITCH;
    vma.mm.addRss(RssKind.anon, -HPAGE_PMD_NR);
    k.rmap.dropPmdMapping(k, folio, vma);
    yield* k.mlockFolio.munlockVmaFolio(k, folio, vma);
    full = k.mmGather.tlbRemovePage(k, tlb, folio);
  }
  if (!ptl.tryUnlock()) yield* ptl.unlock();
  yield* k.pageAlloc.freeTable(k, table);
  if (full) yield* k.mmGather.tlbFlushMmu(k, tlb);
  return true;
}

/** A page of a large folio lost its last mapping while others have theirs: worth splitting when memory is short. */
export function deferredSplitFolio(k: Kernel, folio: number): void {
  const { deferredSplit } = k.m.thp;
  // Splitting one makes no RAM free.
  if (k.m.memmap.isZoneDevice(folio)) return;
  k.m.touches(Op.Thp, 0);
  if (deferredSplit.has(folio)) return;
  deferredSplit.add(folio);
  const order = k.m.memmap.order[folio]!;
  if (order === HPAGE_PMD_ORDER) k.m.vmstat.events.thp_deferred_split_page++;
  k.m.thp.stats(order).split_deferred++;
  k.m.thp.stats(order).nr_anon_partially_mapped++;
}
