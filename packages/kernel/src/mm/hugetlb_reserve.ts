/**
 * @linux mm/hugetlb.c
 * @own giveBack, hstateOf, hugeIndex, inodeOf, reservePages, subpoolGet, subpoolPut, undoSubpoolGet, unreservePages
 */
import { SWITCH, type Atomic, type MaySleep } from "../kernel/coroutine.js";
import { Errno } from "../kernel/errno.js";
import { RwSem, SpinLock, type Locks } from "../kernel/locks.js";
import { Op } from "../kernel/op.js";
import type { Kernel } from "../kernel.js";
import type { HugetlbInode } from "../fs/hugetlbfs.js";
import { HPG, type Hstate } from "./hstate.js";
import { VM, type Vma } from "./mm_types.js";

/**
 * Which huge pages of a file, or of a private mapping, have been reckoned with (Documentation/mm/
 * hugetlbfs_reserv.rst). Of a file: those for which there is, or was, a reservation. Of a private
 * mapping it is the other way round: all are reserved at first, and what stands here is used up.
 * Indices count huge pages from the start of the file.
 */
export class ResvMap {
  readonly lock: SpinLock;
  readonly indices = new Set<number>();
  /** VMAs that have it, of a private mapping. */
  users = 1;
  /** `vmaLock` of a private mapping. */
  readonly rwSema: RwSem;

  constructor(locks: Locks) {
    this.lock = new SpinLock(locks, "resv_map");
    this.rwSema = new RwSem(locks, "hugetlb_vma_lock");
  }

  /** Indices of [from, to) that it does not have. */
  missing(from: number, to: number): number {
    return to - from - this.count(from, to);
  }

  /** Indices of [from, to) that it has. */
  count(from: number, to: number): number {
    let n = 0;
    if (to - from < this.indices.size) {
      for (let i = from; i < to; i++) if (this.indices.has(i)) n++;
    } else for (const i of this.indices) if (i >= from && i < to) n++;
    return n;
  }

  /** Takes indices out; how many it had. */
  delete(from: number, to: number): number {
    let n = 0;
    for (const i of [...this.indices]) {
      if (i < from || i >= to) continue;
      this.indices.delete(i);
      n++;
    }
    return n;
  }
}

/** A part of a pool that a mount of hugetlbfs has for itself, with a limit, or with pages kept for it. */
export class Subpool {
  readonly lock: SpinLock;
  used = 0;
  /** Reserved in the pool, and not used. */
  reserved: number;

  constructor(
    locks: Locks,
    readonly h: Hstate,
    /** Huge pages at most; -1: no limit. */
    readonly max: number,
    /** Huge pages that are always there; -1: none. */
    readonly min: number,
  ) {
    this.lock = new SpinLock(locks, "hugetlb_subpool");
    this.reserved = Math.max(0, min);
  }
}

/** What a private or shared mapping of huge pages knows of its reservations. */
export interface HugetlbVma {
  /** Of a private mapping that made one; a child's has none. */
  resv: ResvMap | null;
  /** `vmaLock` of a shared mapping; null for a private one. */
  readonly lock: RwSem | null;
  /** A page was taken away for the sake of its owner: a fault here is SIGBUS. */
  unmapped: boolean;
}

/* Subpools. */

/** Takes pages out of a subpool: how many the pool must provide for that, or -ENOMEM at its limit. */
export function* subpoolGet(_k: Kernel, spool: Subpool | null, pages: number): Atomic<number> {
  if (spool === null || pages === 0) return pages;
  if (!spool.lock.tryLock()) yield* spool.lock.lock();
  let result = pages;
  if (spool.max >= 0 && spool.used + pages > spool.max) result = -Errno.ENOMEM;
  else {
    if (spool.max >= 0) spool.used += pages;
    if (spool.min >= 0 && spool.reserved > 0) {
      const kept = Math.min(spool.reserved, pages);
      spool.reserved -= kept;
      result = pages - kept;
    }
  }
  if (!spool.lock.tryUnlock()) yield* spool.lock.unlock();
  return result;
}

/** Gives pages back to a subpool: how many of them it does not keep for itself. */
export function* subpoolPut(_k: Kernel, spool: Subpool | null, pages: number): Atomic<number> {
  if (spool === null || pages === 0) return pages;
  if (!spool.lock.tryLock()) yield* spool.lock.lock();
  let result = pages;
  if (spool.max >= 0) spool.used -= pages;
  if (spool.min >= 0 && spool.used < spool.min) {
    result = Math.max(0, spool.reserved + pages - spool.min);
    spool.reserved = Math.min(spool.min, spool.reserved + pages);
  }
  if (!spool.lock.tryUnlock()) yield* spool.lock.unlock();
  return result;
}

/** Pages were not there in the end, of which the pool was to provide `fromPool`: what the subpool has kept it has again. */
export function* undoSubpoolGet(k: Kernel, h: Hstate, spool: Subpool | null, pages: number, fromPool: number): MaySleep<void> {
  if (spool === null) return;
  if (pages > fromPool) yield* k.hugetlbReserve.giveBack(k, h, spool, pages - fromPool);
  if (fromPool === 0) return;
  if (!spool.lock.tryLock()) yield* spool.lock.lock();
  if (spool.max >= 0) spool.used -= fromPool;
  if (!spool.lock.tryUnlock()) yield* spool.lock.unlock();
}

/* Files and private mappings. */

/**
 * Reserves huge pages [from, to) for a mapping, or (without one) for a file: 0, or -ENOMEM where the
 * pool, or the mount, has not enough. A shared mapping reserves for the file, a private one for itself.
 */
export function* reservePages(k: Kernel, inode: HugetlbInode, from: number, to: number, vma: Vma | null, noreserve: boolean): MaySleep<number> {
  if (noreserve) return 0;
  const { hstate, spool } = inode.fs;
  const shared = vma === null || (vma.flags & VM.MAYSHARE) !== 0;
  const map = shared ? inode.resv : new ResvMap(k.m.locks);
  if (!map.lock.tryLock()) yield* map.lock.lock();
  const change = shared ? map.missing(from, to) : to - from;
  if (!map.lock.tryUnlock()) yield* map.lock.unlock();
  const wanted = yield* k.hugetlbReserve.subpoolGet(k, spool, change);
  if (wanted < 0) return -Errno.ENOMEM;
  const error = yield* k.hugetlbPool.acctMemory(k, hstate, wanted);
  if (error !== 0) {
    yield* k.hugetlbReserve.undoSubpoolGet(k, hstate, spool, change, wanted);
    return error;
  }
  if (!shared) {
    vma.hugetlb!.resv = map;
    return 0;
  }
  if (!map.lock.tryLock()) yield* map.lock.lock();
  const added = map.missing(from, to);
  for (let i = from; i < to; i++) map.indices.add(i);
  if (!map.lock.tryUnlock()) yield* map.lock.unlock();
  // Pages that somebody else has added meanwhile were counted twice.
  if (added < change) yield* k.hugetlbReserve.giveBack(k, hstate, spool, change - added);
  return 0;
}

/** Pages are promised no more: to the subpool, and what that does not keep to the pool. */
export function* giveBack(k: Kernel, h: Hstate, spool: Subpool | null, pages: number): MaySleep<void> {
  const rest = yield* k.hugetlbReserve.subpoolPut(k, spool, pages);
  yield* k.hugetlbPool.acctMemory(k, h, -rest);
}

/** The file has lost pages [from, to), `freed` of which it had: the reservations of the others go. */
export function* unreservePages(k: Kernel, inode: HugetlbInode, from: number, to: number, freed: number): MaySleep<void> {
  const map = inode.resv;
  if (!map.lock.tryLock()) yield* map.lock.lock();
  const gone = map.delete(from, to);
  if (!map.lock.tryUnlock()) yield* map.lock.unlock();
  yield* k.hugetlbReserve.giveBack(k, inode.fs.hstate, inode.fs.spool, gone - freed);
}

/* One page of a mapping. */

/** Index within its file of the huge page that holds an address. */
export function hugeIndex(vma: Vma, vpn: number): number {
  return Math.floor(vma.linearIndex(vpn) / hstateOf(vma).pages);
}

export function inodeOf(vma: Vma): HugetlbInode {
  return vma.file!.inode as HugetlbInode;
}

export function hstateOf(vma: Vma): Hstate {
  return inodeOf(vma).fs.hstate;
}

/** The map that decides whether a page of a mapping is reserved; null where none can be. */
function mapOf(vma: Vma): ResvMap | null {
  return (vma.flags & VM.MAYSHARE) !== 0 ? inodeOf(vma).resv : vma.hugetlb!.resv;
}

/** Whether a page of a mapping has to be had without a reservation. */
export function* vmaNeedsReservation(_k: Kernel, vma: Vma, vpn: number): Atomic<boolean> {
  const map = mapOf(vma);
  if (map === null) return true;
  const shared = (vma.flags & VM.MAYSHARE) !== 0;
  const index = hugeIndex(vma, vpn);
  if (!map.lock.tryLock()) yield* map.lock.lock();
  const has = map.indices.has(index);
  if (!map.lock.tryUnlock()) yield* map.lock.unlock();
  return shared ? !has : has;
}

/** The page is there now; whether the map did not know that it would be. */
export function* vmaCommitReservation(_k: Kernel, vma: Vma, vpn: number): Atomic<boolean> {
  const map = mapOf(vma);
  if (map === null) return true;
  const shared = (vma.flags & VM.MAYSHARE) !== 0;
  const index = hugeIndex(vma, vpn);
  if (!map.lock.tryLock()) yield* map.lock.lock();
  const had = map.indices.has(index);
  map.indices.add(index);
  if (!map.lock.tryUnlock()) yield* map.lock.unlock();
  return shared ? !had : had;
}

/** A page of a private mapping goes back to what is reserved for it. */
export function* vmaAddReservation(_k: Kernel, vma: Vma, vpn: number): Atomic<void> {
  const map = mapOf(vma);
  if (map === null) return;
  const index = hugeIndex(vma, vpn);
  if (!map.lock.tryLock()) yield* map.lock.lock();
  if ((vma.flags & VM.MAYSHARE) !== 0) map.indices.add(index);
  else map.indices.delete(index);
  if (!map.lock.tryUnlock()) yield* map.lock.unlock();
}

/** A page of a mapping is reserved no more. */
function* vmaDelReservation(vma: Vma, vpn: number): Atomic<void> {
  const map = mapOf(vma);
  if (map === null) return;
  const index = hugeIndex(vma, vpn);
  if (!map.lock.tryLock()) yield* map.lock.lock();
  if ((vma.flags & VM.MAYSHARE) !== 0) map.indices.delete(index);
  else map.indices.add(index);
  if (!map.lock.tryUnlock()) yield* map.lock.unlock();
}

/**
 * A folio that was allocated for a page of a mapping will not be used: what its freeing will do to
 * the pool's count of reserved pages, the map says as well.
 */
export function* restoreReserveOnError(k: Kernel, vma: Vma, vpn: number, folio: number): Atomic<void> {
  const { memmap } = k.m;
  if (k.m.point(Op.PageFlags, folio)) yield SWITCH;
  if ((memmap.private[folio]! & HPG.restoreReserve) !== 0) {
    yield* k.hugetlbReserve.vmaAddReservation(k, vma, vpn);
    return;
  }
  if (!(yield* k.hugetlbReserve.vmaNeedsReservation(k, vma, vpn))) yield* vmaDelReservation(vma, vpn);
}
