import { SWITCH, type MaySleep } from "../kernel/coroutine.js";
import { Errno } from "../kernel/errno.js";
import { Op } from "../kernel/op.js";
import type { Kernel } from "../kernel.js";
import { FallocFl } from "../fs/fallocate.js";
import type { UserBytes } from "../fs/user_bytes.js";
import { O, OpenFile, SEEK_CUR, SEEK_DATA, SEEK_END, SEEK_HOLE, SEEK_SET, type FileOps, type Inode } from "../fs/vfs.js";
import { initOwner } from "../fs/permission.js";
import type { RwSem } from "../kernel/locks.js";
import type { AddressSpace } from "./address_space.js";
import { PAGE_SIZE } from "./frame_memory.js";
import { VM, type Vma } from "./mm_types.js";
import { NO_PAGE, PG } from "./page.js";
import { Sgp, SHMEM_VM_OPS } from "./shmem.js";
import { Seal, ShmemInode, shmemInode } from "./shmem_inode.js";

/** Files end below this: 2^50 bytes, which numbers still address exactly. */
export const SHMEM_MAX_BYTES = 2 ** 50;

/** A file in memory that no directory has: a memfd, or what stands behind shared anonymous memory. */
class KernelShmemInode extends ShmemInode implements Inode {
  readonly kind = "file";
  readonly rdev = 0;
  override nlink = 0;
  readonly ops = SHMEM_FILE_OPS;

  constructor(
    k: Kernel,
    public mode: number,
  ) {
    super(k.m, k.m.shmem);
  }

  *open(k: Kernel): MaySleep<number> {
    if (k.m.point(Op.Inode, this.ino)) yield SWITCH;
    this.opens++;
    this.sb.opens++;
    return 0;
  }

  *truncate(k: Kernel, size: number): MaySleep<number> {
    return yield* truncateShmem(k, this, size);
  }
}

/** A new file of the kernel's own tmpfs, open for reading and writing, with one reference. `name` is what maps shows. */
export function shmemFileSetup(k: Kernel, name: string, size: number, mode = 0o777): OpenFile {
  const inode = new KernelShmemInode(k, mode);
  initOwner(k, inode, null);
  inode.size = size;
  inode.opens = 1;
  inode.sb.opens++;
  return new OpenFile(name, inode, SHMEM_FILE_OPS, O.RDWR | O.LARGEFILE);
}

/** What shared anonymous memory of so many bytes is a mapping of. */
export function shmemZeroSetup(k: Kernel, bytes: number): OpenFile {
  const file = shmemFileSetup(k, "/dev/zero (deleted)", bytes);
  (file.inode as KernelShmemInode).anonymous = true;
  return file;
}

/** Flags of memfd_create(2). */
export enum MfdFlag {
  CLOEXEC = 1,
  ALLOW_SEALING = 2,
  HUGETLB = 4,
  NOEXEC_SEAL = 8,
  EXEC = 16,
}

/** A file for memfd_create(2), its flags checked. */
export function memfdCreate(k: Kernel, name: string, flags: number): OpenFile {
  const noexec = (flags & MfdFlag.NOEXEC_SEAL) !== 0;
  const file = shmemFileSetup(k, `/memfd:${name} (deleted)`, 0, noexec ? 0o666 : 0o777);
  const inode = file.inode as KernelShmemInode;
  if (noexec) inode.seals = Seal.EXEC;
  else if ((flags & MfdFlag.ALLOW_SEALING) !== 0) inode.seals = 0;
  return file;
}

/** ftruncate() and its like: -EFBIG, or what a seal says. */
export function* truncateShmem(k: Kernel, inode: ShmemInode, size: number): MaySleep<number> {
  if (size > SHMEM_MAX_BYTES) return -Errno.EFBIG;
  if (!inode.lock.tryWrite()) yield* inode.lock.write();
  const error = yield* k.shmem.shmemSetSize(k, inode, size);
  if (!inode.lock.tryUnlock()) yield* inode.lock.unlock();
  return error;
}

/** Whether a VMA can write to its file, or could after mprotect(). */
function mayWriteShared(vma: Vma): boolean {
  return (vma.flags & (VM.SHARED | VM.MAYWRITE)) === (VM.SHARED | VM.MAYWRITE);
}

/** An inode whose files can be sealed: in memory, or of huge pages. */
export interface SealedInode {
  readonly ino: number;
  readonly lock: RwSem;
  readonly mapping: AddressSpace;
  readonly mode: number;
  seals: number;
}

/** F_ADD_SEALS of a file open for writing: -EPERM where no more may be added, -EBUSY where a mapping could write yet. */
export function* addSeals(k: Kernel, inode: SealedInode, seals: number): MaySleep<number> {
  if ((seals & ~(Seal.SEAL | Seal.SHRINK | Seal.GROW | Seal.WRITE | Seal.FUTURE_WRITE | Seal.EXEC)) !== 0) return -Errno.EINVAL;
  if (!inode.lock.tryWrite()) yield* inode.lock.write();
  let error = 0;
  // What may never be executed, or always, is not written any more.
  if ((seals & Seal.EXEC) !== 0 && (inode.mode & 0o111) !== 0) seals |= Seal.SHRINK | Seal.GROW | Seal.WRITE | Seal.FUTURE_WRITE;
  if ((inode.seals & Seal.SEAL) !== 0) error = -Errno.EPERM;
  else if ((seals & Seal.WRITE) !== 0 && (inode.seals & Seal.WRITE) === 0) {
    if (!inode.mapping.lock.tryRead()) yield* inode.mapping.lock.read();
    if (inode.mapping.hasWritableMapping(mayWriteShared)) error = -Errno.EBUSY;
    if (!inode.mapping.lock.tryUnlock()) yield* inode.mapping.lock.unlock();
  }
  if (k.m.point(Op.Inode, inode.ino)) yield SWITCH;
  if (error === 0) inode.seals |= seals;
  if (!inode.lock.tryUnlock()) yield* inode.lock.unlock();
  return error;
}

/** Whether nobody can begin to write to a file. */
export function isWriteSealed(seals: number | undefined): boolean {
  return seals !== undefined && (seals & (Seal.WRITE | Seal.FUTURE_WRITE)) !== 0;
}

/** A position of lseek() within a file of that size; -EINVAL where there is no such. */
function seek(file: OpenFile, offset: number, whence: number): number {
  const bases = { [SEEK_SET]: 0, [SEEK_CUR]: file.pos, [SEEK_END]: file.inode.size } as Record<number, number>;
  const base = bases[whence];
  if (base === undefined || base + offset < 0 || base + offset > SHMEM_MAX_BYTES) return -Errno.EINVAL;
  return base + offset;
}

/** Page after page: what each copy finds, or does to the file by way of a mapping, is what the next page is read after. */
function* readPages(k: Kernel, file: OpenFile, into: Uint8Array | UserBytes, pos: number): MaySleep<number> {
  const { m } = k;
  const inode = shmemInode(file)!;
  let done = 0;
  let error = 0;
  // Who reads nothing has looked at the page even so.
  do {
    if (m.point(Op.Inode, inode.ino)) yield SWITCH;
    // The size can change at any point: look again before each page.
    const left = Math.min(into.length - done, inode.size - pos);
    if (pos >= inode.size) break;
    const found = yield* k.shmem.shmemGetPage(k, inode, Math.floor(pos / PAGE_SIZE), Sgp.Read, "read");
    if (typeof found === "number" && found !== NO_PAGE) {
      if (found !== -Errno.EINVAL) error = found;
      break;
    }
    const page = typeof found === "number" ? NO_PAGE : found.page;
    const folio = page === NO_PAGE ? NO_PAGE : m.memmap.folioOf(page);
    const offset = pos % PAGE_SIZE;
    const length = Math.min(left, PAGE_SIZE - offset);
    if (folio !== NO_PAGE) {
      yield* k.folioLock.folioUnlock(k, folio);
      if (m.memmap.has(page, PG.hwpoison)) {
        yield* k.swap.folioPut(k, folio, "read");
        error = -Errno.EIO;
        break;
      }
      // Who reads on from within a folio has been counted at its beginning.
      if (offset === 0 && page === folio) yield* k.swap.folioMarkAccessed(k, folio);
      if (m.point(Op.FrameRead, page)) yield SWITCH;
    }
    let copied = length;
    if (into instanceof Uint8Array) into.set(folio === NO_PAGE ? new Uint8Array(length) : m.ram.frame(page).subarray(offset, offset + length), done);
    else if (folio === NO_PAGE) copied = yield* k.uaccess.copyToUserPart(k, into.address + done, new Uint8Array(length));
    else copied = yield* k.uaccess.copyFrameToUser(k, into.address + done, page, offset, length);
    if (folio !== NO_PAGE) yield* k.swap.folioPut(k, folio, "read");
    done += copied;
    pos += copied;
    if (copied < length) error = -Errno.EFAULT;
    yield* m.sched.condResched();
  } while (done < into.length && error === 0);
  inode.atimeNs = m.now();
  return done > 0 ? done : error;
}

/** Whether a seal forbids to write [pos, pos + n). */
function sealed({ seals, size }: ShmemInode, pos: number, n: number): boolean {
  return isWriteSealed(seals) || ((seals & Seal.GROW) !== 0 && pos + n > size);
}

/**
 * The file's lock is held. The page comes first, and is locked while what can be had without a fault is copied: faults
 * may need the same page. So a file can get a page, and end at its beginning, although nothing could be written.
 */
function* writePages(k: Kernel, file: OpenFile, from: Uint8Array | UserBytes, pos: number): MaySleep<number> {
  const { m } = k;
  const inode = shmemInode(file)!;
  let done = 0;
  let error = 0;
  inode.mtimeNs = inode.ctimeNs = m.now();
  while (done < from.length && error === 0) {
    if (pos >= SHMEM_MAX_BYTES) {
      error = -Errno.EFBIG;
      break;
    }
    const offset = pos % PAGE_SIZE;
    const n = Math.min(from.length - done, PAGE_SIZE - offset);
    if (m.point(Op.Inode, inode.ino)) yield SWITCH;
    if (sealed(inode, pos, n)) {
      error = -Errno.EPERM;
      break;
    }
    const found = yield* k.shmem.shmemGetPage(k, inode, Math.floor(pos / PAGE_SIZE), Sgp.Write, "write", null, pos + from.length - done);
    if (typeof found === "number") {
      error = found;
      break;
    }
    const folio = m.memmap.folioOf(found.page);
    if (m.point(Op.FrameWrite, found.page)) yield SWITCH;
    if (from instanceof Uint8Array) m.ram.frame(found.page).set(from.subarray(done, done + n), offset);
    const copied = from instanceof Uint8Array ? n : yield* k.uaccess.copyFromUserAtomic(k, from.address + done, found.page, offset, n);
    if (m.point(Op.PageFlags, folio)) yield SWITCH;
    m.memmap.set(folio, PG.dirty);
    done += copied;
    pos += copied;
    if (m.point(Op.Inode, inode.ino)) yield SWITCH;
    if (pos > inode.size) inode.size = pos;
    yield* k.folioLock.folioUnlock(k, folio);
    yield* k.swap.folioPut(k, folio, "write");
    yield* m.sched.condResched();
    if (copied === 0 && !(from instanceof Uint8Array) && !(yield* k.uaccess.faultInReadable(k, from.address + done, n))) error = -Errno.EFAULT;
  }
  return done > 0 ? done : error;
}

/** Regular files in memory. */
export const SHMEM_FILE_OPS: FileOps = {
  iter: { from: "pages", to: true },
  ignoresDirect: true,
  read: readPages,
  readUser: readPages,
  write: writePages,
  writeUser: writePages,

  *llseek(k, file, offset, whence) {
    const inode = shmemInode(file)!;
    if (k.m.point(Op.Inode, inode.ino)) yield SWITCH;
    if (whence !== SEEK_DATA && whence !== SEEK_HOLE) return seek(file, offset, whence);
    if (offset < 0 || offset >= inode.size) return -Errno.ENXIO;
    const start = Math.floor(offset / PAGE_SIZE);
    if (whence === SEEK_DATA) {
      for (const index of inode.mapping.indexesIn(start, Math.ceil(inode.size / PAGE_SIZE))) {
        if (yield* k.shmem.hasData(k, inode.mapping, index)) return Math.max(offset, index * PAGE_SIZE);
      }
      return -Errno.ENXIO;
    }
    let index = start;
    while (yield* k.shmem.hasData(k, inode.mapping, index)) index++;
    return Math.min(inode.size, Math.max(offset, index * PAGE_SIZE));
  },

  *mmap(k, file, vma) {
    const inode = shmemInode(file)!;
    vma.ops = SHMEM_VM_OPS;
    yield* k.khugepaged.khugepagedEnterVma(k, vma);
    inode.atimeNs = k.m.now();
    return 0;
  },

  *fallocate(k, file, mode, offset, length) {
    const inode = shmemInode(file)!;
    if ((mode & ~(FallocFl.KEEP_SIZE | FallocFl.PUNCH_HOLE)) !== 0) return -Errno.EOPNOTSUPP;
    if ((mode & FallocFl.PUNCH_HOLE) !== 0) return yield* k.shmem.shmemPunchHole(k, inode, offset, length);
    if (offset + length > SHMEM_MAX_BYTES) return -Errno.EFBIG;
    return yield* k.shmem.shmemAllocate(k, inode, offset, length, (mode & FallocFl.KEEP_SIZE) !== 0);
  },

  *release(k, file) {
    const inode = shmemInode(file)!;
    if (k.m.point(Op.Inode, inode.ino)) yield SWITCH;
    inode.sb.opens--;
    if (--inode.opens === 0 && inode.nlink === 0) yield* k.shmem.shmemEvictInode(k, inode);
  },
};
