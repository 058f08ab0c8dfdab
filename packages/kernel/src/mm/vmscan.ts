/**
 * @linux mm/vmscan.c
 * @omits The multi-generational LRU: lists are active and inactive, as with `lru_gen` switched off.
 * @omits Scan counts balanced by what refaults and by `swappiness` (`get_scan_count()`): each list is scanned in
 *   proportion to its length.
 * @omits Shadow entries and refaults (mm/workingset.c): a page that comes back is not recognised.
 * @omits Executable pages of files that are mapped are not favoured.
 * @omits memory.low and memory.min protect nothing.
 * @omits Shrinkers are two: the queue of folios to be split, and the huge page of zeros. There is no slab to shrink.
 * @omits Throttling (`reclaim_throttle()`), demotion to slower memory, boosted watermarks, and giving up on a node
 *   that has nothing left.
 * @omits One kswapd for all nodes, and none of `node_reclaim()`.
 * @omits Dirty pages of files go to swap; no other file has any.
 * @own addToSwap, freeFrozenFolios, pageoutFile, putbackFolios, reclaimFolios, shrinkFolio, startKswapd,
 *   unbalancedZone
 */
import { SWITCH, type Atomic, type MaySleep } from "../kernel/coroutine.js";
import { Errno } from "../kernel/errno.js";
import { Op } from "../kernel/op.js";
import { Task, TaskState } from "../kernel/sched.js";
import type { Kernel } from "../kernel.js";
import { HPAGE_PMD_ORDER } from "../arch/pgtable.js";
import { Event } from "../trace.js";
import { Lru, type Lruvec } from "./lruvec.js";
import type { Memcg } from "./memcontrol.js";
import { GFP_KERNEL, gfpZone } from "./gfp.js";
import { NO_PAGE, PG } from "./page.js";
import { ZoneId } from "./zone.js";
import { LOCKED_VMA } from "./rmap.js";
import { lruvecAddFolio, lruvecDelFolio } from "./swap.js";

/** Folios taken from a list in one go. */
const SWAP_CLUSTER_MAX = 32;
const DEF_PRIORITY = 12;
/** Folios that are freed in one go: what a struct folio_batch holds. */
const FOLIO_BATCH_SIZE = 31;
const MAX_RECLAIM_RETRIES = 16;

/** On whose behalf reclaim runs; the counters are kept apart. */
export type ReclaimReason = "kswapd" | "direct" | "proactive";

interface ScanControl {
  readonly target: Memcg;
  readonly nrToReclaim: number;
  readonly reason: ReclaimReason;
  /** The highest zone whose folios are of use. */
  readonly reclaimZone: ZoneId;
  priority: number;
  nrReclaimed: number;
  nrScanned: number;
}

const STAT = { kswapd: "Kswapd", direct: "Direct", proactive: "Proactive" } as const;

/** Reclaims from everybody, for an allocation that found too little; pages reclaimed. */
export function* tryToFreePages(k: Kernel, gfp: number): MaySleep<number> {
  k.m.sink?.emit(Event.MmVmscanDirectReclaimBegin, 0, gfp, 0, 0);
  const reclaimed = yield* k.vmscan.doTryToFreePages(k, k.m.memcgs.root, SWAP_CLUSTER_MAX, "direct", gfpZone(gfp));
  k.m.sink?.emit(Event.MmVmscanDirectReclaimEnd, reclaimed, 0, 0, 0);
  return reclaimed;
}

/** Reclaims from a cgroup and those below it. */
export function* tryToFreeMemCgroupPages(
  k: Kernel,
  memcg: Memcg,
  pages: number,
  reason: ReclaimReason,
): MaySleep<number> {
  k.m.sink?.emit(Event.MmVmscanMemcgReclaimBegin, 0, GFP_KERNEL, 0, 0);
  const reclaimed = yield* k.vmscan.doTryToFreePages(k, memcg, Math.max(pages, SWAP_CLUSTER_MAX), reason);
  k.m.sink?.emit(Event.MmVmscanMemcgReclaimEnd, reclaimed, 0, 0, 0);
  return reclaimed;
}

/** Scans with rising pressure until enough is reclaimed or everything was looked at. */
export function* doTryToFreePages(
  k: Kernel,
  target: Memcg,
  pages: number,
  reason: ReclaimReason,
  reclaimZone = ZoneId.Movable,
): MaySleep<number> {
  const sc: ScanControl = { target, nrToReclaim: pages, reason, reclaimZone, priority: DEF_PRIORITY, nrReclaimed: 0, nrScanned: 0 };
  for (; sc.priority >= 0; sc.priority--) {
    for (const memcg of [...target.subtree()]) {
      yield* k.vmscan.shrinkLruvec(k, memcg, sc);
      if (k.m.signals.fatalPending(k.m.current!)) return sc.nrReclaimed;
    }
    sc.nrReclaimed += yield* k.vmscan.shrinkSlab(k, target);
    if (sc.nrReclaimed >= sc.nrToReclaim) break;
  }
  return sc.nrReclaimed;
}

/** What can be freed besides folios on LRU lists, on behalf of a cgroup and those below it; pages freed. */
export function* shrinkSlab(k: Kernel, target: Memcg): MaySleep<number> {
  const freed = yield* k.hugeSplit.deferredSplitScan(k, target);
  // The huge page of zeros belongs to no cgroup.
  return target.parent === null ? freed + (yield* k.hugeMemory.shrinkHugeZeroFolio(k)) : freed;
}

/** Scans one cgroup's lists in proportion to their length and the priority. */
export function* shrinkLruvec(k: Kernel, memcg: Memcg, sc: ScanControl): MaySleep<void> {
  const { m } = k;
  const { lruvec } = memcg;
  m.touches(Op.GuardedRead, lruvec.lock.id);
  m.touches(Op.GuardedRead, m.swap.lock.id);
  const canSwap = m.memcgs.swapRoom(memcg) > 0;
  const nr = lruvec.pages.map((pages, lru) => {
    if (lru === Lru.unevictable || (!canSwap && lru <= Lru.activeAnon)) return 0;
    const scan = pages >> sc.priority;
    // A cgroup with little in it is scanned wholly once the pressure is highest.
    return scan === 0 && sc.priority === 0 ? pages : scan;
  });
  while (nr[Lru.inactiveAnon]! > 0 || nr[Lru.activeFile]! > 0 || nr[Lru.inactiveFile]! > 0) {
    for (const lru of [Lru.inactiveAnon, Lru.activeAnon, Lru.inactiveFile, Lru.activeFile]) {
      if (nr[lru]! <= 0) continue;
      const n = Math.min(nr[lru]!, SWAP_CLUSTER_MAX);
      nr[lru]! -= n;
      if (lru === Lru.activeAnon || lru === Lru.activeFile) {
        if (k.vmscan.inactiveIsLow(k, lruvec, lru - 1)) yield* k.vmscan.shrinkActiveList(k, lruvec, lru, n, sc.reclaimZone);
      } else yield* k.vmscan.shrinkInactiveList(k, memcg, lru, n, sc);
    }
    yield* m.sched.condResched();
    if (sc.nrReclaimed >= sc.nrToReclaim || m.signals.fatalPending(m.current!)) return;
  }
  if (canSwap && k.vmscan.inactiveIsLow(k, lruvec, Lru.inactiveAnon)) {
    yield* k.vmscan.shrinkActiveList(k, lruvec, Lru.activeAnon, SWAP_CLUSTER_MAX);
  }
}

/** Whether the inactive list is short against the active one: by a ratio that grows with memory. */
export function inactiveIsLow(_k: Kernel, lruvec: Lruvec, inactive: Lru): boolean {
  const pages = lruvec.pages[inactive]!;
  const active = lruvec.pages[inactive + 1]!;
  const gb = (pages + active) >> 18;
  const ratio = gb > 0 ? Math.floor(Math.sqrt(10 * gb)) : 1;
  return pages * ratio < active;
}

/** Takes folios of about `n` pages off the tail of a list, each with a reference at site "isolate". */
export function* isolateLruFolios(
  k: Kernel,
  lruvec: Lruvec,
  lru: Lru,
  n: number,
  reclaimZone = ZoneId.Movable,
): Atomic<number[]> {
  const { m } = k;
  const { memmap } = m;
  const taken: number[] = [];
  let pages = 0;
  let skipped = 0;
  if (!lruvec.lock.tryLock()) yield* lruvec.lock.lock();
  // Folios of higher zones are of no use, and passed over: at most once each.
  let otherZones = lruvec.lists[lru]!.length;
  while (pages < n) {
    const folio = lruvec.lists[lru]!.tail;
    if (folio === NO_PAGE) break;
    if (m.point(Op.RefCompare, folio)) yield SWITCH;
    if (m.zones.zoneOf(folio).id > reclaimZone && lruvec.lists[lru]!.tail === folio) {
      if (otherZones-- === 0) break;
      lruvec.lists[lru]!.remove(folio);
      lruvec.lists[lru]!.addHead(folio);
      continue;
    }
    if (memmap.refcount[folio] === 0 || lruvec.lists[lru]!.tail !== folio) {
      // Being freed: its owner waits for this lock to take it off the list.
      if (lruvec.lists[lru]!.tail === folio) {
        lruvec.lists[lru]!.remove(folio);
        lruvec.lists[lru]!.addHead(folio);
      }
      pages++;
      skipped++;
      continue;
    }
    memmap.refcount[folio]!++;
    m.refs?.get(folio, "isolate");
    lruvecDelFolio(k, lruvec, folio);
    memmap.clear(folio, PG.lru);
    taken.push(folio);
    pages += memmap.folioPages(folio);
  }
  if (!lruvec.lock.tryUnlock()) yield* lruvec.lock.unlock();
  m.sink?.emit(Event.MmVmscanLruIsolate, 0, n, pages, skipped, pages - skipped, lru);
  return taken;
}

/** Puts isolated folios back on the list that their flags name, and drops the references. */
export function* putbackFolios(k: Kernel, folios: readonly number[]): Atomic<void> {
  const { m } = k;
  const { memmap } = m;
  for (const folio of folios) {
    if (memmap.has(folio, PG.hugetlb)) {
      yield* k.hugetlbMigrate.putbackHugetlb(k, folio);
      continue;
    }
    const { lruvec } = m.memcgs.get(memmap.memcg[folio]!);
    if (!lruvec.lock.tryLock()) yield* lruvec.lock.lock();
    if (m.point(Op.PageFlags, folio)) yield SWITCH;
    k.mlockFolio.chooseList(k, folio);
    memmap.set(folio, PG.lru);
    lruvecAddFolio(k, lruvec, folio, false);
    if (!lruvec.lock.tryUnlock()) yield* lruvec.lock.unlock();
    yield* k.swap.folioPut(k, folio, "isolate");
  }
}

/** Moves folios from the tail of the active list to the inactive one. */
export function* shrinkActiveList(
  k: Kernel,
  lruvec: Lruvec,
  lru: Lru,
  n: number,
  reclaimZone = ZoneId.Movable,
): MaySleep<void> {
  const { m } = k;
  yield* k.swap.lruAddDrain(k);
  const folios = yield* k.vmscan.isolateLruFolios(k, lruvec, lru, n, reclaimZone);
  for (const folio of folios) {
    const pages = m.memmap.folioPages(folio);
    m.vmstat.events.pgrefill += pages;
    if (!k.mlockFolio.folioEvictable(k, folio)) continue;
    yield* k.rmap.folioReferenced(k, folio);
    if (m.point(Op.PageFlags, folio)) yield SWITCH;
    m.memmap.clear(folio, PG.active);
    m.memmap.set(folio, PG.workingset);
    m.vmstat.events.pgdeactivate += pages;
  }
  yield* k.vmscan.putbackFolios(k, folios);
}

export function* shrinkInactiveList(k: Kernel, memcg: Memcg, lru: Lru, n: number, sc: ScanControl): MaySleep<void> {
  const { m } = k;
  yield* k.swap.lruAddDrain(k);
  const folios = yield* k.vmscan.isolateLruFolios(k, memcg.lruvec, lru, n, sc.reclaimZone);
  if (folios.length === 0) return;
  const scanned = folios.reduce((pages, folio) => pages + m.memmap.folioPages(folio), 0);
  const outcome = yield* k.vmscan.shrinkFolioList(k, folios, false);
  yield* k.vmscan.putbackFolios(k, outcome.kept);
  sc.nrScanned += scanned;
  sc.nrReclaimed += outcome.reclaimed;
  countScan(k, memcg, lru, sc.reason, scanned, outcome.reclaimed);
  m.sink?.emit(
    Event.MmVmscanLruShrinkInactive,
    0,
    scanned,
    outcome.reclaimed,
    outcome.writeback,
    outcome.activated,
    sc.priority,
    lru >= Lru.inactiveFile ? 1 : 0,
  );
  // Everything here is still being written: wait for the disk rather than spin through the list.
  if (outcome.writeback === folios.length) {
    const oldest = outcome.kept.find((folio) => m.memmap.has(folio, PG.writeback));
    if (oldest !== undefined) {
      yield* k.folioLock.folioWaitBit(k, oldest, PG.writeback, TaskState.Killable);
    }
  }
}

function countScan(k: Kernel, memcg: Memcg, lru: Lru, reason: ReclaimReason, scanned: number, stolen: number): void {
  const { events } = k.m.vmstat;
  const kind = lru <= Lru.activeAnon ? "anon" : "file";
  events[`pgscan_${reason}`] += scanned;
  events[`pgsteal_${reason}`] += stolen;
  events[`pgscan_${kind}`] += scanned;
  events[`pgsteal_${kind}`] += stolen;
  const { counters } = memcg;
  counters.pgscan += scanned;
  counters.pgsteal += stolen;
  counters[`pgscan${STAT[reason]}`] += scanned;
  counters[`pgsteal${STAT[reason]}`] += stolen;
}

/** What became of a batch of isolated folios. */
export interface ShrinkOutcome {
  readonly kept: number[];
  /** Pages that were one folio with others when it was isolated: yet to be tried. */
  readonly split: number[];
  /** Folios without references that are freed once the TLBs are flushed. */
  readonly frozen: number[];
  /** Pages freed. */
  reclaimed: number;
  /** Folios met under writeback. */
  writeback: number;
  activated: number;
}

/** Tries to reclaim isolated folios one by one, those in use too where references are ignored. */
export function* shrinkFolioList(
  k: Kernel,
  folios: readonly number[],
  ignoreReferences: boolean,
): MaySleep<ShrinkOutcome> {
  const outcome: ShrinkOutcome = { kept: [], split: [], frozen: [], reclaimed: 0, writeback: 0, activated: 0 };
  const pending = [...folios].reverse();
  for (let folio = pending.pop(); folio !== undefined; folio = pending.pop()) {
    if (!(yield* k.folioLock.folioTrylock(k, folio))) {
      outcome.kept.push(folio);
      continue;
    }
    const verdict = yield* k.vmscan.shrinkFolio(k, folio, ignoreReferences, outcome);
    if (verdict === "freed") {
      outcome.frozen.push(folio);
      if (outcome.frozen.length === FOLIO_BATCH_SIZE) yield* k.vmscan.freeFrozenFolios(k, outcome.frozen);
      continue;
    }
    if (verdict === "activate") {
      const { m } = k;
      m.touches(Op.GuardedRead, m.swap.lock.id);
      if (m.memmap.has(folio, PG.swapcache) && m.memcgs.swapFull(m.memcgs.get(m.memmap.memcg[folio]!))) {
        yield* k.swapfile.folioFreeSwap(k, folio);
      }
      if (k.mlockFolio.folioEvictable(k, folio)) {
        m.memmap.set(folio, PG.active);
        const pages = m.memmap.folioPages(folio);
        m.vmstat.events.pgactivate += pages;
        outcome.activated += pages;
      }
    }
    yield* k.folioLock.folioUnlock(k, folio);
    outcome.kept.push(folio);
    while (outcome.split.length > 0) pending.push(outcome.split.pop()!);
  }
  yield* k.vmscan.freeFrozenFolios(k, outcome.frozen);
  return outcome;
}

/** Flushes what unmapping has put off; then nobody reaches these frames any more, and they are freed. */
export function* freeFrozenFolios(k: Kernel, frozen: number[]): Atomic<void> {
  for (const folio of frozen) yield* k.memcg.unchargePage(k, folio);
  yield* k.tlbBatch.tryToUnmapFlush(k);
  for (const folio of frozen) {
    if (k.m.memmap.isLarge(folio)) yield* k.pageAlloc.freeLargeFolio(k, folio);
    else yield* k.pageAlloc.freeUnrefPage(k, folio);
  }
  frozen.length = 0;
}

/** One locked, isolated folio: frozen, to be freed (lock and references gone), kept, or to be activated. */
export function* shrinkFolio(
  k: Kernel,
  folio: number,
  ignoreReferences: boolean,
  outcome: ShrinkOutcome,
): MaySleep<"freed" | "keep" | "activate"> {
  const { m } = k;
  const { memmap } = m;
  if (m.point(Op.PageFlags, folio)) yield SWITCH;
  if (!k.mlockFolio.folioEvictable(k, folio)) return "activate";
  if (memmap.has(folio, PG.writeback)) {
    // Not waited for: when it is written, it goes to the tail of its list, and is met again.
    memmap.set(folio, PG.reclaim);
    outcome.writeback++;
    return "activate";
  }
  if (!ignoreReferences) {
    const references = yield* k.vmscan.folioCheckReferences(k, folio);
    if (references !== "reclaim") return references;
  }

  const anon = memmap.isAnon(folio);
  const lazyfree = anon && !memmap.has(folio, PG.swapbacked);
  if (anon && !lazyfree && !memmap.has(folio, PG.swapcache)) {
    if (!(yield* k.vmscan.addToSwap(k, folio, outcome))) return "activate";
  }
  if (memmap.folioMapcount(folio) > 0) {
    if (lazyfree) {
      if (!(yield* k.lazyfree.discardLazyfree(k, folio))) return "activate";
    } else if (!(yield* k.rmap.tryToUnmap(k, folio))) return "activate";
  }
  if (memmap.isFile(folio) && memmap.has(folio, PG.dirty)) return yield* k.vmscan.pageoutFile(k, folio, outcome);
  if (memmap.has(folio, PG.dirty) && !lazyfree) {
    // Read ahead, and let go by the swap cache before anything mapped it: it has no slot to be written to.
    if (!memmap.has(folio, PG.swapcache)) return "keep";
    // Somebody else holds it, so it could not be freed after the write either.
    if (memmap.refcount[folio] !== 1 + memmap.cacheRefs(folio)) return "keep";
    // Writes through a stale translation would come too late once the disk has it.
    yield* k.tlbBatch.tryToUnmapFlushDirty(k);
    yield* k.pageIo.swapWritepage(k, folio);
    return "keep";
  }
  const pages = memmap.folioPages(folio);
  if (!(yield* k.vmscan.removeMapping(k, folio))) return "keep";
  outcome.reclaimed += pages;
  return "freed";
}

/** A dirty page of a file, locked and unmapped: on its way to swap now, if there is room and nobody else holds it. */
export function* pageoutFile(k: Kernel, folio: number, outcome: ShrinkOutcome): MaySleep<"keep" | "activate"> {
  const { m } = k;
  if (m.point(Op.RefCompare, folio)) yield SWITCH;
  if (m.memmap.refcount[folio] !== 1 + m.memmap.cacheRefs(folio)) return "keep";
  yield* k.tlbBatch.tryToUnmapFlushDirty(k);
  if (yield* k.shmem.shmemWriteout(k, folio)) return "keep";
  // For which there is no room side by side: its pages are tried next.
  if (m.memmap.isLarge(folio) && (yield* k.hugeSplit.splitFolio(k, folio, outcome.split)) === 0 && (yield* k.shmem.shmemWriteout(k, folio))) return "keep";
  return "activate";
}

/**
 * Gives a folio its swap slots. A large one that is not mapped as a whole, or for which there is
 * no room side by side, is split first; what it was split into is reclaimed next.
 */
export function* addToSwap(k: Kernel, folio: number, outcome: ShrinkOutcome): MaySleep<boolean> {
  const { m } = k;
  if (m.memmap.isLarge(folio)) {
    if (m.point(Op.Thp, 0)) yield SWITCH;
    const partial = m.thp.deferredSplit.has(folio);
    if (!partial && (yield* k.swapfile.folioAllocSwap(k, folio))) return true;
    if (!partial) {
      const order = m.memmap.order[folio]!;
      m.thp.stats(order).swpout_fallback++;
      if (order === HPAGE_PMD_ORDER) m.vmstat.events.thp_swpout_fallback++;
    }
    if ((yield* k.hugeSplit.splitFolio(k, folio, outcome.split)) !== 0) return false;
  }
  return yield* k.swapfile.folioAllocSwap(k, folio);
}

/** Whether a folio has been used: then it stays, on the active list if it was used a lot. */
export function* folioCheckReferences(k: Kernel, folio: number): MaySleep<"reclaim" | "keep" | "activate"> {
  const { memmap } = k.m;
  const referencedPtes = yield* k.rmap.folioReferenced(k, folio);
  // It belongs to a locked VMA, which was missed until now.
  if (referencedPtes === LOCKED_VMA) return "activate";
  const marked = memmap.has(folio, PG.referenced);
  memmap.clear(folio, PG.referenced);
  if (referencedPtes === 0) return "reclaim";
  memmap.set(folio, PG.referenced);
  if (marked || referencedPtes > 1) return "activate";
  return "keep";
}

/** Takes a locked, clean, unmapped folio from everybody if nobody else holds it: it has no reference then, and no lock. */
export function* removeMapping(k: Kernel, folio: number): Atomic<boolean> {
  const { m } = k;
  const { memmap } = m;
  const cached = memmap.has(folio, PG.swapcache);
  const mapping = k.filemap.folioMapping(k, folio);
  if (m.point(Op.RefCompare, folio)) yield SWITCH;
  if (memmap.refcount[folio] !== 1 + memmap.cacheRefs(folio) || (cached && memmap.has(folio, PG.dirty))) return false;
  // Frozen: with no reference left, nobody can take a new one.
  memmap.refcount[folio] = 0;
  m.refs?.put(folio, "isolate");
  if (mapping !== null) {
    k.filemap.dropFolio(k, mapping, folio);
    mapping.host.reclaimed?.(memmap.folioPages(folio));
  }
  if (cached) yield* k.swapfile.deleteFromSwapCache(k, folio);
  // The lock goes with the folio: nobody is left who could wait for it.
  m.locks.observer?.released(m.current!, "folio_lock", folio);
  memmap.clear(folio, PG.locked);
  return true;
}

/** A folio that reclaim wanted has been written: to the tail of its list, to be reclaimed next. */
export function* folioRotateReclaimable(k: Kernel, folio: number): Atomic<void> {
  const { m } = k;
  const { memmap } = m;
  if (m.point(Op.PageFlags, folio)) yield SWITCH;
  if (!memmap.has(folio, PG.lru) || memmap.has(folio, PG.locked | PG.dirty | PG.unevictable)) return;
  const { lruvec } = m.memcgs.get(memmap.memcg[folio]!);
  if (!lruvec.lock.tryLock()) yield* lruvec.lock.lock();
  if (memmap.has(folio, PG.lru)) {
    lruvecDelFolio(k, lruvec, folio);
    memmap.clear(folio, PG.active);
    lruvecAddFolio(k, lruvec, folio, true);
    m.vmstat.events.pgrotated++;
  }
  if (!lruvec.lock.tryUnlock()) yield* lruvec.lock.unlock();
}

/**
 * What writing memory.reclaim does: 0 when that many pages were reclaimed, -EAGAIN when it could
 * not be done, -EINTR after a signal (cgroup-v2, "memory.reclaim").
 */
export function* memoryReclaim(k: Kernel, memcg: Memcg, pages: number): MaySleep<number> {
  let reclaimed = 0;
  let retries = MAX_RECLAIM_RETRIES;
  while (reclaimed < pages) {
    if (k.m.signals.pending(k.m.current!)) return -Errno.EINTR;
    // The last try: folios that are still in the CPUs' batches become visible.
    if (retries === 0) yield* k.swap.lruAddDrainAll(k);
    const batch = Math.max(1, Math.floor((pages - reclaimed) / 4));
    const n = yield* k.vmscan.tryToFreeMemCgroupPages(k, memcg, batch, "proactive");
    if (n === 0 && retries-- === 0) return -Errno.EAGAIN;
    reclaimed += n;
  }
  return 0;
}

/** Wakes kswapd, which reclaims until a zone that such allocations may have is above its high watermark. */
export function wakeupKswapd(k: Kernel, gfp: number): void {
  if (!k.m.kswapdWait.empty) k.m.sink?.emit(Event.MmVmscanWakeupKswapd, 0, 0, gfp, 0);
  k.m.kswapdZones |= 1 << gfpZone(gfp);
  k.m.kswapdWait.wakeAll();
}

export function startKswapd(k: Kernel): void {
  const { m } = k;
  const task = new Task(m.sched.allocateTaskId(), "kswapd0", m.sched.executors[0]!, k.vmscan.kswapd(k), {
    memcg: m.memcgs.root,
  });
  m.sched.start(task);
}

export function* kswapd(k: Kernel): MaySleep<void> {
  const { m } = k;
  for (;;) {
    m.sink?.emit(Event.MmVmscanKswapdSleep, 0, 0, 0, 0);
    yield* m.kswapdWait.sleep(TaskState.Uninterruptible, "idle");
    m.sink?.emit(Event.MmVmscanKswapdWake, 0, 0, 0, 0);
    m.vmstat.events.pageoutrun++;
    let failures = 0;
    while (failures < MAX_RECLAIM_RETRIES) {
      const zone = k.vmscan.unbalancedZone(k);
      if (zone === null) break;
      const n = yield* k.vmscan.doTryToFreePages(k, m.memcgs.root, SWAP_CLUSTER_MAX, "kswapd", zone);
      failures = n === 0 ? failures + 1 : 0;
      yield* m.sched.condResched();
    }
  }
}

/** The highest zone for which kswapd was woken, and for whose allocations no zone has enough yet; null when all have. */
export function unbalancedZone(k: Kernel): ZoneId | null {
  const { m } = k;
  for (const highest of [ZoneId.Normal, ZoneId.Movable]) {
    if ((m.kswapdZones & (1 << highest)) === 0) continue;
    const enough = m.zones.list.some(
      (zone) => zone.id <= highest && zone.managed > 0 && zone.free >= zone.high + zone.lowmemReserve[highest]!,
    );
    if (!enough) return highest;
    m.kswapdZones &= ~(1 << highest);
  }
  return null;
}

/** Reclaims these isolated folios now (MADV_PAGEOUT), used or not. */
export function* reclaimFolios(k: Kernel, folios: readonly number[]): MaySleep<number> {
  const { m } = k;
  for (const folio of folios) {
    if (m.point(Op.PageFlags, folio)) yield SWITCH;
    m.memmap.clear(folio, PG.referenced | PG.active);
  }
  const outcome = yield* k.vmscan.shrinkFolioList(k, folios, true);
  yield* k.vmscan.putbackFolios(k, outcome.kept);
  return outcome.reclaimed;
}
