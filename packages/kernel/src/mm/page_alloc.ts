/**
 * @linux mm/page_alloc.c
 * @omits Reserves for high-order atomic allocations, CMA and boosted watermarks.
 * @omits `should_reclaim_retry()`: sixteen passes without progress, then the OOM killer, whatever the watermarks
 *   promise.
 * @omits Per-CPU lists have single pages only, and limits that do not adapt.
 * @omits Deferred compaction, cpusets, and direct reclaim's own share of what it has freed (`capture_control`).
 * @omits Bulk and exact allocations, and ranges of contiguous pages other than for gigantic pages.
 * @omits Checks of pages (`bad_page()`), poisoning, and KASAN's tags.
 * @own allocFast, allocFolio, allocPage, allocSlow, allocTable, drainPcp, drainZonePcp, freeLargeFolio, freeTable,
 *   freeToPcp, freeUnrefPage, prepareNewPage, returnFast, zonesFor
 */
import { SWITCH, type Atomic, type MaySleep } from "../kernel/coroutine.js";
import { Op } from "../kernel/op.js";
import type { Kernel } from "../kernel.js";
import { Event } from "../trace.js";
import { Gfp, GFP_KERNEL, gfpZone } from "./gfp.js";
import type { AllocNodes } from "./mempolicy.js";
import { MigrateMode } from "./migrate_mode.js";
import { NO_PAGE, PG } from "./page.js";
import { NOBODY } from "./numa_fault.js";
import { MIGRATE_PCPTYPES, MigrateType } from "./pageblock.js";
import { MAX_PAGE_ORDER, type Zone } from "./zone.js";

/** Reclaim passes without progress before the OOM killer is called. */
const MAX_RECLAIM_RETRIES = 16;

/** Which pageblocks an allocation prefers, and so which zones it may have. */
export function gfpMigratetype(gfp: number): MigrateType {
  return (gfp & Gfp.MOVABLE) !== 0 ? MigrateType.Movable : MigrateType.Unmovable;
}

/** Less of what was asked for where the task must not have it. */
function currentGfpContext({ m }: Kernel, gfp: number): number {
  return m.current?.memallocPin === true ? gfp & ~Gfp.MOVABLE : gfp;
}

/** The zones that an allocation may have, in order: where it is told to look, or where the current task's policy says. */
export function zonesFor(k: Kernel, gfp: number, nodes: AllocNodes | null): readonly Zone[] {
  const { zones } = k.m;
  const type = gfpMigratetype(gfp);
  if (k.m.nodes.count === 1) return zones.zonelist(type, 0);
  const where = nodes ?? k.mempolicy.taskNodes(k);
  if (where === null) return zones.zonelist(type, k.m.nodes.ofCpu(k.m.cpu));
  return where.mask === -1 ? zones.zonelist(type, where.node) : zones.zonelistWithin(type, where.node, where.mask, where.strict);
}

/** Counts an allocation from a zone, where the first of `list` was wanted (zone_statistics()). */
function countNuma(k: Kernel, zone: Zone, list: readonly Zone[], nodes: AllocNodes | null): void {
  const hit = list[0]!.node === zone.node;
  if (hit) zone.numaStats.hit++;
  else {
    zone.numaStats.miss++;
    list[0]!.numaStats.foreign++;
  }
  if (hit && nodes !== null && nodes.interleaved) zone.numaStats.interleave++;
  if (zone.node === k.m.nodes.ofCpu(k.m.cpu)) zone.numaStats.local++;
  else zone.numaStats.other++;
}

/**
 * A page from this CPU's lists, with one reference; NO_PAGE when there is none in the first zone
 * that still has memory. Touches nothing that another CPU can see, so it has no point.
 */
export function allocFast(k: Kernel, wanted: number, nodes: AllocNodes | null = null): number {
  const { m } = k;
  const gfp = currentGfpContext(k, wanted);
  const { zones } = m;
  const type = gfpMigratetype(gfp);
  const list = zonesFor(k, gfp, nodes);
  const listType = zones.blocks.grouping ? type : MigrateType.Unmovable;
  for (const zone of list) {
    const pcp = zones.pcp(m.cpu, zone, listType);
    if (pcp.count > 0) {
      m.touches(Op.Pcp, m.cpu);
      const page = pcp.pages[--pcp.count]!;
      prepareNewPage(k, page, 0, gfp);
      countNuma(k, zone, list, nodes);
      return page;
    }
    m.touches(Op.GuardedRead, zone.lock.id);
    if (zone.free > zone.low + zone.lowmemReserve[gfpZone(gfp)]!) break;
  }
  return NO_PAGE;
}

/** Undoes an `allocFast` whose page was not used. */
export function returnFast(k: Kernel, page: number): void {
  const { m } = k;
  const pcp = m.zones.pcpFor(m.cpu, page);
  m.touches(Op.Pcp, m.cpu);
  m.touches(Op.RefPut, page);
  m.memmap.refcount[page] = 0;
  m.refs?.put(page, "alloc");
  m.sink?.emit(Event.MmPageFree, page, 0, 0, 0);
  pcp.pages[pcp.count++] = page;
}

const PGALLOC = ["pgalloc_dma32", "pgalloc_normal", "pgalloc_movable"] as const;

/** A block that has just been taken from the allocator becomes a folio with one reference, at site "alloc". */
export function prepareNewPage(k: Kernel, page: number, order: number, gfp: number): void {
  const { m } = k;
  const { memmap } = m;
  m.touches(Op.RefGet, page);
  // Who still has the number of a page that was freed may look which folio it belongs to.
  if (order > 0) {
    m.touches(Op.MapCount, page);
    for (let i = 0; i < 1 << order; i++) m.touches(Op.PageFlags, page + i);
  }
  memmap.refcount[page] = 1;
  memmap.flags[page] = 0;
  if (memmap.lastCpuPid !== null) memmap.lastCpuPid[page] = NOBODY;
  if (order > 0) memmap.prepareCompound(page, order);
  m.vmstat.events[PGALLOC[m.zones.zoneOf(page).id]] += 1 << order;
  m.refs?.get(page, "alloc");
  m.pageOwner?.allocated(page, order, gfp, gfpMigratetype(gfp));
  m.sink?.emit(Event.MmPageAlloc, page, order, gfpMigratetype(gfp), gfp);
}

/** One page with one reference, or NO_PAGE. Reclaims, and calls the OOM killer, as `gfp` allows. */
export function* allocPage(k: Kernel, gfp: number, nodes: AllocNodes | null = null): MaySleep<number> {
  if ((gfp & Gfp.DIRECT_RECLAIM) !== 0) k.m.mightSleep("an allocation that may reclaim");
  let page = k.pageAlloc.allocFast(k, gfp, nodes);
  if (page === NO_PAGE) page = yield* k.pageAlloc.allocSlow(k, gfp, nodes);
  if (page !== NO_PAGE && (gfp & Gfp.ZERO) !== 0) k.m.ram.clear(page);
  return page;
}

export function* allocSlow(k: Kernel, wanted: number, nodes: AllocNodes | null = null): MaySleep<number> {
  const { m } = k;
  const gfp = currentGfpContext(k, wanted);
  let page = yield* k.pageAlloc.rmqueueBulk(k, gfp, "low", nodes);
  if (page !== NO_PAGE) return page;
  if ((gfp & Gfp.KSWAPD_RECLAIM) !== 0) k.vmscan.wakeupKswapd(k, gfp);
  let retries = 0;
  for (;;) {
    const reserves = (gfp & Gfp.MEMALLOC) !== 0 || m.current?.oomVictim === true;
    page = yield* k.pageAlloc.rmqueueBulk(k, gfp, reserves ? "none" : "min", nodes);
    if (page !== NO_PAGE) return page;
    if ((gfp & Gfp.DIRECT_RECLAIM) === 0 || reserves) return NO_PAGE;
    m.vmstat.events.allocstall_normal++;
    const reclaimed = yield* k.vmscan.tryToFreePages(k, gfp);
    if (reclaimed > 0) {
      retries = 0;
      continue;
    }
    if (m.signals.fatalPending(m.current!)) return NO_PAGE;
    if (++retries < MAX_RECLAIM_RETRIES) continue;
    if ((gfp & (Gfp.NORETRY | Gfp.RETRY_MAYFAIL)) !== 0) return NO_PAGE;
    if (!(yield* k.oom.outOfMemory(k, null))) return NO_PAGE;
    retries = 0;
  }
}

/**
 * A folio of 2^order pages with one reference, its contents not cleared; NO_PAGE when there is no
 * such block. Order 0 is allocated as `allocPage` does it.
 */
export function* allocFolio(k: Kernel, wanted: number, order: number, nodes: AllocNodes | null = null): MaySleep<number> {
  if (order === 0) return yield* k.pageAlloc.allocPage(k, wanted, nodes);
  const gfp = currentGfpContext(k, wanted);
  if ((gfp & Gfp.DIRECT_RECLAIM) !== 0) k.m.mightSleep("an allocation that may reclaim");
  let folio = yield* k.pageAlloc.rmqueue(k, order, gfp, "low", nodes);
  if (folio === NO_PAGE && (gfp & Gfp.KSWAPD_RECLAIM) !== 0) k.vmscan.wakeupKswapd(k, gfp);
  if (folio === NO_PAGE) folio = yield* k.pageAlloc.rmqueue(k, order, gfp, "min", nodes);
  if (folio !== NO_PAGE || (gfp & Gfp.DIRECT_RECLAIM) === 0) return folio;
  // Pages that lie apart are brought together; who says that it may fail tries harder.
  yield* k.compaction.tryToCompactPages(k, gfp, order, MigrateMode.ASYNC, nodes);
  folio = yield* k.pageAlloc.rmqueue(k, order, gfp, "min", nodes);
  if (folio !== NO_PAGE) return folio;
  yield* k.vmscan.tryToFreePages(k, gfp);
  folio = yield* k.pageAlloc.rmqueue(k, order, gfp, "min", nodes);
  if (folio !== NO_PAGE || (gfp & Gfp.RETRY_MAYFAIL) === 0) return folio;
  yield* k.compaction.tryToCompactPages(k, gfp, order, MigrateMode.SYNC, nodes);
  return yield* k.pageAlloc.rmqueue(k, order, gfp, "min", nodes);
}

/** A block from the buddy lists as one folio, where the watermark lets it; NO_PAGE else. */
export function* rmqueue(k: Kernel, order: number, gfp: number, watermark: "low" | "min", nodes: AllocNodes | null = null): Atomic<number> {
  const type = gfpMigratetype(gfp);
  const list = zonesFor(k, gfp, nodes);
  for (const zone of list) {
    if (zone.free - (1 << order) < zone[watermark] + zone.lowmemReserve[gfpZone(gfp)]!) continue;
    if (!zone.lock.tryLock()) yield* zone.lock.lock();
    const folio = zone.takeBlock(order, type);
    if (!zone.lock.tryUnlock()) yield* zone.lock.unlock();
    if (folio === NO_PAGE) continue;
    prepareNewPage(k, folio, order, gfp);
    countNuma(k, zone, list, nodes);
    return folio;
  }
  return NO_PAGE;
}

/** Fills a list of this CPU from the buddy lists as far as the watermark lets it, and takes one page. */
export function* rmqueueBulk(k: Kernel, gfp: number, watermark: "low" | "min" | "none", nodes: AllocNodes | null = null): Atomic<number> {
  const { m } = k;
  const type = gfpMigratetype(gfp);
  const { zones } = m;
  const list = zonesFor(k, gfp, nodes);
  const listType = zones.blocks.grouping ? type : MigrateType.Unmovable;
  for (const zone of list) {
    const keep = watermark === "none" ? 0 : zone[watermark] + zone.lowmemReserve[gfpZone(gfp)]!;
    if (zone.free <= keep) continue;
    if (!zone.lock.tryLock()) yield* zone.lock.lock();
    const pcp = zones.pcp(m.cpu, zone, listType);
    const n = Math.min(zone.pcpDisabled > 0 ? 1 : zones.batch, zone.free - keep);
    for (let j = 0; j < n; j++) {
      const page = zone.takeBlock(0, type);
      if (page === NO_PAGE) break;
      pcp.pages[pcp.count++] = page;
    }
    if (!zone.lock.tryUnlock()) yield* zone.lock.unlock();
    if (pcp.count > 0) {
      m.touches(Op.Pcp, m.cpu);
      const page = pcp.pages[--pcp.count]!;
      prepareNewPage(k, page, 0, gfp);
      countNuma(k, zone, list, nodes);
      return page;
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
  m.pageOwner?.freed(folio);
  m.thp.unqueueDeferredSplit(folio, order);
  if (memmap.isAnon(folio)) m.thp.stats(order).nr_anon--;
  for (let i = 0; i < 1 << order; i++) m.touches(Op.PageFlags, folio + i);
  memmap.dissolveCompound(folio);
  for (let page = folio; page < folio + (1 << order); page++) memmap.flags[page] = 0;
  memmap.mapping[folio] = 0;
  memmap.memcg[folio] = 0;
  const zone = m.zones.zoneOf(folio);
  if (!zone.lock.tryLock()) yield* zone.lock.lock();
  // Gigantic ones are larger than any block.
  const block = Math.min(order, MAX_PAGE_ORDER);
  for (let page = folio; page < folio + (1 << order); page += 1 << block) zone.freeBlock(page, block);
  if (!zone.lock.tryUnlock()) yield* zone.lock.unlock();
}

/** A large folio that nobody else knows of becomes single pages, each with a reference as it had (split_page()). */
export function splitPage(k: Kernel, folio: number): void {
  const { m } = k;
  const pages = m.memmap.folioPages(folio);
  m.memmap.dissolveCompound(folio);
  for (let page = folio + 1; page < folio + pages; page++) {
    m.touches(Op.RefGet, page);
    m.touches(Op.PageFlags, page);
    m.memmap.refcount[page] = 1;
    m.memmap.flags[page] = 0;
    m.refs?.get(page, "alloc");
  }
}

/** Puts a page on a list of this CPU; true when it is to be drained. */
export function freeToPcp(k: Kernel, page: number): boolean {
  const { m } = k;
  const { memmap, zones } = m;
  m.pageOwner?.freed(page);
  m.sink?.emit(Event.MmPageFree, page, 0, 0, 0);
  m.vmstat.events.pgfree++;
  m.touches(Op.PageFlags, page);
  memmap.flags[page] = 0;
  memmap.mapping[page] = 0;
  memmap.memcg[page] = 0;
  const pcp = zones.pcpFor(m.cpu, page);
  m.touches(Op.Pcp, m.cpu);
  pcp.pages[pcp.count++] = page;
  return pcp.count > zones.batch * 4 || zones.zoneOf(page).pcpDisabled > 0 || lowOnMemory(k);
}

function lowOnMemory(k: Kernel): boolean {
  const { m } = k;
  for (const zone of m.zones.list) {
    if (zone.managed === 0) continue;
    m.touches(Op.GuardedRead, zone.lock.id);
    if (zone.free > zone.low) return false;
  }
  return true;
}

/** Moves up to `n` pages of each zone from this CPU's lists to the buddy lists, all where no lists are to be kept. */
export function* drainPcp(k: Kernel, n: number): Atomic<void> {
  for (const zone of k.m.zones.list) yield* k.pageAlloc.drainZonePcp(k, k.m.cpu, zone, zone.pcpDisabled > 0 ? Infinity : n);
}

/** Moves up to `n` pages of a zone from a CPU's lists to the buddy lists: of the longest first, so that none grows while others are emptied. */
export function* drainZonePcp(k: Kernel, cpu: number, zone: Zone, n: number): Atomic<void> {
  const { m } = k;
  if (m.zones.pcpPages(cpu, zone) === 0) return;
  if (!zone.lock.tryLock()) yield* zone.lock.lock();
  m.touches(Op.Pcp, cpu);
  let left = n;
  const lists = Array.from({ length: MIGRATE_PCPTYPES }, (_, type) => m.zones.pcp(cpu, zone, type)).sort((a, b) => b.count - a.count);
  for (const pcp of lists) {
    // The oldest entries are at the bottom: those are the ones that have cooled down.
    const freed = Math.min(left, pcp.count);
    for (let i = 0; i < freed; i++) zone.freeBlock(pcp.pages[i]!, 0);
    pcp.pages.copyWithin(0, freed, pcp.count);
    pcp.count -= freed;
    left -= freed;
  }
  if (!zone.lock.tryUnlock()) yield* zone.lock.unlock();
}

/** From here on what is freed in a zone goes to its buddy lists at once, until `zonePcpEnable`. */
export function* zonePcpDisable(k: Kernel, zone: Zone): MaySleep<void> {
  const { m } = k;
  if (m.point(Op.Pcp, m.cpu)) yield SWITCH;
  zone.pcpDisabled++;
  yield* k.pageAlloc.drainAllPages(k, zone);
}

export function* zonePcpEnable(k: Kernel, zone: Zone): Atomic<void> {
  if (k.m.point(Op.Pcp, k.m.cpu)) yield SWITCH;
  zone.pcpDisabled--;
}

/** Empties every CPU's lists of a zone's pages. */
export function* drainAllPages(k: Kernel, zone: Zone): MaySleep<void> {
  for (let cpu = 0; cpu < k.m.config.cpus; cpu++) yield* k.pageAlloc.drainZonePcp(k, cpu, zone, Infinity);
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

/** Frees a page-table page, or leaves that to whoever has a reference to it for a moment, not knowing what it is. */
export function* freeTable(k: Kernel, page: number): Atomic<void> {
  const { m } = k;
  const { memmap } = m;
  if (m.point(Op.RefPut, page)) yield SWITCH;
  m.vmstat.pages.pageTables--;
  m.memcgs.get(memmap.memcg[page]!).counters.pagetables--;
  m.touches(Op.PageFlags, page);
  memmap.clear(page, PG.table);
  if (--memmap.refcount[page]! > 0) return;
  k.memcg.uncharge(k, page);
  yield* k.pageAlloc.freeUnrefPage(k, page);
}
