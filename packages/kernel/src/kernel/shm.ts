import { isHugetlbFile, hugetlbFileSetup, type HugetlbInode } from "../fs/hugetlbfs.js";
import { fput, O, OpenFile, type FileOps } from "../fs/vfs.js";
import type { Kernel } from "../kernel.js";
import { MapFlag } from "../mm/mmap.js";
import type { Mm, Vma } from "../mm/mm_types.js";
import { Prot } from "../mm/mprotect.js";
import { shmemFileSetup } from "../mm/shmem_file.js";
import type { VmOps } from "../mm/vm_ops.js";
import type { Machine } from "../machine.js";
import { capable, Cap } from "./capability.js";
import { SWITCH, type MaySleep } from "./coroutine.js";
import { Errno } from "./errno.js";
import { Mutex } from "./locks.js";
import { Op } from "./op.js";

/** Flags of shmget(2). */
export enum ShmGet {
  CREAT = 0o1000,
  EXCL = 0o2000,
  HUGETLB = 0o4000,
  NORESERVE = 0o10000,
}

/** Flags of shmat(2). */
export enum ShmAt {
  RDONLY = 0o10000,
  RND = 0o20000,
  REMAP = 0o40000,
  EXEC = 0o100000,
}

/** In the mode of a segment: it goes with its last attachment; it is locked in memory. */
export const SHM_DEST = 0o1000;
export const SHM_LOCKED = 0o2000;

export const IPC_PRIVATE = 0;
const SHMMNI = 4096;
/** SHMMAX and SHMALL: as good as none. */
const SHMMAX = (1n << 64n) - (1n << 24n) - 1n;
/** Ids are this far apart for each time that numbers begin anew. */
const IPC_SEQ_SHIFT = 15;
/** Numbers are given out in a circle of so many at least. */
const IPC_MIN_CYCLE = 64;

/** A segment of System V shared memory. `Shm.lock` guards it. */
export class ShmSegment {
  nattch = 0;
  lpid = 0;
  atimeNs = 0;
  dtimeNs = 0;
  ctimeNs: number;

  constructor(
    readonly id: number,
    public key: number,
    public mode: number,
    /** In bytes, as it was asked for. */
    readonly size: number,
    readonly file: OpenFile,
    readonly cpid: number,
    now: number,
  ) {
    this.ctimeNs = now;
  }

  /** The round of numbers that its own is of (ipc_perm.seq). */
  get seq(): number {
    return this.id >>> IPC_SEQ_SHIFT;
  }
}

/** All segments of a machine. */
export class Shm {
  readonly lock: Mutex;
  /** By their number, which is the lower part of their id. */
  readonly segments = new Map<number, ShmSegment>();
  /** kernel.shmmax in bytes, kernel.shmall in pages, kernel.shmmni. */
  max = SHMMAX;
  all = SHMMAX;
  mni = SHMMNI;
  private last = -1;
  private seq = 0;

  constructor(m: Machine) {
    this.lock = new Mutex(m.locks, "shm_ids");
  }

  /** Of all segments. */
  pages(): number {
    let pages = 0;
    for (const { size } of this.segments.values()) pages += Math.ceil(size / 4096);
    return pages;
  }

  byId(id: number): ShmSegment | undefined {
    const segment = this.segments.get(id & ((1 << IPC_SEQ_SHIFT) - 1));
    return segment?.id === id ? segment : undefined;
  }

  byKey(key: number): ShmSegment | undefined {
    for (const segment of this.segments.values()) if (segment.key === key) return segment;
    return undefined;
  }

  /** An id for a new segment; its number is free. */
  allocateId(): number {
    const cycle = Math.max(Math.floor((this.segments.size * 3) / 2), IPC_MIN_CYCLE);
    let number = this.last + 1 >= cycle ? 0 : this.last + 1;
    while (this.segments.has(number)) number = number + 1 >= cycle ? 0 : number + 1;
    if (number <= this.last) this.seq++;
    this.last = number;
    return (this.seq << IPC_SEQ_SHIFT) + number;
  }

  /** A segment that is to go with its last attachment is no longer found, once that has gone; the caller drops its file. */
  forgetUnused(segment: ShmSegment): boolean {
    const gone = segment.nattch === 0 && (segment.mode & SHM_DEST) !== 0;
    if (gone) this.segments.delete(this.numberOf(segment));
    return gone;
  }

  numberOf(segment: ShmSegment): number {
    return segment.id & ((1 << IPC_SEQ_SHIFT) - 1);
  }
}

/** shmget(2): an id, or -EINVAL, -ENOENT, -EEXIST, -ENOSPC, -ENOMEM, -EPERM. */
export function* shmget(k: Kernel, key: number, size: number, flags: number): MaySleep<number> {
  const { shm } = k.m;
  if (!shm.lock.tryLock()) yield* shm.lock.lock();
  const there = key === IPC_PRIVATE ? undefined : shm.byKey(key);
  let result: number;
  if (there !== undefined) {
    result = there.id;
    if ((flags & (ShmGet.CREAT | ShmGet.EXCL)) === (ShmGet.CREAT | ShmGet.EXCL)) result = -Errno.EEXIST;
    else if (size > there.size) result = -Errno.EINVAL;
  } else if (key !== IPC_PRIVATE && (flags & ShmGet.CREAT) === 0) result = -Errno.ENOENT;
  else result = yield* k.shm.newSegment(k, key, size, flags);
  if (!shm.lock.tryUnlock()) yield* shm.lock.unlock();
  return result;
}

/** A new segment, under the lock: its id, or a negated errno. */
export function* newSegment(k: Kernel, key: number, size: number, flags: number): MaySleep<number> {
  const { m } = k;
  const { shm } = m;
  // A negative size is one of more than half of what there could be.
  if (size < 1 || BigInt(size) > shm.max) return -Errno.EINVAL;
  if (shm.segments.size >= shm.mni || BigInt(shm.pages() + Math.ceil(size / 4096)) > shm.all) return -Errno.ENOSPC;
  const file = yield* k.shm.newFile(k, key, size, flags);
  if (typeof file === "number") return file;
  const segment = new ShmSegment(shm.allocateId(), key, flags & 0o777, size, file, m.current!.process!.pid, m.now());
  // What /proc/PID/maps shows as the inode is the id.
  Object.assign(file.inode, { ino: segment.id });
  shm.segments.set(shm.numberOf(segment), segment);
  return segment.id;
}

/** The memory of a new segment: a file of tmpfs, or of huge pages, which are reserved at once. */
export function* newFile(k: Kernel, key: number, size: number, flags: number): MaySleep<OpenFile | number> {
  const name = `SYSV${(key >>> 0).toString(16).padStart(8, "0")}`;
  const noreserve = (flags & ShmGet.NORESERVE) !== 0;
  if ((flags & ShmGet.HUGETLB) === 0) {
    if (!noreserve && !k.overcommit.enoughMemory(k, k.m.current!.mm!, Math.ceil(size / 4096))) return -Errno.ENOMEM;
    return shmemFileSetup(k, `/${name} (deleted)`, size);
  }
  const h = k.hugetlbVma.hstateOfFlags(k, flags);
  if (h === undefined) return -Errno.EINVAL;
  if (!capable(k, Cap.IPC_LOCK) && k.m.hugetlb.shmGroup !== 0) return -Errno.EPERM;
  const pages = Math.ceil(size / h.bytes);
  const file = yield* hugetlbFileSetup(k, h, name, pages * h.bytes);
  const inode = file.inode as HugetlbInode;
  inode.reservedByOwner = true;
  const error = yield* k.hugetlbReserve.reservePages(k, inode, 0, pages, null, noreserve);
  if (error === 0) return file;
  yield* fput(k, file);
  return error;
}

/* Attachments: each area that maps a segment counts. */

/** What a mapping of a segment does: what its file does, and counts. */
function shmVmOps(segment: ShmSegment, ops: VmOps): VmOps {
  return {
    ...ops,
    *open(k) {
      yield* count(k, segment, 1);
    },
    *close(k) {
      yield* count(k, segment, -1);
    },
  };
}

function* count(k: Kernel, segment: ShmSegment, n: number): MaySleep<void> {
  const { m } = k;
  const { shm } = m;
  if (!shm.lock.tryLock()) yield* shm.lock.lock();
  segment.nattch += n;
  segment.lpid = m.current!.process?.pid ?? segment.lpid;
  if (n < 0) segment.dtimeNs = m.now();
  const gone = shm.forgetUnused(segment);
  if (!shm.lock.tryUnlock()) yield* shm.lock.unlock();
  if (gone) yield* fput(k, segment.file);
}

/** The file that an attachment maps: the segment's inode under operations that count. */
function attachmentOps(segment: ShmSegment): FileOps {
  return {
    *mmap(k, file, vma) {
      const error = yield* segment.file.ops.mmap!(k, file, vma);
      if (error === 0) vma.ops = shmVmOps(segment, vma.ops!);
      return error;
    },
    *fallocate(k, file, mode, offset, length) {
      return yield* segment.file.ops.fallocate!(k, file, mode, offset, length);
    },
    *release(k, file) {
      yield* segment.file.ops.release!(k, file);
    },
  };
}

/** shmat(2): the address, or -EINVAL, -EACCES, -ENOMEM. */
export function* shmat(k: Kernel, mm: Mm, id: number, addr: number, flags: number): MaySleep<number> {
  const { m } = k;
  const { shm } = m;
  let at = addr;
  if (at !== 0 && at % 4096 !== 0) {
    if ((flags & ShmAt.RND) === 0) return -Errno.EINVAL;
    at -= at % 4096;
  }
  if (at === 0 && (flags & ShmAt.REMAP) !== 0) return -Errno.EINVAL;
  if (!shm.lock.tryLock()) yield* shm.lock.lock();
  const segment = shm.byId(id);
  // Held while it is mapped, so that it does not go meanwhile.
  if (segment !== undefined) segment.nattch++;
  if (!shm.lock.tryUnlock()) yield* shm.lock.unlock();
  if (segment === undefined) return -Errno.EINVAL;
  const { inode, path } = segment.file;
  const readOnly = (flags & ShmAt.RDONLY) !== 0;
  const file = new OpenFile(path, inode, attachmentOps(segment), readOnly ? O.RDONLY : O.RDWR);
  if (inode.open !== undefined) yield* inode.open(k, file);
  let prot = readOnly ? Prot.READ : Prot.READ | Prot.WRITE;
  if ((flags & ShmAt.EXEC) !== 0) prot |= Prot.EXEC;
  const place = at === 0 ? 0 : (flags & ShmAt.REMAP) !== 0 ? MapFlag.FIXED : MapFlag.FIXED_NOREPLACE;
  const result = yield* k.mmap.doMmap(k, mm, at, inode.size, prot, MapFlag.SHARED | place, file, 0);
  yield* fput(k, file);
  if (!shm.lock.tryLock()) yield* shm.lock.lock();
  segment.nattch--;
  if (result >= 0) {
    segment.nattch++;
    segment.atimeNs = m.now();
    segment.lpid = m.current!.process?.pid ?? 0;
  }
  const gone = shm.forgetUnused(segment);
  if (!shm.lock.tryUnlock()) yield* shm.lock.unlock();
  if (gone) yield* fput(k, segment.file);
  return result === -Errno.EEXIST ? -Errno.EINVAL : result;
}

/** Whether an area is one of an attachment at this address, of whichever file, or of the one given. */
function attachedAt(vma: Vma, start: number, file: OpenFile | null): boolean {
  return vma.ops?.close !== undefined && vma.startVpn - start === vma.pgoff && (file === null || vma.file === file);
}

/** shmdt(2): takes out all that is left of what was attached at an address; -EINVAL where nothing was. */
export function* shmdt(k: Kernel, mm: Mm, addr: number): MaySleep<number> {
  if (addr % 4096 !== 0 || addr < 0) return -Errno.EINVAL;
  const start = addr / 4096;
  if (!mm.mmapLock.tryWrite()) yield* mm.mmapLock.write();
  const first = mm.vmas.find((vma) => vma.startVpn >= start && attachedAt(vma, start, null));
  if (first !== undefined) {
    const { file } = first;
    const end = start + Math.ceil(file!.inode.size / 4096);
    for (const vma of mm.vmas.filter((each) => each.startVpn >= first.startVpn && each.startVpn < end && attachedAt(each, start, file))) {
      yield* k.mmap.unmapRange(k, mm, vma.startVpn, vma.endVpn);
    }
  }
  yield* k.memory.mmapWriteUnlock(k, mm);
  return first === undefined ? -Errno.EINVAL : 0;
}

/* shmctl(2). */

/** IPC_RMID: nobody finds the segment by its key any more, and it goes with its last attachment. */
export function* shmRemove(k: Kernel, id: number): MaySleep<number> {
  const { shm } = k.m;
  if (!shm.lock.tryLock()) yield* shm.lock.lock();
  const segment = shm.byId(id);
  if (segment !== undefined) {
    segment.key = IPC_PRIVATE;
    segment.mode |= SHM_DEST;
  }
  const gone = segment !== undefined && shm.forgetUnused(segment);
  if (!shm.lock.tryUnlock()) yield* shm.lock.unlock();
  if (gone) yield* fput(k, segment.file);
  return segment === undefined ? -Errno.EINVAL : 0;
}

/** SHM_LOCK and SHM_UNLOCK: noted, without effect. Huge pages are never swapped. */
export function* shmLock(k: Kernel, id: number, locked: boolean): MaySleep<number> {
  const { shm } = k.m;
  if (!shm.lock.tryLock()) yield* shm.lock.lock();
  const segment = shm.byId(id);
  if (segment !== undefined && !isHugetlbFile(segment.file)) segment.mode = locked ? segment.mode | SHM_LOCKED : segment.mode & ~SHM_LOCKED;
  if (!shm.lock.tryUnlock()) yield* shm.lock.unlock();
  return segment === undefined ? -Errno.EINVAL : 0;
}

/** IPC_SET: the permission bits. */
export function* shmSet(k: Kernel, id: number, mode: number): MaySleep<number> {
  const { shm } = k.m;
  if (!shm.lock.tryLock()) yield* shm.lock.lock();
  const segment = shm.byId(id);
  if (segment !== undefined) {
    segment.mode = (segment.mode & ~0o777) | (mode & 0o777);
    segment.ctimeNs = k.m.now();
  }
  if (!shm.lock.tryUnlock()) yield* shm.lock.unlock();
  return segment === undefined ? -Errno.EINVAL : 0;
}

/** A segment as it is just now, for IPC_STAT; undefined where there is none. */
export function* shmStat(k: Kernel, id: number): MaySleep<Readonly<ShmSegment> | undefined> {
  if (k.m.point(Op.GuardedRead, k.m.shm.lock.id)) yield SWITCH;
  return k.m.shm.byId(id);
}
