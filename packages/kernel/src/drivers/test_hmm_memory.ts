/**
 * @linux lib/test_hmm.c
 * @omits A page that is still in a device's memory when the file is closed that has brought it there, since somebody held it: Linux's driver
 *   would look into what has been freed; here nobody's next allocation is to fail then.
 * @own allocAndCopyToDevice, allocAndCopyToSystem, devmemAlloc, devmemFault, dropTranslations, evictDevice,
 *   fromDeviceSelect, mapLate, mapMigrated, migratedBy, migrateRangeToDevice, migrateRangeToSystem, migrationBegins, moveToDevice, nextRange,
 *   removeChunks, toDeviceSelect
 */
import {
  Errno,
  GFP_TRANSHUGE,
  HmmPfn,
  hmmRange,
  HPAGE_PMD_NR,
  HPAGE_PMD_ORDER,
  MemoryType,
  migrateArrays,
  MigratePfn,
  MigrateVmaSelect,
  NO_PAGE,
  Op,
  ptePresent,
  SWITCH,
  tableObject,
  VM,
  VmFault,
  type Atomic,
  type Device,
  type Kernel,
  type MaySleep,
  type MigrateDevice,
  type MigrateVma,
  type Mm,
  type Vmf,
} from "../driver.js";
import type { Dmirror } from "./dmirror.js";
import type { DmirrorCmd } from "./test_hmm.js";

/* Memory of the test devices: see `DevicePool`. */

/** Whether the next allocation was to fail; it is only once. */
function consumeFailure(dmirror: Dmirror | null): boolean {
  if (dmirror?.failsNextAlloc !== true) return false;
  dmirror.failsNextAlloc = false;
  return true;
}

/** A folio of a device's memory: locked, with a reference at site "alloc"; NO_PAGE when there is none, or it was to fail. */
export function* devmemAlloc(k: Kernel, dmirror: Dmirror, order: number): MaySleep<number> {
  return consumeFailure(dmirror) ? NO_PAGE : yield* k.deviceMemory.deviceAllocFolio(k, dmirror.device, order, dmirror.notifier.id);
}

/* To the device. */

/** MIGRATE_TO_DEV: moves a range to the device, then copies it to `ptr` as READ does; ENOENT where a page did not move. */
export function* dmirrorMigrateToDevice(k: Kernel, dmirror: Dmirror, c: DmirrorCmd): MaySleep<number> {
  const error = yield* k.testHmmMemory.moveToDevice(k, dmirror, c.addr / 4096, c.npages);
  if (error !== 0) return error;
  return yield* k.testHmm.dmirrorReadMapped(k, dmirror, c);
}

/** Moves what can be moved of a range to the device: 0, or -EINVAL for a hole, what cannot be read, and an address space that has gone. */
export function* moveToDevice(k: Kernel, dmirror: Dmirror, start: number, pages: number): MaySleep<number> {
  const { mm } = dmirror;
  if (!(yield* k.fork.mmgetNotZero(k, mm))) return -Errno.EINVAL;
  if (!mm.mmapLock.tryRead()) yield* mm.mmapLock.read();
  let error = 0;
  for (let vpn = start; vpn < start + pages && error === 0; ) {
    const args = k.testHmmMemory.nextRange(k, dmirror, vpn, start + pages, k.testHmmMemory.toDeviceSelect());
    if (args === null) error = -Errno.EINVAL;
    else {
      error = yield* k.testHmmMemory.migrateRangeToDevice(k, dmirror, args);
      vpn = args.endVpn;
    }
  }
  if (!mm.mmapLock.tryUnlock()) yield* mm.mmapLock.unlock();
  yield* k.fork.mmput(k, mm);
  return error;
}

/** What is moved to a device: of RAM, as large as it is. */
export function toDeviceSelect(): number {
  return MigrateVmaSelect.SYSTEM | MigrateVmaSelect.COMPOUND;
}

/** Pages that the driver handles in one go. */
export const MIGRATE_BATCH = HPAGE_PMD_NR;

/** The next part of a range that one VMA has; null for a hole, or what cannot be read. */
export function nextRange(k: Kernel, dmirror: Dmirror, vpn: number, end: number, select: number): MigrateVma | null {
  const vma = dmirror.mm.vmaAt(vpn);
  if (vma === null || (vma.flags & VM.READ) === 0) return null;
  const endVpn = Math.min(end, vma.endVpn, vpn + k.testHmmMemory.MIGRATE_BATCH);
  // In the order of `devmemFault`, so that engines take both for the same sort of object.
  const { src, srcFlags, dst, dstFlags } = migrateArrays(endVpn - vpn);
  return { src, srcFlags, dst, dstFlags, cpages: 0, vma, startVpn: vpn, endVpn, select, owner: dmirror.device, faultPage: NO_PAGE };
}

export function* migrateRangeToDevice(k: Kernel, dmirror: Dmirror, args: MigrateVma): MaySleep<number> {
  yield* k.testHmmMemory.migrationBegins(k, dmirror, 1);
  const error = yield* k.migrateDevice.migrateVmaSetup(k, args);
  if (error === 0) {
    yield* k.testHmmMemory.allocAndCopyToDevice(k, dmirror, args);
    yield* k.migrateDevice.migrateVmaPages(k, args);
    const mapped = yield* k.testHmmMemory.mapMigrated(k, dmirror, args);
    yield* k.migrateDevice.migrateVmaFinalize(k, args);
    if (!mapped) yield* k.testHmmMemory.mapLate(k, dmirror, args);
  }
  yield* k.testHmmMemory.migrationBegins(k, dmirror, -1);
  return error;
}

/** One more migration that a mirror does, or (-1) one less. */
export function* migrationBegins(k: Kernel, dmirror: Dmirror, n: 1 | -1): MaySleep<void> {
  if (!dmirror.mutex.tryLock()) yield* dmirror.mutex.lock();
  if (k.m.point(Op.DeviceTable, dmirror.notifier.id)) yield SWITCH;
  dmirror.migrations += n;
  if (!dmirror.mutex.tryUnlock()) yield* dmirror.mutex.unlock();
}

/** A page of the device for each that moves, with its contents; a large one moves page by page where there is no large one. */
export function* allocAndCopyToDevice(k: Kernel, dmirror: Dmirror, args: MigrateVma): MaySleep<void> {
  const { src, srcFlags } = args;
  for (let i = 0; i < src.length; i++) {
    if ((srcFlags[i]! & MigratePfn.MIGRATE) === 0) continue;
    const pages = (srcFlags[i]! & MigratePfn.COMPOUND) !== 0 ? HPAGE_PMD_NR : 1;
    if (src[i] !== NO_PAGE) yield* k.testHmmMemory.dropTranslations(k, dmirror.device, dmirror.mm, args.startVpn + i, pages);
    const folio = yield* k.testHmmMemory.devmemAlloc(k, dmirror, pages > 1 ? HPAGE_PMD_ORDER : 0);
    if (folio !== NO_PAGE) yield* copyToDevice(k, args, i, src[i]!, folio, pages);
    for (let j = 0; folio === NO_PAGE && pages > 1 && j < pages; j++) {
      const page = yield* k.testHmmMemory.devmemAlloc(k, dmirror, 0);
      if (page !== NO_PAGE) yield* copyToDevice(k, args, i + j, src[i] === NO_PAGE ? NO_PAGE : src[i]! + j, page, 1);
    }
  }
}

function* copyToDevice(k: Kernel, { vma, srcFlags, dst, dstFlags }: MigrateVma, i: number, from: number, folio: number, pages: number): MaySleep<void> {
  const { m } = k;
  const first = Math.floor(i / HPAGE_PMD_NR) * HPAGE_PMD_NR;
  for (let j = 0; j < pages; j++) {
    const backing = k.deviceMemory.backingPage(k, folio + j);
    if (from === NO_PAGE) m.ram.clear(backing);
    else {
      if (m.point(Op.FrameRead, from + j)) yield SWITCH;
      m.ram.copy(backing, from + j);
    }
  }
  dst[i] = folio;
  // The pages of a large source have the flags of its first one.
  const flags = (srcFlags[i]! & MigratePfn.MIGRATE) !== 0 ? srcFlags[i]! : srcFlags[first]!;
  const writable = from === NO_PAGE ? (vma.flags & VM.WRITE) !== 0 : (flags & MigratePfn.WRITE) !== 0;
  dstFlags[i] = MigratePfn.VALID | (writable ? MigratePfn.WRITE : 0) | (pages > 1 ? MigratePfn.COMPOUND : 0);
  yield* m.sched.condResched();
}

/**
 * Enters what has moved to the device into its table, while its pages are locked: no CPU gets at them. MADV_DONTNEED does not
 * wait for that, so that each is read as any other, between begin and retry. False where something was being invalidated.
 */
export function* mapMigrated(k: Kernel, dmirror: Dmirror, args: MigrateVma): MaySleep<boolean> {
  const { m } = k;
  const { startVpn } = args;
  const seq = yield* k.mmuNotifier.intervalTryReadBegin(k, dmirror.notifier);
  if (seq === null) return false;
  if (m.point(Op.TableRead, tableObject(dmirror.mm.id, startVpn))) yield SWITCH;
  const there: boolean[] = [];
  eachMigrated(args, (i, from, to) => (there[i] = standsFor(k, dmirror.mm, startVpn + i, from, to)));
  if (!dmirror.mutex.tryLock()) yield* dmirror.mutex.lock();
  const stale = yield* k.mmuNotifier.intervalReadRetry(k, dmirror.notifier, seq);
  if (m.point(Op.DeviceTable, dmirror.notifier.id)) yield SWITCH;
  eachMigrated(args, (i, _from, to, write) => {
    if (!stale && there[i] === true) dmirror.table.set(startVpn + i, { page: k.deviceMemory.backingPage(k, to), write, atomic: false });
  });
  if (!dmirror.mutex.tryUnlock()) yield* dmirror.mutex.unlock();
  return !stale;
}

/** Calls `each` for every page that has moved, with the page that it was (NO_PAGE for nothing), the one that it is, and whether it may be written. */
function eachMigrated({ src, srcFlags, dst, dstFlags }: MigrateVma, each: (i: number, from: number, to: number, write: boolean) => void): void {
  for (let i = 0; i < src.length; i++) {
    if ((srcFlags[i]! & MigratePfn.MIGRATE) === 0 || dst[i] === NO_PAGE) continue;
    const pages = (dstFlags[i]! & MigratePfn.COMPOUND) !== 0 ? HPAGE_PMD_NR : 1;
    const write = (dstFlags[i]! & MigratePfn.WRITE) !== 0;
    for (let j = 0; j < pages; j++) each(i + j, src[i] === NO_PAGE ? NO_PAGE : src[i]! + j, dst[i]! + j, write);
  }
}

/** Whether the CPU's entry is the migration entry for `from`, or for `to`, which was made there. */
function standsFor(k: Kernel, mm: Mm, vpn: number, from: number, to: number): boolean {
  const { pt, memmap } = k.m;
  const ptep = pt.find(mm.pgd, vpn);
  if (ptep < 0) return false;
  k.m.touches(Op.PteRead, ptep);
  if (pt.isNone(ptep)) return false;
  const flags = pt.flags(ptep);
  const page = memmap.pfnToPage(pt.pfnFor(ptep, vpn));
  if (k.swapops.isMigration(k, flags)) return page === from;
  return (ptePresent(flags) || k.swapops.isDevicePrivate(k, flags)) && page === to;
}

/** The same when all is done, and nothing is locked any more that an invalidation may wait for. */
export function* mapLate(k: Kernel, dmirror: Dmirror, args: MigrateVma): MaySleep<void> {
  const range = hmmRange(dmirror, args.startVpn, args.endVpn, 0);
  for (;;) {
    range.notifierSeq = yield* k.mmuNotifier.intervalReadBegin(k, dmirror.notifier);
    if ((yield* k.hmm.hmmRangeFault(k, range)) === 0) {
      if (!dmirror.mutex.tryLock()) yield* dmirror.mutex.lock();
      const stale = yield* k.mmuNotifier.intervalReadRetry(k, dmirror.notifier, range.notifierSeq);
      if (k.m.point(Op.DeviceTable, dmirror.notifier.id)) yield SWITCH;
      eachMigrated(args, (i, _from, to) => {
        const flags = range.flags[i]!;
        if (stale || (flags & HmmPfn.VALID) === 0 || range.pages[i] !== to) return;
        dmirror.table.set(args.startVpn + i, { page: k.deviceMemory.backingPage(k, to), write: (flags & HmmPfn.WRITE) !== 0, atomic: false });
      });
      if (!dmirror.mutex.tryUnlock()) yield* dmirror.mutex.unlock();
      if (!stale) return;
    }
    if (k.m.retries.again("dmirror_map_late")) yield SWITCH;
  }
}

/* And back. */

/** MIGRATE_TO_SYS: brings a range back from the device; how many pages moved in `cpages`. */
export function* dmirrorMigrateToSystem(k: Kernel, dmirror: Dmirror, c: DmirrorCmd): MaySleep<number> {
  const { mm } = dmirror;
  const start = c.addr / 4096;
  if (!(yield* k.fork.mmgetNotZero(k, mm))) return -Errno.EINVAL;
  if (!mm.mmapLock.tryRead()) yield* mm.mmapLock.read();
  let error = 0;
  for (let vpn = start; vpn < start + c.npages && error === 0; ) {
    const args = k.testHmmMemory.nextRange(k, dmirror, vpn, start + c.npages, k.testHmmMemory.fromDeviceSelect(dmirror.device));
    if (args === null) error = -Errno.EINVAL;
    else {
      yield* k.testHmmMemory.migrationBegins(k, dmirror, 1);
      error = yield* k.testHmmMemory.migrateRangeToSystem(k, dmirror, dmirror.device, args);
      yield* k.testHmmMemory.migrationBegins(k, dmirror, -1);
      c.cpages += movedPages(args);
      vpn = args.endVpn;
    }
  }
  if (!mm.mmapLock.tryUnlock()) yield* mm.mmapLock.unlock();
  yield* k.fork.mmput(k, mm);
  return error;
}

function movedPages({ srcFlags }: MigrateVma): number {
  let moved = 0;
  const wanted = MigratePfn.VALID | MigratePfn.MIGRATE;
  for (const flags of srcFlags) if ((flags & wanted) === wanted) moved += (flags & MigratePfn.COMPOUND) !== 0 ? HPAGE_PMD_NR : 1;
  return moved;
}

export function fromDeviceSelect({ memory }: Device): number {
  if (memory!.type === MemoryType.DEVICE_COHERENT) return MigrateVmaSelect.DEVICE_COHERENT;
  return MigrateVmaSelect.DEVICE_PRIVATE | MigrateVmaSelect.COMPOUND;
}

/** 0, or an errno: then what did not move is where it was. */
export function* migrateRangeToSystem(k: Kernel, dmirror: Dmirror | null, device: Device, args: MigrateVma): MaySleep<number> {
  let error = yield* k.migrateDevice.migrateVmaSetup(k, args);
  if (error !== 0) return error;
  error = yield* k.testHmmMemory.allocAndCopyToSystem(k, dmirror, device, args, args);
  yield* k.migrateDevice.migrateVmaPages(k, args);
  yield* k.migrateDevice.migrateVmaFinalize(k, args);
  return error;
}

/**
 * A page of RAM for each of the device that moves, with its contents. In an address space the device's translations go
 * first: nobody else tells it, since it migrates itself. 0, or -ENOMEM when a single page finds no room.
 */
export function* allocAndCopyToSystem(k: Kernel, dmirror: Dmirror | null, device: Device, args: MigrateDevice, range: MigrateVma | null): MaySleep<number> {
  const { src, srcFlags } = args;
  for (let i = 0; i < src.length; i++) {
    if (src[i] === NO_PAGE || (srcFlags[i]! & MigratePfn.MIGRATE) === 0 || !k.m.memmap.isZoneDevice(src[i]!)) continue;
    const pages = (srcFlags[i]! & MigratePfn.COMPOUND) !== 0 ? HPAGE_PMD_NR : 1;
    if (range !== null) yield* k.testHmmMemory.dropTranslations(k, device, range.vma.mm, range.startVpn + i, pages);
    if (pages > 1 && (yield* copyLargeToSystem(k, dmirror, args, i))) continue;
    for (let j = 0; j < pages; j++) {
      const page = consumeFailure(dmirror) ? NO_PAGE : yield* k.migrateDevice.allocSystemPage(k);
      if (page === NO_PAGE) return -Errno.ENOMEM;
      yield* copyFrame(k, page, src[i]! + j);
      args.dst[i + j] = page;
      args.dstFlags[i + j] = MigratePfn.VALID;
    }
  }
  return 0;
}

function* copyLargeToSystem(k: Kernel, dmirror: Dmirror | null, args: MigrateDevice, i: number): MaySleep<boolean> {
  const folio = consumeFailure(dmirror) ? NO_PAGE : yield* k.pageAlloc.allocFolio(k, GFP_TRANSHUGE, HPAGE_PMD_ORDER);
  if (folio === NO_PAGE) return false;
  k.folioLock.lockNewFolio(k, folio);
  for (let j = 0; j < HPAGE_PMD_NR; j++) yield* copyFrame(k, folio + j, args.src[i]! + j);
  args.dst[i] = folio;
  args.dstFlags[i] = MigratePfn.VALID | MigratePfn.COMPOUND;
  return true;
}

function* copyFrame(k: Kernel, to: number, from: number): Atomic<void> {
  const backing = k.deviceMemory.backingPage(k, from);
  if (k.m.point(Op.FrameRead, backing)) yield SWITCH;
  k.m.ram.copy(to, backing);
}

/** What a device's open files translate of a range of an address space goes. */
export function* dropTranslations(k: Kernel, device: Device, mm: Mm, vpn: number, pages: number): MaySleep<void> {
  for (const mirror of k.m.mirrors) {
    if (mirror.device !== device || mirror.mm !== mm) continue;
    if (!mirror.mutex.tryLock()) yield* mirror.mutex.lock();
    if (k.m.point(Op.DeviceTable, mirror.notifier.id)) yield SWITCH;
    mirror.table.invalidate(vpn, vpn + pages);
    if (!mirror.mutex.tryUnlock()) yield* mirror.mutex.unlock();
  }
}

/**
 * The mirror that has brought a folio to the device: not always one of the process that wants it back, which may have got it by fork. Null
 * where its file has been closed meanwhile.
 */
export function migratedBy(k: Kernel, folio: number): Dmirror | null {
  const id = k.deviceMemory.zoneDeviceData(k, folio);
  return (k.m.mirrors.find(({ notifier }) => notifier.id === id) as Dmirror | undefined) ?? null;
}

/** A CPU wants a page of device-private memory: it comes back, with the 2 MiB around it where those are mapped as one. */
export function* devmemFault(k: Kernel, vmf: Vmf): MaySleep<number> {
  const { m } = k;
  const { vma } = vmf;
  const device = m.pgmaps.of(vmf.page)!.owner as Device;
  const dmirror = k.testHmmMemory.migratedBy(k, m.memmap.folioOf(vmf.page));
  const huge = m.pt.isHuge(vmf.ptep);
  const pages = huge ? HPAGE_PMD_NR : 1;
  const startVpn = vmf.vpn & -pages;
  const select = MigrateVmaSelect.DEVICE_PRIVATE | (huge ? MigrateVmaSelect.COMPOUND : 0);
  const { src, srcFlags, dst, dstFlags } = migrateArrays(pages);
  const args: MigrateVma = { src, srcFlags, dst, dstFlags, cpages: 0, vma, startVpn, endVpn: startVpn + pages, select, owner: device, faultPage: vmf.page };
  const error = yield* k.testHmmMemory.migrateRangeToSystem(k, dmirror, device, args);
  if (error === 0) return 0;
  return error === -Errno.ENOMEM ? VmFault.OOM : VmFault.SIGBUS;
}

/* All of it. */

/** Attempts to empty a device's memory while others hold some of it. */
const EVICT_TRIES = 16;

/** Brings all back that is in a device's memory, from whichever address spaces, as far as nobody holds it. */
export function* evictDevice(k: Kernel, device: Device): MaySleep<void> {
  for (const pgmap of [...device.memory!.chunks]) {
    for (let tries = 0; pgmap.used > 0 && tries < EVICT_TRIES; tries++) {
      const args: MigrateDevice = { ...migrateArrays(pgmap.pages), cpages: 0, faultPage: NO_PAGE };
      yield* k.migrateDevice.migrateDeviceRange(k, args, pgmap.firstPage, pgmap.pages);
      yield* k.testHmmMemory.allocAndCopyToSystem(k, null, device, args, null);
      yield* k.migrateDevice.migrateDevicePages(k, args, null);
      yield* k.migrateDevice.migrateDeviceFinalize(k, args);
      if (pgmap.used > 0 && k.m.retries.again("dmirror_evict")) yield SWITCH;
    }
  }
}

/** RELEASE: a device's memory is emptied, and taken away from it. */
export function* removeChunks(k: Kernel, device: Device): MaySleep<void> {
  const pool = device.memory!;
  yield* k.testHmmMemory.evictDevice(k, device);
  if (!pool.chunkLock.tryLock()) yield* pool.chunkLock.lock();
  const chunks = pool.chunks.splice(0);
  if (!pool.lock.tryLock()) yield* pool.lock.lock();
  pool.freePages.length = 0;
  pool.freeFolios.length = 0;
  if (!pool.lock.tryUnlock()) yield* pool.lock.unlock();
  for (const pgmap of chunks) yield* k.memremap.memunmapPages(k, pgmap);
  if (!pool.lock.tryLock()) yield* pool.lock.lock();
  // What was still in use then has come back to lists of memory that is gone.
  pool.freePages.length = 0;
  pool.freeFolios.length = 0;
  if (!pool.lock.tryUnlock()) yield* pool.lock.unlock();
  if (!pool.chunkLock.tryUnlock()) yield* pool.chunkLock.unlock();
}
