/**
 * @linux mm/khugepaged.c
 * @omits Pages that cannot be read while copying (`copy_mc_user_highpage()`).
 * @own collapseSwapin, copyPages, flushCollapsed, isolateLocked, isolatePages, keepReverseWalksOut,
 *   letReverseWalksIn, replaceTable, revalidateVma, waitForWalksWithoutLocks
 */
import { SWITCH, type Atomic, type MaySleep } from "../kernel/coroutine.js";
import { Op, tableObject } from "../kernel/op.js";
import type { Kernel } from "../kernel.js";
import { HPAGE_PMD_NR, HPAGE_PMD_ORDER, PTE, PTRS_PER_TABLE, ptePresent } from "../arch/pgtable.js";
import { Event } from "../trace.js";
import { Census, countNode, forgetNodes, Scan, targetNodes, type CollapseControl } from "./collapse_census.js";
import { FaultFlag, VmFault } from "./fault_flags.js";
import { Gfp, GFP_TRANSHUGE, GFP_TRANSHUGE_LIGHT } from "./gfp.js";
import { Tva } from "./huge_memory.js";
import type { Vmf } from "./memory.js";
import { RssKind, ThpDisabled, type Mm, type Vma } from "./mm_types.js";
import { NotifyEvent, type NotifierRange } from "./mmu_notifier.js";
import { NO_PAGE, PG } from "./page.js";
import { PteMarker } from "./pte_marker.js";
import { maybeMkwrite, vmPageProt } from "./vm_prot.js";

/** The address space ends, or must not have huge pages: whoever collapses leaves it. */
export function collapseTestExit(_k: Kernel, mm: Mm): boolean {
  return mm.pgd < 0 || mm.users === 0 || mm.thpDisabled === ThpDisabled.Completely;
}

/**
 * The VMA of 2 MiB of which `order` could be one folio, or why there is none; mmap_lock held. Even for less the VMA must span all
 * of the table, since nobody locks the others that it may map.
 */
export function revalidateVma(k: Kernel, mm: Mm, start: number, cc: CollapseControl, order = HPAGE_PMD_ORDER): Vma | Scan {
  if (k.collapse.collapseTestExit(k, mm)) return Scan.AnyProcess;
  const vma = mm.vmaAt(start);
  if (vma === null) return Scan.VmaNull;
  if (start < vma.startVpn || start + HPAGE_PMD_NR > vma.endVpn) return Scan.AddressRange;
  const why = cc.isKhugepaged ? Tva.Khugepaged : Tva.ForcedCollapse;
  return k.hugeMemory.thpVmaAllowable(k, vma, start, order, why) ? vma : Scan.VmaCheck;
}

/** The level-1 entry of 2 MiB that are mapped page by page: found, or why not. */
function* findPteTable(k: Kernel, mm: Mm, start: number): Atomic<number | { readonly no: Scan }> {
  const { m } = k;
  if (m.point(Op.TableRead, tableObject(mm.id, start))) yield SWITCH;
  const pmd = m.pt.pmd(mm.pgd, start);
  if (pmd < 0 || m.pt.isNone(pmd)) return { no: Scan.NoPteTable };
  if (!m.pt.isLeaf(pmd)) return pmd;
  // 2 MiB in a device's memory are mapped as one, and by nothing that is present.
  return { no: k.swapops.isDevicePrivate(k, m.pt.flags(pmd)) ? Scan.NoPteTable : Scan.PmdMapped };
}

/** Looks whether 2 MiB of anonymous memory, or parts of it, can be collapsed, and does it: mmap_lock is dropped then. */
export function* collapseScanPmd(k: Kernel, vma: Vma, start: number, cc: CollapseControl): MaySleep<Scan> {
  const { m } = k;
  const { mm } = vma;
  const found = yield* findPteTable(k, mm, start);
  if (typeof found !== "number") return found.no;
  const first = m.pt.child(found) * PTRS_PER_TABLE;
  const orders = k.collapseMthp.possibleOrders(k, vma, cc);
  const onlyWhole = orders.every((order) => order === HPAGE_PMD_ORDER);
  // Where parts may do, how many entries are empty is asked for each of them.
  forgetNodes(k, cc);
  const census = onlyWhole ? new Census(k, cc, vma, HPAGE_PMD_ORDER) : new Census(k, cc, vma, HPAGE_PMD_ORDER, HPAGE_PMD_NR - 1);
  const ptl = m.pt.lockOf(first);
  if (!ptl.tryLock()) yield* ptl.lock();
  let result: Scan | null = null;
  for (let i = 0; i < HPAGE_PMD_NR && result === null; i++) result = yield* scanEntry(k, first + i, i, census);
  if (!ptl.tryUnlock()) yield* ptl.unlock();
  if (result !== null) return result;
  const { referenced, swap } = census;
  if (cc.isKhugepaged && (referenced === 0 || (swap > 0 && referenced < HPAGE_PMD_NR / 2))) return Scan.LackReferencedPage;
  if (!mm.mmapLock.tryUnlock()) yield* mm.mmapLock.unlock();
  cc.mmapLocked = false;
  return yield* k.collapseMthp.collapseParts(k, mm, start, cc, orders, census);
}

/** What an entry has against being collapsed, or null. Its lock is held. */
function* scanEntry(k: Kernel, ptep: number, i: number, census: Census): Atomic<Scan | null> {
  const { m } = k;
  const { memmap } = m;
  if (m.pt.isNone(ptep)) return census.countNone();
  if (m.point(Op.PteRead, ptep)) yield SWITCH;
  const flags = m.pt.flags(ptep);
  if (!ptePresent(flags)) {
    const wp = (flags & PTE.SWP_UFFD_WP) !== 0 || (k.pteMarker.pteMarker(flags, m.pt.pfn(ptep)) & PteMarker.UFFD_WP) !== 0;
    return wp ? Scan.PteUffdWp : census.countSwap();
  }
  if ((flags & PTE.UFFD_WP) !== 0) return Scan.PteUffdWp;
  if ((flags & PTE.SPECIAL) !== 0) return census.countNone();
  const page = memmap.pfnToPage(m.pt.pfn(ptep));
  if (memmap.isZoneDevice(page)) return Scan.PageNull;
  const folio = memmap.folioOf(page);
  if (census.isLazyfree(folio, flags)) return Scan.PageLazyfree;
  if (!memmap.isAnon(folio)) return Scan.PageAnon;
  if (m.point(Op.MapCount, folio)) yield SWITCH;
  const shared = census.countShared(folio);
  if (shared !== null) return shared;
  census.occupied[i] = 1;
  if (m.point(Op.RefCompare, folio)) yield SWITCH;
  if (!memmap.has(folio, PG.lru)) return Scan.PageLru;
  if (memmap.has(folio, PG.locked)) return Scan.PageLock;
  if (memmap.refcount[folio] !== k.rmap.expectedRefs(k, folio) - 1) return Scan.PageCount;
  countNode(k, census.cc, folio);
  census.countReferenced(folio, flags);
  return null;
}

/** What is made one folio: `1 << order` pages from `start` on, of the 2 MiB from `tableStart` on that one table maps. */
export interface CollapseRange {
  readonly mm: Mm;
  readonly start: number;
  readonly tableStart: number;
  readonly order: number;
}

/**
 * Makes one folio of what a table maps page by page: of all of it, which is then mapped by one entry, or of a part, which stays
 * mapped by the table. No lock is held. Nobody else can be in the table while it is out: faults are kept out by mmap_lock and
 * the VMA's lock, reverse walks by the anon_vma's, and walks without locks are waited for.
 */
export function* collapseHugePage(k: Kernel, range: CollapseRange, cc: CollapseControl, swapin: boolean): MaySleep<Scan> {
  // Allocating may take long, and wait for reclaim.
  const folio = yield* k.collapse.allocChargeFolio(k, cc, range.order);
  if (folio < 0) return -folio;
  const result = yield* collapseInto(k, range, cc, swapin, folio);
  if (result !== Scan.Succeed) yield* k.swap.folioPut(k, folio, "alloc");
  return result;
}

/** A charged folio, of 2 MiB unless told; or a negated `Scan`. */
export function* allocChargeFolio(k: Kernel, cc: CollapseControl, order = HPAGE_PMD_ORDER): MaySleep<number> {
  const { m } = k;
  const { khugepaged } = m.thp;
  const gfp = cc.isKhugepaged ? (khugepaged.defrag ? GFP_TRANSHUGE : GFP_TRANSHUGE_LIGHT | Gfp.KSWAPD_RECLAIM) : GFP_TRANSHUGE;
  const folio = yield* k.pageAlloc.allocFolio(k, gfp, order, targetNodes(cc));
  const whole = order === HPAGE_PMD_ORDER;
  if (folio === NO_PAGE) {
    if (whole) m.vmstat.events.thp_collapse_alloc_failed++;
    m.thp.stats(order).collapse_alloc_failed++;
    return -Scan.AllocHugePageFail;
  }
  if (whole) m.vmstat.events.thp_collapse_alloc++;
  m.thp.stats(order).collapse_alloc++;
  if (yield* k.memcg.chargeLargeFolio(k, folio, cc.memcg)) {
    if (whole) cc.memcg.counters.thpCollapseAlloc++;
    return folio;
  }
  yield* k.swap.folioPut(k, folio, "alloc");
  return -Scan.CgroupChargeFail;
}

function* collapseInto(k: Kernel, range: CollapseRange, cc: CollapseControl, swapin: boolean, folio: number): MaySleep<Scan> {
  const { mm, tableStart, order } = range;
  if (!mm.mmapLock.tryRead()) yield* mm.mmapLock.read();
  let vma = k.collapse.revalidateVma(k, mm, tableStart, cc, order);
  const found = typeof vma === "number" ? { no: vma } : yield* findPteTable(k, mm, tableStart);
  if (typeof vma === "number" || typeof found !== "number") {
    if (!mm.mmapLock.tryUnlock()) yield* mm.mmapLock.unlock();
    return typeof found === "number" ? Scan.Fail : found.no;
  }
  if (swapin) {
    const result = yield* k.collapse.collapseSwapin(k, vma, range);
    if (result !== Scan.Succeed) return result;
  }
  if (!mm.mmapLock.tryUnlock()) yield* mm.mmapLock.unlock();
  if (!mm.mmapLock.tryWrite()) yield* mm.mmapLock.write();
  vma = k.collapse.revalidateVma(k, mm, tableStart, cc, order);
  let result: Scan = typeof vma === "number" ? vma : Scan.Succeed;
  if (typeof vma !== "number") {
    yield* k.memory.vmaStartWrite(k, vma);
    const pmd = yield* findPteTable(k, mm, tableStart);
    result = typeof pmd === "number" ? yield* k.collapse.replaceTable(k, vma, range, pmd, cc, folio) : pmd.no;
  }
  yield* k.memory.mmapWriteUnlock(k, mm);
  return result;
}

/**
 * Faults in what is not there: swap is read, a device's page taken back, a page on its way waited
 * for; in less than 2 MiB nothing may be missing. mmap_lock stays held where it succeeds, and only there.
 */
export function* collapseSwapin(k: Kernel, vma: Vma, { mm, start, order }: CollapseRange): MaySleep<Scan> {
  const { m } = k;
  for (let vpn = start; vpn < start + (1 << order); vpn++) {
    if (m.point(Op.TableRead, tableObject(mm.id, vpn))) yield SWITCH;
    const ptep = m.pt.lookup(mm.pgd, vpn);
    if (ptep < 0) {
      if (!mm.mmapLock.tryUnlock()) yield* mm.mmapLock.unlock();
      return Scan.NoPteTable;
    }
    if (m.point(Op.PteRead, ptep)) yield SWITCH;
    const vmf: Vmf = { vma, vpn, addr: vpn * 4096, flags: FaultFlag.ALLOW_RETRY, ptep, origFlags: m.pt.flags(ptep), origPfn: m.pt.pfn(ptep), page: NO_PAGE, spareTable: NO_PAGE };
    if (vmf.origFlags === 0 || ptePresent(vmf.origFlags)) continue;
    if (order < HPAGE_PMD_ORDER) {
      m.thp.stats(order).collapse_exceed_swap_pte++;
      if (!mm.mmapLock.tryUnlock()) yield* mm.mmapLock.unlock();
      return Scan.ExceedSwapPte;
    }
    const fault = yield* k.memory.doSwapPage(k, vmf);
    // With a retry, the lock is gone: all may be different now.
    if ((fault & VmFault.RETRY) !== 0) return Scan.PageLock;
    if ((fault & VmFault.ERROR) !== 0) {
      if (!mm.mmapLock.tryUnlock()) yield* mm.mmapLock.unlock();
      return Scan.Fail;
    }
  }
  // What was read is in batches, where it could not be isolated.
  yield* k.swap.lruAddDrain(k);
  return Scan.Succeed;
}

/** Takes the table out, its pages into the folio, and maps that; or puts the table back. All locks but the anon_vma's are held. */
export function* replaceTable(k: Kernel, vma: Vma, range: CollapseRange, pmd: number, cc: CollapseControl, folio: number): MaySleep<Scan> {
  const { start, tableStart, order } = range;
  yield* k.collapse.keepReverseWalksOut(k, vma);
  // Only what changes is told of: the rest of the table comes back as it was before anybody can have missed it.
  const told: NotifierRange = { mm: vma.mm, startVpn: start, endVpn: start + (1 << order), event: NotifyEvent.CLEAR, owner: null };
  yield* k.mmuNotifier.invalidateRangeStart(k, told);
  const node = yield* k.collapse.pmdpCollapseFlush(k, vma, tableStart, pmd);
  yield* k.mmuNotifier.invalidateRangeEnd(k, told);
  yield* k.collapse.waitForWalksWithoutLocks(k);
  const isolated: number[] = [];
  const result = yield* k.collapse.isolatePages(k, vma, range, node, cc, isolated);
  if (result !== Scan.Succeed) {
    yield* restoreTable(k, vma, tableStart, pmd, node);
    yield* k.collapse.letReverseWalksIn(k, vma);
    return result;
  }
  if (order < HPAGE_PMD_ORDER) {
    yield* k.collapse.copyPages(k, vma, range, node, folio);
    yield* k.collapse.releasePages(k, isolated);
    yield* mapPart(k, vma, range, pmd, node, folio);
    // Until now: other pages of the table are neither isolated nor locked.
    yield* k.collapse.letReverseWalksIn(k, vma);
    return Scan.Succeed;
  }
  // No reverse walk finds anything here from now on, and who has another way to these pages finds them isolated and locked.
  yield* k.collapse.letReverseWalksIn(k, vma);
  yield* k.collapse.copyPages(k, vma, range, node, folio);
  yield* k.collapse.releasePages(k, isolated);
  yield* mapCollapsed(k, vma, start, pmd, node, folio);
  return Scan.Succeed;
}

export function* keepReverseWalksOut(_k: Kernel, { anonVma }: Vma): MaySleep<void> {
  if (!anonVma!.lock.tryWrite()) yield* anonVma!.lock.write();
}

export function* letReverseWalksIn(_k: Kernel, { anonVma }: Vma): Atomic<void> {
  if (!anonVma!.lock.tryUnlock()) yield* anonVma!.lock.unlock();
}

/** Takes the pointer to a table out, and what the table maps out of all TLBs; the table. */
export function* pmdpCollapseFlush(k: Kernel, vma: Vma, start: number, pmd: number): Atomic<number> {
  const { m } = k;
  const ptl = m.pt.lockOf(pmd);
  if (!ptl.tryLock()) yield* ptl.lock();
  if (m.point(Op.TableWrite, tableObject(vma.mm.id, start))) yield SWITCH;
  m.touches(Op.PteWrite, pmd);
  const node = m.pt.child(pmd);
  m.pt.clear(pmd);
  m.sink?.emit(Event.SetPte, pmd, 0, 0, start);
  yield* k.collapse.flushCollapsed(k, vma.mm);
  if (!ptl.tryUnlock()) yield* ptl.unlock();
  return node;
}

/** A fence for an address reaches leaf entries alone on riscv, and a table is none: so all goes. */
export function* flushCollapsed(k: Kernel, mm: Mm): Atomic<void> {
  yield* k.tlbflush.flushTlbMm(k, mm);
}

/** Until nobody who has found the table without a lock (`gupFast`) is in it any more. */
export function* waitForWalksWithoutLocks(k: Kernel): MaySleep<void> {
  yield* k.rcu.synchronizeRcu(k);
}

function* restoreTable(k: Kernel, vma: Vma, start: number, pmd: number, node: number): Atomic<void> {
  const { m } = k;
  const ptl = m.pt.lockOf(pmd);
  if (!ptl.tryLock()) yield* ptl.lock();
  if (m.point(Op.TableWrite, tableObject(vma.mm.id, start))) yield SWITCH;
  m.touches(Op.PteWrite, pmd);
  m.pt.setChild(pmd, node);
  m.sink?.emit(Event.SetPte, pmd, PTE.V, node, start);
  if (m.config.checking) k.tlbflush.prefetchTable(k, vma.mm, start, node);
  if (!ptl.tryUnlock()) yield* ptl.unlock();
}

/**
 * Locks every folio that the table has there and takes it off its list, so that none gets another
 * reference. Each then has the caller's at site "isolate"; where it fails, all are let go again.
 */
export function* isolatePages(
  k: Kernel,
  vma: Vma,
  { start, order }: CollapseRange,
  node: number,
  cc: CollapseControl,
  isolated: number[],
): MaySleep<Scan> {
  const { m } = k;
  const first = entryOf(node, start);
  const census = new Census(k, cc, vma, order);
  const ptl = m.pt.lockOf(first);
  if (!ptl.tryLock()) yield* ptl.lock();
  let result: Scan | null = null;
  for (let i = 0; i < 1 << order && result === null; i++) result = yield* isolateEntry(k, first + i, order, census, isolated);
  if (!ptl.tryUnlock()) yield* ptl.unlock();
  if (result === null && cc.isKhugepaged && census.referenced === 0) result = Scan.LackReferencedPage;
  if (result === null) return Scan.Succeed;
  yield* k.collapse.releasePages(k, isolated);
  return result;
}

function* isolateEntry(k: Kernel, ptep: number, order: number, census: Census, isolated: number[]): Atomic<Scan | null> {
  const { m } = k;
  const { memmap } = m;
  if (m.pt.isNone(ptep)) return census.countNone();
  if (m.point(Op.PteRead, ptep)) yield SWITCH;
  const flags = m.pt.flags(ptep);
  if (!ptePresent(flags)) return Scan.PteNonPresent;
  if ((flags & PTE.UFFD_WP) !== 0) return Scan.PteUffdWp;
  if ((flags & PTE.SPECIAL) !== 0) return census.countNone();
  const folio = memmap.folioOf(memmap.pfnToPage(m.pt.pfn(ptep)));
  if (memmap.isZoneDevice(folio)) return Scan.PageNull;
  if (!memmap.isAnon(folio)) return Scan.PageAnon;
  if (census.isLazyfree(folio, flags)) return Scan.PageLazyfree;
  if (m.point(Op.MapCount, folio)) yield SWITCH;
  const shared = census.countShared(folio);
  if (shared !== null) return shared;
  if (order < HPAGE_PMD_ORDER && memmap.folioPages(folio) >= 1 << order) return Scan.PteMappedHugepage;
  census.countReferenced(folio, flags);
  if (isolated.length > 0 && memmap.isLarge(folio) && isolated.includes(folio)) return null;
  if (!(yield* k.folioLock.folioTrylock(k, folio))) return Scan.PageLock;
  const refused = yield* k.collapse.isolateLocked(k, folio);
  if (refused === null) isolated.push(folio);
  else yield* k.folioLock.folioUnlock(k, folio);
  return refused;
}

/** The entry for a page in the table that maps the 2 MiB around it. */
function entryOf(node: number, vpn: number): number {
  return node * PTRS_PER_TABLE + (vpn % PTRS_PER_TABLE);
}

/** Whoever has a reference could write to the page, past the copy. */
export function* isolateLocked(k: Kernel, folio: number): Atomic<Scan | null> {
  const { m } = k;
  if (m.point(Op.RefCompare, folio)) yield SWITCH;
  if (m.memmap.refcount[folio] !== k.rmap.expectedRefs(k, folio) - 1) return Scan.PageCount;
  return (yield* k.swap.folioIsolateLru(k, folio)) ? null : Scan.DelPageLru;
}

/** Copies what the table maps, or zeros, and takes the entries out; the old pages lose the mapping, and their reference of it. */
export function* copyPages(k: Kernel, vma: Vma, { start, order }: CollapseRange, node: number, folio: number): MaySleep<void> {
  const { m } = k;
  const { memmap } = m;
  for (let i = 0; i < 1 << order; i++) {
    const ptep = entryOf(node, start) + i;
    const none = m.pt.isNone(ptep);
    if (!none && m.point(Op.PteRead, ptep)) yield SWITCH;
    if (none || (m.pt.flags(ptep) & PTE.SPECIAL) !== 0) {
      m.ram.clear(folio + i);
      vma.mm.addRss(RssKind.anon, 1);
      if (none) continue;
      k.ksm.ksmMightUnmapZeroPage(k, vma.mm, m.pt.flags(ptep), m.pt.pfn(ptep));
      yield* clearEntry(k, start + i, ptep);
      continue;
    }
    const page = memmap.pfnToPage(m.pt.pfn(ptep));
    const src = memmap.folioOf(page);
    if (m.point(Op.FrameRead, page)) yield SWITCH;
    m.ram.copy(folio + i, page);
    yield* clearEntry(k, start + i, ptep);
    yield* k.rmap.folioRemoveRmapPte(k, src, page, vma);
    yield* k.swap.folioPutUnowned(k, src);
    if ((i & 31) === 31) yield* m.sched.condResched();
  }
}

/** Nobody finds the entry any more but by its table's lock. */
function* clearEntry(k: Kernel, vpn: number, ptep: number): Atomic<void> {
  const ptl = k.m.pt.lockOf(ptep);
  if (!ptl.tryLock()) yield* ptl.lock();
  yield* k.memory.ptepGetAndClear(k, vpn, ptep);
  if (!ptl.tryUnlock()) yield* ptl.unlock();
}

/** Lets go of what was isolated: those that nobody else has are freed. */
export function* releasePages(k: Kernel, isolated: readonly number[]): Atomic<void> {
  for (const folio of isolated) {
    yield* k.folioLock.folioUnlock(k, folio);
    if (k.m.memmap.has(folio, PG.swapcache)) yield* k.swapfile.freeSwapCache(k, folio);
    yield* k.vmscan.putbackFolios(k, [folio]);
  }
}

/** Entries for each page of a folio that is a part of what the table maps, and the table back in its place. */
function* mapPart(k: Kernel, vma: Vma, { start, tableStart, order }: CollapseRange, pmd: number, node: number, folio: number): Atomic<void> {
  const { m } = k;
  const { memmap } = m;
  const first = entryOf(node, start);
  const pages = 1 << order;
  yield* restoreTable(k, vma, tableStart, pmd, node);
  const ptl = m.pt.lockOf(first);
  if (!ptl.tryLock()) yield* ptl.lock();
  if (m.point(Op.RefGet, folio)) yield SWITCH;
  memmap.refcount[folio]! += pages - 1;
  k.rmap.folioAddNewAnonRmap(k, folio, vma, start);
  yield* k.mlockFolio.folioAddLruVma(k, folio, vma);
  const flags = maybeMkwrite(vmPageProt(vma.flags), vma.flags) | PTE.D | PTE.SOFT_DIRTY;
  for (let i = 0; i < pages; i++) yield* k.memory.setPteAt(k, vma.mm, start + i, first + i, flags, memmap.pageToPfn(folio + i));
  m.refs?.put(folio, "alloc");
  if (!ptl.tryUnlock()) yield* ptl.unlock();
}

/** One entry for all, with the table set aside for when it is split. */
function* mapCollapsed(k: Kernel, vma: Vma, start: number, pmd: number, node: number, folio: number): Atomic<void> {
  const { m } = k;
  const { mm } = vma;
  const ptl = m.pt.lockOf(pmd);
  if (!ptl.tryLock()) yield* ptl.lock();
  k.rmap.folioAddNewAnonRmapPmd(k, folio, vma, start);
  yield* k.mlockFolio.folioAddLruVma(k, folio, vma);
  mm.depositedTables.push(m.pt.releaseNode(node));
  const flags = maybeMkwrite(vmPageProt(vma.flags), vma.flags) | PTE.D | PTE.SOFT_DIRTY;
  yield* k.memory.setPteAt(k, mm, start, pmd, flags, m.memmap.pageToPfn(folio));
  m.refs?.put(folio, "alloc");
  if (!ptl.tryUnlock()) yield* ptl.unlock();
}
