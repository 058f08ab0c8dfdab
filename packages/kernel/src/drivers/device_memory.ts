/**
 * @linux lib/test_hmm.c
 * @own allocateChunk, backingPage, deviceAllocFolio, deviceCopyPage, deviceFolioFree, deviceFolioSplit, takeFree,
 *   zoneDeviceData
 */
import { SWITCH, type Atomic, type MaySleep } from "../kernel/coroutine.js";
import { Mutex, SpinLock } from "../kernel/locks.js";
import { Op } from "../kernel/op.js";
import type { Kernel } from "../kernel.js";
import { HPAGE_PMD_NR, HPAGE_PMD_ORDER } from "../arch/pgtable.js";
import { MemoryType, type DevPagemap, type DevPagemapOps } from "../mm/dev_pagemap.js";
import { GFP_HIGHUSER, GFP_TRANSHUGE } from "../mm/gfp.js";
import { NO_PAGE } from "../mm/page.js";
import type { Device } from "./device.js";

/*
 * Memory of devices: what is free of it, a chunk at a time. That of a device-coherent one is memory as any other. A
 * device-private page has none of its own: a frame of RAM, its backing page, which only the driver knows of, is what
 * the device reads and writes. It stands in `private` of a folio's first page; the backing page has the device's in its own.
 */

/** Chunks that device-coherent devices have room for each; the memory is where it is. */
const COHERENT_CHUNKS_MAX = 1;

/** The memory of one device. */
export class DevicePool {
  /** A chunk is added when it is needed. */
  readonly chunks: DevPagemap[] = [];
  /** Pages of the chunks that nobody uses: single ones, and the first ones of what is 2 MiB in one piece. Guarded by `lock`. */
  readonly freePages: number[] = [];
  readonly freeFolios: number[] = [];
  /** What the driver has noted of each folio that is in use (zone_device_data). It stays as it is while the folio is one. */
  readonly notes = new Map<number, number>();
  readonly lock: SpinLock;
  /** Held by who adds a chunk. */
  readonly chunkLock: Mutex;

  constructor(
    k: Kernel,
    readonly type: MemoryType,
    readonly ops: DevPagemapOps,
    /** Pages of a chunk. */
    readonly chunkPages: number,
    /** What its locks are called. */
    name: string,
  ) {
    this.lock = new SpinLock(k.m.locks, `${name}_memory`);
    this.chunkLock = new Mutex(k.m.locks, `${name}_chunks`);
  }

  /** How many chunks there may be: none where a machine gives its devices no memory. */
  get chunksMax(): number {
    if (this.chunkPages === 0) return 0;
    return this.type === MemoryType.DEVICE_COHERENT ? COHERENT_CHUNKS_MAX : Infinity;
  }
}

/** The page with the contents of a page: of device-private memory its backing page, of other memory the page itself. */
export function backingPage(k: Kernel, page: number): number {
  const { memmap } = k.m;
  if (!memmap.isDevicePrivate(page)) return page;
  const folio = memmap.folioOf(page);
  return memmap.private[folio]! + (page - folio);
}

/** More memory for a device; false where there is no room, or memory has come meanwhile and is used up again. */
export function* allocateChunk(k: Kernel, device: Device): MaySleep<boolean> {
  const pool = device.memory!;
  if (!pool.chunkLock.tryLock()) yield* pool.chunkLock.lock();
  const room = pool.chunks.length < pool.chunksMax;
  const pgmap = room ? yield* k.memremap.memremapPages(k, pool.type, device, pool.ops, pool.chunkPages) : null;
  if (pgmap !== null) {
    pool.chunks.push(pgmap);
    if (!pool.lock.tryLock()) yield* pool.lock.lock();
    const { firstPage: first, pages } = pgmap;
    // Lower pages are taken first.
    for (let page = first + pages - 1; page >= first; page--) {
      const start = page - (HPAGE_PMD_NR - 1);
      const whole = pool.type === MemoryType.DEVICE_PRIVATE && start >= first && k.m.memmap.pageToPfn(start) % HPAGE_PMD_NR === 0;
      if (whole) pool.freeFolios.push((page = start));
      else pool.freePages.push(page);
    }
    if (!pool.lock.tryUnlock()) yield* pool.lock.unlock();
  }
  if (!pool.chunkLock.tryUnlock()) yield* pool.chunkLock.unlock();
  return pgmap !== null;
}

/** Takes a free part of 2^order pages of a device's memory, order being 0 or 9; NO_PAGE without. */
export function* takeFree(k: Kernel, device: Device, order: number): MaySleep<number> {
  const pool = device.memory!;
  for (;;) {
    if (!pool.lock.tryLock()) yield* pool.lock.lock();
    let page: number | undefined;
    if (order > 0) page = pool.freeFolios.pop();
    else {
      page = pool.freePages.pop();
      if (page === undefined && (page = pool.freeFolios.pop()) !== undefined) {
        for (let i = HPAGE_PMD_NR - 1; i > 0; i--) pool.freePages.push(page + i);
      }
    }
    if (!pool.lock.tryUnlock()) yield* pool.lock.unlock();
    if (page !== undefined) return page;
    if (!(yield* k.deviceMemory.allocateChunk(k, device))) return NO_PAGE;
    if (k.m.retries.again("device_memory_alloc")) yield SWITCH;
  }
}

/** Frames for the contents of device-private memory, side by side: the first one; NO_PAGE when memory is out. */
function* allocBacking(k: Kernel, order: number): MaySleep<number> {
  if (order === 0) return yield* k.pageAlloc.allocPage(k, GFP_HIGHUSER);
  const folio = yield* k.pageAlloc.allocFolio(k, GFP_TRANSHUGE, order);
  // Each is freed by itself, when its page of the device is.
  if (folio !== NO_PAGE) k.pageAlloc.splitPage(k, folio);
  return folio;
}

function* freeBacking(k: Kernel, first: number, pages: number): Atomic<void> {
  for (let page = first; page < first + pages; page++) yield* k.swap.folioPut(k, page, "alloc");
}

/**
 * A folio of a device's memory, of 2^order pages (0 or 9; device-coherent memory comes in single pages): locked, with a
 * reference at site "alloc". NO_PAGE when there is none, or no frame for its contents. `note` is what `zoneDeviceData` is to say of it.
 * @throws RangeError for a device without memory of its own, and another order
 */
export function* deviceAllocFolio(k: Kernel, device: Device, order: number, note = 0): MaySleep<number> {
  const { m } = k;
  if (device.memory === null) throw new RangeError(`device ${device.name} has no memory of its own`);
  if (order !== 0 && order !== HPAGE_PMD_ORDER) throw new RangeError(`memory of a device comes in folios of order 0 or ${HPAGE_PMD_ORDER}, not ${order}`);
  const isPrivate = device.memory.type === MemoryType.DEVICE_PRIVATE;
  if (order > 0 && !isPrivate) return NO_PAGE;
  const backing = isPrivate ? yield* allocBacking(k, order) : NO_PAGE;
  if (isPrivate && backing === NO_PAGE) return NO_PAGE;
  const folio = yield* k.deviceMemory.takeFree(k, device, order);
  if (folio === NO_PAGE) {
    if (isPrivate) yield* freeBacking(k, backing, 1 << order);
    return NO_PAGE;
  }
  k.memremap.zoneDeviceFolioInit(k, folio, order);
  device.memory.notes.set(folio, note);
  if (isPrivate) {
    m.memmap.private[folio] = backing;
    for (let i = 0; i < 1 << order; i++) {
      m.memmap.private[backing + i] = folio + i;
      // It is the device's from here on, not this task's.
      m.refs?.put(backing + i, "alloc");
    }
  }
  return folio;
}

/** What the driver has noted of a folio of its memory when it was allocated; who asks has a reference to it. */
export function zoneDeviceData(k: Kernel, folio: number): number {
  return (k.m.pgmaps.of(folio)!.owner as Device).memory!.notes.get(folio)!;
}

/**
 * Nobody refers to a folio of a device any more. Its order is gone already; `pages` of it were one.
 * @throws RangeError for one that is free already
 */
export function* deviceFolioFree(k: Kernel, folio: number, pages: number): Atomic<void> {
  const { m } = k;
  const { memmap } = m;
  const pool = (m.pgmaps.of(folio)!.owner as Device).memory!;
  if (!pool.notes.delete(folio)) throw new RangeError(`frame ${folio}, memory of a device, is freed for the second time`);
  if (memmap.isDevicePrivate(folio)) {
    const backing = memmap.private[folio]!;
    memmap.private[folio] = 0;
    for (let i = 0; i < pages; i++) {
      memmap.private[backing + i] = 0;
      yield* k.swap.folioPutUnowned(k, backing + i);
    }
  }
  if (!pool.lock.tryLock()) yield* pool.lock.lock();
  if (pages === HPAGE_PMD_NR) pool.freeFolios.push(folio);
  else pool.freePages.push(folio);
  if (!pool.lock.tryUnlock()) yield* pool.lock.unlock();
}

/** A large folio has been split. */
export function deviceFolioSplit(k: Kernel, original: number, folio: number): void {
  const { memmap } = k.m;
  const { notes } = (k.m.pgmaps.of(folio)!.owner as Device).memory!;
  notes.set(folio, notes.get(original)!);
  if (memmap.isDevicePrivate(folio)) memmap.private[folio] = memmap.private[original]! + (folio - original);
}

/** Copies a page, of a device or of RAM: what `from` has goes to `to`, which is nobody else's yet. NO_PAGE for `from`: zeros. @throws RangeError for what is no frame */
export function* deviceCopyPage(k: Kernel, to: number, from: number): Atomic<void> {
  const { m } = k;
  for (const page of [to, ...(from === NO_PAGE ? [] : [from])]) {
    if (!Number.isInteger(page) || page < 0 || page >= m.memmap.refcount.length) throw new RangeError(`${page} is no frame that could be copied`);
  }
  const into = k.deviceMemory.backingPage(k, to);
  if (from === NO_PAGE) {
    m.ram.clear(into);
    return;
  }
  const source = k.deviceMemory.backingPage(k, from);
  if (m.point(Op.FrameRead, source)) yield SWITCH;
  m.ram.copy(into, source);
}
