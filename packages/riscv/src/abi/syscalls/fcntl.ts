import {
  addSeals, Errno, fileOwner, HugetlbInode, LockType, O, OFFSET_MAX, OwnerType, pipeSize, setFileOwner, setPipeSize, setRecordLock, setWholeLock,
  ShmemInode, testRecordLock, type FileLock, type Inode, type LockKind, type MaySleep, type OpenFile,
} from "@faultline/kernel";
import type { GuestThread } from "../guest_thread.js";
import { readStruct, structBytes } from "../user.js";
import * as F from "./format.js";
import { fileOf, installOrPut, maxFiles } from "./fs.js";
import { call, int, type Handler, type Syscall } from "./syscall.js";

enum Fcntl {
  DUPFD = 0,
  GETFD,
  SETFD,
  GETFL,
  SETFL,
  GETLK,
  SETLK,
  SETLKW,
  SETOWN,
  GETOWN,
  SETSIG,
  GETSIG,
  SETOWN_EX = 15,
  GETOWN_EX,
  GETOWNER_UIDS,
  OFD_GETLK = 36,
  OFD_SETLK,
  OFD_SETLKW,
  SETLEASE = 1024,
  GETLEASE,
  DUPFD_QUERY = 1027,
  CREATED_QUERY,
  DUPFD_CLOEXEC = 1030,
  SETPIPE_SZ = 1031,
  GETPIPE_SZ = 1032,
  ADD_SEALS = 1033,
  GET_SEALS = 1034,
}
const SETTABLE = O.APPEND | O.NONBLOCK | O.DIRECT | O.NOATIME;
/** What can be asked of a file that was opened with O_PATH. */
const OF_PATHS: ReadonlySet<number> = new Set([Fcntl.DUPFD, Fcntl.GETFD, Fcntl.SETFD, Fcntl.GETFL, Fcntl.DUPFD_QUERY, Fcntl.CREATED_QUERY, Fcntl.DUPFD_CLOEXEC]);

function canBeSealed(inode: Inode): inode is (ShmemInode & Inode) | HugetlbInode {
  return inode instanceof ShmemInode || inode instanceof HugetlbInode;
}

/* Record locks. */

/** struct flock, in bytes. */
const FLOCK_SIZE = 32;

/** The bytes that a struct flock is about, both ends included: -EINVAL, -EOVERFLOW. */
function rangeOf(view: DataView, file: OpenFile): { readonly start: bigint; readonly end: bigint } | number {
  const bases = [0, file.pos, file.inode.size];
  const base = bases[view.getInt16(2, true)];
  if (base === undefined) return -Errno.EINVAL;
  const offset = view.getBigInt64(8, true);
  const length = view.getBigInt64(16, true);
  if (offset > OFFSET_MAX - BigInt(base)) return -Errno.EOVERFLOW;
  const start = BigInt(base) + offset;
  if (start < 0n) return -Errno.EINVAL;
  if (length === 0n) return { start, end: OFFSET_MAX };
  if (length > 0n) return length - 1n > OFFSET_MAX - start ? -Errno.EOVERFLOW : { start, end: start + length - 1n };
  return start + length < 0n ? -Errno.EINVAL : { start: start + length, end: start - 1n };
}

function lockOf(t: GuestThread, file: OpenFile, view: DataView, kind: LockKind): FileLock | number {
  const range = rangeOf(view, file);
  if (typeof range === "number") return range;
  const type = view.getInt16(0, true);
  if (LockType[type] === undefined) return -Errno.EINVAL;
  const ofDescription = kind === "OFDLCK";
  const process = t.task.process!;
  return { kind, type, ...range, owner: ofDescription ? file : process.files, file, pid: ofDescription ? -1 : process.pid };
}

/** A description's locks are nobody's: the caller must not name a process. */
function namesProcess(view: DataView, kind: LockKind): boolean {
  return kind === "OFDLCK" && view.getInt32(24, true) !== 0;
}

function* getLock(t: GuestThread, file: OpenFile, address: number, kind: LockKind): MaySleep<number> {
  const { k } = t;
  const view = yield* readStruct(k, address, FLOCK_SIZE);
  if (view === null) return -Errno.EFAULT;
  if (kind === "POSIX" && view.getInt16(0, true) === (LockType.UNLCK as number)) return -Errno.EINVAL;
  const wanted = lockOf(t, file, view, kind);
  if (typeof wanted === "number") return wanted;
  if (namesProcess(view, kind)) return -Errno.EINVAL;
  const found = yield* testRecordLock(k, file.inode, wanted);
  view.setInt16(0, found?.type ?? LockType.UNLCK, true);
  if (found !== null) {
    view.setInt16(2, 0, true);
    view.setBigInt64(8, found.start, true);
    view.setBigInt64(16, found.end === OFFSET_MAX ? 0n : found.end - found.start + 1n, true);
    view.setInt32(24, found.pid, true);
  }
  return yield* k.uaccess.copyToUser(k, address, structBytes(view));
}

function* setLock(t: GuestThread, file: OpenFile, address: number, kind: LockKind, wait: boolean): MaySleep<number> {
  const { k } = t;
  const view = yield* readStruct(k, address, FLOCK_SIZE);
  if (view === null) return -Errno.EFAULT;
  const wanted = lockOf(t, file, view, kind);
  if (typeof wanted === "number") return wanted;
  if ((wanted.type === LockType.RDLCK && !file.readable) || (wanted.type === LockType.WRLCK && !file.writable)) return -Errno.EBADF;
  if (namesProcess(view, kind)) return -Errno.EINVAL;
  k.m.vfs.get(file);
  const result = yield* setRecordLock(k, file.inode, wanted, wait);
  yield* k.m.vfs.put(k, file);
  return result;
}

const LOCK_SH = 1;
const LOCK_EX = 2;
const LOCK_NB = 4;
const LOCK_UN = 8;
/** Locks of shares, which were never more than a name: nothing is done. */
const LOCK_MAND = 32;

const flock: Handler = function* (t, [fd, operation]) {
  const { k } = t;
  const types: Readonly<Record<number, LockType>> = { [LOCK_SH]: LockType.RDLCK, [LOCK_EX]: LockType.WRLCK, [LOCK_UN]: LockType.UNLCK };
  if ((int(operation!) & LOCK_MAND) !== 0) return 0;
  const type = types[int(operation!) & ~LOCK_NB];
  if (type === undefined) return -Errno.EINVAL;
  const file = fileOf(t, fd!);
  if (file === null || (file.flags & O.PATH) !== 0) return -Errno.EBADF;
  k.m.vfs.get(file);
  const result = yield* setWholeLock(k, file, type, (int(operation!) & LOCK_NB) === 0);
  yield* k.m.vfs.put(k, file);
  return result;
};

/* Owners. */

const NSIG = 64;
const INT_MIN = -(2 ** 31);

function setOwner(t: GuestThread, file: OpenFile, who: number): number {
  if (who === INT_MIN) return -Errno.EINVAL;
  return setFileOwner(t.k, file, who < 0 ? OwnerType.PGRP : OwnerType.PID, Math.abs(who));
}

function* setOwnerEx(t: GuestThread, file: OpenFile, address: number): MaySleep<number> {
  const view = yield* readStruct(t.k, address, 8);
  if (view === null) return -Errno.EFAULT;
  const type = view.getInt32(0, true);
  return OwnerType[type] === undefined ? -Errno.EINVAL : setFileOwner(t.k, file, type, view.getInt32(4, true));
}

function* tellOwner(t: GuestThread, file: OpenFile, address: number, uids: boolean): MaySleep<number> {
  const { type, id, uid, euid } = fileOwner(t.k, file);
  const view = new DataView(new ArrayBuffer(8));
  view.setInt32(0, uids ? uid : type, true);
  view.setInt32(4, uids ? euid : id, true);
  return yield* t.k.uaccess.copyToUser(t.k, address, structBytes(view));
}

/** F_SETLEASE. None is given, as where somebody else has the file open. */
function setLease(file: OpenFile, type: number): number {
  return LockType[type] === undefined || file.inode.kind !== "file" ? -Errno.EINVAL : -Errno.EAGAIN;
}

const fcntl: Handler = function* (t, [fd, command, argument]) {
  const { k } = t;
  const { files } = t.task.process!;
  const file = fileOf(t, fd!);
  if (file === null || ((file.flags & O.PATH) !== 0 && !OF_PATHS.has(int(command!)))) return -Errno.EBADF;
  const value = int(argument!);
  switch (int(command!)) {
    case Fcntl.DUPFD:
    case Fcntl.DUPFD_CLOEXEC:
      if (value < 0 || value >= maxFiles(t)) return -Errno.EINVAL;
      return yield* installOrPut(t, k.m.vfs.get(file), int(command!) === Fcntl.DUPFD_CLOEXEC, value);
    case Fcntl.DUPFD_QUERY: {
      const other = fileOf(t, argument!);
      return other === null ? -Errno.EBADF : Number(other === file);
    }
    case Fcntl.CREATED_QUERY:
      return Number(file.created);
    case Fcntl.GETFD:
      return files.isCloexec(int(fd!)) ? 1 : 0;
    case Fcntl.SETFD:
      files.setCloexec(int(fd!), (argument! & 1) !== 0);
      return 0;
    case Fcntl.GETFL:
      return file.flags;
    case Fcntl.SETFL:
      // Of a pipe it means packets.
      if ((value & O.DIRECT) !== 0 && !file.takesDirect && file.inode.kind !== "pipe") return -Errno.EINVAL;
      file.flags = (file.flags & ~SETTABLE) | (value & SETTABLE);
      return 0;
    case Fcntl.GETLK:
    case Fcntl.OFD_GETLK:
      return yield* getLock(t, file, argument!, int(command!) === Fcntl.GETLK ? "POSIX" : "OFDLCK");
    case Fcntl.SETLK:
    case Fcntl.SETLKW:
      return yield* setLock(t, file, argument!, "POSIX", int(command!) === Fcntl.SETLKW);
    case Fcntl.OFD_SETLK:
    case Fcntl.OFD_SETLKW:
      return yield* setLock(t, file, argument!, "OFDLCK", int(command!) === Fcntl.OFD_SETLKW);
    case Fcntl.SETOWN:
      return setOwner(t, file, value);
    case Fcntl.GETOWN: {
      const { type, id } = fileOwner(k, file);
      return type === OwnerType.PGRP ? -id : id;
    }
    case Fcntl.SETOWN_EX:
      return yield* setOwnerEx(t, file, argument!);
    case Fcntl.GETOWN_EX:
      return yield* tellOwner(t, file, argument!, false);
    case Fcntl.GETOWNER_UIDS:
      return yield* tellOwner(t, file, argument!, true);
    case Fcntl.SETSIG:
      if (argument! < 0 || argument! > NSIG) return -Errno.EINVAL;
      file.ownerSignal = value;
      return 0;
    case Fcntl.GETSIG:
      return file.ownerSignal;
    case Fcntl.SETLEASE:
      return setLease(file, value);
    case Fcntl.GETLEASE:
      return LockType.UNLCK;
    case Fcntl.ADD_SEALS:
      if (!file.writable) return -Errno.EPERM;
      return canBeSealed(file.inode) ? yield* addSeals(k, file.inode, value) : -Errno.EINVAL;
    case Fcntl.GET_SEALS:
      return canBeSealed(file.inode) ? file.inode.seals : -Errno.EINVAL;
    case Fcntl.GETPIPE_SZ:
      return pipeSize(file);
    case Fcntl.SETPIPE_SZ:
      return yield* setPipeSize(k, file, argument! >>> 0);
    default:
      return -Errno.EINVAL;
  }
};

const FLOCK_OPERATION = F.flags([[LOCK_SH, "LOCK_SH"], [LOCK_EX, "LOCK_EX"], [LOCK_NB, "LOCK_NB"], [LOCK_UN, "LOCK_UN"], [LOCK_MAND, "LOCK_MAND"]]);

export const FCNTL: readonly (readonly [number, Syscall])[] = [
  [25, call("fcntl", [F.INT, F.FCNTL_COMMAND, F.HEX], fcntl, "no leases; nobody is told by SIGIO (O_ASYNC)")],
  [32, call("flock", [F.INT, FLOCK_OPERATION], flock)],
];
