/**
 * @linux mm/shmem.c
 * @omits Quotas and casefolding.
 * @omits Swap-in of large folios: a slot is read by itself.
 * @omits Shrinking folios beyond the end of files (`shmem_unused_huge_shrink()`).
 * @own beyondEnd, hasData, shmemAllocAndAdd, shmemAllocate, shmemClear, shmemDropIndex, shmemGetPage,
 *   shmemPunchHole, shmemSetSize, shmemSwapin, shmemZeroPages, shmemZeroPart, truncatedMeanwhile, waitForPunch
 */
import { SWITCH, type Atomic, type MaySleep } from "../kernel/coroutine.js";
import { Errno } from "../kernel/errno.js";
import { Op } from "../kernel/op.js";
import { TaskState, WaitQueue } from "../kernel/sched.js";
import type { Kernel } from "../kernel.js";
import type { FaultAt } from "../fs/userfaultfd.js";
import { radixToSwpEntry, swpToRadixEntry, xaIsValue, type AddressSpace } from "./address_space.js";
import { VmFault } from "./fault_flags.js";
import { mayDropLock } from "./filemap.js";
import { GFP_ANON_FOLIO } from "./gfp.js";
import type { Vmf } from "./memory.js";
import { VM, type Vma } from "./mm_types.js";
import { NO_PAGE, PG } from "./page.js";
import { Seal, ShmemInode, shmemInode, type HolePunch } from "./shmem_inode.js";
import type { VmOps } from "./vm_ops.js";

/** What is wanted of a page of a file in memory (enum sgp_type). */
export enum Sgp {
  /** What is there; a hole stays one. */
  Read,
  /** The same, but that what fallocate() has taken is used from now on. */
  NoAlloc,
  /** Within the size of the file; a hole is filled. */
  Cache,
  /** The size may have to grow first. */
  Write,
  /** The same, and what is new need not have contents yet. */
  Falloc,
}

/** Found, or made: the folio is locked, and referenced at the caller's site. */
export interface ShmemPage {
  readonly page: number;
  /** It had to be read from swap. */
  readonly major: boolean;
}

/**
 * The page of a file at an index: from the page cache, back from swap, or a new one of zeros. NO_PAGE
 * for a hole that is only read. -EINVAL beyond the end, -ENOSPC where the file system is full, -ENOMEM. A fault
 * (`at`) that a userfaultfd is told of gives VmFault bits, which are positive. `writeEnd`: where a write will end,
 * in bytes.
 */
export function* shmemGetPage(
  k: Kernel,
  inode: ShmemInode,
  index: number,
  sgp: Sgp,
  site: string,
  at: FaultAt | null = null,
  writeEnd = 0,
): MaySleep<ShmemPage | number> {
  const { m } = k;
  const { mapping } = inode;
  let major = false;
  for (;;) {
    if (yield* k.shmem.beyondEnd(k, inode, index, sgp)) return -Errno.EINVAL;
    const entry = yield* k.filemap.filemapLockEntry(k, mapping, index, site);
    if (entry !== NO_PAGE && at !== null && (at.vma.flags & VM.UFFD_MINOR) !== 0) {
      if (entry >= 0) yield* k.fileFault.releasePage(k, entry, site);
      return yield* k.userfaultfd.handleUserfault(k, at, VM.UFFD_MINOR);
    }
    if (entry >= 0) {
      const folio = m.memmap.folioOf(entry);
      if (sgp === Sgp.Write) yield* k.swap.folioMarkAccessed(k, folio);
      if (m.memmap.has(folio, PG.uptodate)) return { page: entry, major };
      if (sgp !== Sgp.Read) {
        yield* k.shmem.shmemClear(k, folio);
        return { page: entry, major };
      }
      // What fallocate() has taken, and nobody has used, reads as the hole it was.
      yield* k.folioLock.folioUnlock(k, folio);
      yield* k.swap.folioPut(k, folio, site);
      return NO_PAGE;
    }
    if (xaIsValue(entry)) {
      const error = yield* k.shmem.shmemSwapin(k, inode, index, entry);
      if (error === 0) major = true;
      else if (error !== -Errno.EEXIST) return error;
      continue;
    }
    if (sgp <= Sgp.NoAlloc) return NO_PAGE;
    if (at !== null && (at.vma.flags & VM.UFFD_MISSING) !== 0) return yield* k.userfaultfd.handleUserfault(k, at, VM.UFFD_MISSING);
    const orders = k.shmemHuge.allowableHugeOrders(k, inode, at?.vma ?? null, index, writeEnd, false);
    let page = orders === 0 ? NO_PAGE : yield* k.shmemHuge.shmemAllocHuge(k, inode, index, orders, at, site);
    if (page === NO_PAGE) page = yield* k.shmem.shmemAllocAndAdd(k, inode, index, at?.vma ?? null, site);
    if (page === -Errno.EEXIST) continue;
    if (page < 0) return page;
    const folio = m.memmap.folioOf(page);
    if (sgp === Sgp.Write) m.memmap.set(folio, PG.referenced);
    if (sgp !== Sgp.Falloc) yield* k.shmem.shmemClear(k, folio);
    if (!(yield* k.shmem.truncatedMeanwhile(k, inode, index, sgp))) return { page, major };
    const pages = m.memmap.folioPages(folio);
    yield* k.filemap.filemapRemoveFolio(k, folio);
    inode.sb.unacctBlocks(pages);
    for (let i = 0; i < pages; i++) yield* k.swap.folioPutUnowned(k, folio);
    yield* k.folioLock.folioUnlock(k, folio);
    yield* k.swap.folioPut(k, folio, site);
    return -Errno.EINVAL;
  }
}

/** The file may have become shorter since its size was looked at, and the truncation may be past a page that is new in it. */
export function* truncatedMeanwhile(k: Kernel, inode: ShmemInode, index: number, sgp: Sgp): Atomic<boolean> {
  return yield* k.shmem.beyondEnd(k, inode, index, sgp);
}

/** Whether a page is behind the end of the file, for whom that matters. */
export function* beyondEnd(k: Kernel, inode: ShmemInode, index: number, sgp: Sgp): Atomic<boolean> {
  if (k.m.point(Op.Inode, inode.ino)) yield SWITCH;
  return sgp < Sgp.Write && index >= Math.ceil(inode.size / 4096);
}

/** Whether a file has something at an index, for SEEK_DATA: what is in swap counts, what was taken and never used does not. */
export function* hasData(k: Kernel, mapping: AddressSpace, index: number): Atomic<boolean> {
  const { m } = k;
  if (m.point(Op.PageCacheRead, mapping.object(index))) yield SWITCH;
  const entry = mapping.at(index);
  return xaIsValue(entry) || (entry >= 0 && m.memmap.has(m.memmap.folioOf(entry), PG.uptodate));
}

/** A locked folio becomes zeros that can be used. */
export function* shmemClear(k: Kernel, folio: number): Atomic<void> {
  const { m } = k;
  for (let page = folio; page < folio + m.memmap.folioPages(folio); page++) {
    if (m.point(Op.FrameWrite, page)) yield SWITCH;
    m.ram.clear(page);
  }
  if (m.point(Op.PageFlags, folio)) yield SWITCH;
  m.memmap.set(folio, PG.uptodate);
}

/** Fills a hole with a page whose contents are yet to come; -EEXIST where somebody was faster. A fault of a VMA charges its owner. */
export function* shmemAllocAndAdd(k: Kernel, inode: ShmemInode, index: number, vma: Vma | null, site: string): MaySleep<number> {
  const { m } = k;
  const { memmap } = m;
  if (m.point(Op.Inode, inode.ino)) yield SWITCH;
  if (!inode.sb.acctBlocks(1)) return -Errno.ENOSPC;
  const nodes = vma === null ? null : k.mempolicy.vmaNodes(k, vma, vma.startVpn + (index - vma.pgoff));
  const folio = yield* k.memory.allocAnonFolio(k, vma === null ? m.current!.memcg : m.memcgs.ofMm(vma.mm), GFP_ANON_FOLIO, nodes);
  if (folio === NO_PAGE) {
    inode.sb.unacctBlocks(1);
    return -Errno.ENOMEM;
  }
  m.refs?.put(folio, "alloc");
  m.refs?.get(folio, site);
  k.folioLock.lockNewFolio(k, folio);
  memmap.set(folio, PG.swapbacked);
  if (yield* k.filemap.filemapAddFolio(k, inode.mapping, folio, index, NO_PAGE)) {
    yield* k.swap.folioAddLru(k, folio);
    return folio;
  }
  inode.sb.unacctBlocks(1);
  yield* k.folioLock.folioUnlock(k, folio);
  yield* k.swap.folioPut(k, folio, site);
  return -Errno.EEXIST;
}

/* To swap and back. */

/**
 * Sends a locked, unmapped folio to swap: the file names the slot from here on, and the swap cache
 * has the folio until it is written. False where there is no room.
 */
export function* shmemWriteout(k: Kernel, folio: number): Atomic<boolean> {
  const { m } = k;
  const { memmap, swap } = m;
  const host: unknown = k.filemap.folioMapping(k, folio)?.host;
  if (host instanceof ShmemInode && host.sb.noswap) return false;
  if (!(yield* k.swapfile.folioAllocSwap(k, folio))) return false;
  const slot = memmap.private[folio]!;
  const pages = memmap.folioPages(folio);
  for (let i = 0; i < pages; i++) {
    if (m.point(Op.SwapMap, slot + i)) yield SWITCH;
    swap.count[slot + i]!++;
  }
  yield* k.filemap.filemapRemoveFolio(k, folio, swpToRadixEntry(slot));
  for (let i = 0; i < pages; i++) yield* k.swap.folioPutUnowned(k, folio);
  yield* k.pageIo.swapWritepage(k, folio);
  return true;
}

/** Brings a page of a file back from swap: 0 once it is in the page cache, -EEXIST where the file has something else there by now, -ENOMEM. */
export function* shmemSwapin(k: Kernel, inode: ShmemInode, index: number, entry: number): MaySleep<number> {
  const { m } = k;
  const { memmap } = m;
  const { mapping } = inode;
  const slot = radixToSwpEntry(entry);
  let folio = yield* k.swapState.swapCacheGetFolio(k, slot);
  if (folio === NO_PAGE) folio = yield* k.swapState.swapinReadahead(k, slot);
  if (folio === NO_PAGE) {
    m.touches(Op.PageCacheRead, mapping.object(index));
    return mapping.at(index) === entry ? -Errno.ENOMEM : -Errno.EEXIST;
  }
  if (!k.folioLock.tryFolioLock(k, folio)) yield* k.folioLock.folioLock(k, folio);
  let error = -Errno.EEXIST;
  if (k.swapState.servesSlot(k, folio, slot) && memmap.has(folio, PG.uptodate)) {
    yield* k.folioLock.folioWaitBit(k, folio, PG.writeback, TaskState.Uninterruptible);
    // A large one that has not left the swap cache yet comes back as a whole.
    const first = memmap.private[folio]!;
    const pages = memmap.folioPages(folio);
    if (yield* k.filemap.filemapAddFolio(k, mapping, folio, index - (slot - first), swpToRadixEntry(first))) {
      yield* k.swapfile.deleteFromSwapCache(k, folio);
      memmap.set(folio, PG.dirty);
      for (let i = 0; i < pages; i++) {
        yield* k.swap.folioPutUnowned(k, folio);
        yield* k.swapfile.swapFree(k, first + i);
      }
      error = 0;
    } else if (pages > 1) {
      // The file has not all of it any more: what it has comes back page by page.
      yield* k.hugeSplit.splitFolio(k, folio);
    }
  }
  yield* k.folioLock.folioUnlock(k, folio);
  yield* k.swap.folioPut(k, folio, "swapin");
  return error;
}

/* Faults. */

/** A fault on a mapping of a file in memory. */
export function* shmemFault(k: Kernel, vmf: Vmf): MaySleep<number> {
  const inode = shmemInode(vmf.vma.file)!;
  const index = vmf.vma.linearIndex(vmf.vpn);
  if (inode.punch !== null) {
    const waited = yield* k.shmem.waitForPunch(k, inode, vmf, index);
    if (waited !== null) return waited;
  }
  const found = yield* k.shmem.shmemGetPage(k, inode, index, Sgp.Cache, "fault", vmf);
  if (found === -Errno.ENOMEM) return VmFault.OOM;
  if (typeof found === "number") return found > 0 ? found : VmFault.SIGBUS;
  vmf.page = found.page;
  return found.major ? VmFault.MAJOR : 0;
}

/**
 * A hole is being punched where the fault is: it waits until that is done, else it could fill the hole as
 * fast as it is made. Null where it may go on; else it has waited: RETRY with its lock dropped, or NOPAGE with it.
 */
export function* waitForPunch(k: Kernel, inode: ShmemInode, vmf: Vmf, index: number): MaySleep<number | null> {
  const { m } = k;
  if (m.point(Op.Inode, inode.ino)) yield SWITCH;
  const { punch } = inode;
  if (punch === null || index < punch.start || index >= punch.end) return null;
  const drops = mayDropLock(vmf.flags);
  punch.wait.prepare(TaskState.Uninterruptible, "shmem_falloc", inode.ino);
  if (drops) yield* k.memory.releaseFaultLock(k, vmf);
  yield* punch.wait.sleepPrepared();
  return drops ? VmFault.RETRY : VmFault.NOPAGE;
}

export const SHMEM_VM_OPS: VmOps = { fault: (k, vmf) => k.shmem.shmemFault(k, vmf), mapsAround: true, isShmem: true };

/* Sizes and holes. */

/** ftruncate(): -EPERM where a seal forbids it, else 0. The caller holds the inode's lock. */
export function* shmemSetSize(k: Kernel, inode: ShmemInode, size: number): MaySleep<number> {
  const { m } = k;
  if (m.point(Op.Inode, inode.ino)) yield SWITCH;
  const old = inode.size;
  if (size < old && (inode.seals & Seal.SHRINK) !== 0) return -Errno.EPERM;
  if (size > old && (inode.seals & Seal.GROW) !== 0) return -Errno.EPERM;
  inode.size = size;
  inode.mtimeNs = inode.ctimeNs = m.now();
  if (size > old) return 0;
  const first = Math.ceil(size / 4096);
  if (size === old) {
    // What a write that failed, or fallocate(), has left beyond the end.
    yield* k.shmem.shmemTruncateRange(k, inode, size, Infinity);
    return 0;
  }
  // Whoever faults from here on finds the new size; what was faulted in before goes.
  yield* k.zap.unmapMappingRange(k, inode.mapping, first, Infinity, true);
  yield* k.shmem.shmemTruncateRange(k, inode, size, Infinity);
  // Copies that private mappings made meanwhile of pages that were there yet.
  yield* k.zap.unmapMappingRange(k, inode.mapping, first, Infinity, true);
  return 0;
}

/**
 * fallocate(FALLOC_FL_PUNCH_HOLE): -EPERM where a seal forbids it, else 0. Under the inode's lock. The
 * mappings go first, of all whole pages at once, with the notifications for them; each page that is
 * mapped again until it is taken out is unmapped by itself then.
 */
export function* shmemPunchHole(k: Kernel, inode: ShmemInode, offset: number, length: number): MaySleep<number> {
  const { m } = k;
  if ((inode.seals & (Seal.WRITE | Seal.FUTURE_WRITE)) !== 0) return -Errno.EPERM;
  const start = Math.ceil(offset / 4096);
  const end = Math.floor((offset + length) / 4096);
  const punch: HolePunch = { start, end, wait: new WaitQueue(m) };
  if (m.point(Op.Inode, inode.ino)) yield SWITCH;
  inode.punch = punch;
  if (start < end) yield* k.zap.unmapMappingRange(k, inode.mapping, start, end, false);
  // A hole within the first page has no last whole one: Linux goes from page -1 around to the end of all files.
  else if (end === 0) yield* k.zap.unmapMappingRange(k, inode.mapping, start, Infinity, false);
  yield* k.shmem.shmemTruncateRange(k, inode, offset, offset + length);
  if (m.point(Op.Inode, inode.ino)) yield SWITCH;
  inode.punch = null;
  punch.wait.wakeAll();
  inode.mtimeNs = inode.ctimeNs = m.now();
  return 0;
}

/**
 * fallocate() without a hole: fills what is missing in a range, and makes the file as long where
 * `keepSize` does not forbid it. -EPERM (seals), -ENOSPC, -EINTR; then what it filled is given back.
 */
export function* shmemAllocate(k: Kernel, inode: ShmemInode, offset: number, length: number, keepSize: boolean): MaySleep<number> {
  const { m } = k;
  const beyond = offset + length > inode.size;
  // Even where it does not grow by this.
  if (beyond && (inode.seals & Seal.GROW) !== 0) return -Errno.EPERM;
  const start = Math.floor(offset / 4096);
  const end = Math.ceil((offset + length) / 4096);
  if (end - start > inode.sb.maxPages) return -Errno.ENOSPC;
  const filled: number[] = [];
  for (let index = start; index < end; index++) {
    let error = m.signals.pending(m.current!) ? -Errno.EINTR : 0;
    if (error === 0) {
      const known = inode.mapping.entries.has(index);
      const found = yield* k.shmem.shmemGetPage(k, inode, index, Sgp.Falloc, "fallocate");
      if (typeof found === "number") error = found;
      else {
        const folio = m.memmap.folioOf(found.page);
        if (!known) filled.push(index);
        // Nobody has used it, and yet it is not to be let go.
        m.memmap.set(folio, PG.dirty);
        yield* k.folioLock.folioUnlock(k, folio);
        yield* k.swap.folioPut(k, folio, "fallocate");
      }
    }
    if (error !== 0) {
      for (const i of filled) yield* k.shmem.shmemTruncateRange(k, inode, i * 4096, (i + 1) * 4096);
      return error;
    }
    yield* m.sched.condResched();
  }
  if (m.point(Op.Inode, inode.ino)) yield SWITCH;
  if (beyond && !keepSize) inode.size = offset + length;
  inode.ctimeNs = m.now();
  return 0;
}

/**
 * Takes the bytes from `start` below `end` out of a file: whole pages go, of the first and the last one the
 * part that is in the range becomes zeros.
 */
export function* shmemTruncateRange(k: Kernel, inode: ShmemInode, start: number, end: number): MaySleep<void> {
  const first = Math.ceil(start / 4096);
  const last = end === Infinity ? Infinity : Math.floor(end / 4096);
  for (const index of inode.mapping.indexesIn(first, last)) {
    yield* k.shmem.shmemDropIndex(k, inode, index, first, last);
    yield* k.m.sched.condResched();
  }
  if (start % 4096 !== 0) yield* k.shmem.shmemZeroPart(k, inode, first - 1, start % 4096, Math.min(4096, end - (first - 1) * 4096));
  if (end % 4096 !== 0 && end !== Infinity && last >= first) yield* k.shmem.shmemZeroPart(k, inode, last, 0, end % 4096);
}

/**
 * Takes away what a file has at an index: a page, or what is in swap of it. A large folio goes if all of it lies from
 * `first` below `last`; else it is split, or where it cannot be, what lies there becomes zeros.
 */
export function* shmemDropIndex(k: Kernel, inode: ShmemInode, index: number, first: number, last: number): MaySleep<void> {
  const { m } = k;
  const { mapping } = inode;
  for (;;) {
    const entry = yield* k.filemap.filemapLockEntry(k, mapping, index, "truncate");
    if (entry === NO_PAGE) return;
    if (xaIsValue(entry)) {
      if (m.point(Op.PageCacheWrite, mapping.object(index))) yield SWITCH;
      // Somebody may be bringing it back.
      if (mapping.at(index) !== entry) continue;
      mapping.entries.delete(index);
      inode.sb.unacctBlocks(1);
      yield* k.swapfile.freeSwapAndCache(k, radixToSwpEntry(entry));
      return;
    }
    const folio = m.memmap.folioOf(entry);
    yield* k.folioLock.folioWaitBit(k, folio, PG.writeback, TaskState.Uninterruptible);
    const start = m.memmap.index[folio]!;
    const end = start + m.memmap.folioPages(folio);
    if (start < first || end > last) {
      const at = start < first ? folio + (first - start) : folio + (last - start);
      const split = (yield* k.hugeSplit.splitFolio(k, folio, null, 0, at)) === 0;
      if (!split) yield* k.shmem.shmemZeroPages(k, folio, Math.max(start, first) - start, Math.min(end, last) - start);
      yield* k.folioLock.folioUnlock(k, folio);
      yield* k.swap.folioPut(k, folio, "truncate");
      if (split) continue;
      return;
    }
    yield* k.zap.unmapMappingFolio(k, folio);
    const pages = m.memmap.folioPages(folio);
    yield* k.filemap.filemapRemoveFolio(k, folio);
    m.memmap.clear(folio, PG.dirty);
    inode.sb.unacctBlocks(pages);
    for (let i = 0; i < pages; i++) yield* k.swap.folioPutUnowned(k, folio);
    yield* k.folioLock.folioUnlock(k, folio);
    yield* k.swap.folioPut(k, folio, "truncate");
    return;
  }
}

/** Makes some pages of a locked folio zeros. */
export function* shmemZeroPages(k: Kernel, folio: number, from: number, to: number): Atomic<void> {
  const { m } = k;
  for (let page = folio + from; page < folio + to; page++) {
    if (m.point(Op.FrameWrite, page)) yield SWITCH;
    m.ram.clear(page);
  }
  if (m.point(Op.PageFlags, folio)) yield SWITCH;
  m.memmap.set(folio, PG.dirty);
}

/** Makes a part of a page zeros, if the file has that page. */
export function* shmemZeroPart(k: Kernel, inode: ShmemInode, index: number, from: number, to: number): MaySleep<void> {
  const { m } = k;
  let page = yield* k.filemap.filemapLockEntry(k, inode.mapping, index, "truncate");
  if (xaIsValue(page)) {
    const found = yield* k.shmem.shmemGetPage(k, inode, index, Sgp.Write, "truncate");
    page = typeof found === "number" ? NO_PAGE : found.page;
  }
  if (page === NO_PAGE) return;
  const folio = m.memmap.folioOf(page);
  if (m.point(Op.FrameWrite, page)) yield SWITCH;
  m.ram.frame(page).fill(0, from, to);
  if (m.point(Op.PageFlags, folio)) yield SWITCH;
  m.memmap.set(folio, PG.dirty);
  yield* k.folioLock.folioUnlock(k, folio);
  yield* k.swap.folioPut(k, folio, "truncate");
}

/** The last name and the last open description are gone. */
export function* shmemEvictInode(k: Kernel, inode: ShmemInode): MaySleep<void> {
  yield* k.shmem.shmemTruncateRange(k, inode, 0, Infinity);
  k.m.mappings.drop(inode.mapping);
}

