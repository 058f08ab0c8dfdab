/**
 * @linux mm/huge_memory.c
 * @omits Folios of file systems, which may have private data or a least order.
 * @own dropBeyondEnd, splitFolio, splitFrozen, splitPieces, splitUnmapped
 */
import { SWITCH, type Atomic, type MaySleep } from "../kernel/coroutine.js";
import { Errno } from "../kernel/errno.js";
import { Op } from "../kernel/op.js";
import type { Kernel } from "../kernel.js";
import { HPAGE_PMD_ORDER } from "../arch/pgtable.js";
import type { Memcg } from "./memcontrol.js";
import { NO_PAGE, PG } from "./page.js";
import { lruvecAddFolio, lruvecDelFolio } from "./swap.js";

/** What each page of a split folio takes over from it. */
const INHERITED_FLAGS =
  PG.referenced | PG.uptodate | PG.dirty | PG.active | PG.workingset | PG.swapbacked | PG.unevictable | PG.mlocked | PG.young | PG.idle;

/** Folios of the deferred-split queue that one call looks at. */
const DEFERRED_SPLIT_BATCH = 32;

/** A folio that another is split into. */
interface Piece {
  readonly first: number;
  readonly order: number;
}

/**
 * What a folio is split into: folios of one order; or, around the page `at`, in halves as far as that needs:
 * one more of each order between (since 6.15, "buddy allocator like"). Anonymous folios never have order 1.
 */
export function splitPieces(_k: Kernel, folio: number, from: number, order: number, at: number, anon: boolean): Piece[] {
  const pieces: Piece[] = [];
  let whole: Piece = { first: folio, order: from };
  for (let o = at < 0 ? order : from - 1; o >= order; o--) {
    if (anon && o === 1) continue;
    const end = whole.first + (1 << whole.order);
    let next = whole;
    for (let first = whole.first; first < end; first += 1 << o) {
      const piece = { first, order: o };
      if (at >= first && at < first + (1 << o)) next = piece;
      else pieces.push(piece);
    }
    whole = next;
  }
  if (at >= 0) pieces.push(whole);
  return pieces.sort((a, b) => a.first - b.first);
}

/**
 * Splits a folio into smaller ones, as `splitPieces` says. The caller holds its lock and one
 * reference, which are those of the first one afterwards; the others are unlocked, and those that
 * nobody maps, and no file has, are freed. With `isolated` they keep a reference at site "isolate" instead and
 * are put there: for a caller that has the folio off its LRU list. Pages that have nothing but
 * zeros are not mapped any more, but the page of zeros in their place. With `heir` it is another piece that the lock and the
 * reference go to. 0; -EAGAIN when somebody else holds the folio; -EINVAL for what cannot be.
 */
export function* splitFolio(
  k: Kernel,
  folio: number,
  isolated: number[] | null = null,
  order = 0,
  at = NO_PAGE,
  heir: { readonly page: number; readonly site: string } | null = null,
): MaySleep<number> {
  const { m } = k;
  const { memmap } = m;
  const from = memmap.order[folio]!;
  if (from === 0 && order === 0) return 0;
  const anon = memmap.isAnon(folio);
  if (order >= from || (anon && order === 1)) return -Errno.EINVAL;
  if (!memmap.has(folio, PG.lru)) yield* k.swap.lruAddDrain(k);
  // Whoever else refers to it expects a large folio: then it is not even unmapped.
  if (m.point(Op.RefCompare, folio)) yield SWITCH;
  if (memmap.has(folio, PG.writeback) || memmap.refcount[folio] !== k.rmap.expectedRefs(k, folio)) return failed(k, from);
  // What a file has is found there again by the next fault.
  if (anon) yield* k.rmap.tryToMigrate(k, folio, true);
  else yield* k.rmap.tryToUnmap(k, folio, true);
  yield* k.tlbBatch.tryToUnmapFlush(k);
  const pieces = k.hugeSplit.splitPieces(k, folio, from, order, at, anon);
  const split = yield* k.hugeSplit.splitUnmapped(k, folio, pieces, isolated !== null);
  if (anon) {
    // Migration entries become ordinary ones, of the pieces or, where it failed, of the folio.
    for (const { first } of split ? pieces : [{ first: folio }]) yield* k.migrate.removeMigrationPtes(k, first, first, split && order === 0 && at < 0);
  }
  if (!split) return failed(k, from);
  if (from === HPAGE_PMD_ORDER) m.vmstat.events.thp_split_page++;
  m.thp.stats(from).split++;
  if (memmap.isFile(folio)) yield* k.hugeSplit.dropBeyondEnd(k, pieces);
  if (heir !== null) {
    m.refs?.put(folio, heir.site);
    m.refs?.get(folio, "split");
    m.refs?.put(heir.page, "split");
    m.refs?.get(heir.page, heir.site);
  }
  for (const { first } of pieces) {
    if (first === (heir?.page ?? folio)) continue;
    yield* k.folioLock.folioUnlock(k, first);
    if (isolated !== null) isolated.push(first);
    else {
      if (memmap.has(first, PG.swapcache)) yield* k.swapfile.freeSwapCache(k, first);
      yield* k.swap.folioPut(k, first, "split");
    }
  }
  return 0;
}

function failed(k: Kernel, order: number): number {
  if (order === HPAGE_PMD_ORDER) k.m.vmstat.events.thp_split_page_failed++;
  k.m.thp.stats(order).split_failed++;
  return -Errno.EAGAIN;
}

/** Pieces that lie behind the end of their file, as it is by now, are its no more. All are locked. */
export function* dropBeyondEnd(k: Kernel, pieces: readonly Piece[]): Atomic<void> {
  const { m } = k;
  const mapping = k.filemap.folioMapping(k, pieces[0]!.first)!;
  if (m.point(Op.Inode, mapping.host.ino)) yield SWITCH;
  const end = Math.ceil(mapping.host.size / 4096);
  for (const { first, order } of pieces.slice(1)) {
    if (m.memmap.index[first]! < end) continue;
    yield* k.filemap.filemapRemoveFolio(k, first);
    m.memmap.clear(first, PG.dirty);
    mapping.host.reclaimed?.(1 << order);
    for (let i = 0; i < 1 << order; i++) yield* k.swap.folioPutUnowned(k, first);
  }
}

/** The split itself, once no entry maps the folio; false when somebody else refers to it. */
export function* splitUnmapped(k: Kernel, folio: number, pieces: readonly Piece[], isolated: boolean): Atomic<boolean> {
  const { m } = k;
  const { memmap, swap } = m;
  const memcg = m.memcgs.get(memmap.memcg[folio]!);
  const cached = memmap.has(folio, PG.swapcache);
  if (cached && !swap.lock.tryLock()) yield* swap.lock.lock();
  const { lruvec } = memcg;
  if (!lruvec.lock.tryLock()) yield* lruvec.lock.lock();
  if (m.point(Op.RefCompare, folio)) yield SWITCH;
  const alone = memmap.folioMapcount(folio) === 0 && memmap.refcount[folio] === k.rmap.expectedRefs(k, folio);
  if (alone) k.hugeSplit.splitFrozen(k, folio, pieces, memcg, isolated);
  if (!lruvec.lock.tryUnlock()) yield* lruvec.lock.unlock();
  if (cached && !swap.lock.tryUnlock()) yield* swap.lock.unlock();
  return alone;
}

/** Nobody can take a reference: each piece gets what was the folio's. Under the locks of LRU and swap cache. */
export function splitFrozen(k: Kernel, folio: number, pieces: readonly Piece[], memcg: Memcg, isolated: boolean): void {
  const { m } = k;
  const { memmap, swap } = m;
  const flags = memmap.flags[folio]! & INHERITED_FLAGS;
  const swapcache = memmap.has(folio, PG.swapcache);
  const mapping = k.filemap.folioMapping(k, folio);
  const onLru = memmap.has(folio, PG.lru);
  const slot = memmap.private[folio]!;
  const from = memmap.order[folio]!;
  const index = memmap.index[folio]!;
  m.touches(Op.Thp, 0);
  m.thp.unqueueDeferredSplit(folio, from);
  if (memmap.isAnon(folio)) m.thp.stats(from).nr_anon--;
  else if (mapping !== null && from === HPAGE_PMD_ORDER && memmap.has(folio, PG.swapbacked)) k.filemap.accountShmemThp(k, folio, -(1 << from));
  if (onLru) lruvecDelFolio(k, memcg.lruvec, folio);
  m.touches(Op.PageFlags, folio);
  memmap.dissolveCompound(folio);
  for (const { first, order } of pieces) {
    const pages = 1 << order;
    for (let page = first; page < first + pages; page++) {
      m.touches(Op.PageFlags, page);
      if (mapping !== null) m.touches(Op.PageCacheWrite, mapping.object(index + (page - folio)));
    }
    m.touches(Op.RefGet, first);
    m.touches(Op.MapCount, first);
    if (order > 0) {
      memmap.prepareCompound(first, order);
      if (memmap.isAnon(folio)) m.thp.stats(order).nr_anon++;
    }
    if (memmap.isZoneDevice(folio)) m.pgmaps.of(folio)!.ops.folioSplit?.(k, folio, first);
    memmap.refcount[first] = swapcache || mapping !== null ? pages + 1 : 1;
    if (first !== folio) {
      memmap.flags[first] = flags;
      memmap.mlockCount[first] = 0;
      memmap.mapping[first] = memmap.mapping[folio]!;
      memmap.index[first] = index + (first - folio);
      memmap.memcg[first] = memmap.memcg[folio]!;
      if (swapcache) {
        memmap.private[first] = slot + (first - folio);
        memmap.set(first, PG.swapcache);
      }
      if (onLru) memmap.set(first, PG.lru);
      m.refs?.get(first, isolated ? "isolate" : "split");
      k.folioLock.lockNewFolio(k, first);
    }
    if (swapcache) {
      for (let i = 0; i < pages; i++) {
        m.touches(Op.SwapCache, slot + (first - folio) + i);
        swap.cache[slot + (first - folio) + i] = first;
      }
    }
    if (onLru) lruvecAddFolio(k, memcg.lruvec, first, false);
  }
}

/**
 * Memory is short: splits folios of which some pages are mapped no more, so that those become free.
 * Those of one cgroup and below it; pages freed.
 */
export function* deferredSplitScan(k: Kernel, target: Memcg): MaySleep<number> {
  const { m } = k;
  const { memmap, thp } = m;
  if (m.point(Op.Thp, 0)) yield SWITCH;
  if (thp.deferredSplit.size === 0) return 0;
  const below = new Set([...target.subtree()].map((memcg) => memcg.id));
  const queue = [...thp.deferredSplit].filter((folio) => below.has(memmap.memcg[folio]!)).slice(0, DEFERRED_SPLIT_BATCH);
  let freed = 0;
  for (const folio of queue) {
    if (!(yield* k.swap.folioTryGet(k, folio, "deferred_split"))) continue;
    if (memmap.isLarge(folio) && (yield* k.folioLock.folioTrylock(k, folio))) {
      let unmapped = 0;
      for (let i = 0; i < memmap.folioPages(folio); i++) if (memmap.pageMapcount(folio + i) === 0) unmapped++;
      if (unmapped > 0 && (yield* k.hugeSplit.splitFolio(k, folio)) === 0) freed += unmapped;
      yield* k.folioLock.folioUnlock(k, folio);
    }
    yield* k.swap.folioPut(k, folio, "deferred_split");
  }
  return freed;
}
