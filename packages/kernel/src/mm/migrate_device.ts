/**
 * @linux mm/migrate_device.c
 * @omits `migrate_device_pfns()`: pages of a device are named by a range only.
 * @omits Entries of pages that others map as well are flushed one by one, where Linux flushes once for a table.
 * @own allocSystemPage, behindFolio, collectHole, collectHugeFolio, collectHugePmd, collectLarge, collectPte,
 *   collectPtes, faultHasLock, heldByOthers, insertHugePage, insertedEntry, letFolioGo, migrateArrays,
 *   migrateDevicePage, selectsCompound, selectsPage, splitForMigration, splitSource, takeFolio
 */
import { SWITCH, type Atomic, type MaySleep } from "../kernel/coroutine.js";
import { Errno } from "../kernel/errno.js";
import { Op, tableObject } from "../kernel/op.js";
import type { Kernel } from "../kernel.js";
import { HPAGE_PMD_NR, HPAGE_PMD_ORDER, PTE, PTRS_PER_TABLE, ptePresent } from "../arch/pgtable.js";
import { GFP_HIGHUSER_MOVABLE } from "./gfp.js";
import { RssKind, VM, VM_SPECIAL, type Vma } from "./mm_types.js";
import { NotifyEvent, type NotifierRange } from "./mmu_notifier.js";
import { NO_PAGE, PG } from "./page.js";
import { maybeMkwrite, vmPageProt } from "./vm_prot.js";

/*
 * Migration that a driver asks for (Documentation/mm/hmm.rst): to memory of its device, and back. The driver allocates
 * and copies between `migrateVmaSetup`, after which nobody can reach the pages, and `migrateVmaPages`; what
 * `migrateVmaFinalize` leaves is either the old page or the new one at each address.
 */

/** What stands with each source and destination of a migration. */
export enum MigratePfn {
  /** There is a page. Of a source it is locked, and has a reference at site "isolate". */
  VALID = 1 << 0,
  /** It moves; without VALID, something is made where nothing is, or zeros. */
  MIGRATE = 1 << 1,
  /** The entry may be, or may become, writable. */
  WRITE = 1 << 2,
  /** The page is the first of a folio of 2 MiB, and stands for all of them; of nothing, that 2 MiB are empty. */
  COMPOUND = 1 << 3,
}

/** Which pages are to move. */
export enum MigrateVmaSelect {
  SYSTEM = 1 << 0,
  DEVICE_PRIVATE = 1 << 1,
  DEVICE_COHERENT = 1 << 2,
  /** What is mapped by 2 MiB moves as one, where the range has it whole. */
  COMPOUND = 1 << 3,
}

/** Pages on their way, by number. */
export interface MigrateDevice {
  readonly src: number[];
  readonly srcFlags: number[];
  /** The driver's: locked, with a reference at site "alloc". */
  readonly dst: number[];
  readonly dstFlags: number[];
  /** How many of the sources move, a compound one counting once. */
  cpages: number;
  /** The page that a CPU wants back, in whose fault this happens: its folio is the fault's, locked and referenced. */
  readonly faultPage: number;
}

/** A range of a VMA to migrate; mmap_lock is held for reading throughout. */
export interface MigrateVma extends MigrateDevice {
  readonly vma: Vma;
  readonly startVpn: number;
  readonly endVpn: number;
  /** MigrateVmaSelect. */
  readonly select: number;
  /** Whose device memory may be selected, and whose notifiers may ignore event MIGRATE. */
  readonly owner: object;
}

/** Room for a migration of so many pages. */
export function migrateArrays(pages: number): Pick<MigrateDevice, "src" | "srcFlags" | "dst" | "dstFlags" | "cpages"> {
  return {
    src: new Array<number>(pages).fill(NO_PAGE),
    srcFlags: new Array<number>(pages).fill(0),
    dst: new Array<number>(pages).fill(NO_PAGE),
    dstFlags: new Array<number>(pages).fill(0),
    cpages: 0,
  };
}

/**
 * Takes the pages of a range that can move out of the page tables: each locked and isolated, with migration entries in
 * its place. -EINVAL for a range that is not in one VMA, and for VMAs whose pages are no ordinary ones; else 0, however
 * few there are.
 */
export function* migrateVmaSetup(k: Kernel, args: MigrateVma): MaySleep<number> {
  const { vma, startVpn, endVpn } = args;
  if (vma.isHugetlb || (vma.flags & VM_SPECIAL) !== 0 || vma.ops?.isMixedMap === true) return -Errno.EINVAL;
  if (startVpn >= endVpn || startVpn < vma.startVpn || endVpn > vma.endVpn) return -Errno.EINVAL;
  args.cpages = 0;
  k.m.mustHold(vma.mm.mmapLock, "migrate_vma_setup");
  yield* k.migrateDevice.migrateVmaCollect(k, args);
  if (args.cpages > 0) yield* k.migrateDevice.migrateDeviceUnmap(k, args);
  return 0;
}

/* Which pages there are. */

export function* migrateVmaCollect(k: Kernel, args: MigrateVma): MaySleep<void> {
  const { m } = k;
  const { vma } = args;
  const range = notifierRange(args);
  yield* k.mmuNotifier.invalidateRangeStart(k, range);
  for (let vpn = args.startVpn; vpn < args.endVpn; ) {
    const end = Math.min(args.endVpn, (Math.floor(vpn / PTRS_PER_TABLE) + 1) * PTRS_PER_TABLE);
    if (m.point(Op.TableRead, tableObject(vma.mm.id, vpn))) yield SWITCH;
    const pmd = m.pt.pmd(vma.mm.pgd, vpn);
    if (pmd < 0 || m.pt.isNone(pmd)) {
      k.migrateDevice.collectHole(k, args, vpn, end);
      vpn = end;
    } else if (m.pt.isLeaf(pmd)) vpn = yield* k.migrateDevice.collectHugePmd(k, args, vpn, end, pmd);
    else vpn = yield* k.migrateDevice.collectPtes(k, args, vpn, end, m.pt.lookup(vma.mm.pgd, vpn));
    if (m.sched.needResched()) yield* m.sched.condResched();
  }
  yield* k.mmuNotifier.invalidateRangeEnd(k, range);
}

function notifierRange({ vma, startVpn, endVpn, owner }: MigrateVma): NotifierRange {
  return { mm: vma.mm, startVpn, endVpn, event: NotifyEvent.MIGRATE, owner };
}

/** Nothing is mapped: anonymous memory can be made at its destination. 2 MiB of it at once, where that is asked for. */
export function collectHole(k: Kernel, args: MigrateVma, start: number, end: number): void {
  if (args.vma.ops !== null) return;
  if (k.migrateDevice.selectsCompound(k, args, start, end)) {
    select(args, start, NO_PAGE, MigratePfn.MIGRATE | MigratePfn.COMPOUND);
    return;
  }
  for (let vpn = start; vpn < end; vpn++) select(args, vpn, NO_PAGE, MigratePfn.MIGRATE);
}

/** Whether [start, end) can move as one folio. */
export function selectsCompound(_k: Kernel, { select: selected }: MigrateVma, start: number, end: number): boolean {
  return (selected & MigrateVmaSelect.COMPOUND) !== 0 && end - start === HPAGE_PMD_NR;
}

function select(args: MigrateVma, vpn: number, page: number, flags: number): void {
  const i = vpn - args.startVpn;
  args.src[i] = page;
  args.srcFlags[i] = flags;
  if ((flags & MigratePfn.MIGRATE) !== 0) args.cpages++;
}

/** Whether a page is of the kind that is to move, and belongs to who asks. */
export function selectsPage(k: Kernel, args: MigrateVma, page: number): boolean {
  const { memmap, pgmaps } = k.m;
  if (!memmap.isZoneDevice(page)) return (args.select & MigrateVmaSelect.SYSTEM) !== 0;
  const type = memmap.isDevicePrivate(page) ? MigrateVmaSelect.DEVICE_PRIVATE : MigrateVmaSelect.DEVICE_COHERENT;
  return (args.select & type) !== 0 && pgmaps.of(page)!.owner === args.owner;
}

/** 2 MiB are mapped as one: returns where to go on, which is the same place once they are not any more. */
export function* collectHugePmd(k: Kernel, args: MigrateVma, vpn: number, end: number, pmd: number): MaySleep<number> {
  const { m } = k;
  const { vma } = args;
  const ptl = m.pt.lockOf(pmd);
  if (!ptl.tryLock()) yield* ptl.lock();
  if (m.point(Op.PteRead, pmd)) yield SWITCH;
  const flags = m.pt.flags(pmd);
  const folio = m.memmap.pfnToPage(m.pt.pfn(pmd));
  const present = ptePresent(flags);
  const isZero = present && (flags & PTE.SPECIAL) !== 0;
  let next = vpn;
  if (!m.pt.isLeaf(pmd)) {
    // Split meanwhile, or gone: look again.
  } else if (isZero && k.migrateDevice.selectsCompound(k, args, vpn, end)) {
    k.migrateDevice.collectHole(k, args, vpn, end);
    next = end;
  } else if (isZero) {
    if (!ptl.tryUnlock()) yield* ptl.unlock();
    yield* k.hugeMemory.splitHugePmd(k, vma, vpn);
    return vpn;
  } else if ((!present && !k.swapops.isDevicePrivate(k, flags)) || vma.ops !== null || !k.migrateDevice.selectsPage(k, args, folio)) next = end;
  else if (k.migrateDevice.selectsCompound(k, args, vpn, end)) {
    yield* k.migrateDevice.collectHugeFolio(k, args, vpn, folio, pmd);
    next = end;
  } else {
    yield* k.swap.folioGet(k, folio, "migrate_split");
    if (!ptl.tryUnlock()) yield* ptl.unlock();
    return (yield* k.migrateDevice.splitForMigration(k, args, folio, "migrate_split")) ? vpn : end;
  }
  if (!ptl.tryUnlock()) yield* ptl.unlock();
  return next;
}

/** Under the entry's lock: takes a folio that it maps as a whole, if nobody has it locked or pinned. */
export function* collectHugeFolio(k: Kernel, args: MigrateVma, vpn: number, folio: number, pmd: number): Atomic<void> {
  const { m } = k;
  const flags = m.pt.flags(pmd);
  const writable = (flags & PTE.W) !== 0 || k.swapops.isWritableDevicePrivate(k, flags);
  if (!(yield* k.migrateDevice.takeFolio(k, args, folio))) return;
  if (yield* k.hugeMigrate.setMigrationPmd(k, args.vma, vpn, folio, pmd)) {
    select(args, vpn, folio, MigratePfn.VALID | MigratePfn.MIGRATE | MigratePfn.COMPOUND | (writable ? MigratePfn.WRITE : 0));
  } else yield* k.migrateDevice.letFolioGo(k, args, folio);
}

/** Whether the fault that a migration happens in has a folio locked already. */
export function faultHasLock(k: Kernel, { faultPage }: MigrateDevice, folio: number): boolean {
  return faultPage !== NO_PAGE && k.m.memmap.folioOf(faultPage) === folio;
}

/** A reference and the lock, which is only tried for: a fault that waits for the page must not wait for this. */
export function* takeFolio(k: Kernel, args: MigrateDevice, folio: number): Atomic<boolean> {
  yield* k.swap.folioGet(k, folio, "isolate");
  if (k.migrateDevice.faultHasLock(k, args, folio)) return true;
  if (yield* k.folioLock.folioTrylock(k, folio)) return true;
  yield* k.swap.folioPut(k, folio, "isolate");
  return false;
}

/** Undoes `takeFolio`. */
export function* letFolioGo(k: Kernel, args: MigrateDevice, folio: number): Atomic<void> {
  if (!k.migrateDevice.faultHasLock(k, args, folio)) yield* k.folioLock.folioUnlock(k, folio);
  yield* k.swap.folioPut(k, folio, "isolate");
}

/**
 * A folio of which only a part is to move is split first; the caller has a reference at `site`, which goes. False when
 * somebody else holds it. Where a fault wants a page of it, the fault's lock and reference are those of that page's own
 * folio afterwards.
 */
export function* splitForMigration(k: Kernel, args: MigrateDevice, folio: number, site: string): MaySleep<boolean> {
  const { memmap } = k.m;
  const { faultPage } = args;
  if (faultPage !== NO_PAGE && memmap.folioOf(faultPage) === folio) {
    // Its lock is held, and one reference is enough.
    yield* k.swap.folioPut(k, folio, site);
    if ((yield* k.hugeSplit.splitFolio(k, folio)) !== 0) return false;
    if (faultPage !== folio) {
      yield* k.swap.folioGet(k, faultPage, "migrate_to_ram");
      if (!k.folioLock.tryFolioLock(k, faultPage)) yield* k.folioLock.folioLock(k, faultPage);
      yield* k.folioLock.folioUnlock(k, folio);
      yield* k.swap.folioPut(k, folio, "migrate_to_ram");
    }
    return true;
  }
  let split = false;
  if (yield* k.folioLock.folioTrylock(k, folio)) {
    split = (yield* k.hugeSplit.splitFolio(k, folio)) === 0;
    yield* k.folioLock.folioUnlock(k, folio);
  }
  yield* k.swap.folioPut(k, folio, site);
  return split;
}

/** Entries of one table; returns where it stopped: at a large folio that has been split now, or at the end. */
export function* collectPtes(k: Kernel, args: MigrateVma, start: number, end: number, first: number): MaySleep<number> {
  const { m } = k;
  if (first < 0) return start;
  const ptl = m.pt.lockOf(first);
  if (!ptl.tryLock()) yield* ptl.lock();
  let vpn = start;
  let large = NO_PAGE;
  for (; vpn < end && large === NO_PAGE; vpn++) {
    const ptep = first + (vpn - start);
    if (m.point(Op.PteRead, ptep)) yield SWITCH;
    large = yield* k.migrateDevice.collectPte(k, args, vpn, ptep);
    if (large !== NO_PAGE) break;
  }
  if (!ptl.tryUnlock()) yield* ptl.unlock();
  if (large === NO_PAGE) return vpn;
  return (yield* k.migrateDevice.splitForMigration(k, args, large, "migrate_split")) ? vpn : k.migrateDevice.behindFolio(k, vpn, end);
}

/** A large folio could not be split: nothing else of this table moves. */
export function behindFolio(_k: Kernel, _vpn: number, end: number): number {
  return end;
}

/**
 * One entry, under its lock: what it maps is taken if it can be. A large folio, referenced at site "migrate_split",
 * that must be split first; NO_PAGE otherwise.
 */
export function* collectPte(k: Kernel, args: MigrateVma, vpn: number, ptep: number): Atomic<number> {
  const { m } = k;
  const { memmap } = m;
  const flags = m.pt.flags(ptep);
  if (flags === 0) {
    if (args.vma.ops === null) select(args, vpn, NO_PAGE, MigratePfn.MIGRATE);
    return NO_PAGE;
  }
  const unaddressable = k.swapops.isDevicePrivate(k, flags);
  if (!unaddressable && !ptePresent(flags)) return NO_PAGE;
  if ((flags & PTE.SPECIAL) !== 0 && !unaddressable) {
    if (m.pt.pfn(ptep) === memmap.pageToPfn(m.zones.zeroPage) && (args.select & MigrateVmaSelect.SYSTEM) !== 0) select(args, vpn, NO_PAGE, MigratePfn.MIGRATE);
    return NO_PAGE;
  }
  const page = memmap.pfnToPage(m.pt.pfn(ptep));
  const folio = memmap.folioOf(page);
  if (!k.migrateDevice.selectsPage(k, args, page) || memmap.mapping[folio] === 0) return NO_PAGE;
  if (memmap.isLarge(folio)) return yield* k.migrateDevice.collectLarge(k, folio);
  if (!(yield* k.migrateDevice.takeFolio(k, args, folio))) return NO_PAGE;
  const writable = (flags & PTE.W) !== 0 || k.swapops.isWritableDevicePrivate(k, flags);
  if (yield* k.rmap.setMigrationPte(k, args.vma, vpn, folio, page, ptep)) {
    select(args, vpn, page, MigratePfn.VALID | MigratePfn.MIGRATE | (writable ? MigratePfn.WRITE : 0));
  } else yield* k.migrateDevice.letFolioGo(k, args, folio);
  return NO_PAGE;
}

/** A single entry maps a page of a large folio: it is to be split. NO_PAGE to leave it where it is. */
export function* collectLarge(k: Kernel, folio: number): Atomic<number> {
  yield* k.swap.folioGet(k, folio, "migrate_split");
  return folio;
}

/* Nobody else may have them. */

/** Unmaps what is still mapped elsewhere, and isolates; what somebody else holds stays where it is. */
export function* migrateDeviceUnmap(k: Kernel, args: MigrateDevice): MaySleep<void> {
  const { m } = k;
  const { memmap } = m;
  let mayDrain = true;
  const stays: number[] = [];
  // What has been collected from a locked VMA waits in this CPU's batch to be unlocked, which holds it.
  yield* k.swap.lruAddDrain(k);
  for (let i = 0; i < args.src.length; i++) {
    const folio = args.src[i]!;
    if (folio === NO_PAGE) continue;
    if (!memmap.isZoneDevice(folio)) {
      if (m.point(Op.PageFlags, folio)) yield SWITCH;
      if (!memmap.has(folio, PG.lru) && mayDrain) {
        // Pages on their way to a list.
        yield* k.swap.lruAddDrainAll(k);
        mayDrain = false;
      }
      if (!(yield* k.swap.folioIsolateLru(k, folio))) {
        leave(args, i);
        stays.push(i);
        continue;
      }
      // The list's reference stands for the walk's from here on.
      yield* k.swap.folioPut(k, folio, "isolate");
    }
    if (m.point(Op.MapCount, folio)) yield SWITCH;
    if (memmap.folioMapcount(folio) > 0) yield* k.rmap.tryToMigrate(k, folio);
    if (yield* k.migrateDevice.heldByOthers(k, args, folio)) {
      leave(args, i);
      stays.push(i);
      if (!memmap.isZoneDevice(folio)) {
        yield* k.swap.folioGet(k, folio, "isolate");
        yield* k.vmscan.putbackFolios(k, [folio]);
      }
    }
  }
  for (const i of stays) {
    const folio = args.src[i]!;
    yield* k.migrate.removeMigrationPtes(k, folio, folio);
    args.src[i] = NO_PAGE;
    args.srcFlags[i] = 0;
    yield* k.migrateDevice.letFolioGo(k, args, folio);
  }
}

function leave(args: MigrateDevice, i: number): void {
  args.srcFlags[i]! &= ~MigratePfn.MIGRATE;
  args.cpages--;
}

/** Whether a folio is still mapped, or has references besides the migration's, its cache's and the fault's (migrate_vma_check_page()). */
export function* heldByOthers(k: Kernel, args: MigrateDevice, folio: number): Atomic<boolean> {
  const { memmap } = k.m;
  if (k.m.point(Op.RefCompare, folio)) yield SWITCH;
  return memmap.folioMapcount(folio) > 0 || memmap.refcount[folio]! > expected(k, args, folio);
}

/** The references of a folio that is nowhere mapped: this migration's, its cache's, and those of the fault that it happens in. */
function expected(k: Kernel, { faultPage }: MigrateDevice, folio: number): number {
  const { memmap } = k.m;
  const fault = faultPage !== NO_PAGE && memmap.folioOf(faultPage) === folio ? 1 : 0;
  return memmap.cacheRefs(folio) + 1 + fault;
}

/* Moving. */

/** Where a page goes; NO_PAGE where the driver has not said so (migrate_pfn_to_page()). */
function destination({ dst, dstFlags }: MigrateDevice, i: number): number {
  return (dstFlags[i]! & MigratePfn.VALID) === 0 ? NO_PAGE : dst[i]!;
}

/** @throws RangeError for a destination that is not the driver's own, allocated and locked */
function assertDestination({ m: { memmap } }: Kernel, { src }: MigrateDevice, i: number, to: number): void {
  let wrong: string;
  if (!Number.isInteger(to) || to < 0 || to >= memmap.refcount.length) wrong = "is no frame";
  else if (memmap.refcount[to]! <= 0) wrong = "is free";
  else if (to === src[i] || memmap.folioMapcount(to) > 0) wrong = "is in use";
  else if (!memmap.has(to, PG.locked)) wrong = "is not locked";
  else return;
  throw new RangeError(`migrate_vma_pages() is to move page ${i} of the range to frame ${to}, which ${wrong}`);
}

/** @throws RangeError for a page that was let go already */
function assertLocked({ m: { memmap } }: Kernel, page: number): void {
  if (!memmap.has(page, PG.locked)) throw new RangeError(`migrate_vma_finalize() finds frame ${page} unlocked: the migration has been finalized before, or somebody else has unlocked it`);
}

/** Gives each destination the identity of its source, and maps it where there was nothing. What fails loses MIGRATE. */
export function* migrateVmaPages(k: Kernel, args: MigrateVma): MaySleep<void> {
  yield* k.migrateDevice.migrateDevicePages(k, args, args);
}

/** The same for pages wherever they are mapped: without `vma`, nothing is made. @throws RangeError for what is no destination */
export function* migrateDevicePages(k: Kernel, args: MigrateDevice, vma: MigrateVma | null): MaySleep<void> {
  const { src, srcFlags, dstFlags } = args;
  let range: NotifierRange | null = null;
  for (let i = 0; i < src.length; i++) {
    if ((srcFlags[i]! & MigratePfn.MIGRATE) === 0) continue;
    if ((srcFlags[i]! & MigratePfn.COMPOUND) !== 0 && (dstFlags[i]! & MigratePfn.COMPOUND) === 0) {
      if (!(yield* k.migrateDevice.splitSource(k, args, i))) {
        srcFlags[i]! &= ~MigratePfn.MIGRATE;
        continue;
      }
    }
    const to = destination(args, i);
    if (to === NO_PAGE) {
      srcFlags[i]! &= ~MigratePfn.MIGRATE;
      continue;
    }
    assertDestination(k, args, i, to);
    if (src[i] === NO_PAGE) {
      if (vma === null) continue;
      if (range === null) {
        range = { ...notifierRange(vma), startVpn: vma.startVpn + i };
        yield* k.mmuNotifier.invalidateRangeStart(k, range);
      }
      const inserted = (dstFlags[i]! & MigratePfn.COMPOUND) !== 0
        ? yield* k.migrateDevice.insertHugePage(k, vma, vma.startVpn + i, to)
        : yield* k.migrateDevice.insertPage(k, vma, vma.startVpn + i, to);
      if (!inserted) srcFlags[i]! &= ~MigratePfn.MIGRATE;
    } else if (!(yield* k.migrateDevice.migrateDevicePage(k, args, src[i]!, to))) srcFlags[i]! &= ~MigratePfn.MIGRATE;
  }
  if (range !== null) yield* k.mmuNotifier.invalidateRangeEnd(k, range);
}

/**
 * There is no large folio to move a large one to, or to make: it is moved page by page. False when it is held by
 * somebody, and stays.
 */
export function* splitSource(k: Kernel, args: MigrateDevice, at: number): MaySleep<boolean> {
  const { src, srcFlags } = args;
  const flags = srcFlags[at]! & ~MigratePfn.COMPOUND;
  const folio = src[at]!;
  if (folio !== NO_PAGE) {
    const order = k.m.memmap.order[folio]!;
    // Migration entries for all of it become such for its pages.
    yield* k.rmap.rmapWalk(k, folio, k.rmap.splitMigrationPmd);
    const pieces = k.hugeSplit.splitPieces(k, folio, order, 0, NO_PAGE, true);
    if (!(yield* k.hugeSplit.splitUnmapped(k, folio, pieces, true))) return false;
  }
  for (let i = 0; i < HPAGE_PMD_NR; i++) {
    src[at + i] = folio === NO_PAGE ? NO_PAGE : folio + i;
    srcFlags[at + i] = flags;
  }
  args.cpages += HPAGE_PMD_NR - 1;
  return true;
}

/** One folio; false when it cannot be this one's, or somebody holds it. */
export function* migrateDevicePage(k: Kernel, args: MigrateDevice, src: number, dst: number): MaySleep<boolean> {
  const { memmap } = k.m;
  if (memmap.isZoneDevice(dst) && memmap.cacheRefs(src) > 0) {
    // What a device has must be in no cache. A page of a file stays there.
    if (!memmap.isAnon(src)) return false;
    yield* k.swapfile.folioFreeSwap(k, src);
    if (memmap.has(src, PG.swapcache)) return false;
  }
  if (!(yield* k.migrate.folioMigrateMapping(k, src, dst, expected(k, args, src)))) return false;
  yield* k.migrate.folioMigrateFlags(k, src, dst);
  return true;
}

/** Maps a destination where there is nothing, or the page of zeros; false when there is something else by now. */
export function* insertPage(k: Kernel, { vma }: MigrateVma, vpn: number, page: number): MaySleep<boolean> {
  const { m } = k;
  const { memmap } = m;
  const { mm } = vma;
  if (vma.ops !== null) return false;
  const pmd = yield* k.memory.pmdAlloc(k, mm, vpn);
  if (pmd < 0) return false;
  if (m.point(Op.PteRead, pmd)) yield SWITCH;
  if (m.pt.isLeaf(pmd)) {
    // Zeros, all of which were to be replaced at once.
    if (!ptePresent(m.pt.flags(pmd)) || (m.pt.flags(pmd) & PTE.SPECIAL) === 0) return false;
    yield* k.hugeMemory.splitHugePmd(k, vma, vpn);
  }
  const ptep = yield* k.memory.pteAlloc(k, mm, vpn, pmd);
  if (ptep < 0) return false;
  if (vma.anonVma === null) yield* k.rmap.anonVmaPrepare(k, vma);
  if (!(yield* k.memcg.chargePage(k, page, m.memcgs.ofMm(mm)))) return false;
  const ptl = m.pt.lockOf(ptep);
  if (!ptl.tryLock()) yield* ptl.lock();
  if (m.point(Op.PteRead, ptep)) yield SWITCH;
  const old = m.pt.flags(ptep);
  const zero = ptePresent(old) && (old & PTE.SPECIAL) !== 0 && m.pt.pfn(ptep) === memmap.pageToPfn(m.zones.zeroPage);
  const free = (old === 0 || zero) && (vma.flags & VM.UFFD_MISSING) === 0;
  if (free) {
    if (zero) yield* k.memory.ptepClearFlush(k, vma, vpn, ptep);
    mm.addRss(RssKind.anon, 1);
    k.rmap.folioAddNewAnonRmap(k, page, vma, vpn);
    if (!memmap.isZoneDevice(page)) yield* k.mlockFolio.folioAddLruVma(k, page, vma);
    yield* k.swap.folioGetUnowned(k, page);
    yield* k.memory.setPteAt(k, mm, vpn, ptep, k.migrateDevice.insertedEntry(k, vma, page), memmap.pageToPfn(page));
  }
  if (!ptl.tryUnlock()) yield* ptl.unlock();
  return free;
}

/** What maps a page that was not there before. */
export function insertedEntry(k: Kernel, vma: Vma, page: number): number {
  if (k.m.memmap.isDevicePrivate(page)) return k.swapops.makeDevicePrivate(k, (vma.flags & VM.WRITE) !== 0, 0);
  const flags = vmPageProt(vma.flags);
  return (vma.flags & VM.WRITE) !== 0 ? maybeMkwrite(flags, vma.flags) | PTE.D | PTE.SOFT_DIRTY : flags;
}

/** Maps a destination of 2 MiB where there is nothing, or the huge page of zeros. */
export function* insertHugePage(k: Kernel, { vma }: MigrateVma, vpn: number, folio: number): MaySleep<boolean> {
  const { m } = k;
  const { memmap } = m;
  const { mm } = vma;
  if (vma.ops !== null) return false;
  const pmd = yield* k.memory.pmdAlloc(k, mm, vpn);
  if (pmd < 0) return false;
  if (vma.anonVma === null) yield* k.rmap.anonVmaPrepare(k, vma);
  if (!(yield* k.memcg.chargeLargeFolio(k, folio, m.memcgs.ofMm(mm)))) return false;
  const table = yield* k.pageAlloc.allocTable(k);
  if (table === NO_PAGE) return false;
  const ptl = m.pt.lockOf(pmd);
  if (!ptl.tryLock()) yield* ptl.lock();
  if (m.point(Op.PteRead, pmd)) yield SWITCH;
  const old = m.pt.flags(pmd);
  const zero = m.pt.isLeaf(pmd) && ptePresent(old) && (old & PTE.SPECIAL) !== 0;
  const free = (old === 0 || zero) && (vma.flags & VM.UFFD_MISSING) === 0;
  if (free) {
    if (zero) yield* k.hugeMemory.pmdClearFlush(k, vma, vpn, pmd);
    else k.hugeMemory.depositTable(mm, table);
    mm.addRss(RssKind.anon, HPAGE_PMD_NR);
    k.rmap.folioAddNewAnonRmapPmd(k, folio, vma, vpn);
    if (!memmap.isZoneDevice(folio)) yield* k.mlockFolio.folioAddLruVma(k, folio, vma);
    yield* k.swap.folioGetUnowned(k, folio);
    yield* k.memory.setPteAt(k, mm, vpn, pmd, k.migrateDevice.insertedEntry(k, vma, folio), memmap.pageToPfn(folio));
  }
  if (!ptl.tryUnlock()) yield* ptl.unlock();
  if (!free || zero) yield* k.pageAlloc.freeTable(k, table);
  return free;
}

/* The end. */

/** Maps what has moved at its new place, and what has not at its old one; lets all go. @throws RangeError when that has been done */
export function* migrateDeviceFinalize(k: Kernel, args: MigrateDevice): MaySleep<void> {
  const { memmap } = k.m;
  const { src, srcFlags } = args;
  for (let i = 0; i < src.length; i++) {
    const from = src[i]!;
    const to = destination(args, i);
    const moved = (srcFlags[i]! & MigratePfn.MIGRATE) !== 0 && to !== NO_PAGE;
    if (from !== NO_PAGE) {
      assertLocked(k, from);
      const now = moved ? to : from;
      yield* k.migrate.removeMigrationPtes(k, from, now);
      if (moved && !memmap.isZoneDevice(to)) yield* k.swap.folioAddLru(k, to);
      if (!k.migrateDevice.faultHasLock(k, args, from)) yield* k.folioLock.folioUnlock(k, from);
      if (moved || memmap.isZoneDevice(from)) yield* k.swap.folioPut(k, from, "isolate");
      else yield* k.vmscan.putbackFolios(k, [from]);
    }
    if (to !== NO_PAGE) {
      assertLocked(k, to);
      yield* k.folioLock.folioUnlock(k, to);
      yield* k.swap.folioPut(k, to, "alloc");
    }
    if (i % HPAGE_PMD_NR === 0 && k.m.sched.needResched()) yield* k.m.sched.condResched();
  }
}

export function* migrateVmaFinalize(k: Kernel, args: MigrateVma): MaySleep<void> {
  yield* k.migrateDevice.migrateDeviceFinalize(k, args);
}

/* Without an address space: for a driver that wants its memory back. */

/** Takes the pages of [first, first + pages) of device memory that are in use, wherever they are mapped. */
export function* migrateDeviceRange(k: Kernel, args: MigrateDevice, first: number, pages: number): MaySleep<void> {
  const { m } = k;
  const { memmap } = m;
  for (let i = 0; i < pages; ) {
    const folio = first + i;
    i++;
    if (!(yield* k.swap.folioTryGet(k, folio, "isolate"))) continue;
    const nr = memmap.folioPages(folio);
    if (!(yield* k.folioLock.folioTrylock(k, folio))) yield* k.swap.folioPut(k, folio, "isolate");
    else {
      args.src[i - 1] = folio;
      args.srcFlags[i - 1] = MigratePfn.VALID | MigratePfn.MIGRATE | (memmap.order[folio] === HPAGE_PMD_ORDER ? MigratePfn.COMPOUND : 0);
      args.cpages++;
    }
    i += nr - 1;
  }
  yield* k.migrateDevice.migrateDeviceUnmap(k, args);
}

/**
 * Moves a device-coherent folio to RAM, as a long-term pin wants it: the caller has a reference at `site`, which goes
 * with it. 0; -EBUSY when somebody holds it, -ENOMEM without room.
 */
export function* migrateDeviceCoherentFolio(k: Kernel, folio: number, site: string): MaySleep<number> {
  const { m } = k;
  if (!k.folioLock.tryFolioLock(k, folio)) yield* k.folioLock.folioLock(k, folio);
  const args: MigrateDevice = { ...migrateArrays(1), faultPage: NO_PAGE };
  args.src[0] = folio;
  args.srcFlags[0] = MigratePfn.VALID | MigratePfn.MIGRATE;
  args.cpages = 1;
  m.refs?.put(folio, site);
  m.refs?.get(folio, "isolate");
  yield* k.migrateDevice.migrateDeviceUnmap(k, args);
  if ((args.srcFlags[0] & MigratePfn.MIGRATE) === 0) return -Errno.EBUSY;
  const dst = yield* k.migrateDevice.allocSystemPage(k);
  if (dst !== NO_PAGE) {
    if (m.point(Op.FrameRead, folio)) yield SWITCH;
    m.ram.copy(dst, folio);
    args.dst[0] = dst;
    args.dstFlags[0] = MigratePfn.VALID;
  }
  yield* k.migrateDevice.migrateDevicePages(k, args, null);
  const moved = (args.srcFlags[0] & MigratePfn.MIGRATE) !== 0;
  yield* k.migrateDevice.migrateDeviceFinalize(k, args);
  if (dst === NO_PAGE) return -Errno.ENOMEM;
  return moved ? 0 : -Errno.EBUSY;
}

/** A page of RAM for a page that comes back from a device: locked, with a reference at site "alloc"; NO_PAGE without room. */
export function* allocSystemPage(k: Kernel, gfp = GFP_HIGHUSER_MOVABLE): MaySleep<number> {
  const page = yield* k.pageAlloc.allocPage(k, gfp);
  if (page !== NO_PAGE) k.folioLock.lockNewFolio(k, page);
  return page;
}
