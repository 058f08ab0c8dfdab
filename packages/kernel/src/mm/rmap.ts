/**
 * @linux mm/rmap.c
 * @omits What came of one VMA by fork shares one anon_vma: there are no chains of them (`anon_vma_clone()`,
 *   `anon_vma_fork()`), and a reverse walk visits more VMAs, parents first.
 * @omits The VMAs of an anon_vma and of a file are in a list, not in an interval tree: a walk meets those of a file
 *   in the order in which they were mapped.
 * @omits `folio_mkclean()`: no file system here writes back, so no entry is write-protected to hear of the next
 *   store.
 * @omits Batches: the pages of a large folio are added, removed and unmapped one entry at a time, each with a step
 *   of its own.
 * @omits Entries above PMDs (`folio_add_file_rmap_pud()`).
 * @own dropMapping, dropPmdMapping, exclusiveMissed, exclusiveReplacePte, exclusiveSupported, expectedRefs,
 *   folioAddNewAnonRmapPmd, folioDupAnonRmapPmd, folioDupAnonRmapPte, folioNotifierRange, lockMissed,
 *   maybeMappedShared, migratedPte, rssKind, setExclusivePte, setMigrationPte, splitMigrationPmd, splitRmapPmd,
 *   tryShareAnonRmap, unmapOneOfFile, unmapOneToSwap
 */
import { SWITCH, type Atomic, type MaySleep } from "../kernel/coroutine.js";
import { Errno } from "../kernel/errno.js";
import { Op, tableObject } from "../kernel/op.js";
import { TaskState } from "../kernel/sched.js";
import type { Kernel } from "../kernel.js";
import { HPAGE_PMD_NR, HPAGE_PMD_ORDER, PTE, ptePresent } from "../arch/pgtable.js";
import { Event } from "../trace.js";
import { FollFlag } from "./gup_flags.js";
import { RssKind, VM, VM_SPECIAL, type Mm, type Vma } from "./mm_types.js";
import { NotifyEvent, type NotifierRange } from "./mmu_notifier.js";
import { MAPPING_ANON, PG } from "./page.js";
import { releaseWalk, startWalk } from "./page_vma_mapped.js";
import { makeSwap, restoredBits } from "./swapops.js";
import { trapped } from "./uffd_rwp.js";
import { isUffdWp } from "./uffd_wp.js";
import { vmPageProt } from "./vm_prot.js";

/* Who may map a folio. */

/** Gives the VMA an anon_vma; mmap_lock is held at least for reading. */
export function* anonVmaPrepare(k: Kernel, vma: Vma): MaySleep<void> {
  const { m } = k;
  const { mm } = vma;
  if (vma.anonVma !== null) return;
  // A neighbour that could be merged with shares its anon_vma, so that merging stays possible.
  const neighbour = k.mmap.findMergeableAnonVma(k, mm, vma);
  const candidate = neighbour?.anonVma ?? m.anonVmas.create();
  const id = neighbour?.anonId ?? m.anonVmas.newId();
  if (!candidate.lock.tryWrite()) yield* candidate.lock.write();
  if (!mm.pageTableLock.tryLock()) yield* mm.pageTableLock.lock();
  if (vma.anonVma === null) {
    vma.anonVma = candidate;
    vma.anonId = id;
    candidate.vmas.add(vma);
  }
  if (!mm.pageTableLock.tryUnlock()) yield* mm.pageTableLock.unlock();
  if (!candidate.lock.tryUnlock()) yield* candidate.lock.unlock();
  // Another fault was faster.
  if (candidate.vmas.size === 0) m.anonVmas.drop(candidate);
}

/** A new folio gets its first mappings, page by page: nobody else can see it yet, so there is no point. */
export function folioAddNewAnonRmap(k: Kernel, folio: number, vma: Vma, vpn: number): void {
  const { memmap } = k.m;
  k.m.touches(Op.MapCount, folio);
  const pages = memmap.folioPages(folio);
  memmap.flags[folio]! |= newAnonFlags(vma);
  memmap.addPteMapping(folio, folio, vma.mm.id, 1);
  for (let page = folio + 1; page < folio + pages; page++) {
    memmap.flags[page]! |= PG.anonExclusive;
    memmap.addPteMapping(folio, page, vma.mm.id, 1);
  }
  memmap.mapping[folio] = (vma.anonVma!.id << 1) | MAPPING_ANON;
  memmap.index[folio] = vma.linearIndex(vpn);
  if (pages > 1) k.m.thp.stats(memmap.order[folio]!).nr_anon++;
  accountAnonMapped(k, folio, pages);
}

/** What may be dropped is of the kind that MADV_FREE makes: it never goes to swap. */
function newAnonFlags(vma: Vma): number {
  const flags = PG.uptodate | PG.anonExclusive;
  return (vma.flags & VM.DROPPABLE) !== 0 ? flags : flags | PG.swapbacked;
}

/** The same for a folio that one PMD entry maps as a whole. */
export function folioAddNewAnonRmapPmd(k: Kernel, folio: number, vma: Vma, vpn: number): void {
  const { memmap } = k.m;
  memmap.flags[folio]! |= newAnonFlags(vma);
  memmap.addPmdMapping(folio, vma.mm.id, 1);
  memmap.mapping[folio] = (vma.anonVma!.id << 1) | MAPPING_ANON;
  memmap.index[folio] = vma.linearIndex(vpn);
  k.m.thp.stats(HPAGE_PMD_ORDER).nr_anon++;
  accountAnonMapped(k, folio, memmap.folioPages(folio));
  accountAnonThp(k, folio, memmap.folioPages(folio));
}

/** Pages of an anonymous folio that are mapped now and were not, or (negative) the other way round. */
function accountAnonMapped(k: Kernel, folio: number, pages: number): void {
  const { memmap, vmstat, memcgs } = k.m;
  vmstat.pages.anonMapped += pages;
  memcgs.get(memmap.memcg[folio]!).counters.anon += pages;
}

/** Pages of a folio that are mapped now and were not, or (negative) the other way round. */
function accountMapped(k: Kernel, folio: number, pages: number): void {
  if (k.m.memmap.isAnon(folio)) return accountAnonMapped(k, folio, pages);
  const { memmap, vmstat, memcgs } = k.m;
  vmstat.pages.fileMapped += pages;
  memcgs.get(memmap.memcg[folio]!).counters.fileMapped += pages;
}

/** What RSS counts the pages of a folio as (mm_counter()). */
export function rssKind(k: Kernel, folio: number): RssKind {
  const { memmap } = k.m;
  if (memmap.isAnon(folio)) return RssKind.anon;
  return memmap.has(folio, PG.swapbacked) ? RssKind.shmem : RssKind.file;
}

/** Another mapping of a page of a file. */
export function* folioAddFileRmapPte(k: Kernel, folio: number, page: number, vma: Vma): Atomic<void> {
  const { m } = k;
  const { memmap } = m;
  if (m.point(Op.MapCount, folio)) yield SWITCH;
  if (memmap.pageMapcount(page) === 0) accountMapped(k, folio, 1);
  memmap.addPteMapping(folio, page, vma.mm.id, 1);
}

/** How many pages of a folio no last-level entry maps. */
function withoutEntries(k: Kernel, folio: number): number {
  const { memmap } = k.m;
  let pages = 0;
  for (let page = folio; page < folio + memmap.folioPages(folio); page++) if (memmap.mapcount[page] === 0) pages++;
  return pages;
}

/** Another mapping of an anonymous folio as a whole, under its lock. */
export function* folioAddAnonRmapPmd(k: Kernel, folio: number, vma: Vma, vpn: number, exclusive: boolean): Atomic<void> {
  const { m } = k;
  const { memmap } = m;
  if (m.point(Op.MapCount, folio)) yield SWITCH;
  m.touches(Op.PageFlags, folio);
  if (memmap.entireMapcount(folio) === 0) {
    accountPmdMapped(k, folio, memmap.folioPages(folio));
    accountMapped(k, folio, withoutEntries(k, folio));
  }
  memmap.addPmdMapping(folio, vma.mm.id, 1);
  memmap.mapping[folio] = (vma.anonVma!.id << 1) | MAPPING_ANON;
  memmap.index[folio] = vma.linearIndex(vpn);
  if (exclusive) memmap.set(folio, PG.anonExclusive);
  if ((vma.flags & VM.LOCKED) !== 0 && !memmap.isZoneDevice(folio)) yield* k.mlockFolio.mlockFolio(k, folio);
}

/** Another mapping of a folio of a file as a whole. */
export function* folioAddFileRmapPmd(k: Kernel, folio: number, vma: Vma): Atomic<void> {
  const { m } = k;
  if (m.point(Op.MapCount, folio)) yield SWITCH;
  if (m.memmap.entireMapcount(folio) === 0) {
    accountPmdMapped(k, folio, m.memmap.folioPages(folio));
    accountMapped(k, folio, withoutEntries(k, folio));
  }
  m.memmap.addPmdMapping(folio, vma.mm.id, 1);
}

/** Pages that are mapped by PMD entries. */
function accountPmdMapped(k: Kernel, folio: number, pages: number): void {
  if (k.m.memmap.isAnon(folio)) accountAnonThp(k, folio, pages);
  else k.m.vmstat.pages.shmemPmdMapped += pages;
}

function accountAnonThp(k: Kernel, folio: number, pages: number): void {
  const { memmap, vmstat, memcgs } = k.m;
  vmstat.pages.anonThp += pages;
  memcgs.get(memmap.memcg[folio]!).counters.anonThp += pages;
}

/** Another mapping of an anonymous page, under its folio lock (or with the page exclusive). */
export function* folioAddAnonRmapPte(
  k: Kernel,
  folio: number,
  page: number,
  vma: Vma,
  vpn: number,
  exclusive: boolean,
): Atomic<void> {
  const { m } = k;
  const { memmap } = m;
  if (m.point(Op.MapCount, folio)) yield SWITCH;
  if (memmap.pageMapcount(page) === 0) accountAnonMapped(k, folio, 1);
  memmap.addPteMapping(folio, page, vma.mm.id, 1);
  // A KSM page is found by its stable node.
  if (!memmap.isKsm(folio)) {
    memmap.mapping[folio] = (vma.anonVma!.id << 1) | MAPPING_ANON;
    memmap.index[folio] = vma.linearIndex(vpn) - (page - folio);
  }
  if (exclusive) memmap.set(page, PG.anonExclusive);
  if ((vma.flags & VM.LOCKED) !== 0) yield* k.mlockFolio.mlockVmaFolio(k, folio, vma);
}

/** A child, whose VMA is `dst`, maps an anonymous page, too, under the parent's page-table lock: neither of them has it alone. */
export function* folioDupAnonRmapPte(k: Kernel, folio: number, page: number, dst: Vma): Atomic<void> {
  const { m } = k;
  if (m.point(Op.MapCount, folio)) yield SWITCH;
  m.touches(Op.PageFlags, folio);
  m.memmap.addPteMapping(folio, page, dst.mm.id, 1);
  m.memmap.clear(page, PG.anonExclusive);
}

/** The same for a folio that a PMD entry maps as a whole. */
export function* folioDupAnonRmapPmd(k: Kernel, folio: number, dst: Vma): Atomic<void> {
  const { m } = k;
  if (m.point(Op.MapCount, folio)) yield SWITCH;
  m.touches(Op.PageFlags, folio);
  m.memmap.addPmdMapping(folio, dst.mm.id, 1);
  m.memmap.clear(folio, PG.anonExclusive);
}

/** A mapping is gone. The reference that it had is still there. */
export function* folioRemoveRmapPte(k: Kernel, folio: number, page: number, vma: Vma): Atomic<void> {
  if (k.m.point(Op.MapCount, folio)) yield SWITCH;
  k.rmap.dropMapping(k, folio, page, vma);
  if ((vma.flags & VM.LOCKED) !== 0) yield* k.mlockFolio.munlockVmaFolio(k, folio, vma);
}

/** The step of `folioRemoveRmapPte` itself, for callers that have passed its point. */
export function dropMapping(k: Kernel, folio: number, page: number, vma: Vma): void {
  const { memmap } = k.m;
  memmap.addPteMapping(folio, page, vma.mm.id, -1);
  if (memmap.pageMapcount(page) !== 0) return;
  accountMapped(k, folio, -1);
  // One in the swap cache is on its way out as a whole.
  if (memmap.isLarge(folio) && memmap.isAnon(folio) && memmap.folioMapcount(folio) > 0 && !memmap.has(folio, PG.swapcache)) k.hugeMemory.deferredSplitFolio(k, folio);
}

/** A mapping of the whole folio by a PMD entry is gone; the caller has announced it. */
export function dropPmdMapping(k: Kernel, folio: number, vma: Vma): void {
  const { memmap } = k.m;
  const pages = memmap.folioPages(folio);
  memmap.addPmdMapping(folio, vma.mm.id, -1);
  if (memmap.entireMapcount(folio) > 0) return;
  accountPmdMapped(k, folio, -pages);
  const unmapped = withoutEntries(k, folio);
  accountMapped(k, folio, -unmapped);
  if (unmapped > 0 && unmapped < pages && memmap.isAnon(folio)) k.hugeMemory.deferredSplitFolio(k, folio);
}

/** One mapping of the whole folio becomes one of each page; the caller has announced it. */
export function splitRmapPmd(k: Kernel, folio: number, vma: Vma): void {
  const { memmap } = k.m;
  const pages = memmap.folioPages(folio);
  const exclusive = memmap.has(folio, PG.anonExclusive);
  for (let page = folio; page < folio + pages; page++) {
    memmap.addPteMapping(folio, page, vma.mm.id, 1);
    if (exclusive) memmap.set(page, PG.anonExclusive);
  }
  memmap.addPmdMapping(folio, vma.mm.id, -1);
  if (memmap.entireMapcount(folio) === 0) accountAnonThp(k, folio, -pages);
}

/**
 * What a reverse walk does in each VMA that may map the folio; false ends the walk. One that is made for each walk is no generator
 * function itself: engines make a class of its own for the generators of each, and the walk meets one that it has never seen.
 */
export type RmapOne = (k: Kernel, folio: number, vma: Vma, vpn: number) => MaySleep<boolean>;

/** Visits every VMA that may map a folio. The caller holds the folio lock. */
export function* rmapWalk(k: Kernel, folio: number, one: RmapOne): MaySleep<void> {
  if (k.m.memmap.isFile(folio)) yield* k.rmap.rmapWalkFile(k, folio, one);
  else if (k.m.memmap.isKsm(folio)) yield* k.ksm.rmapWalkKsm(k, folio, one);
  else yield* k.rmap.rmapWalkAnon(k, folio, one);
}

/** Visits every VMA that may map a folio of a file. */
export function* rmapWalkFile(k: Kernel, folio: number, one: RmapOne): MaySleep<void> {
  const { memmap } = k.m;
  const mapping = k.filemap.folioMapping(k, folio)!;
  if (!mapping.lock.tryRead()) yield* mapping.lock.read();
  for (const vma of mapping.vmas) {
    const vpn = vma.startVpn + (memmap.index[folio]! - vma.pgoff);
    if (vpn + memmap.folioPages(folio) <= vma.startVpn || vpn >= vma.endVpn) continue;
    if (!(yield* one(k, folio, vma, vpn))) break;
  }
  if (!mapping.lock.tryUnlock()) yield* mapping.lock.unlock();
}

/** Visits every VMA that may map an anonymous folio. */
export function* rmapWalkAnon(k: Kernel, folio: number, one: RmapOne): MaySleep<void> {
  const { m } = k;
  const { memmap } = m;
  const anonVma = memmap.isAnon(folio) ? m.anonVmas.get(memmap.mapping[folio]! >> 1) : undefined;
  if (anonVma === undefined) return;
  if (!anonVma.lock.tryRead()) yield* anonVma.lock.read();
  for (const vma of anonVma.vmas) {
    const vpn = vma.startVpn + (memmap.index[folio]! - vma.pgoff);
    if (vpn + memmap.folioPages(folio) <= vma.startVpn || vpn >= vma.endVpn) continue;
    if (!(yield* one(k, folio, vma, vpn))) break;
  }
  if (!anonVma.lock.tryUnlock()) yield* anonVma.lock.unlock();
}

/** The page number at which a VMA would map a page of an anonymous folio; -1 where it cannot: those of KSM pages are not found by the VMA. */
export function pageAddressInVma(k: Kernel, folio: number, page: number, vma: Vma): number {
  const { memmap } = k.m;
  if (vma.anonVma === null || memmap.mapping[folio] !== ((vma.anonVma.id << 1) | MAPPING_ANON)) return -1;
  const vpn = vma.startVpn + (memmap.index[folio]! + (page - folio) - vma.pgoff);
  return vpn >= vma.startVpn && vpn < vma.endVpn ? vpn : -1;
}

/**
 * Whether others than one of the address spaces that map a folio may map it, too: a small one that is mapped more than once, a
 * large one as it is known of its owners.
 */
export function* folioMaybeMappedShared(k: Kernel, folio: number): Atomic<boolean> {
  if (k.m.point(Op.MapCount, folio)) yield SWITCH;
  return k.rmap.maybeMappedShared(k, folio);
}

/** The step of `folioMaybeMappedShared` itself. */
export function maybeMappedShared(k: Kernel, folio: number): boolean {
  const { memmap } = k.m;
  if (memmap.folioMapcount(folio) <= 1) return false;
  return !memmap.isLarge(folio) || memmap.has(folio, PG.hugetlb) || memmap.owners.maybeShared(folio);
}

/* Reclaim asks who used a folio, and takes it out of the page tables. */

/** What `folioReferenced` says of a folio that a locked VMA maps. */
export const LOCKED_VMA = -1;

/**
 * How many mappings have used the folio since it was last asked, by CPUs or by devices: clears their accessed bits, and makes
 * devices forget. One more where idle page tracking has found it used. Not flushed from the TLBs: a stale bit costs reclaim some
 * precision, nothing else. LOCKED_VMA where a locked VMA maps it: then it is marked so, if all of it is in there.
 * @omits Giving up where the lock of an anon_vma or a file is contended: it waits.
 * @omits The cgroup that is reclaimed for: uses by others count as well.
 */
export function* folioReferenced(k: Kernel, folio: number): MaySleep<number> {
  const { m } = k;
  if (m.point(Op.MapCount, folio)) yield SWITCH;
  if (m.memmap.folioMapcount(folio) === 0) return 0;
  const found = { referenced: 0 };
  yield* k.rmap.rmapWalk(k, folio, (_k, _folio, vma, vpn) => referencedOne(k, folio, vma, vpn, found));
  return found.referenced;
}

/** One VMA's share of `folioReferenced`. */
function* referencedOne(k: Kernel, folio: number, vma: Vma, vpn: number, found: { referenced: number }): MaySleep<boolean> {
  const { m } = k;
  if (!vma.hasRecency) return true;
  if ((vma.flags & VM.LOCKED) !== 0) {
    if (!(yield* k.rmap.lockMissed(k, folio, vma, vpn))) return true;
    found.referenced = LOCKED_VMA;
    return false;
  }
  const walk = startWalk(k, folio, vma, vpn);
  while (yield* k.pageVmaMapped.pageVmaMappedWalk(k, walk)) {
    if (!ptePresent(m.pt.flags(walk.entry))) continue;
    const old = yield* k.memory.ptepModify(k, vma.mm, walk.vpn, walk.entry, (flags) => flags & ~PTE.A);
    const device = yield* k.mmuNotifier.mmuNotifierClearFlushYoung(k, vma.mm, walk.vpn, walk.huge ? walk.vpn + HPAGE_PMD_NR : walk.vpn + 1);
    if ((old & PTE.A) !== 0 || device) found.referenced++;
  }
  if (!m.memmap.has(folio, PG.idle | PG.young)) return true;
  if (m.point(Op.PageFlags, folio)) yield SWITCH;
  if (found.referenced > 0) m.memmap.clear(folio, PG.idle);
  if (m.memmap.has(folio, PG.young)) found.referenced++;
  m.memmap.clear(folio, PG.young);
  return true;
}

/**
 * Reclaim meets a locked VMA: false when no entry of it maps the folio. Where entries of one table map
 * all of it, or it is a single page, the folio is marked as the VMA's locking should have done.
 */
export function* lockMissed(k: Kernel, folio: number, vma: Vma, vpn: number): Atomic<boolean> {
  const { memmap } = k.m;
  const pages = memmap.folioPages(folio);
  const walk = startWalk(k, folio, vma, vpn);
  let found = 0;
  let first = 0;
  while (yield* k.pageVmaMapped.pageVmaMappedWalk(k, walk)) {
    if (found === 0) first = walk.vpn;
    found++;
    const oneTable = (first | (HPAGE_PMD_NR - 1)) === (walk.vpn | (HPAGE_PMD_NR - 1));
    if (walk.huge || (found === pages && oneTable)) {
      if ((vma.flags & VM_SPECIAL) === 0) yield* k.mlockFolio.mlockFolio(k, folio);
      break;
    }
  }
  yield* releaseWalk(walk);
  return found > 0;
}

/**
 * Replaces every mapping of a folio in the swap cache by a swap entry, and clears those of a page of
 * a file. True when none is left.
 * The caller holds the folio lock. With `ignoreMlock` (TTU_IGNORE_MLOCK) locked VMAs count as any other: for whoever keeps what
 * is mapped in RAM, where the next fault finds it.
 */
export function* tryToUnmap(k: Kernel, folio: number, ignoreMlock = false): MaySleep<boolean> {
  const { m } = k;
  yield* k.rmap.rmapWalk(k, folio, (_k, _folio, vma, vpn) => k.rmap.tryToUnmapOne(k, folio, vma, vpn, ignoreMlock));
  if (m.point(Op.MapCount, folio)) yield SWITCH;
  return m.memmap.folioMapcount(folio) === 0;
}

/**
 * One VMA's share of `tryToUnmap`. A device-exclusive entry is in no TLB, so nothing is flushed for
 * it: the notifier has told the device. What a locked VMA maps stays where it is, unless `ignoreMlock` says otherwise.
 */
export function* tryToUnmapOne(k: Kernel, folio: number, vma: Vma, vpn: number, ignoreMlock = false): MaySleep<boolean> {
  const range = k.rmap.folioNotifierRange(k, folio, vma, vpn);
  yield* k.mmuNotifier.invalidateRangeStart(k, range);
  if (!ignoreMlock && (vma.flags & VM.LOCKED) !== 0 && (yield* k.rmap.lockMissed(k, folio, vma, vpn))) {
    yield* k.mmuNotifier.invalidateRangeEnd(k, range);
    return false;
  }
  const walk = startWalk(k, folio, vma, vpn);
  while (yield* k.pageVmaMapped.pageVmaMappedWalk(k, walk)) {
    // Swap entries are single: 2 MiB mapped as one are split first, then met page by page.
    if (walk.huge) yield* k.pageVmaMapped.splitAndRestart(k, walk);
    else if (k.m.memmap.isAnon(folio)) {
      if (yield* k.rmap.unmapOneToSwap(k, vma, walk.vpn, folio, walk.page, walk.entry)) continue;
      yield* releaseWalk(walk);
      break;
    }
    else yield* k.rmap.unmapOneOfFile(k, vma, walk.vpn, folio, walk.page, walk.entry);
  }
  if ((vma.flags & VM.LOCKED) !== 0) yield* drainLocked(k);
  yield* k.mmuNotifier.invalidateRangeEnd(k, range);
  return true;
}

/** What notifiers are told when the mappings of a folio in a VMA go. */
export function folioNotifierRange(k: Kernel, folio: number, vma: Vma, vpn: number): NotifierRange {
  return {
    mm: vma.mm,
    startVpn: Math.max(vpn, vma.startVpn),
    endVpn: Math.min(vpn + k.m.memmap.folioPages(folio), vma.endVpn),
    event: NotifyEvent.CLEAR,
    owner: null,
  };
}

/**
 * Whether a page that only this mapping has may be shared from now on: not while it is pinned. The entry is clear, so
 * that who pins it without locks sees that, or is seen here.
 */
export function* tryShareAnonRmap(k: Kernel, folio: number, page: number): Atomic<boolean> {
  const { memmap } = k.m;
  if (!memmap.has(page, PG.anonExclusive)) return true;
  if (k.m.point(Op.RefCompare, folio)) yield SWITCH;
  if (memmap.isPinned(folio)) return false;
  memmap.clear(page, PG.anonExclusive);
  return true;
}

/** Under the page-table lock: the entry of one page becomes a swap entry; false, and as it was, where the page is pinned. */
export function* unmapOneToSwap(
  k: Kernel,
  vma: Vma,
  vpn: number,
  folio: number,
  page: number,
  ptep: number,
): Atomic<boolean> {
  const { m } = k;
  const { memmap } = m;
  const slot = memmap.private[folio]! + (page - folio);
  const [flags, pfn] = yield* k.tlbBatch.ptepClearDeferred(k, vma, vpn, ptep);
  const exclusive = memmap.has(page, PG.anonExclusive);
  if (!(yield* k.rmap.tryShareAnonRmap(k, folio, page))) {
    yield* k.memory.setPteAt(k, vma.mm, vpn, ptep, flags, pfn);
    return false;
  }
  if ((flags & PTE.D) !== 0 && ptePresent(flags)) memmap.set(folio, PG.dirty);
  if (m.point(Op.SwapMap, slot)) yield SWITCH;
  m.swap.count[slot]!++;
  vma.mm.addRss(RssKind.anon, -1);
  vma.mm.addRss(RssKind.swap, 1);
  yield* k.memory.setPteAt(k, vma.mm, vpn, ptep, makeSwap(flags, exclusive), slot);
  yield* k.rmap.folioRemoveRmapPte(k, folio, page, vma);
  yield* k.swap.folioPutUnowned(k, folio);
  return true;
}

/** Under the page-table lock: the entry of a page of a file goes, which the file still has. */
export function* unmapOneOfFile(k: Kernel, vma: Vma, vpn: number, folio: number, page: number, ptep: number): Atomic<void> {
  const { m } = k;
  const [flags] = yield* k.tlbBatch.ptepClearDeferred(k, vma, vpn, ptep);
  if (m.point(Op.PageFlags, folio)) yield SWITCH;
  if ((flags & PTE.D) !== 0) m.memmap.set(folio, PG.dirty);
  vma.mm.addRss(k.rmap.rssKind(k, folio), -1);
  if (isUffdWp(vma, flags)) yield* k.uffdWp.installMarker(k, vma, vpn, ptep);
  yield* k.rmap.folioRemoveRmapPte(k, folio, page, vma);
  yield* k.swap.folioPutUnowned(k, folio);
}

/* Migration takes a folio out of the page tables, and puts another in. */

/** Puts migration entries in place of every mapping of a folio; with `splitPmds`, such for single pages alone. The caller holds the folio lock. */
export function* tryToMigrate(k: Kernel, folio: number, splitPmds = false): MaySleep<void> {
  yield* k.rmap.rmapWalk(k, folio, (_k, _folio, vma, vpn) => k.rmap.tryToMigrateOne(k, folio, vma, vpn, splitPmds));
}

/** One VMA's share of `tryToMigrate`; false when it has an entry that cannot be replaced. */
export function* tryToMigrateOne(k: Kernel, folio: number, vma: Vma, vpn: number, splitPmds = false): MaySleep<boolean> {
  const range = k.rmap.folioNotifierRange(k, folio, vma, vpn);
  let replaced = true;
  yield* k.mmuNotifier.invalidateRangeStart(k, range);
  const walk = startWalk(k, folio, vma, vpn);
  while (replaced && (yield* k.pageVmaMapped.pageVmaMappedWalk(k, walk))) {
    if (walk.huge && splitPmds) yield* k.pageVmaMapped.splitAndRestart(k, walk);
    else if (walk.huge) replaced = yield* k.hugeMigrate.setMigrationPmd(k, vma, walk.vpn, folio, walk.entry);
    else replaced = yield* k.rmap.setMigrationPte(k, vma, walk.vpn, folio, walk.page, walk.entry);
  }
  if (!replaced) yield* k.pageVmaMapped.releaseWalk(walk);
  if ((vma.flags & VM.LOCKED) !== 0) yield* drainLocked(k);
  yield* k.mmuNotifier.invalidateRangeEnd(k, range);
  return replaced;
}

/** So that the references of this CPU's mlock batch do not keep a folio from moving. */
function* drainLocked(k: Kernel): Atomic<void> {
  yield* k.mlockFolio.mlockDrain(k, k.m.cpu);
}

/**
 * Under the page-table lock: clears and flushes an entry, ordinary or device-exclusive, then
 * writes the migration entry for it, which has neither map count nor reference. RSS counts it all
 * the same. False, and nothing done, for an entry that cannot be replaced.
 */
export function* setMigrationPte(
  k: Kernel,
  vma: Vma,
  vpn: number,
  folio: number,
  page: number,
  ptep: number,
): Atomic<boolean> {
  const { m } = k;
  const { memmap } = m;
  const [flags, pfn] = yield* k.memory.ptepClearFlush(k, vma, vpn, ptep);
  if (m.point(Op.PageFlags, folio)) yield SWITCH;
  if (ptePresent(flags) && (flags & PTE.D) !== 0) memmap.set(folio, PG.dirty);
  const entry = k.swapops.makeMigration(k, flags, memmap.has(page, PG.anonExclusive));
  if (!(yield* k.rmap.tryShareAnonRmap(k, folio, page))) {
    yield* k.memory.setPteAt(k, vma.mm, vpn, ptep, flags, pfn);
    return false;
  }
  yield* k.memory.setPteAt(k, vma.mm, vpn, ptep, entry, memmap.pageToPfn(page));
  yield* k.rmap.folioRemoveRmapPte(k, folio, page, vma);
  yield* k.swap.folioPutUnowned(k, folio);
  return true;
}

/** One VMA's share of `removeMigrationPtes`, and on to the next: ordinary entries for `dst` where migration entries for `src` stand. */
export function* removeMigrationPte(
  k: Kernel,
  src: number,
  dst: number,
  vma: Vma,
  vpn: number,
  zeroes: boolean,
): Atomic<boolean> {
  const { m } = k;
  const { memmap } = m;
  const walk = startWalk(k, src, vma, vpn, true);
  while (yield* k.pageVmaMapped.pageVmaMappedWalk(k, walk)) {
    const old = m.pt.flags(walk.entry);
    const page = dst + (walk.page - src);
    if (walk.huge) {
      yield* k.hugeMigrate.removeMigrationPmd(k, vma, walk.vpn, dst, walk.entry);
      continue;
    }
    if (zeroes && (yield* k.rmap.tryToMapUnusedToZeropage(k, page, vma, walk.vpn, walk.entry))) continue;
    const flags = k.rmap.migratedPte(k, vma, dst, old);
    if (m.point(Op.RefGet, dst)) yield SWITCH;
    memmap.refcount[dst]!++;
    if (memmap.isAnon(dst)) yield* k.rmap.folioAddAnonRmapPte(k, dst, page, vma, walk.vpn, !k.swapops.isReadableMigration(k, old));
    else {
      yield* k.rmap.folioAddFileRmapPte(k, dst, page, vma);
      yield* k.mlockFolio.mlockVmaFolio(k, dst, vma);
    }
    yield* k.memory.setPteAt(k, vma.mm, walk.vpn, walk.entry, trapped(vma, flags), memmap.pageToPfn(page));
  }
  if ((vma.flags & VM.LOCKED) !== 0) yield* drainLocked(k);
  return true;
}

/** One VMA's share of splitting migration entries for 2 MiB into such for single pages. */
export function* splitMigrationPmd(k: Kernel, folio: number, vma: Vma, vpn: number): MaySleep<boolean> {
  const walk = startWalk(k, folio, vma, vpn, true);
  while (yield* k.pageVmaMapped.pageVmaMappedWalk(k, walk)) if (walk.huge) yield* k.pageVmaMapped.splitAndRestart(k, walk);
  return true;
}

/** The entry that maps a page of `dst` where a migration entry stands. */
export function migratedPte(k: Kernel, vma: Vma, dst: number, old: number): number {
  const { memmap } = k.m;
  const writable = k.swapops.isWritableMigration(k, old);
  if (memmap.isDevicePrivate(dst)) return k.swapops.makeDevicePrivate(k, writable, old);
  let flags = vmPageProt(vma.flags) | restoredBits(old);
  if ((old & PTE.SWP_MIG_YOUNG) === 0) flags &= ~PTE.A;
  if ((old & PTE.SWP_MIG_DIRTY) !== 0 && memmap.has(dst, PG.dirty)) flags |= PTE.D;
  return writable ? flags | PTE.W : flags;
}

/** Puts the page of zeros where a migration entry for a page of zeros stands; false where it must be the page itself. */
export function* tryToMapUnusedToZeropage(k: Kernel, page: number, vma: Vma, vpn: number, ptep: number): Atomic<boolean> {
  const { m } = k;
  if ((vma.flags & VM.LOCKED) !== 0) return false;
  if (m.point(Op.FrameRead, page)) yield SWITCH;
  if (!m.ram.isZero(page)) return false;
  const flags = vmPageProt(vma.flags) | PTE.SPECIAL | restoredBits(m.pt.flags(ptep));
  yield* k.memory.setPteAt(k, vma.mm, vpn, ptep, trapped(vma, flags), m.memmap.pageToPfn(m.zones.zeroPage));
  vma.mm.addRss(RssKind.anon, -1);
  return true;
}

/** References that mappings and the swap or page cache explain, with the caller's own. */
export function expectedRefs(k: Kernel, folio: number): number {
  const { memmap } = k.m;
  return memmap.folioMapcount(folio) + memmap.cacheRefs(folio) + 1;
}

/* Device-exclusive access. */

/** A folio that is now exclusive to a device: locked, with a reference at site "exclusive". */
export interface ExclusivePage {
  readonly page: number;
  readonly folio: number;
}

/**
 * Gives a device exclusive access to the page at `vpn`: its CPU entry becomes a device-exclusive
 * one, so that the next CPU access faults and takes the page back. The folio comes back locked and
 * referenced: while the caller holds the lock, nobody can take it back, so that is when the
 * device's own table must be set. mmap_lock is held for reading.
 *
 * `owner` is passed to the notifiers (event EXCLUSIVE). Errors: -EFAULT as GUP gives it,
 * -EOPNOTSUPP for what is not anonymous memory, -EINTR when killed.
 *
 * Rules: the 2025 series "mm: fixes for device-exclusive entries (hmm)".
 */
export function* makeDeviceExclusive(k: Kernel, mm: Mm, vpn: number, owner: object): MaySleep<ExclusivePage | number> {
  k.m.mustHold(mm.mmapLock, "make_device_exclusive");
  for (;;) {
    // Faults the page in for writing, which breaks COW and takes it back from another device.
    const page = yield* k.gup.getUserPageRemote(k, mm, vpn, FollFlag.WRITE | FollFlag.SPLIT_PMD | FollFlag.TOUCH, "exclusive");
    if (page < 0) return page;
    const folio = k.m.memmap.folioOf(page);
    const refused = k.rmap.exclusiveSupported(k, folio);
    if (refused !== 0) {
      yield* k.swap.folioPut(k, folio, "exclusive");
      return refused;
    }
    if (!k.folioLock.tryFolioLock(k, folio) && !(yield* k.folioLock.folioLock(k, folio, TaskState.Killable))) {
      yield* k.swap.folioPut(k, folio, "exclusive");
      return -Errno.EINTR;
    }
    if (yield* k.rmap.exclusiveReplacePte(k, mm, vpn, folio, page, owner)) return { page, folio };
    yield* k.folioLock.folioUnlock(k, folio);
    yield* k.swap.folioPut(k, folio, "exclusive");
    const error = yield* k.rmap.exclusiveMissed(k);
    if (error !== 0) return error;
    if (k.m.retries.again("make_device_exclusive")) yield SWITCH;
  }
}

/** 0 for what can be exclusive to a device, else the errno that says no. */
export function exclusiveSupported(k: Kernel, folio: number): number {
  return k.m.memmap.isAnon(folio) && !k.m.memmap.has(folio, PG.hugetlb) ? 0 : -Errno.EOPNOTSUPP;
}

/**
 * The entry no longer maps the page that GUP found (reclaim or migration was faster): try again,
 * rather than fail with an EBUSY that the caller could only retry as well.
 * @evidence documentation: the changelog of "mm/rmap: avoid -EBUSY from make_device_exclusive()"
 */
export function* exclusiveMissed(k: Kernel): MaySleep<number> {
  yield* k.m.sched.condResched();
  return k.m.signals.fatalPending(k.m.current!) ? -Errno.EINTR : 0;
}

/** Under the folio lock: swaps the entry for an exclusive one; false when it maps another page. */
export function* exclusiveReplacePte(
  k: Kernel,
  mm: Mm,
  vpn: number,
  folio: number,
  page: number,
  owner: object,
): MaySleep<boolean> {
  const { m } = k;
  const range: NotifierRange = { mm, startVpn: vpn, endVpn: vpn + 1, event: NotifyEvent.EXCLUSIVE, owner };
  yield* k.mmuNotifier.invalidateRangeStart(k, range);
  const vma = mm.vmaAt(vpn);
  let done = false;
  if (vma !== null) {
    if (m.point(Op.TableRead, tableObject(mm.id, vpn))) yield SWITCH;
    const ptep = m.pt.lookup(mm.pgd, vpn);
    if (ptep >= 0) {
      const ptl = m.pt.lockOf(ptep);
      if (!ptl.tryLock()) yield* ptl.lock();
      if (m.point(Op.PteRead, ptep)) yield SWITCH;
      const flags = m.pt.flags(ptep);
      if (ptePresent(flags) && (flags & PTE.W) !== 0 && m.memmap.pfnToPage(m.pt.pfn(ptep)) === page) {
        yield* k.rmap.setExclusivePte(k, vma, vpn, folio, page, ptep);
        done = true;
      }
      if (!ptl.tryUnlock()) yield* ptl.unlock();
    }
  }
  yield* k.mmuNotifier.invalidateRangeEnd(k, range);
  return done;
}

/**
 * Clears and flushes the entry, then writes the exclusive one. It keeps the mapping's reference
 * and map count, so that rmap walkers find it and the folio stays reclaimable and movable.
 */
export function* setExclusivePte(
  k: Kernel,
  vma: Vma,
  vpn: number,
  folio: number,
  page: number,
  ptep: number,
): MaySleep<void> {
  const { m } = k;
  const [flags] = yield* k.memory.ptepClearFlush(k, vma, vpn, ptep);
  if ((flags & PTE.D) !== 0) m.memmap.set(folio, PG.dirty);
  yield* k.memory.setPteAt(k, vma.mm, vpn, ptep, k.swapops.makeDeviceExclusive(k, flags), m.memmap.pageToPfn(page));
  m.sink?.emit(Event.MakeDeviceExclusive, vma.mm.id, vpn, page, 0);
}
