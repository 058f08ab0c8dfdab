import { SWITCH, type Atomic, type MaySleep } from "../kernel/coroutine.js";
import { Errno } from "../kernel/errno.js";
import { RwSem } from "../kernel/locks.js";
import { Op } from "../kernel/op.js";
import type { Kernel } from "../kernel.js";
import type { Machine } from "../machine.js";
import type { AddressSpace } from "../mm/address_space.js";
import { PAGE_SIZE } from "../mm/frame_memory.js";
import { HPG, type Hstate } from "../mm/hstate.js";
import { ResvMap, type Subpool } from "../mm/hugetlb_reserve.js";
import { VM, type Vma } from "../mm/mm_types.js";
import { NO_PAGE, PG } from "../mm/page.js";
import { MfdFlag } from "../mm/shmem_file.js";
import { Seal } from "../mm/shmem_inode.js";
import { FallocFl } from "./fallocate.js";
import { RamDirectory, type RamFile, type RamFs } from "./ram_directory.js";
import { O, OpenFile, SEEK_DATA, SEEK_HOLE, seekWithin, type FileOps, type StatFs } from "./vfs.js";

const HUGETLBFS_MAGIC = 0x958458f6;

/** A file system whose files are huge pages of one size (Documentation/admin-guide/mm/hugetlbpage.rst). */
export class HugetlbFs implements RamFs {
  readonly type = "hugetlbfs";
  readonly root: RamDirectory;
  readonly direntBytes = 0;
  /** Files that have contents, or may come to have some. */
  readonly inodes = new Set<HugetlbInode>();
  private nextIno = 1;

  constructor(
    readonly m: Machine,
    readonly hstate: Hstate,
    /** What size= and min_size= say; null where neither is given. */
    readonly spool: Subpool | null,
    readonly dev: number,
    readonly source = "hugetlbfs",
    readonly options = "rw,relatime",
    readonly superOptions = "",
    rootMode = 0o755,
  ) {
    this.root = this.newDirectory(rootMode);
    m.hugetlb.mounts.add(this);
  }

  get blksize(): number {
    return this.hstate.bytes;
  }

  allocateIno(): number {
    return this.nextIno++;
  }

  newFile(mode: number): HugetlbInode {
    const inode = new HugetlbInode(this, mode);
    this.inodes.add(inode);
    return inode;
  }

  newDirectory(mode: number): RamDirectory {
    return new RamDirectory(this, mode);
  }

  isBusy(): boolean {
    for (const { opens } of this.inodes) if (opens > 0) return true;
    return false;
  }

  *umounted(k: Kernel): MaySleep<void> {
    if (this.spool !== null && this.spool.min > 0) yield* k.hugetlbPool.acctMemory(k, this.hstate, -this.spool.reserved);
    for (const inode of [...this.inodes]) yield* inode.lostAllNames(k);
    k.m.hugetlb.mounts.delete(this);
  }

  statfs(): StatFs {
    const { spool, hstate, dev } = this;
    const blocks = spool === null ? 0 : spool.max;
    // No limit; and without a limit of pages nothing is told.
    const inodes = spool === null ? 0 : -1;
    return { type: HUGETLBFS_MAGIC, bsize: hstate.bytes, blocks, bfree: spool === null ? 0 : blocks - spool.used, files: inodes, ffree: inodes, dev };
  }
}

/** A file of huge pages. */
export class HugetlbInode implements RamFile {
  readonly kind = "file";
  readonly rdev = 0;
  size = 0;
  nlink = 1;
  uid = 0;
  gid = 0;
  atimeNs: number;
  mtimeNs: number;
  ctimeNs: number;
  readonly lock: RwSem;
  readonly ops = HUGETLBFS_FILE_OPS;
  /** Contents: an entry for each huge page, at the index of its first page of 4 KiB; and who maps them, privately too. */
  readonly mapping: AddressSpace;
  readonly resv: ResvMap;
  /** Seals that stand; F_SEAL_SEAL unless it was made to be sealed. */
  seals: number = Seal.SEAL;
  /** Mappings reserve nothing: who made the file has done it (SHM_HUGETLB). */
  reservedByOwner = false;
  readonly ino: number;
  opens = 0;

  constructor(
    readonly fs: HugetlbFs,
    public mode: number,
  ) {
    const { m } = fs;
    this.ino = fs.allocateIno();
    this.lock = new RwSem(m.locks, "i_rwsem_hugetlbfs");
    this.mapping = m.mappings.create(this, "i_mmap_hugetlbfs");
    this.resv = new ResvMap(m.locks);
    this.atimeNs = this.mtimeNs = this.ctimeNs = m.now();
  }

  get dev(): number {
    return this.fs.dev;
  }

  /** The file system is mounted no more. */
  *lostAllNames(k: Kernel): MaySleep<void> {
    if (k.m.point(Op.Inode, this.ino)) yield SWITCH;
    this.nlink = 0;
    if (this.opens === 0) yield* this.evict(k);
  }

  get blksize(): number {
    return this.fs.blksize;
  }

  get blocks(): number {
    return this.mapping.entries.size * (this.fs.hstate.bytes / 512);
  }

  *open(k: Kernel, _file: OpenFile): MaySleep<number> {
    if (k.m.point(Op.Inode, this.ino)) yield SWITCH;
    this.opens++;
    return 0;
  }

  *closed(k: Kernel): MaySleep<void> {
    if (k.m.point(Op.Inode, this.ino)) yield SWITCH;
    if (--this.opens === 0 && this.nlink === 0) yield* this.evict(k);
  }

  *evict(k: Kernel): MaySleep<void> {
    yield* this.removePages(k, 0, Infinity, true);
    if (k.m.point(Op.Inode, this.ino)) yield SWITCH;
    this.fs.inodes.delete(this);
    k.m.mappings.drop(this.mapping);
  }

  /** The folio of a huge page, locked, with a reference at site "hugetlb"; NO_PAGE for a hole. */
  *lockFolio(k: Kernel, index: number): MaySleep<number> {
    return yield* k.filemap.filemapLockEntry(k, this.mapping, index * this.fs.hstate.pages, "hugetlb");
  }

  /** Puts a new folio, which is locked, into the file; false when there is one already. */
  *addFolio(k: Kernel, index: number, folio: number): Atomic<boolean> {
    const { m } = k;
    if (!(yield* k.filemap.filemapAddFolio(k, this.mapping, folio, index * this.fs.hstate.pages, NO_PAGE))) return false;
    m.touches(Op.PageFlags, folio);
    m.memmap.private[folio]! &= ~HPG.restoreReserve;
    m.memmap.set(folio, PG.dirty | PG.uptodate);
    return true;
  }

  /** Takes a folio, which is locked, and of which the caller has a reference, out of the file. */
  private *deleteFolio(k: Kernel, folio: number): Atomic<void> {
    const { m } = k;
    yield* k.filemap.filemapRemoveFolio(k, folio);
    if (m.point(Op.RefPut, folio)) yield SWITCH;
    m.touches(Op.PageFlags, folio);
    m.memmap.clear(folio, PG.dirty);
    m.memmap.refcount[folio]! -= m.memmap.folioPages(folio);
  }

  /**
   * Takes pages [from, to) out of the file, and out of every page table. With `truncate` the file
   * has become shorter: what was reserved there goes as well.
   */
  *removePages(k: Kernel, from: number, to: number, truncate: boolean): MaySleep<void> {
    const { pages } = this.fs.hstate;
    let freed = 0;
    for (const first of this.mapping.indexesIn(from * pages, to * pages)) {
      const index = first / pages;
      const mutex = k.hugetlb.faultMutex(k, this, index);
      if (!mutex.tryLock()) yield* mutex.lock();
      yield* this.unmapFolio(k, first);
      const folio = yield* this.lockFolio(k, index);
      if (folio !== NO_PAGE) {
        yield* this.deleteFolio(k, folio);
        freed++;
        if (!truncate) yield* k.hugetlbReserve.unreservePages(k, this, index, index + 1, 1);
        yield* k.folioLock.folioUnlock(k, folio);
        yield* k.swap.folioPut(k, folio, "hugetlb");
      }
      if (!mutex.tryUnlock()) yield* mutex.unlock();
      yield* k.m.sched.condResched();
    }
    if (truncate) yield* k.hugetlbReserve.unreservePages(k, this, from, Infinity, freed);
  }

  /** Unmaps what a fault that was faster than who unmapped the range has mapped; none comes any more. */
  private *unmapFolio(k: Kernel, first: number): MaySleep<void> {
    if (k.m.point(Op.PageCacheRead, this.mapping.object(first))) yield SWITCH;
    const folio = this.mapping.at(first);
    if (folio === NO_PAGE) return;
    k.m.touches(Op.MapCount, folio);
    if (k.m.memmap.folioMapcount(folio) > 0) yield* k.zap.unmapMappingRange(k, this.mapping, first, first + this.fs.hstate.pages, false);
  }

  *truncate(k: Kernel, size: number): MaySleep<number> {
    const { bytes, pages } = this.fs.hstate;
    if (size % bytes !== 0) return -Errno.EINVAL;
    if (!this.lock.tryWrite()) yield* this.lock.write();
    if (k.m.point(Op.Inode, this.ino)) yield SWITCH;
    const shrinks = size < this.size;
    if ((shrinks && (this.seals & Seal.SHRINK) !== 0) || (size > this.size && (this.seals & Seal.GROW) !== 0)) {
      if (!this.lock.tryUnlock()) yield* this.lock.unlock();
      return -Errno.EPERM;
    }
    this.size = size;
    this.mtimeNs = this.ctimeNs = k.m.now();
    // What a mapping beyond the end has reserved goes in any case.
    yield* k.zap.unmapMappingRange(k, this.mapping, (size / bytes) * pages, Infinity, true, true);
    yield* this.removePages(k, size / bytes, Infinity, true);
    if (!this.lock.tryUnlock()) yield* this.lock.unlock();
    return 0;
  }

  /** fallocate(2): makes pages, or (PUNCH_HOLE) takes some away, zeroing what is not a whole page. The inode is locked. */
  *fallocate(k: Kernel, mode: number, offset: number, length: number): MaySleep<number> {
    if ((mode & ~(FallocFl.KEEP_SIZE | FallocFl.PUNCH_HOLE)) !== 0) return -Errno.EOPNOTSUPP;
    return (mode & FallocFl.PUNCH_HOLE) !== 0 ? yield* this.punchHole(k, offset, offset + length) : yield* this.preallocate(k, mode, offset, length);
  }

  private *punchHole(k: Kernel, offset: number, end: number): MaySleep<number> {
    const { bytes, pages } = this.fs.hstate;
    if (k.m.point(Op.Inode, this.ino)) yield SWITCH;
    if ((this.seals & (Seal.WRITE | Seal.FUTURE_WRITE)) !== 0) return -Errno.EPERM;
    const from = Math.ceil(offset / bytes);
    const to = Math.floor(end / bytes);
    if (offset < from * bytes) yield* this.zeroPart(k, offset, Math.min(from * bytes, end));
    if (to > from) yield* k.zap.unmapMappingRange(k, this.mapping, from * pages, to * pages, true);
    if (to * bytes < end && to >= from) yield* this.zeroPart(k, to * bytes, end);
    if (to > from) yield* this.removePages(k, from, to, false);
    if (k.m.point(Op.Inode, this.ino)) yield SWITCH;
    this.mtimeNs = this.ctimeNs = k.m.now();
    return 0;
  }

  /** Zeros a part of one page, if the file has that. */
  private *zeroPart(k: Kernel, from: number, end: number): MaySleep<void> {
    const { bytes } = this.fs.hstate;
    const folio = yield* this.lockFolio(k, Math.floor(from / bytes));
    if (folio === NO_PAGE) return;
    for (let at = from; at < end; at += PAGE_SIZE - (at % PAGE_SIZE)) {
      const page = folio + Math.floor((at % bytes) / PAGE_SIZE);
      if (k.m.point(Op.FrameWrite, page)) yield SWITCH;
      const offset = at % PAGE_SIZE;
      k.m.ram.frame(page).fill(0, offset, Math.min(PAGE_SIZE, offset + end - at));
    }
    yield* k.folioLock.folioUnlock(k, folio);
    yield* k.swap.folioPut(k, folio, "hugetlb");
  }

  private *preallocate(k: Kernel, mode: number, offset: number, length: number): MaySleep<number> {
    const { m } = k;
    const { bytes, pages } = this.fs.hstate;
    const end = Math.ceil((offset + length) / bytes);
    if (m.point(Op.Inode, this.ino)) yield SWITCH;
    if ((this.seals & Seal.GROW) !== 0 && offset + length > this.size) return -Errno.EPERM;
    // The folios are had as a shared mapping of the whole file would have them.
    const file = new OpenFile("", this, HUGETLBFS_FILE_OPS, O.RDWR);
    const vma = m.current!.mm!.newVma(0, end * pages, VM.SHARED | VM.MAYSHARE | VM.HUGETLB, 0, "", file);
    for (let index = Math.floor(offset / bytes); index < end; index++) {
      yield* m.sched.condResched();
      if (m.signals.pending(m.current!)) return -Errno.EINTR;
      const error = yield* this.preallocatePage(k, vma, index);
      if (error !== 0) return error;
    }
    if (m.point(Op.Inode, this.ino)) yield SWITCH;
    if ((mode & FallocFl.KEEP_SIZE) === 0 && offset + length > this.size) this.size = offset + length;
    this.ctimeNs = m.now();
    return 0;
  }

  private *preallocatePage(k: Kernel, vma: Vma, index: number): MaySleep<number> {
    const { m } = k;
    const { pages } = this.fs.hstate;
    const mutex = k.hugetlb.faultMutex(k, this, index);
    if (!mutex.tryLock()) yield* mutex.lock();
    if (m.point(Op.PageCacheRead, this.mapping.object(index * pages))) yield SWITCH;
    const has = this.mapping.at(index * pages) !== NO_PAGE;
    const folio = has ? NO_PAGE : yield* k.hugetlb.allocHugetlbFolio(k, vma, index * pages, false);
    let error = 0;
    if (folio !== NO_PAGE) {
      yield* k.hugetlb.clearHugeFolio(k, folio);
      k.folioLock.lockNewFolio(k, folio);
      if (!(yield* this.addFolio(k, index, folio))) {
        yield* k.hugetlbReserve.restoreReserveOnError(k, vma, index * pages, folio);
        error = -Errno.EEXIST;
      } else yield* k.hugetlb.markMigratable(k, folio);
      yield* k.folioLock.folioUnlock(k, folio);
      yield* k.swap.folioPut(k, folio, "alloc");
    } else if (!has) error = -Errno.ENOSPC;
    if (!mutex.tryUnlock()) yield* mutex.unlock();
    return error;
  }
}

const HUGETLBFS_FILE_OPS: FileOps = {
  iter: {},

  *read(k, file, into, pos) {
    const inode = file.inode as HugetlbInode;
    const { bytes } = inode.fs.hstate;
    const { m } = k;
    let done = 0;
    for (;;) {
      if (k.m.point(Op.Inode, inode.ino)) yield SWITCH;
      const left = Math.min(into.length - done, inode.size - pos);
      if (left <= 0) break;
      const offset = pos % PAGE_SIZE;
      const n = Math.min(left, PAGE_SIZE - offset);
      const folio = inode.mapping.at(Math.floor(pos / bytes) * inode.fs.hstate.pages);
      m.touches(Op.PageCacheRead, inode.mapping.object(Math.floor(pos / bytes) * inode.fs.hstate.pages));
      if (folio === NO_PAGE) into.fill(0, done, done + n);
      else {
        const page = folio + Math.floor((pos % bytes) / PAGE_SIZE);
        k.m.touches(Op.FrameRead, page);
        into.set(k.m.ram.frame(page).subarray(offset, offset + n), done);
      }
      done += n;
      pos += n;
      yield* k.m.sched.condResched();
    }
    return done;
  },

  *llseek(k, file, offset, whence) {
    const { ino, size } = file.inode;
    if (k.m.point(Op.Inode, ino)) yield SWITCH;
    if (whence !== SEEK_DATA && whence !== SEEK_HOLE) return seekWithin(file, offset, whence);
    // All of the file counts as data.
    if (offset < 0 || offset >= size) return -Errno.ENXIO;
    return whence === SEEK_DATA ? offset : size;
  },

  *fallocate(k, file, mode, offset, length) {
    return yield* (file.inode as HugetlbInode).fallocate(k, mode, offset, length);
  },

  *mmap(k, _file, vma) {
    return yield* k.hugetlbVma.mmapHugetlb(k, vma);
  },

  *release(k, file) {
    yield* (file.inode as HugetlbInode).closed(k);
  },
};

/** Whether a file is one of huge pages. */
export function isHugetlbFile(file: OpenFile | null): file is OpenFile {
  return file !== null && file.inode instanceof HugetlbInode;
}

/** A file without a name, of so many bytes, on the mount that the kernel has for pages of this size. The reference is the caller's. */
export function* hugetlbFileSetup(k: Kernel, h: Hstate, name: string, bytes: number): MaySleep<OpenFile> {
  const inode = k.m.hugetlb.anonFs(h).newFile(0o777);
  inode.nlink = 0;
  inode.size = bytes;
  const file = new OpenFile(`/${name} (deleted)`, inode, HUGETLBFS_FILE_OPS, O.RDWR);
  yield* inode.open(k, file);
  return file;
}

/** memfd_create(2) with MFD_HUGETLB, its flags checked; -ENODEV where there are no pages of the size. */
export function* memfdCreateHugetlb(k: Kernel, name: string, flags: number): MaySleep<OpenFile | number> {
  const h = k.hugetlbVma.hstateOfFlags(k, flags);
  if (h === undefined) return -Errno.ENODEV;
  const file = yield* hugetlbFileSetup(k, h, `memfd:${name}`, 0);
  const inode = file.inode as HugetlbInode;
  if ((flags & MfdFlag.NOEXEC_SEAL) !== 0) {
    inode.mode = 0o666;
    inode.seals = Seal.EXEC;
  } else if ((flags & MfdFlag.ALLOW_SEALING) !== 0) inode.seals = 0;
  return file;
}
