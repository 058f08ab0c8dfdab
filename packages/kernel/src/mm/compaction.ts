/**
 * @linux mm/compaction.c
 * @omits kcompactd, and compaction ahead of need (`compaction_proactiveness`).
 * @omits Deferring after failures (`defer_compaction()`), and hints which pageblocks to skip.
 * @omits The fast searches of both scanners by way of the free lists (`fast_isolate_freepages()`).
 * @omits Large folios stay where they are.
 * @own compactBlock, hasBlock, isolateFreePages
 */
import { SWITCH, type Atomic, type MaySleep } from "../kernel/coroutine.js";
import { Op } from "../kernel/op.js";
import type { Kernel } from "../kernel.js";
import { GFP_MIGRATE, gfpZone } from "./gfp.js";
import type { AllocNodes } from "./mempolicy.js";
import { MigrateMode } from "./migrate_mode.js";
import { NO_PAGE, PG } from "./page.js";
import { MigrateType, PAGEBLOCK_ORDER, PAGEBLOCK_PAGES } from "./pageblock.js";
import type { Zone } from "./zone.js";

/** Machine time that a look at a page takes: it is in no cache. */
const SCAN_PAGE_NS = 10;
/** Orders above this are worth a pass that skips what cannot become one free block. */
const WHOLE_ORDER = PAGEBLOCK_ORDER;

/** One pass over a zone. */
interface CompactControl {
  readonly zone: Zone;
  /** The order that is wanted; -1: as many free blocks as possible. */
  readonly order: number;
  readonly mode: MigrateMode;
  /** Free pages that have been taken for what moves. */
  readonly freePages: number[];
  migrate: number;
  free: number;
}

/** Compacts the zones that an allocation may have until one has a block of the order, or all have been gone through. */
export function* tryToCompactPages(k: Kernel, gfp: number, order: number, mode: MigrateMode, nodes: AllocNodes | null = null): MaySleep<void> {
  const { m } = k;
  const { events } = m.vmstat;
  let stalled = false;
  for (const zone of k.pageAlloc.zonesFor(k, gfp, nodes)) {
    const enough = zone.low + zone.lowmemReserve[gfpZone(gfp)]! + (2 << order);
    if (m.point(Op.GuardedRead, zone.lock.id)) yield SWITCH;
    // Without room to move to there is nothing to be won.
    if (zone.free <= enough || (mode === MigrateMode.ASYNC && zone.compact.isDeferred(order))) continue;
    stalled = true;
    const done = yield* k.compaction.compactZone(k, zone, order, mode);
    if (m.point(Op.GuardedRead, zone.lock.id)) yield SWITCH;
    m.touches(Op.SpinLock, zone.lock.id);
    if (done) zone.compact.succeeded(order);
    else if (mode !== MigrateMode.ASYNC) zone.compact.defer(order);
    if (!done) continue;
    events.compact_stall++;
    events.compact_success++;
    return;
  }
  if (!stalled) return;
  events.compact_stall++;
  events.compact_fail++;
}

/** A node's compact file, and for each compact_memory: everything that can move goes to the upper end of its zone. */
export function* compactNode(k: Kernel, node: number): MaySleep<void> {
  for (const zone of k.m.zones.ofNode(node)) if (zone.managed > 0) yield* k.compaction.compactZone(k, zone, -1, MigrateMode.SYNC);
}

/**
 * Moves what lies in the lower part of a zone to free pages of the upper part, pageblock by pageblock,
 * until there is a free block of the order, or the two meet. Whether there is one.
 */
export function* compactZone(k: Kernel, zone: Zone, order: number, mode: MigrateMode): MaySleep<boolean> {
  const { m } = k;
  yield* k.swap.lruAddDrainAll(k);
  yield* k.pageAlloc.drainAllPages(k, zone);
  const first = Math.ceil(zone.startPage / PAGEBLOCK_PAGES) * PAGEBLOCK_PAGES;
  const last = Math.floor(zone.endPage / PAGEBLOCK_PAGES) * PAGEBLOCK_PAGES - PAGEBLOCK_PAGES;
  const whole = order < 0 || zone.compact.migrate === NO_PAGE;
  const cc: CompactControl = { zone, order, mode, freePages: [], migrate: whole ? first : zone.compact.migrate, free: whole ? last : zone.compact.free };
  let done = k.compaction.hasBlock(k, zone, order);
  while (!done && cc.migrate < cc.free && !m.signals.fatalPending(m.current!)) {
    yield* k.compaction.compactBlock(k, cc, cc.migrate);
    cc.migrate += PAGEBLOCK_PAGES;
    if (m.point(Op.GuardedRead, zone.lock.id)) yield SWITCH;
    done = k.compaction.hasBlock(k, zone, order);
    yield* m.sched.condResched();
  }
  if (!zone.lock.tryLock()) yield* zone.lock.lock();
  for (const page of cc.freePages) zone.freeBlock(page, 0);
  // Once they have met, the next time begins at the ends.
  const met = cc.migrate >= cc.free || order < 0;
  zone.compact.migrate = met ? NO_PAGE : cc.migrate;
  zone.compact.free = met ? NO_PAGE : cc.free;
  if (!zone.lock.tryUnlock()) yield* zone.lock.unlock();
  return done;
}

/** Whether a zone has a free block of an order, or a larger one. */
export function hasBlock(_k: Kernel, zone: Zone, order: number): boolean {
  if (order < 0) return false;
  for (let o = order; o <= 10; o++) if (zone.freeBlocks(o, MigrateType.Movable) + zone.freeBlocks(o, MigrateType.Unmovable) > 0) return true;
  return false;
}

/** Empties one pageblock, if all of it can be emptied where that is what is wanted. */
export function* compactBlock(k: Kernel, cc: CompactControl, block: number): MaySleep<void> {
  const { m } = k;
  const { memmap, zones, vmstat } = m;
  if (!zones.isOnline(block) || zones.zoneOf(block) !== cc.zone || zones.blocks.isIsolated(block)) return;
  const pages: number[] = [];
  m.charge(PAGEBLOCK_PAGES * SCAN_PAGE_NS);
  vmstat.events.compact_migrate_scanned += PAGEBLOCK_PAGES;
  for (let page = block; page < block + PAGEBLOCK_PAGES; ) {
    if (m.point(Op.PageFlags, page)) yield SWITCH;
    if (memmap.has(page, PG.buddy)) {
      page += 1 << memmap.private[page]!;
      continue;
    }
    if (memmap.has(page, PG.lru) && memmap.refcount[page]! > 0 && !memmap.isLarge(page)) pages.push(page);
    // Something that stays: the block cannot become free as a whole.
    else if ((memmap.refcount[page] !== 0 || memmap.has(page, PG.tail | PG.hugetlb)) && (cc.order < 0 || cc.order >= WHOLE_ORDER)) return;
    page++;
  }
  if (pages.length === 0) return;
  const isolated: number[] = [];
  for (const page of pages) if (yield* k.swap.folioIsolateLru(k, page)) isolated.push(page);
  vmstat.events.compact_isolated += isolated.length;
  const { failed } = yield* k.migrate.migratePages(k, isolated, (_k, _src) => k.compaction.compactionAlloc(k, cc), cc.mode);
  yield* k.vmscan.putbackFolios(k, failed);
  // What has become free is to come together.
  yield* k.pageAlloc.drainZonePcp(k, m.cpu, cc.zone, Infinity);
}

/** Room for a page, from what the free scanner has found; NO_PAGE where the scanners have met. */
export function* compactionAlloc(k: Kernel, cc: CompactControl): MaySleep<number> {
  while (cc.freePages.length === 0 && cc.free > cc.migrate) {
    yield* k.compaction.isolateFreePages(k, cc, cc.free);
    cc.free -= PAGEBLOCK_PAGES;
  }
  const page = cc.freePages.pop() ?? NO_PAGE;
  if (page !== NO_PAGE) k.pageAlloc.prepareNewPage(k, page, 0, GFP_MIGRATE);
  return page;
}

/** Takes what is free in a pageblock of movable memory, unless all of it is free. */
export function* isolateFreePages(k: Kernel, cc: CompactControl, block: number): Atomic<void> {
  const { m } = k;
  const { memmap, zones } = m;
  const { zone } = cc;
  if (!zones.isOnline(block) || zones.zoneOf(block) !== zone || zones.blocks.listOf(block) !== (zones.blocks.grouping ? MigrateType.Movable : MigrateType.Unmovable)) return;
  m.vmstat.events.compact_free_scanned += PAGEBLOCK_PAGES;
  if (!zone.lock.tryLock()) yield* zone.lock.lock();
  if (m.point(Op.PageFlags, block)) yield SWITCH;
  const large = memmap.has(block, PG.buddy) && memmap.private[block]! >= PAGEBLOCK_ORDER;
  const upper = block - PAGEBLOCK_PAGES;
  const tailOfLarge = upper >= 0 && memmap.has(upper, PG.buddy) && memmap.private[upper]! > PAGEBLOCK_ORDER;
  if (!large && !tailOfLarge) cc.freePages.push(...zone.takeFree(block));
  if (!zone.lock.tryUnlock()) yield* zone.lock.unlock();
}
