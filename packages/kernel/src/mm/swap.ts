/**
 * @linux mm/folio.c
 * @omits The multi-generational LRU (`lru_gen_add_folio()`).
 * @omits Deactivation of file pages that are to be invalidated (`deactivate_file_folio()`).
 * @omits A reference count that overflows is refused to GUP; elsewhere nobody looks.
 * @own batchAdd, batchNewFolio, drainBatch, folioGetUnowned, folioPutUnowned, freeFolios, missesReference, releaseFolios
 */
import { SWITCH, type Atomic, type MaySleep } from "../kernel/coroutine.js";
import { Op } from "../kernel/op.js";
import type { Kernel } from "../kernel.js";
import { Event, PagemapFlag } from "../trace.js";
import { BatchKind } from "./folio_batch.js";
import { Lru, type Lruvec } from "./lruvec.js";
import { PG } from "./page.js";

/** Takes a reference for this task; `site` says where, while owners are tracked. */
export function* folioGet(k: Kernel, folio: number, site: string): Atomic<void> {
  const { m } = k;
  if (m.point(Op.RefGet, folio)) yield SWITCH;
  m.memmap.refcount[folio]!++;
  m.refs?.get(folio, site);
}

/** Takes a reference unless the folio is free already. */
export function* folioTryGet(k: Kernel, folio: number, site: string): Atomic<boolean> {
  const { m } = k;
  if (m.point(Op.RefGet, folio)) yield SWITCH;
  if (m.memmap.refcount[folio] === 0) return false;
  m.memmap.refcount[folio]!++;
  m.refs?.get(folio, site);
  return true;
}

/** Drops this task's reference; frees the folio with the last one. */
export function* folioPut(k: Kernel, folio: number, site: string): Atomic<void> {
  const { m } = k;
  if (m.point(Op.RefPut, folio)) yield SWITCH;
  m.refs?.put(folio, site);
  const left = --m.memmap.refcount[folio]!;
  if (left === 0) yield* k.swap.freeFolios(k, [folio]);
  else if (left < 0) k.swap.missesReference(k, folio);
}

/** Drops a reference that a page table, cache or batch had, rather than this task. */
export function* folioPutUnowned(k: Kernel, folio: number): Atomic<void> {
  const { m } = k;
  if (m.point(Op.RefPut, folio)) yield SWITCH;
  if (--m.memmap.refcount[folio]! === 0) yield* k.swap.freeFolios(k, [folio]);
}

/** Takes a reference that goes with a mapping, of a folio that is known to have others. */
export function* folioGetUnowned(k: Kernel, folio: number): Atomic<void> {
  const { m } = k;
  if (m.point(Op.RefGet, folio)) yield SWITCH;
  m.memmap.refcount[folio]!++;
}

/** Drops this task's references to many folios, and frees those that had no other. */
export function* releaseFolios(k: Kernel, folios: readonly number[], site: string): Atomic<void> {
  const { m } = k;
  const dead: number[] = [];
  for (const folio of folios) {
    if (m.point(Op.RefPut, folio)) yield SWITCH;
    m.refs?.put(folio, site);
    if (--m.memmap.refcount[folio]! === 0) dead.push(folio);
  }
  if (dead.length > 0) yield* k.swap.freeFolios(k, dead);
}

/**
 * One reference more is gone than there were.
 * @throws RangeError unless references are counted by who has them, and that is told
 */
export function missesReference(k: Kernel, folio: number): void {
  if (k.m.refs === null) throw new RangeError(`a reference to frame ${folio} is let go that nobody has`);
}

/** Folios without references: off the LRU, uncharged, back to the allocator. */
export function* freeFolios(k: Kernel, folios: readonly number[]): Atomic<void> {
  const { m } = k;
  let locked: Lruvec | null = null;
  for (const folio of folios) {
    if (!m.memmap.has(folio, PG.lru)) continue;
    const { lruvec } = m.memcgs.get(m.memmap.memcg[folio]!);
    if (lruvec !== locked) {
      if (locked !== null && !locked.lock.tryUnlock()) yield* locked.lock.unlock();
      if (!lruvec.lock.tryLock()) yield* lruvec.lock.lock();
      locked = lruvec;
    }
    lruvecDelFolio(k, lruvec, folio);
    m.memmap.clear(folio, PG.lru | PG.unevictable);
  }
  if (locked !== null && !locked.lock.tryUnlock()) yield* locked.lock.unlock();
  for (const folio of folios) {
    if (m.memmap.has(folio, PG.hugetlb)) {
      yield* k.hugetlbPool.freeHugeFolio(k, folio);
      continue;
    }
    if (m.memmap.isZoneDevice(folio)) {
      yield* k.memremap.freeZoneDeviceFolio(k, folio);
      continue;
    }
    k.mlockFolio.clearMlocked(k, folio);
    if (m.point(Op.Memcg, m.memmap.memcg[folio]!)) yield SWITCH;
    k.memcg.uncharge(k, folio);
    if (m.memmap.has(folio, PG.hwpoison)) {
      k.memoryFailure.retain(k, folio);
      continue;
    }
    if (m.memmap.isLarge(folio)) yield* k.pageAlloc.freeLargeFolio(k, folio);
    else if (k.pageAlloc.freeToPcp(k, folio)) yield* k.pageAlloc.drainPcp(k, m.zones.batch);
  }
}

/** The list a folio belongs on by its flags. */
export function folioLruList(k: Kernel, folio: number): Lru {
  const flags = k.m.memmap.flags[folio]!;
  if ((flags & PG.unevictable) !== 0) return Lru.unevictable;
  const file = (flags & PG.swapbacked) === 0;
  const active = (flags & PG.active) !== 0;
  return file ? (active ? Lru.activeFile : Lru.inactiveFile) : active ? Lru.activeAnon : Lru.inactiveAnon;
}

/** Under the lruvec lock. */
export function lruvecAddFolio(k: Kernel, lruvec: Lruvec, folio: number, tail: boolean): void {
  const lru = folioLruList(k, folio);
  if (tail) lruvec.lists[lru]!.addTail(folio);
  else lruvec.lists[lru]!.addHead(folio);
  lruvec.pages[lru]! += k.m.memmap.folioPages(folio);
}

/** Under the lruvec lock, before the flags that choose the list change. */
export function lruvecDelFolio(k: Kernel, lruvec: Lruvec, folio: number): void {
  const lru = folioLruList(k, folio);
  lruvec.lists[lru]!.remove(folio);
  lruvec.pages[lru]! -= k.m.memmap.folioPages(folio);
}

/** Queues a new folio for the LRU on this CPU. The batch holds a reference until it is drained. */
export function* folioAddLru(k: Kernel, folio: number): Atomic<void> {
  yield* k.swap.batchAdd(k, BatchKind.lruAdd, folio);
}

/**
 * The same for a folio that nobody else can see yet, so without a point: true when the batch is
 * full now, and the caller must drain it.
 */
export function batchNewFolio(k: Kernel, folio: number): boolean {
  const { m } = k;
  m.touches(Op.RefGet, folio);
  m.touches(Op.LruBatch, m.cpu);
  m.memmap.refcount[folio]!++;
  return m.batches.push(m.cpu, BatchKind.lruAdd, folio);
}

export function* batchAdd(k: Kernel, kind: BatchKind, folio: number): Atomic<void> {
  const { m } = k;
  const { cpu } = m;
  if (m.point(Op.RefGet, folio)) yield SWITCH;
  m.touches(Op.LruBatch, cpu);
  m.memmap.refcount[folio]!++;
  // A large folio is much to keep from being split, or moved, for the sake of a batch.
  if (m.batches.push(cpu, kind, folio) || m.memmap.isLarge(folio)) yield* k.swap.drainBatch(k, cpu, kind);
}

/** Applies what a batch waits for, and drops its references. */
export function* drainBatch(k: Kernel, cpu: number, kind: BatchKind): Atomic<void> {
  const { m } = k;
  if (m.point(Op.LruBatch, cpu)) yield SWITCH;
  if (m.batches.isEmpty(cpu, kind)) return;
  const folios = m.batches.take(cpu, kind);
  // In transit between batch and list: the references are this task's until it drops them.
  if (m.refs !== null) for (const folio of folios) m.refs.get(folio, "lru_drain");
  let locked: Lruvec | null = null;
  for (const folio of folios) {
    const lruvec = m.memcgs.get(m.memmap.memcg[folio]!).lruvec;
    if (lruvec !== locked) {
      if (locked !== null && !locked.lock.tryUnlock()) yield* locked.lock.unlock();
      if (!lruvec.lock.tryLock()) yield* lruvec.lock.lock();
      locked = lruvec;
    }
    if (m.point(Op.PageFlags, folio)) yield SWITCH;
    moveFolio(k, lruvec, folio, kind);
  }
  if (locked !== null && !locked.lock.tryUnlock()) yield* locked.lock.unlock();
  for (const folio of folios) yield* k.swap.folioPut(k, folio, "lru_drain");
}

/** Whether what a batch waits for still makes sense: much may have happened since the folio was queued. */
function wantsMove(k: Kernel, folio: number, kind: BatchKind): boolean {
  const { memmap } = k.m;
  if (kind === BatchKind.activate) return !memmap.has(folio, PG.active);
  if (kind === BatchKind.deactivate) return memmap.has(folio, PG.active);
  // What has a swap slot by now was written again: its contents must survive.
  return memmap.has(folio, PG.swapbacked) && !memmap.has(folio, PG.swapcache);
}

function pagemapFlags(k: Kernel, folio: number): number {
  const { memmap } = k.m;
  return (
    (memmap.folioMapcount(folio) > 0 ? PagemapFlag.MAPPED : 0) |
    (memmap.isAnon(folio) ? PagemapFlag.ANONYMOUS : PagemapFlag.FILE) |
    (memmap.has(folio, PG.swapcache) ? PagemapFlag.SWAPCACHE : 0) |
    (memmap.has(folio, PG.swapbacked) ? PagemapFlag.SWAPBACKED : 0)
  );
}

function moveFolio(k: Kernel, lruvec: Lruvec, folio: number, kind: BatchKind): void {
  const { memmap, vmstat } = k.m;
  if (kind === BatchKind.lruAdd) {
    k.mlockFolio.chooseList(k, folio);
    memmap.set(folio, PG.lru);
    lruvecAddFolio(k, lruvec, folio, false);
    k.m.sink?.emit(Event.MmLruInsertion, folio, folioLruList(k, folio), pagemapFlags(k, folio), 0);
    return;
  }
  // Isolated meanwhile, or unevictable: whoever has it decides.
  if (!memmap.has(folio, PG.lru) || memmap.has(folio, PG.unevictable)) return;
  if (!wantsMove(k, folio, kind)) return;
  lruvecDelFolio(k, lruvec, folio);
  if (kind === BatchKind.activate) {
    memmap.set(folio, PG.active);
    k.m.sink?.emit(Event.MmLruActivate, folio, 0, 0, 0);
    vmstat.events.pgactivate++;
  } else if (kind === BatchKind.deactivate) {
    memmap.clear(folio, PG.active | PG.referenced);
    vmstat.events.pgdeactivate++;
  } else {
    // Lazily free: clean anonymous memory that reclaim may drop lives with the file pages.
    memmap.clear(folio, PG.active | PG.referenced | PG.swapbacked);
    vmstat.events.pglazyfree++;
  }
  lruvecAddFolio(k, lruvec, folio, false);
}

/** In the order in which the batches of a CPU are drained. */
const DRAINED: readonly BatchKind[] = [BatchKind.lruAdd, BatchKind.activate, BatchKind.deactivate, BatchKind.lazyfree];

/** Drains the batches of this CPU only. */
export function* lruAddDrain(k: Kernel): Atomic<void> {
  const { m } = k;
  const { cpu } = m;
  for (const kind of DRAINED) {
    if (!m.batches.isEmpty(cpu, kind)) yield* k.swap.drainBatch(k, cpu, kind);
  }
  if (!m.batches.mlockIsEmpty(cpu)) yield* k.mlockFolio.mlockDrain(k, cpu);
}

/** Drains the batches of every CPU, as the work items of lru_add_drain_all() do. */
export function* lruAddDrainAll(k: Kernel): MaySleep<void> {
  for (let cpu = 0; cpu < k.m.config.cpus; cpu++) {
    for (const kind of DRAINED) {
      if (!k.m.batches.isEmpty(cpu, kind)) yield* k.swap.drainBatch(k, cpu, kind);
    }
    if (!k.m.batches.mlockIsEmpty(cpu)) yield* k.mlockFolio.mlockDrain(k, cpu);
  }
}

/** From here on no batch keeps a folio from being isolated; until `lruCacheEnable`. */
export function* lruCacheDisable(k: Kernel): MaySleep<void> {
  if (k.m.point(Op.LruBatch, k.m.cpu)) yield SWITCH;
  k.m.batches.disabled++;
  yield* k.swap.lruAddDrainAll(k);
}

export function* lruCacheEnable(k: Kernel): Atomic<void> {
  if (k.m.point(Op.LruBatch, k.m.cpu)) yield SWITCH;
  k.m.batches.disabled--;
}

/**
 * Notes an access: a first one sets PG_referenced, a second moves an inactive folio to the active
 * list, when its CPU drains the batch.
 */
export function* folioMarkAccessed(k: Kernel, folio: number): Atomic<void> {
  const { m } = k;
  if (m.point(Op.PageFlags, folio)) yield SWITCH;
  const { memmap } = m;
  if (!memmap.has(folio, PG.referenced)) memmap.set(folio, PG.referenced);
  else if (!memmap.has(folio, PG.active | PG.unevictable)) {
    if (memmap.has(folio, PG.lru)) yield* k.swap.batchAdd(k, BatchKind.activate, folio);
    else memmap.set(folio, PG.active);
    memmap.clear(folio, PG.referenced);
  }
  if (memmap.has(folio, PG.idle)) memmap.clear(folio, PG.idle);
}

/** Takes a folio off its LRU list for reclaim or migration; false when it is on none. */
export function* folioIsolateLru(k: Kernel, folio: number): Atomic<boolean> {
  const { m } = k;
  if (m.point(Op.PageFlags, folio)) yield SWITCH;
  if (!m.memmap.has(folio, PG.lru)) return false;
  const lruvec = m.memcgs.get(m.memmap.memcg[folio]!).lruvec;
  if (!lruvec.lock.tryLock()) yield* lruvec.lock.lock();
  // Flag and list change together under the lock: reclaim may have been faster.
  const mine = m.memmap.has(folio, PG.lru);
  if (mine) {
    yield* k.swap.folioGet(k, folio, "isolate");
    lruvecDelFolio(k, lruvec, folio);
    m.memmap.clear(folio, PG.lru);
  }
  if (!lruvec.lock.tryUnlock()) yield* lruvec.lock.unlock();
  return mine;
}
