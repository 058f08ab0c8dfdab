import { SWITCH, type Atomic, type MaySleep } from "../kernel/coroutine.js";
import { Op } from "../kernel/op.js";
import type { Kernel } from "../kernel.js";
import { Event } from "../trace.js";
import { NO_PAGE, PG } from "./page.js";
import type { Zone } from "./zone.js";

/** Why and how a page may be allocated. */
export enum Gfp {
  /** Fill with zeros. */
  ZERO = 1 << 0,
  /** May reclaim and sleep. */
  DIRECT_RECLAIM = 1 << 1,
  /** Wakes kswapd when memory is low. */
  KSWAPD_RECLAIM = 1 << 2,
  /** May use the reserves below the minimum watermark. */
  MEMALLOC = 1 << 3,
  /** Fails rather than call the OOM killer. */
  NORETRY = 1 << 4,
}

export const GFP_KERNEL = Gfp.DIRECT_RECLAIM | Gfp.KSWAPD_RECLAIM;
export const GFP_HIGHUSER_MOVABLE = GFP_KERNEL;
/** For the new home of a folio that moves: fails rather than kill somebody. */
export const GFP_MIGRATE = GFP_KERNEL | Gfp.NORETRY;
/** A large folio if one is at hand: neither reclaims nor wakes kswapd. */
export const GFP_TRANSHUGE_LIGHT = Gfp.NORETRY;
/** A large folio worth some reclaim, but not the OOM killer. */
export const GFP_TRANSHUGE = Gfp.NORETRY | Gfp.DIRECT_RECLAIM;

/** Reclaim passes without progress before the OOM killer is called. */
const MAX_RECLAIM_RETRIES = 16;

/**
 * A page from this CPU's list, with one reference; NO_PAGE when the list is empty or memory is
 * low. Touches nothing that another CPU can see, so it has no point.
 */
export function allocFast(k: Kernel): number {
  const { m } = k;
  const pcp = m.zones.pcp[m.cpu]!;
  if (pcp.count === 0) return NO_PAGE;
  const page = pcp.pages[--pcp.count]!;
  prepareNewPage(k, page, 0);
  return page;
}

/** Undoes an `allocFast` whose page was not used. */
export function returnFast(k: Kernel, page: number): void {
  const { m } = k;
  const pcp = m.zones.pcp[m.cpu]!;
  m.touches(Op.RefPut, page);
  m.memmap.refcount[page] = 0;
  m.refs?.put(page, "alloc");
  m.sink?.emit(Event.MmPageFree, page, 0, 0, 0);
  pcp.pages[pcp.count++] = page;
}

function prepareNewPage(k: Kernel, page: number, order: number): void {
  const { m } = k;
  const { memmap } = m;
  m.touches(Op.RefGet, page);
  memmap.refcount[page] = 1;
  memmap.flags[page] = 0;
  if (order > 0) memmap.prepareCompound(page, order);
  if (page < m.zones.list[0]!.endPage) m.vmstat.events.pgalloc_dma32 += 1 << order;
  else m.vmstat.events.pgalloc_normal += 1 << order;
  m.refs?.get(page, "alloc");
  m.sink?.emit(Event.MmPageAlloc, page, order, 0, 0);
}

/** One page with one reference, or NO_PAGE. Reclaims, and calls the OOM killer, as `gfp` allows. */
export function* allocPage(k: Kernel, gfp: number): MaySleep<number> {
  let page = k.pageAlloc.allocFast(k);
  if (page === NO_PAGE) page = yield* k.pageAlloc.allocSlow(k, gfp);
  if (page !== NO_PAGE && (gfp & Gfp.ZERO) !== 0) k.m.ram.clear(page);
  return page;
}

export function* allocSlow(k: Kernel, gfp: number): MaySleep<number> {
  const { m } = k;
  let page = yield* k.pageAlloc.rmqueueBulk(k, "low");
  if (page !== NO_PAGE) return page;
  if ((gfp & Gfp.KSWAPD_RECLAIM) !== 0) k.vmscan.wakeupKswapd(k);
  let retries = 0;
  for (;;) {
    const reserves = (gfp & Gfp.MEMALLOC) !== 0 || m.current?.oomVictim === true;
    page = yield* k.pageAlloc.rmqueueBulk(k, reserves ? "none" : "min");
    if (page !== NO_PAGE) return page;
    if ((gfp & Gfp.DIRECT_RECLAIM) === 0 || reserves) return NO_PAGE;
    m.vmstat.events.allocstall_normal++;
    const reclaimed = yield* k.vmscan.tryToFreePages(k);
    if (reclaimed > 0) {
      retries = 0;
      continue;
    }
    if (m.signals.fatalPending(m.current!)) return NO_PAGE;
    if (++retries < MAX_RECLAIM_RETRIES) continue;
    if ((gfp & Gfp.NORETRY) !== 0) return NO_PAGE;
    if (!(yield* k.oom.outOfMemory(k, null))) return NO_PAGE;
    retries = 0;
  }
}

/**
 * A folio of 2^order pages with one reference, its contents not cleared; NO_PAGE when there is no
 * such block. Order 0 is allocated as `allocPage` does it.
 */
export function* allocFolio(k: Kernel, gfp: number, order: number): MaySleep<number> {
  if (order === 0) return yield* k.pageAlloc.allocPage(k, gfp);
  let folio = yield* k.pageAlloc.rmqueue(k, order, "low");
  if (folio === NO_PAGE && (gfp & Gfp.KSWAPD_RECLAIM) !== 0) k.vmscan.wakeupKswapd(k);
  if (folio === NO_PAGE) folio = yield* k.pageAlloc.rmqueue(k, order, "min");
  if (folio === NO_PAGE && (gfp & Gfp.DIRECT_RECLAIM) !== 0) {
    yield* k.vmscan.tryToFreePages(k);
    folio = yield* k.pageAlloc.rmqueue(k, order, "min");
  }
  return folio;
}

/** A block from the buddy lists as one folio, where the watermark lets it; NO_PAGE else. */
export function* rmqueue(k: Kernel, order: number, watermark: "low" | "min"): Atomic<number> {
  const { m } = k;
  for (let i = m.zones.list.length - 1; i >= 0; i--) {
    const zone = m.zones.list[i]!;
    if (zone.free - (1 << order) < zone[watermark]) continue;
    if (!zone.lock.tryLock()) yield* zone.lock.lock();
    const folio = zone.takeBlock(order);
    if (!zone.lock.tryUnlock()) yield* zone.lock.unlock();
    if (folio === NO_PAGE) continue;
    prepareNewPage(k, folio, order);
    return folio;
  }
  return NO_PAGE;
}

/** Fills this CPU's list from the buddy lists as far as the watermark lets it, and takes one page. */
export function* rmqueueBulk(k: Kernel, watermark: "low" | "min" | "none"): Atomic<number> {
  const { m } = k;
  const pcp = m.zones.pcp[m.cpu]!;
  for (let i = m.zones.list.length - 1; i >= 0; i--) {
    const zone = m.zones.list[i]!;
    const keep = watermark === "none" ? 0 : watermark === "low" ? zone.low : zone.min;
    if (zone.managed === 0 || zone.free <= keep) continue;
    if (!zone.lock.tryLock()) yield* zone.lock.lock();
    const n = Math.min(m.zones.batch, zone.free - keep);
    for (let j = 0; j < n; j++) {
      const page = zone.takeBlock(0);
      if (page === NO_PAGE) break;
      pcp.pages[pcp.count++] = page;
    }
    if (!zone.lock.tryUnlock()) yield* zone.lock.unlock();
    if (pcp.count > 0) {
      const page = k.pageAlloc.allocFast(k);
      if (page !== NO_PAGE) return page;
    }
  }
  return NO_PAGE;
}

/** A page without references goes back to the allocator. Its owner has uncharged it. */
export function* freeUnrefPage(k: Kernel, page: number): Atomic<void> {
  const { m } = k;
  if (m.point(Op.Pcp, m.cpu)) yield SWITCH;
  if (k.pageAlloc.freeToPcp(k, page)) yield* k.pageAlloc.drainPcp(k, m.zones.batch);
}

/** A large folio without references goes back to the buddy lists as the block that it is. */
export function* freeLargeFolio(k: Kernel, folio: number): Atomic<void> {
  const { m } = k;
  const { memmap } = m;
  const order = memmap.order[folio]!;
  if (m.point(Op.Thp, 0)) yield SWITCH;
  m.sink?.emit(Event.MmPageFree, folio, order, 0, 0);
  m.vmstat.events.pgfree += 1 << order;
  m.thp.deferredSplit.delete(folio);
  memmap.dissolveCompound(folio);
  for (let page = folio; page < folio + (1 << order); page++) memmap.flags[page] = 0;
  memmap.mapping[folio] = 0;
  memmap.memcg[folio] = 0;
  const zone = m.zones.zoneOf(folio);
  if (!zone.lock.tryLock()) yield* zone.lock.lock();
  zone.freeBlock(folio, order);
  if (!zone.lock.tryUnlock()) yield* zone.lock.unlock();
}

/** Puts a page on this CPU's list; true when the list is to be drained. */
export function freeToPcp(k: Kernel, page: number): boolean {
  const { m } = k;
  const { memmap, zones } = m;
  m.sink?.emit(Event.MmPageFree, page, 0, 0, 0);
  m.vmstat.events.pgfree++;
  memmap.flags[page] = 0;
  memmap.mapping[page] = 0;
  memmap.memcg[page] = 0;
  const pcp = zones.pcp[m.cpu]!;
  pcp.pages[pcp.count++] = page;
  return pcp.count > zones.batch * 4 || lowOnMemory(zones.list);
}

function lowOnMemory(zones: readonly Zone[]): boolean {
  for (const zone of zones) if (zone.managed > 0 && zone.free > zone.low) return false;
  return true;
}

/** Moves up to `n` pages of this CPU's list to the buddy lists. */
export function* drainPcp(k: Kernel, n: number): Atomic<void> {
  const { m } = k;
  const pcp = m.zones.pcp[m.cpu]!;
  for (const zone of m.zones.list) {
    if (zone.managed === 0 || pcp.count === 0) continue;
    if (!zone.lock.tryLock()) yield* zone.lock.lock();
    // The oldest entries are at the bottom: those are the ones that have cooled down.
    let kept = 0;
    let freed = 0;
    for (let i = 0; i < pcp.count; i++) {
      const page = pcp.pages[i]!;
      if (freed < n && m.zones.zoneOf(page) === zone) {
        zone.freeBlock(page, 0);
        freed++;
      } else pcp.pages[kept++] = page;
    }
    pcp.count = kept;
    if (!zone.lock.tryUnlock()) yield* zone.lock.unlock();
  }
}

/** A page-table page: charged to the task's cgroup as kernel memory, not on any LRU. */
export function* allocTable(k: Kernel): MaySleep<number> {
  const { m } = k;
  const { memcg } = m.current!;
  const page = yield* k.pageAlloc.allocPage(k, GFP_KERNEL);
  if (page === NO_PAGE) return NO_PAGE;
  if (!(yield* k.memcg.chargePage(k, page, memcg))) {
    yield* k.swap.folioPut(k, page, "alloc");
    return NO_PAGE;
  }
  if (m.point(Op.PageFlags, page)) yield SWITCH;
  m.memmap.set(page, PG.table);
  // The reference is the table's from here on, not this task's.
  m.refs?.put(page, "alloc");
  m.vmstat.pages.pageTables++;
  memcg.counters.pagetables++;
  return page;
}

export function* freeTable(k: Kernel, page: number): Atomic<void> {
  const { m } = k;
  if (m.point(Op.RefPut, page)) yield SWITCH;
  m.memmap.refcount[page] = 0;
  m.vmstat.pages.pageTables--;
  m.memcgs.get(m.memmap.memcg[page]!).counters.pagetables--;
  k.memcg.uncharge(k, page);
  yield* k.pageAlloc.freeUnrefPage(k, page);
}
