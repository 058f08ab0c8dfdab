/**
 * @linux mm/memremap.c
 * @omits Types: device-private and device-coherent memory only; no FS_DAX, GENERIC and PCI_P2PDMA.
 * @omits The memmap has had room for a device's pages since boot: nothing is hotplugged, there are no sections and
 *   no `vmem_altmap`, and a map has one range.
 * @omits `get_dev_pagemap()` and its percpu reference: a map waits for its pages, and for nothing else.
 * @own folioFreed
 */
import { SWITCH, type Atomic, type MaySleep } from "../kernel/coroutine.js";
import { Op } from "../kernel/op.js";
import { TaskState } from "../kernel/sched.js";
import type { Kernel } from "../kernel.js";
import type { DevPagemap, DevPagemapOps, MemoryType } from "./dev_pagemap.js";

/*
 * ZONE_DEVICE: memory of devices that has pages. Those have references, map counts and a reverse map as any
 * others, are on no LRU list, and go back to their driver, not to the allocator, with the last reference.
 */

/** Gives a device `pages` pages of a type, none of which is in use; null where there is no room. */
export function* memremapPages(k: Kernel, type: MemoryType, owner: object, ops: DevPagemapOps, pages: number): MaySleep<DevPagemap | null> {
  const { m } = k;
  if (m.point(Op.Pgmap, 0)) yield SWITCH;
  return m.pgmaps.add(type, owner, ops, pages);
}

/** Takes device memory away again, once nobody refers to any of its pages: the driver has migrated away what was there. */
export function* memunmapPages(k: Kernel, pgmap: DevPagemap): MaySleep<void> {
  const { m } = k;
  if (m.point(Op.Pgmap, 0)) yield SWITCH;
  while (pgmap.used > 0) yield* pgmap.idle.sleep(TaskState.Uninterruptible, "memunmap_pages", pgmap.firstPage);
  m.pgmaps.remove(pgmap);
}

/**
 * A free part of device memory becomes a folio of 2^order pages, locked and with one reference, at site "alloc"
 * (zone_device_folio_init()). Nobody else knows of it yet.
 */
export function zoneDeviceFolioInit(k: Kernel, folio: number, order: number): void {
  const { m } = k;
  const { memmap } = m;
  m.touches(Op.RefGet, folio);
  for (let i = 0; i < 1 << order; i++) m.touches(Op.PageFlags, folio + i);
  m.touches(Op.MapCount, folio);
  memmap.refcount[folio] = 1;
  memmap.flags[folio] = 0;
  memmap.mapping[folio] = 0;
  memmap.private[folio] = 0;
  if (order > 0) memmap.prepareCompound(folio, order);
  m.pgmaps.of(folio)!.used += 1 << order;
  m.refs?.get(folio, "alloc");
  k.folioLock.lockNewFolio(k, folio);
}

/** The pages of a folio that nobody refers to are no folio any more, and nobody's memory. */
export function folioFreed(k: Kernel, folio: number): void {
  const { memmap, thp } = k.m;
  const order = memmap.order[folio]!;
  if (order > 0) {
    if (memmap.isAnon(folio)) thp.stats(order).nr_anon--;
    memmap.dissolveCompound(folio);
  }
  for (let page = folio; page < folio + (1 << order); page++) memmap.flags[page] = 0;
  memmap.mapping[folio] = 0;
}

/** The last reference to a folio of a device is gone: it is the driver's again. */
export function* freeZoneDeviceFolio(k: Kernel, folio: number): Atomic<void> {
  const { m } = k;
  const { memmap } = m;
  const pgmap = m.pgmaps.of(folio)!;
  if (m.point(Op.Memcg, memmap.memcg[folio]!)) yield SWITCH;
  k.memcg.uncharge(k, folio);
  const pages = memmap.folioPages(folio);
  for (let i = 0; i < pages; i++) m.touches(Op.PageFlags, folio + i);
  k.memremap.folioFreed(k, folio);
  m.touches(Op.Pgmap, 0);
  pgmap.used -= pages;
  yield* pgmap.ops.folioFree(k, folio, pages);
  if (pgmap.used === 0) pgmap.idle.wakeAll();
}
