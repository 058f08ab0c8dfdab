/**
 * @linux ipc/shm.c
 * @own lockSegment, newFile, newSegment, shmRemove, shmSet, shmTotals, shmUsage, unlockSegment
 */
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
import { SWITCH, type Atomic, type MaySleep } from "./coroutine.js";
import { Errno } from "./errno.js";
import { ipcExisting, IpcIds, ipcOwned, ipcOwner, ipcPermitted, IPC_CREAT, IPC_PRIVATE, type IpcPerm } from "./ipc.js";
import { Op } from "./op.js";
import { rlimit, Rlimit, rlimitPages } from "./rlimit.js";

/** Flags of shmget(2). */
export enum ShmGet {
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

const SHMMNI = 4096;
/** SHMMAX and SHMALL: as good as none. */
const SHMMAX = (1n << 64n) - (1n << 24n) - 1n;

/** A segment of System V shared memory. `Shm.lock` guards it. */
export interface ShmSegment extends IpcPerm {
  /** In bytes, as it was asked for. */
  readonly size: number;
  readonly file: OpenFile;
  nattch: number;
  readonly cpid: number;
  lpid: number;
  atimeNs: number;
  dtimeNs: number;
  ctimeNs: number;
  /** The user for whom what SHM_LOCK has locked counts; null while it is not locked. */
  lockedBy: number | null;
}

/** All segments of a machine. */
export class Shm extends IpcIds<ShmSegment> {
  /** kernel.shmmax in bytes, kernel.shmall in pages, kernel.shmmni. */
  maxBytes = SHMMAX;
  maxPages = SHMMAX;
  mni = SHMMNI;

  constructor(m: Machine) {
    super(m, "shm_ids");
  }

  /** Of all segments. */
  pages(): number {
    let pages = 0;
    for (const { size } of this.objects.values()) pages += Math.ceil(size / 4096);
    return pages;
  }

  /** A segment that is to go with its last attachment is no longer found, once that has gone; the caller drops its file. */
  forgetUnused(segment: ShmSegment): boolean {
    const gone = segment.nattch === 0 && (segment.mode & SHM_DEST) !== 0;
    if (gone) this.remove(segment);
    return gone;
  }
}

/** Pages of a segment that are in memory, and that are in swap. */
export function shmUsage({ file }: ShmSegment): { rss: number; swap: number } {
  let rss = 0;
  let swap = 0;
  for (const entry of file.inode.mapping!.entries.values()) {
    if (entry >= 0) rss++;
    else swap++;
  }
  return isHugetlbFile(file) ? { rss: rss * ((file.inode as HugetlbInode).fs.hstate.bytes / 4096), swap: 0 } : { rss, swap };
}

/** shmget(2): an id, or -EINVAL, -ENOENT, -EEXIST, -ENOSPC, -ENOMEM, -EPERM. */
export function* shmget(k: Kernel, key: number, size: number, flags: number): MaySleep<number> {
  const { shm } = k.m;
  if (!shm.lock.tryLock()) yield* shm.lock.lock();
  const there = key === IPC_PRIVATE ? undefined : shm.byKey(key);
  let result: number;
  if (there !== undefined) {
    const error = ipcExisting(k, there, flags);
    if (error === -Errno.EEXIST) result = error;
    else if (size > there.size) result = -Errno.EINVAL;
    else result = error < 0 ? error : there.id;
  } else if (key !== IPC_PRIVATE && (flags & IPC_CREAT) === 0) result = -Errno.ENOENT;
  else result = yield* k.shm.newSegment(k, key, size, flags);
  if (!shm.lock.tryUnlock()) yield* shm.lock.unlock();
  return result;
}

/** A new segment, under the lock: its id, or a negated errno. */
export function* newSegment(k: Kernel, key: number, size: number, flags: number): MaySleep<number> {
  const { m } = k;
  const { shm } = m;
  // A negative size is one of more than half of what there could be.
  if (size < 1 || BigInt(size) > shm.maxBytes) return -Errno.EINVAL;
  if (shm.objects.size >= shm.mni || BigInt(shm.pages() + Math.ceil(size / 4096)) > shm.maxPages) return -Errno.ENOSPC;
  const file = yield* k.shm.newFile(k, key, size, flags);
  if (typeof file === "number") return file;
  const segment: ShmSegment = {
    id: shm.allocateId(), key, mode: flags & 0o777, ...ipcOwner(k), size, file,
    nattch: 0, cpid: m.current!.process!.pid, lpid: 0, atimeNs: 0, dtimeNs: 0, ctimeNs: m.now(), lockedBy: null,
  };
  // What /proc/PID/maps shows as the inode is the id.
  Object.assign(file.inode, { ino: segment.id });
  shm.add(segment);
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
  if (gone) yield* k.shm.shmDestroy(k, segment);
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
  const readOnly = (flags & ShmAt.RDONLY) !== 0;
  const wanted = (readOnly ? 0o444 : 0o666) | ((flags & ShmAt.EXEC) !== 0 ? 0o111 : 0);
  if (!shm.lock.tryLock()) yield* shm.lock.lock();
  const segment = shm.byId(id);
  const refused = segment === undefined ? -Errno.EINVAL : ipcPermitted(k, segment, wanted);
  // Held while it is mapped, so that it does not go meanwhile.
  if (refused === 0) segment!.nattch++;
  if (!shm.lock.tryUnlock()) yield* shm.lock.unlock();
  if (segment === undefined || refused < 0) return refused;
  const { inode, path } = segment.file;
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
  if (gone) yield* k.shm.shmDestroy(k, segment);
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

/** IPC_RMID: nobody finds the segment by its key any more, and it goes with its last attachment. -EINVAL, -EPERM. */
export function* shmRemove(k: Kernel, id: number): MaySleep<number> {
  const { shm } = k.m;
  if (!shm.lock.tryLock()) yield* shm.lock.lock();
  const segment = shm.byId(id);
  const error = segment === undefined ? -Errno.EINVAL : ipcOwned(k, segment, Cap.SYS_ADMIN);
  if (error === 0) {
    segment!.key = IPC_PRIVATE;
    segment!.mode |= SHM_DEST;
  }
  const gone = error === 0 && shm.forgetUnused(segment!);
  if (!shm.lock.tryUnlock()) yield* shm.lock.unlock();
  if (gone) yield* k.shm.shmDestroy(k, segment!);
  return error;
}

/**
 * SHM_LOCK and SHM_UNLOCK: whether reclaim leaves the segment's pages alone. Those that are there already go to the
 * unevictable list when reclaim meets them. What is locked counts against RLIMIT_MEMLOCK of the user who has locked it.
 * Huge pages are never swapped. -EINVAL, -EPERM, -ENOMEM.
 */
export function* shmLock(k: Kernel, id: number, locked: boolean): MaySleep<number> {
  const { m } = k;
  const { shm } = m;
  if (!shm.lock.tryLock()) yield* shm.lock.lock();
  const segment = shm.byId(id);
  let error = segment === undefined ? -Errno.EINVAL : ipcOwned(k, segment, Cap.IPC_LOCK);
  if (error === 0 && locked && rlimit(m, Rlimit.MEMLOCK) === 0n && !capable(k, Cap.IPC_LOCK)) error = -Errno.EPERM;
  const changes = error === 0 && !isHugetlbFile(segment!.file) && (segment!.lockedBy === null) === locked;
  if (changes) error = locked ? yield* k.shm.lockSegment(k, segment!) : yield* k.shm.unlockSegment(k, segment!);
  const rescued = changes && !locked ? segment!.file : null;
  if (rescued !== null) m.vfs.get(rescued);
  if (!shm.lock.tryUnlock()) yield* shm.lock.unlock();
  if (rescued !== null) {
    yield* k.mlockFolio.rescueMapping(k, rescued.inode.mapping!);
    yield* fput(k, rescued);
  }
  return error;
}

/** Under the lock: 0, or -ENOMEM where the user may not lock so much. */
export function* lockSegment(k: Kernel, segment: ShmSegment): MaySleep<number> {
  const { m } = k;
  const { uid } = m.current!.process!.cred;
  const pages = Math.ceil(segment.file.inode.size / 4096);
  if (m.point(Op.Stats, 0)) yield SWITCH;
  const sum = (m.lockedByUser.get(uid) ?? 0) + pages;
  if (sum > rlimitPages(m, Rlimit.MEMLOCK) && !capable(k, Cap.IPC_LOCK)) return -Errno.ENOMEM;
  m.lockedByUser.set(uid, sum);
  segment.lockedBy = uid;
  segment.mode |= SHM_LOCKED;
  yield* setUnevictable(k, segment, true);
  return 0;
}

/** Under the lock: the pages may be reclaimed, and count for nobody. */
export function* unlockSegment(k: Kernel, segment: ShmSegment): MaySleep<number> {
  const { m } = k;
  const uid = segment.lockedBy;
  if (uid === null) return 0;
  if (m.point(Op.Stats, 0)) yield SWITCH;
  m.lockedByUser.set(uid, (m.lockedByUser.get(uid) ?? 0) - Math.ceil(segment.file.inode.size / 4096));
  segment.lockedBy = null;
  segment.mode &= ~SHM_LOCKED;
  yield* setUnevictable(k, segment, false);
  return 0;
}

/** What reclaim is to do with the pages of a segment. */
function* setUnevictable(k: Kernel, { file }: ShmSegment, unevictable: boolean): Atomic<void> {
  const { m } = k;
  const mapping = file.inode.mapping!;
  if (m.point(Op.Inode, file.inode.ino)) yield SWITCH;
  for (const entry of mapping.entries.values()) if (entry >= 0) m.touches(Op.PageFlags, m.memmap.folioOf(entry));
  mapping.unevictable = unevictable;
}

/** A segment is gone: so is its file, but for who maps it yet. */
export function* shmDestroy(k: Kernel, segment: ShmSegment): MaySleep<void> {
  yield* k.shm.unlockSegment(k, segment);
  yield* fput(k, segment.file);
}

/** IPC_SET: the owner and the permission bits. -EINVAL, -EPERM. */
export function* shmSet(k: Kernel, id: number, { uid, gid, mode }: Pick<IpcPerm, "uid" | "gid" | "mode">): MaySleep<number> {
  const { shm } = k.m;
  if (!shm.lock.tryLock()) yield* shm.lock.lock();
  const segment = shm.byId(id);
  const error = segment === undefined ? -Errno.EINVAL : ipcOwned(k, segment, Cap.SYS_ADMIN);
  if (error === 0) {
    Object.assign(segment!, { uid, gid, mode: (segment!.mode & ~0o777) | (mode & 0o777), ctimeNs: k.m.now() });
  }
  if (!shm.lock.tryUnlock()) yield* shm.lock.unlock();
  return error;
}

/** Of all segments together, in pages of 4096 bytes; and the largest number, 0 for none. */
export interface ShmTotals {
  readonly segments: number;
  readonly pages: number;
  readonly rss: number;
  readonly swap: number;
  readonly highest: number;
}

/** For SHM_INFO and IPC_INFO. */
export function* shmTotals(k: Kernel): MaySleep<ShmTotals> {
  const { shm } = k.m;
  if (!shm.lock.tryLock()) yield* shm.lock.lock();
  const usages = shm.all().map(shmUsage);
  const totals = {
    segments: usages.length,
    pages: shm.pages(),
    rss: usages.reduce((sum, { rss }) => sum + rss, 0),
    swap: usages.reduce((sum, { swap }) => sum + swap, 0),
    highest: shm.highest,
  };
  if (!shm.lock.tryUnlock()) yield* shm.lock.unlock();
  return totals;
}
