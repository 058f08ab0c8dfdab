/**
 * @linux mm/memory_hotplug.c
 * @omits Memory that is added or removed: blocks are there from boot, and only go offline and come online.
 * @omits The memmap is never on the memory itself (`memmap_on_memory`), and zones are chosen without `auto-movable`.
 * @omits Callbacks of others (`memory_notify()`): nobody can object.
 * @own announceZonelists, emptyRange, isMovableHugetlb, isolate
 */
import { SWITCH, type Atomic, type MaySleep } from "../kernel/coroutine.js";
import { Errno } from "../kernel/errno.js";
import { Op } from "../kernel/op.js";
import type { Kernel } from "../kernel.js";
import { HPG } from "./hstate.js";
import { MigrateMode } from "./migrate_mode.js";
import { PG } from "./page.js";
import { MEMORY_BLOCK_PAGES, type Zone, ZoneId } from "./zone.js";

/** Machine time that a look at a page takes: it is in no cache. */
const SCAN_PAGE_NS = 10;

/** What memory is to be used for when it comes online. */
export enum MmopOnline {
  /** Whatever lies around it is used for. */
  ONLINE,
  KERNEL,
  MOVABLE,
}

/** The zone that a memory block would come online in. */
export function zoneForPfnRange(k: Kernel, type: MmopOnline, from: number): Zone {
  const { zones } = k.m;
  const ofNode = zones.ofNode(k.m.nodes.of(from));
  const movable = ofNode[ZoneId.Movable]!;
  if (type === MmopOnline.MOVABLE) return movable;
  const intersects = (zone: Zone): boolean => from < zone.endPage && from + MEMORY_BLOCK_PAGES > zone.startPage;
  const kernel = ofNode.find((zone) => zone.id < ZoneId.Normal && intersects(zone)) ?? ofNode[ZoneId.Normal]!;
  return type === MmopOnline.ONLINE && intersects(movable) && !intersects(kernel) ? movable : kernel;
}

/** Gives a memory block that is offline to a zone: 0. device_hotplug_lock is held. */
export function* onlinePages(k: Kernel, from: number, zone: Zone): MaySleep<number> {
  const { m } = k;
  const { memHotplugLock } = m.memoryBlocks;
  if (!memHotplugLock.tryWrite()) yield* memHotplugLock.write();
  const populated = zone.managed > 0;
  if (!zone.lock.tryLock()) yield* zone.lock.lock();
  if (m.point(Op.Stats, 0)) yield SWITCH;
  m.zones.addBlock(from, zone);
  if (!zone.lock.tryUnlock()) yield* zone.lock.unlock();
  if (!populated) k.memoryHotplug.announceZonelists(k);
  if (!memHotplugLock.tryUnlock()) yield* memHotplugLock.unlock();
  return 0;
}

/** A zone has got its first memory or lost its last. */
export function announceZonelists(k: Kernel): void {
  const { dmesg, zones } = k.m;
  let total = 0;
  for (const zone of zones.list) total += zone.managed - zone.high;
  const { nodes } = k.m;
  for (let node = 0; node < nodes.count; node++) dmesg.print(`Fallback order for Node ${node}: ${nodes.byDistance(node).join(" ")} `);
  dmesg.print(`Built ${nodes.count} zonelists, mobility grouping ${zones.blocks.grouping ? "on" : "off"}.  Total pages: ${total}`);
  dmesg.print("Policy zone: Normal");
}

/**
 * Empties a memory block and takes it out of its zone. device_hotplug_lock is held. Goes on for as
 * long as there are pages that could be moved and cannot be just now: -EINTR for any signal that
 * comes meanwhile; -EBUSY when a page can never be moved. The block is then as it was.
 */
export function* offlinePages(k: Kernel, from: number): MaySleep<number> {
  const { m } = k;
  const { memHotplugLock } = m.memoryBlocks;
  const end = from + MEMORY_BLOCK_PAGES;
  const zone = m.zones.zoneOf(from);
  if (!memHotplugLock.tryWrite()) yield* memHotplugLock.write();
  // Neither a CPU's list of free pages nor a batch on its way to an LRU list may keep a page here.
  yield* k.pageAlloc.zonePcpDisable(k, zone);
  yield* k.swap.lruCacheDisable(k);
  let error = yield* k.pageIsolation.startIsolatePageRange(k, from, end);
  if (error === 0) {
    yield* k.ksmd.memoryGoingOffline(k);
    error = yield* k.memoryHotplug.emptyRange(k, from, end);
    if (error !== 0) yield* k.pageIsolation.undoIsolatePageRange(k, from, end);
    else {
      if (!zone.lock.tryLock()) yield* zone.lock.lock();
      if (m.point(Op.Stats, 0)) yield SWITCH;
      m.zones.removeBlock(from);
      if (!zone.lock.tryUnlock()) yield* zone.lock.unlock();
      if (zone.managed === 0) k.memoryHotplug.announceZonelists(k);
    }
    yield* k.ksmd.memoryOffline(k, from, error === 0 ? end : from);
  }
  yield* k.swap.lruCacheEnable(k);
  yield* k.pageAlloc.zonePcpEnable(k, zone);
  if (!memHotplugLock.tryUnlock()) yield* memHotplugLock.unlock();
  return error;
}

/** Moves everything out of an isolated range, however long it takes: 0, or -EINTR after a signal. */
export function* emptyRange(k: Kernel, from: number, end: number): MaySleep<number> {
  const { m } = k;
  do {
    for (let page = from; ; ) {
      if (m.signals.pending(m.current!)) return -Errno.EINTR;
      yield* m.sched.condResched();
      page = yield* k.memoryHotplug.scanMovablePages(k, page, end);
      if (page < 0) break;
      yield* k.memoryHotplug.doMigrateRange(k, page, end);
    }
    const error = yield* k.hugetlbPool.dissolveFreeHugetlbFolios(k, from, end);
    if (error !== 0) return error;
  } while (!(yield* k.pageIsolation.testPagesIsolated(k, from, end)));
  return 0;
}

/** Whether a folio of hugetlb is in use, and can be isolated; the caller has announced the look. */
export function isMovableHugetlb(k: Kernel, folio: number): boolean {
  const { memmap } = k.m;
  return memmap.has(folio, PG.hugetlb) && (memmap.private[folio]! & HPG.migratable) !== 0;
}

/** The first page at or behind `from` that is on an LRU list, and so can be moved; -1 when there is none before `end`. */
export function* scanMovablePages(k: Kernel, from: number, end: number): MaySleep<number> {
  const { m } = k;
  let page = from;
  for (; page < end; page++) {
    if (m.memmap.refcount[page] === 0) continue;
    if (m.point(Op.PageFlags, page)) yield SWITCH;
    if (m.memmap.has(page, PG.lru) || k.memoryHotplug.isMovableHugetlb(k, page)) break;
  }
  m.charge((page - from) * SCAN_PAGE_NS);
  return page < end ? page : -1;
}

/** Takes a folio off its list, or out of the hands of hugetlb. */
export function* isolate(k: Kernel, folio: number): Atomic<boolean> {
  if (k.m.memmap.has(folio, PG.hugetlb)) return yield* k.hugetlbMigrate.isolateHugetlb(k, folio);
  return yield* k.swap.folioIsolateLru(k, folio);
}

/**
 * Tries to move what is in use in a range of pages to somewhere else. What cannot be moved stays,
 * on its list, and the log says what it was: ten pages in five seconds.
 */
export function* doMigrateRange(k: Kernel, from: number, end: number): MaySleep<void> {
  const { m } = k;
  const { memmap } = m;
  const limit = m.memoryBlocks.migrateRatelimit;
  const isolated: number[] = [];
  m.charge((end - from) * SCAN_PAGE_NS);
  for (let page = from; page < end; page++) {
    if (memmap.refcount[page] === 0) continue;
    const folio = memmap.folioOf(page);
    if (!(yield* k.swap.folioTryGet(k, folio, "offline"))) continue;
    if (memmap.folioOf(page) === folio) {
      if (yield* k.memoryHotplug.isolate(k, folio)) isolated.push(folio);
      else if (limit.allows()) {
        m.dmesg.print(`failed to isolate pfn ${memmap.pageToPfn(page).toString(16)}`);
        yield* k.debug.dumpPage(k, page, "isolation failed");
      }
    }
    yield* k.swap.folioPut(k, folio, "offline");
  }
  if (isolated.length === 0) return;
  const { failed, result } = yield* k.migrate.migratePages(k, isolated, k.migrate.allocMigrationTarget, MigrateMode.SYNC);
  for (const folio of failed) {
    if (!limit.allows()) continue;
    m.dmesg.print(`migrating pfn ${memmap.pageToPfn(folio).toString(16)} failed ret:${result}`);
    yield* k.debug.dumpPage(k, folio, "migration failure");
  }
  yield* k.vmscan.putbackFolios(k, failed);
}
