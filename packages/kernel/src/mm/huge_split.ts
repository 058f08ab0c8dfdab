import { SWITCH, type Atomic, type MaySleep } from "../kernel/coroutine.js";
import { Errno } from "../kernel/errno.js";
import { Op } from "../kernel/op.js";
import type { Kernel } from "../kernel.js";
import { HPAGE_PMD_ORDER } from "../arch/pgtable.js";
import type { Memcg } from "./memcontrol.js";
import { PG } from "./page.js";
import { lruvecAddFolio, lruvecDelFolio } from "./swap.js";

/** What each page of a split folio takes over from it. */
const INHERITED_FLAGS =
  PG.referenced | PG.uptodate | PG.dirty | PG.active | PG.workingset | PG.swapbacked | PG.unevictable | PG.mlocked | PG.young | PG.idle;

/** Folios of the deferred-split queue that one call looks at. */
const DEFERRED_SPLIT_BATCH = 32;

/**
 * Splits a folio into single pages. The caller holds its lock and one reference, which are those
 * of the first page afterwards; the other pages are unlocked, and those that nobody maps are
 * freed. With `isolated` they keep a reference at site "isolate" instead and are put there: for a
 * caller that has the folio off its LRU list. Pages that have nothing but zeros are not mapped any
 * more, but the page of zeros in their place. 0; -EAGAIN when somebody else holds the folio.
 */
export function* splitFolio(k: Kernel, folio: number, isolated: number[] | null = null): MaySleep<number> {
  const { m } = k;
  const { memmap } = m;
  const order = memmap.order[folio]!;
  if (order === 0) return 0;
  if (!memmap.has(folio, PG.lru)) yield* k.swap.lruAddDrain(k);
  // Whoever else refers to it expects a large folio: then it is not even unmapped.
  if (m.point(Op.RefCompare, folio)) yield SWITCH;
  if (memmap.has(folio, PG.writeback) || memmap.refcount[folio] !== k.rmap.expectedRefs(k, folio)) return failed(k, order);
  yield* k.rmap.tryToMigrate(k, folio);
  const split = yield* k.hugeSplit.splitUnmapped(k, folio, isolated !== null);
  const pages = split ? 1 << order : 1;
  // Migration entries become ordinary ones, of the pages or, where it failed, of the folio.
  for (let page = folio; page < folio + pages; page++) yield* k.migrate.removeMigrationPtes(k, page, page, split);
  if (!split) return failed(k, order);
  if (order === HPAGE_PMD_ORDER) m.vmstat.events.thp_split_page++;
  m.thp.stats(order).split++;
  for (let page = folio + 1; page < folio + pages; page++) {
    yield* k.folioLock.folioUnlock(k, page);
    if (isolated !== null) isolated.push(page);
    else {
      if (memmap.has(page, PG.swapcache)) yield* k.swapfile.freeSwapCache(k, page);
      yield* k.swap.folioPut(k, page, "split");
    }
  }
  return 0;
}

function failed(k: Kernel, order: number): number {
  if (order === HPAGE_PMD_ORDER) k.m.vmstat.events.thp_split_page_failed++;
  k.m.thp.stats(order).split_failed++;
  return -Errno.EAGAIN;
}

/** The split itself, once no entry maps the folio; false when somebody else refers to it. */
export function* splitUnmapped(k: Kernel, folio: number, isolated: boolean): Atomic<boolean> {
  const { m } = k;
  const { memmap, swap } = m;
  const memcg = m.memcgs.get(memmap.memcg[folio]!);
  const cached = memmap.has(folio, PG.swapcache);
  if (cached && !swap.lock.tryLock()) yield* swap.lock.lock();
  const { lruvec } = memcg;
  if (!lruvec.lock.tryLock()) yield* lruvec.lock.lock();
  if (m.point(Op.RefCompare, folio)) yield SWITCH;
  const alone = memmap.folioMapcount(folio) === 0 && memmap.refcount[folio] === k.rmap.expectedRefs(k, folio);
  if (alone) k.hugeSplit.splitFrozen(k, folio, memcg, isolated);
  if (!lruvec.lock.tryUnlock()) yield* lruvec.lock.unlock();
  if (cached && !swap.lock.tryUnlock()) yield* swap.lock.unlock();
  return alone;
}

/** Nobody can take a reference: each page gets what was the folio's. Under the locks of LRU and swap cache. */
export function splitFrozen(k: Kernel, folio: number, memcg: Memcg, isolated: boolean): void {
  const { m } = k;
  const { memmap, swap } = m;
  const pages = memmap.folioPages(folio);
  const flags = memmap.flags[folio]! & INHERITED_FLAGS;
  const cached = memmap.has(folio, PG.swapcache);
  const onLru = memmap.has(folio, PG.lru);
  const slot = memmap.private[folio]!;
  m.touches(Op.Thp, 0);
  m.thp.unqueueDeferredSplit(folio, memmap.order[folio]!);
  m.thp.stats(memmap.order[folio]!).nr_anon--;
  if (onLru) lruvecDelFolio(k, memcg.lruvec, folio);
  m.touches(Op.PageFlags, folio);
  memmap.dissolveCompound(folio);
  m.touches(Op.MapCount, folio);
  memmap.refcount[folio] = cached ? 2 : 1;
  if (onLru) lruvecAddFolio(k, memcg.lruvec, folio, false);
  for (let i = 1; i < pages; i++) {
    const page = folio + i;
    m.touches(Op.RefGet, page);
    m.touches(Op.PageFlags, page);
    memmap.flags[page] = flags;
    memmap.mapping[page] = memmap.mapping[folio]!;
    memmap.index[page] = memmap.index[folio]! + i;
    memmap.memcg[page] = memmap.memcg[folio]!;
    memmap.refcount[page] = cached ? 2 : 1;
    if (cached) {
      m.touches(Op.SwapCache, slot + i);
      memmap.private[page] = slot + i;
      memmap.set(page, PG.swapcache);
      swap.cache[slot + i] = page;
    }
    memmap.mlockCount[page] = 0;
    if (onLru) {
      memmap.set(page, PG.lru);
      lruvecAddFolio(k, memcg.lruvec, page, false);
    }
    m.refs?.get(page, isolated ? "isolate" : "split");
    k.folioLock.lockNewFolio(k, page);
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
