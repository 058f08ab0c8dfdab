/**
 * @linux mm/memory.c
 * @omits Entries of a large folio are cleared one by one, where `zap_present_folio_ptes()` takes them as a batch.
 * @omits Address spaces that the OOM reaper has emptied, and hugetlb pages of a dying process, are not told apart.
 * @own markerStays, namesFilePage, unmapPageRange, usedOfFile, zapDevicePte, zapExclusivePte, zapPageRange,
 *   zapPresentPte
 */
import { SWITCH, type MaySleep, type Atomic } from "../kernel/coroutine.js";
import { Op, tableObject } from "../kernel/op.js";
import type { Kernel } from "../kernel.js";
import { HPAGE_PMD_NR, PTE, PTRS_PER_TABLE, ptePresent, tableIndex } from "../arch/pgtable.js";
import { Event } from "../trace.js";
import type { AddressSpace } from "./address_space.js";
import { RssKind, VM, type Mm, type Vma } from "./mm_types.js";
import type { MmuGather } from "./mmu_gather.js";
import { NotifyEvent, type NotifierRange } from "./mmu_notifier.js";
import { NO_PAGE, PG } from "./page.js";
import { PteMarker } from "./pte_marker.js";
import { isUffdWp } from "./uffd_wp.js";

/** Takes everything in [start, end) of a VMA out of the page tables and frees it (MADV_DONTNEED). */
export function* zapPageRange(k: Kernel, vma: Vma, start: number, end: number): MaySleep<void> {
  if (vma.isHugetlb) {
    yield* k.hugetlbVma.zapHugetlbRange(k, vma, start, end);
    return;
  }
  const range: NotifierRange = { mm: vma.mm, startVpn: start, endVpn: end, event: NotifyEvent.CLEAR, owner: null };
  const tlb = k.mmGather.tlbGather(k, vma.mm);
  yield* k.mmuNotifier.invalidateRangeStart(k, range);
  yield* k.zap.unmapPageRange(k, tlb, vma, start, end);
  yield* k.mmuNotifier.invalidateRangeEnd(k, range);
  yield* k.mmGather.tlbFinish(k, tlb);
}

/**
 * Takes the pages of a file from index `start` below `end` out of every mapping; with `evenCows` also
 * the copies that private mappings have made of them, as truncating the file does and punching a hole does not.
 */
export function* unmapMappingRange(
  k: Kernel,
  mapping: AddressSpace,
  start: number,
  end: number,
  evenCows: boolean,
  dropsMarkers = false,
): MaySleep<void> {
  if (!mapping.lock.tryRead()) yield* mapping.lock.read();
  for (const vma of mapping.vmas) {
    const from = Math.max(start, vma.pgoff);
    const to = Math.min(end, vma.pgoff + vma.pages);
    if (from >= to) continue;
    const offset = vma.startVpn - vma.pgoff;
    const range: NotifierRange = { mm: vma.mm, startVpn: from + offset, endVpn: to + offset, event: NotifyEvent.CLEAR, owner: null };
    const tlb = k.mmGather.tlbGather(k, vma.mm);
    tlb.dropsMarkers = dropsMarkers;
    yield* k.mmuNotifier.invalidateRangeStart(k, range);
    yield* k.zap.unmapPageRange(k, tlb, vma, range.startVpn, range.endVpn, evenCows);
    yield* k.mmuNotifier.invalidateRangeEnd(k, range);
    yield* k.mmGather.tlbFinish(k, tlb);
  }
  if (!mapping.lock.tryUnlock()) yield* mapping.lock.unlock();
}

/** Takes a locked folio of a file out of every mapping. */
export function* unmapMappingFolio(k: Kernel, folio: number): MaySleep<void> {
  const { m } = k;
  if (m.point(Op.MapCount, folio)) yield SWITCH;
  if (m.memmap.folioMapcount(folio) === 0) return;
  const index = m.memmap.index[folio]!;
  yield* k.zap.unmapMappingRange(k, k.filemap.folioMapping(k, folio)!, index, index + m.memmap.folioPages(folio), false, true);
}

/**
 * The page-table part: the caller notifies and finishes the gather. Without `evenCows` what a
 * private mapping of a file has of its own stays.
 */
export function* unmapPageRange(k: Kernel, tlb: MmuGather, vma: Vma, start: number, end: number, evenCows = true): MaySleep<void> {
  const { m } = k;
  if (vma.isHugetlb) {
    yield* k.hugetlbVma.unmapHugepageRange(k, tlb, vma, start, end, NO_PAGE, evenCows);
    return;
  }
  let vpn = start;
  while (vpn < end) {
    const tableEnd = Math.min(end, (Math.floor(vpn / PTRS_PER_TABLE) + 1) * PTRS_PER_TABLE);
    if (m.point(Op.TableRead, tableObject(vma.mm.id, vpn))) yield SWITCH;
    const pmd = m.pt.pmd(vma.mm.pgd, vpn);
    if (pmd >= 0 && m.pt.isLeaf(pmd)) {
      if (tableEnd - vpn < HPAGE_PMD_NR) yield* k.hugeMemory.splitHugePmd(k, vma, vpn);
      else if (yield* k.hugeMemory.zapHugePmd(k, tlb, vma, vpn, pmd)) {
        vpn = tableEnd;
        continue;
      }
      if (m.point(Op.TableRead, tableObject(vma.mm.id, vpn))) yield SWITCH;
    }
    const first = m.pt.lookup(vma.mm.pgd, vpn);
    if (first >= 0) vpn = yield* k.zap.zapPteRange(k, tlb, vma, vpn, tableEnd, first, evenCows);
    else vpn = tableEnd;
    yield* m.sched.condResched();
  }
}

/** Zaps entries of one table; returns where it stopped, short of `end` when the gather was full. */
export function* zapPteRange(
  k: Kernel,
  tlb: MmuGather,
  vma: Vma,
  start: number,
  end: number,
  first: number,
  evenCows = true,
): Atomic<number> {
  const { m } = k;
  const ptl = m.pt.lockOf(first);
  let vpn = start;
  let full = false;
  if (!ptl.tryLock()) yield* ptl.lock();
  if (k.tlbBatch.isFlushPending(k, vma.mm)) yield* k.tlbBatch.flushTlbBatchedPending(k, vma.mm);
  for (; vpn < end && !full; vpn++) {
    const ptep = first + (vpn - start);
    if (m.pt.isNone(ptep)) continue;
    if (m.point(Op.PteWrite, ptep)) yield SWITCH;
    const flags = m.pt.flags(ptep);
    const pfn = m.pt.pfn(ptep);
    if (!tlb.dropsMarkers && k.zap.markerStays(k, vma, flags, pfn)) continue;
    if (!evenCows && !k.zap.namesFilePage(k, ptep)) continue;
    m.pt.clear(ptep);
    m.sink?.emit(Event.SetPte, ptep, 0, 0, vpn);
    if (ptePresent(flags)) {
      const folio = m.memmap.folioOf(m.memmap.pfnToPage(pfn));
      if (k.zap.usedOfFile(k, vma, folio, flags)) yield* k.swap.folioMarkAccessed(k, folio);
      if (m.point(Op.MapCount, folio)) yield SWITCH;
      full = k.zap.zapPresentPte(k, tlb, vma, vpn, flags, pfn);
      if ((vma.flags & VM.LOCKED) !== 0 && (flags & PTE.SPECIAL) === 0) yield* k.mlockFolio.munlockVmaFolio(k, folio, vma);
    } else if (k.swapops.isDevicePrivate(k, flags)) yield* k.zap.zapDevicePte(k, vma, pfn);
    else if (k.swapops.isDeviceExclusive(k, flags)) yield* k.zap.zapExclusivePte(k, vma, pfn);
    else if (k.swapops.isMigration(k, flags)) {
      // It has no reference and no map count; who moves the folio finds one entry less.
      vma.mm.addRss(k.rmap.rssKind(k, m.memmap.folioOf(m.memmap.pfnToPage(pfn))), -1);
    } else if (k.swapops.isSwapEntry(k, flags)) {
      vma.mm.addRss(RssKind.swap, -1);
      yield* k.swapfile.freeSwapAndCache(k, pfn);
    }
    if (!tlb.dropsMarkers && vma.ops !== null && isUffdWp(vma, flags)) yield* k.uffdWp.installMarker(k, vma, vpn, ptep);
  }
  if (!ptl.tryUnlock()) yield* ptl.unlock();
  if (full) yield* k.mmGather.tlbFlushMmu(k, tlb);
  return vpn;
}

/** Whether an entry that goes has been used, which its file's page is to remember. */
export function usedOfFile(k: Kernel, vma: Vma, folio: number, flags: number): boolean {
  return (flags & (PTE.A | PTE.SPECIAL)) === PTE.A && vma.hasRecency && !k.m.memmap.isAnon(folio);
}

/** Whether a marker outlives what is zapped: guards do, and in mappings of files userfaultfd's protection. */
export function markerStays(k: Kernel, vma: Vma, flags: number, pfn: number): boolean {
  if (vma.ops !== null && (k.pteMarker.pteMarker(flags, pfn) & PteMarker.UFFD_WP) !== 0) return true;
  return k.guard.isGuardMarker(k, flags, pfn);
}

/** Whether an entry of a file's mapping is for a page of the file, mapped or on its way to another frame. */
export function namesFilePage(k: Kernel, ptep: number): boolean {
  const { pt, memmap } = k.m;
  const flags = pt.flags(ptep);
  if (!ptePresent(flags) && !k.swapops.isMigration(k, flags)) return false;
  const page = memmap.pfnToPage(pt.pfn(ptep));
  return page >= 0 && !memmap.isAnon(memmap.folioOf(page));
}

/** The page of a cleared entry loses a mapping and goes to the gather; true when that is full. */
export function zapPresentPte(
  k: Kernel,
  tlb: MmuGather,
  vma: Vma,
  vpn: number,
  flags: number,
  pfn: number,
): boolean {
  const { memmap } = k.m;
  k.mmGather.tlbRemoveEntry(k, tlb, vpn);
  if ((flags & PTE.SPECIAL) !== 0) {
    k.ksm.ksmMightUnmapZeroPage(k, vma.mm, flags, pfn);
    return false;
  }
  const page = memmap.pfnToPage(pfn);
  const folio = memmap.folioOf(page);
  vma.mm.addRss(k.rmap.rssKind(k, folio), -1);
  if ((flags & PTE.D) !== 0 && !memmap.isAnon(folio)) memmap.set(folio, PG.dirty);
  k.rmap.dropMapping(k, folio, page, vma);
  return k.mmGather.tlbRemovePage(k, tlb, page);
}

/** The entry of a page that a device has goes: no TLB has it, and the notifier told the device already. */
export function* zapDevicePte(k: Kernel, vma: Vma, pfn: number): Atomic<void> {
  const { memmap } = k.m;
  const page = memmap.pfnToPage(pfn);
  const folio = memmap.folioOf(page);
  vma.mm.addRss(RssKind.anon, -1);
  yield* k.rmap.folioRemoveRmapPte(k, folio, page, vma);
  yield* k.swap.folioPutUnowned(k, folio);
}

/** An exclusive entry goes: it counts as one that maps the page. */
export function* zapExclusivePte(k: Kernel, vma: Vma, pfn: number): Atomic<void> {
  yield* k.zap.zapDevicePte(k, vma, pfn);
}

/**
 * Takes out the page tables that lie wholly in [floor, ceiling), where nothing is mapped any
 * more. They are freed with the gather, after its flush.
 */
export function* freePgtables(k: Kernel, tlb: MmuGather, mm: Mm, floor: number, ceiling: number): Atomic<void> {
  const { m } = k;
  if (!mm.pageTableLock.tryLock()) yield* mm.pageTableLock.lock();
  const end = Math.min(256, Math.ceil(ceiling / (1 << 18)));
  for (let top = m.pt.nextUsed(mm.pgd, floor >>> 18); top < end; top = m.pt.nextUsed(mm.pgd, top + 1)) {
    const topStart = top << 18;
    const topEnd = topStart + (1 << 18);
    const topEntry = mm.pgd * PTRS_PER_TABLE + tableIndex(topStart, 2);
    const mid = m.pt.child(topEntry);
    for (let i = m.pt.nextUsed(mid, 0); i < PTRS_PER_TABLE; i = m.pt.nextUsed(mid, i + 1)) {
      const entry = mid * PTRS_PER_TABLE + i;
      const last = m.pt.child(entry);
      const start = topStart + i * PTRS_PER_TABLE;
      if (start < floor || start + PTRS_PER_TABLE > ceiling) continue;
      if (m.point(Op.TableWrite, tableObject(mm.id, start))) yield SWITCH;
      m.pt.clear(entry);
      tlb.tables.push(last);
      mm.pageTables--;
    }
    if (topStart >= floor && topEnd <= ceiling) {
      if (m.point(Op.TableWrite, tableObject(mm.id, topStart, 2))) yield SWITCH;
      m.pt.clear(topEntry);
      tlb.tables.push(mid);
      mm.pageTables--;
    }
  }
  if (tlb.tables.length > 0) k.mmGather.tlbRemoveEntry(k, tlb, floor);
  if (!mm.pageTableLock.tryUnlock()) yield* mm.pageTableLock.unlock();
}
