/**
 * @linux mm/gup.c
 * @omits Secret memory, DAX and CMA as reasons of their own: what may not be pinned for long is what lies in
 *   ZONE_MOVABLE, is isolated, or belongs to a device.
 * @own allocLongtermTarget, isolateUnpinnable, migrateFromDevices
 */
import { SWITCH, type MaySleep } from "../kernel/coroutine.js";
import { Errno } from "../kernel/errno.js";
import { Op } from "../kernel/op.js";
import type { Kernel } from "../kernel.js";
import { GFP_USER, Gfp } from "./gfp.js";
import { MigrateMode } from "./migrate_mode.js";
import type { Mm } from "./mm_types.js";
import { PG } from "./page.js";
import { ZoneId } from "./zone.js";

/*
 * Pins that may be kept for as long as user space likes (FOLL_LONGTERM): what is to be able to move, or to go offline, is
 * moved before it is pinned, and new pages meanwhile come from elsewhere (PF_MEMALLOC_PIN).
 */

/** For the new home of what is to be pinned: memory that need not be able to move. */
const GFP_LONGTERM = GFP_USER | Gfp.COMP | Gfp.NOWARN;

/** `gupRange`, again until everything lies where it can stay. -ENOMEM where something cannot be moved. */
export function* gupLongtermLocked(k: Kernel, mm: Mm, start: number, nr: number, gup: number, site: string, pages: number[]): MaySleep<number> {
  const task = k.m.current!;
  const saved = task.memallocPin;
  task.memallocPin = true;
  const before = pages.length;
  let n = 0;
  let error = 0;
  do {
    n = yield* k.gup.gupRange(k, mm, start, nr, gup, site, pages);
    error = n <= 0 ? n : yield* k.gupLongterm.checkAndMigrateMovablePages(k, pages, before, site);
  } while (error === -Errno.EAGAIN);
  task.memallocPin = saved;
  return error < 0 ? error : n;
}

/** Whether a folio may be pinned for ever where it lies. The page of zeros always may. */
export function folioIsLongtermPinnable(k: Kernel, folio: number): boolean {
  const { memmap, zones } = k.m;
  // A device must be able to have its memory empty.
  if (memmap.isZoneDevice(folio)) return !memmap.isDeviceCoherent(folio);
  if (folio === zones.zeroPage || folio === k.m.thp.hugeZeroFolio) return true;
  return !zones.blocks.isIsolated(folio) && zones.zoneOf(folio).id !== ZoneId.Movable;
}

/**
 * 0 where all pages from the index `before` on may stay; else those are unpinned and taken from the list, and what could not
 * stay is moved: -EAGAIN to pin them anew; -ENOMEM, or -EBUSY where somebody else holds what is a device's.
 */
export function* checkAndMigrateMovablePages(k: Kernel, pages: number[], before: number, site: string): MaySleep<number> {
  const { memmap } = k.m;
  const folios = new Set(pages.slice(before).map((page) => memmap.folioOf(page)));
  const unpinnable = [...folios].filter((folio) => !k.gupLongterm.folioIsLongtermPinnable(k, folio));
  if (unpinnable.length === 0) return 0;
  const ofDevices = unpinnable.filter((folio) => memmap.isDeviceCoherent(folio));
  // A pin would be in the way of a migration, a reference is expected.
  for (const folio of ofDevices) yield* k.swap.folioGet(k, folio, site);
  const isolated = yield* k.gupLongterm.isolateUnpinnable(k, unpinnable);
  yield* k.gupPin.unpinUserPages(k, pages.splice(before), site);
  const busy = yield* k.gupLongterm.migrateFromDevices(k, ofDevices, site);
  if (busy) {
    yield* k.vmscan.putbackFolios(k, isolated);
    return -Errno.EBUSY;
  }
  if (isolated.length === 0) {
    // Somebody else has them, to move them.
    const changed = (): boolean =>
      unpinnable.some((folio) => memmap.refcount[folio] === 0 || memmap.has(folio, PG.lru) || memmap.isDeviceCoherent(folio));
    if (k.m.retries.again("migrate_longterm_unpinnable_folios", changed)) yield SWITCH;
    return -Errno.EAGAIN;
  }
  const { failed, result } = yield* k.migrate.migratePages(k, isolated, k.gupLongterm.allocLongtermTarget, MigrateMode.SYNC);
  yield* k.vmscan.putbackFolios(k, failed);
  return result === 0 ? -Errno.EAGAIN : -Errno.ENOMEM;
}

/** Moves device-coherent folios to RAM, each with a reference at `site`, which goes; true where one cannot be moved. */
export function* migrateFromDevices(k: Kernel, folios: readonly number[], site: string): MaySleep<boolean> {
  let busy = false;
  for (const folio of folios) {
    if (busy) yield* k.swap.folioPut(k, folio, site);
    else busy = (yield* k.migrateDevice.migrateDeviceCoherentFolio(k, folio, site)) !== 0;
  }
  return busy;
}

/** Takes pinned folios off their lists, and out of what CPUs put off. */
export function* isolateUnpinnable(k: Kernel, folios: readonly number[]): MaySleep<number[]> {
  const isolated: number[] = [];
  yield* k.swap.lruAddDrainAll(k);
  for (const folio of folios) if (!k.m.memmap.isZoneDevice(folio) && (yield* k.memoryHotplug.isolate(k, folio))) isolated.push(folio);
  return isolated;
}

/** A folio that may be pinned for ever, for the contents of another. */
export function* allocLongtermTarget(k: Kernel, src: number): MaySleep<number> {
  const { m } = k;
  if (m.point(Op.PageFlags, src)) yield SWITCH;
  if (m.memmap.has(src, PG.hugetlb)) return yield* k.hugetlbMigrate.allocHugetlbTarget(k, m.hugetlb.ofOrder(m.memmap.order[src]!)!);
  return yield* k.pageAlloc.allocFolio(k, GFP_LONGTERM, m.memmap.order[src]!);
}
