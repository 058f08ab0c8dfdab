import { Errno, FileTable, filpClose, makePipe, O, OpenFile, PAGE_SIZE, Poll, pollFile, rlimit, Rlimit, takesNowait, TaskState, NSEC_PER_SEC, REALTIME_AT_BOOT_S, Restart, Sig, SI, type MaySleep, type Process, Rename, type Stat, type StatFs, UserBytes } from "@faultline/kernel";
import type { GuestThread } from "../guest_thread.js";
import { bytesOf, getI64, getU64, readStruct, setI64, structBytes } from "../user.js";
import * as F from "./format.js";
import { readDeadline, setUserSigmask, tellRemaining } from "./poll_wait.js";
import { call, constant, int, type Handler, type Syscall } from "./syscall.js";

export const AT_FDCWD = -100;
export const AT_SYMLINK_NOFOLLOW = 0x100;
const AT_REMOVEDIR = 0x200;
export const AT_EMPTY_PATH = 0x1000;
const AT_NO_AUTOMOUNT = 0x800;
/** AT_STATX_FORCE_SYNC and AT_STATX_DONT_SYNC. */
const AT_STATX_SYNC_TYPE = 0x6000;
const AT_STAT_FLAGS = AT_SYMLINK_NOFOLLOW | AT_NO_AUTOMOUNT | AT_EMPTY_PATH | AT_STATX_SYNC_TYPE;
const PATH_MAX = 4096;
/** Kernel memory that one transfer takes at a time. */
const CHUNK = 128 * 1024;
/** UIO_MAXIOV: parts of one transfer. */
export const IOV_MAX = 1024;

/** How many descriptors there may be (RLIMIT_NOFILE). */
export function maxFiles({ k }: GuestThread): number {
  return Number(BigInt.asUintN(31, rlimit(k.m, Rlimit.NOFILE)));
}

/** A process that shares its table of descriptors gets one of its own, with the same files. */
export function unshareFiles(process: Process): void {
  if (process.files.users === 1) return;
  process.files.users--;
  process.files = new FileTable(process.files);
}

export function fileOf(t: GuestThread, fd: number): OpenFile | null {
  return t.task.process!.files.get(int(fd));
}

/** The directory that a dirfd argument stands for: null for the working directory. */
function baseOf(t: GuestThread, dirfd: number, path: string): OpenFile | null | number {
  if (int(dirfd) === AT_FDCWD || path.startsWith("/")) return null;
  return fileOf(t, dirfd) ?? -Errno.EBADF;
}

export function* path(t: GuestThread, address: number): MaySleep<string | number> {
  return yield* t.k.uaccess.strncpyFromUser(t.k, address, PATH_MAX);
}

/** A path argument with its dirfd, or a negated errno. */
export function* pathAt(t: GuestThread, dirfd: number, address: number): MaySleep<{ path: string; base: OpenFile | null } | number> {
  const name = yield* path(t, address);
  if (typeof name === "number") return name;
  const base = baseOf(t, dirfd, name);
  return typeof base === "number" ? base : { path: name, base };
}

/** Reads past the page cache, as far as the file does that at once. */
function* readDirect(t: GuestThread, file: OpenFile, address: number, length: number, pos: number | undefined): MaySleep<number> {
  if (!file.readable) return -Errno.EBADF;
  let done = 0;
  while (done < length) {
    const n = yield* file.ops.directRead!(t.k, file, address + done, length - done, (pos ?? file.pos) + (pos === undefined ? 0 : done));
    if (n < 0) return done > 0 ? done : n;
    if (n === 0) break;
    done += n;
    if (pos === undefined) file.pos += n;
  }
  return done;
}

/** Of `copied` bytes out of `wanted`, those that count: a pipe's are in pages, of which one that was copied in part does not; nor do messages and counters. */
function wholeParts(file: OpenFile, wanted: number, copied: number): number {
  const { kind } = file.inode;
  return copied < wanted && (kind === "pipe" || kind === "anon") ? copied - (copied % PAGE_SIZE) : copied;
}

/** Reads into user memory, a chunk at a time; a short read ends it. */
function* readInto(t: GuestThread, file: OpenFile, address: number, length: number, pos: number | undefined): MaySleep<number> {
  const { k } = t;
  if (!file.readable) return -Errno.EBADF;
  if (length < 0) return -Errno.EFAULT;
  if ((file.flags & O.DIRECT) !== 0 && file.ops.directRead !== undefined) return yield* readDirect(t, file, address, length, pos);
  if (file.ops.readUser !== undefined) return yield* k.m.vfs.read(k, file, new UserBytes(address, length), pos);
  let done = 0;
  do {
    const chunk = new Uint8Array(Math.min(length - done, CHUNK));
    const n = yield* k.m.vfs.read(k, file, chunk, pos === undefined ? undefined : pos + done);
    if (n < 0) return done > 0 ? done : n;
    const copied = n === 0 ? 0 : wholeParts(file, n, yield* k.uaccess.copyToUserPart(k, address + done, chunk.subarray(0, n)));
    done += copied;
    if (copied < n) {
      // The rest counts as not read.
      if (file.ops.unread !== undefined) file.ops.unread(k, file, chunk.subarray(copied, n));
      else if (pos === undefined) file.pos -= n - copied;
      return done > 0 ? done : -Errno.EFAULT;
    }
    if (n < chunk.length) break;
  } while (done < length);
  return done;
}

/** A write into a pipe that nobody reads. */
export function* sigpipe({ k, task }: GuestThread): MaySleep<void> {
  yield* k.signal.sendToThread(k, task, { signo: Sig.SIGPIPE, code: SI.USER, addr: 0, pid: task.process!.pid });
}

/** What RLIMIT_FSIZE leaves of `length` bytes at a position of a file with contents; -EFBIG and a signal where that is nothing. */
function* limitedLength(t: GuestThread, file: OpenFile, length: number, pos: number): MaySleep<number> {
  const limit = rlimit(t.k.m, Rlimit.FSIZE);
  if (length <= 0 || file.inode.kind !== "file" || file.inode.blocks === undefined || BigInt(pos + length) <= limit) return length;
  if (BigInt(pos) < limit) return Number(limit) - pos;
  yield* fileTooLarge(t);
  return -Errno.EFBIG;
}

/** Whether a file would grow beyond RLIMIT_FSIZE. */
function exceedsLimit(t: GuestThread, file: OpenFile, size: number): boolean {
  return file.writable && file.inode.kind === "file" && size > (file.inode.size ?? 0) && BigInt(size) > rlimit(t.k.m, Rlimit.FSIZE);
}

/** A file is not to be as large as that: a signal tells. */
function* fileTooLarge({ k, task }: GuestThread): MaySleep<void> {
  yield* k.signal.sendToThread(k, task, { signo: Sig.SIGXFSZ, code: SI.USER, addr: 0, pid: task.process!.pid });
}

function* writeFrom(t: GuestThread, file: OpenFile, address: number, wanted: number, pos: number | undefined, rwf = 0): MaySleep<number> {
  const { k } = t;
  if (!file.writable) return -Errno.EBADF;
  // Before the memory is looked at.
  if (file.ops.write === undefined && file.ops.writeUser === undefined) return file.ops.stream === true && pos !== undefined ? -Errno.ESPIPE : -Errno.EINVAL;
  if (wanted < 0) return -Errno.EFAULT;
  const append = ((file.flags & O.APPEND) !== 0 || (rwf & Rwf.APPEND) !== 0) && (rwf & Rwf.NOAPPEND) === 0;
  const length = yield* limitedLength(t, file, wanted, append ? (file.inode.size ?? 0) : (pos ?? file.pos));
  if (length < 0) return length;
  if (file.ops.writeUser !== undefined) return yield* k.m.vfs.write(k, file, new UserBytes(address, length), pos, append);
  let done = 0;
  do {
    const whole = new Uint8Array(Math.min(length - done, CHUNK));
    const chunk = whole.subarray(0, wholeParts(file, whole.length, yield* k.uaccess.copyFromUserPart(k, address + done, whole)));
    if (chunk.length === 0 && whole.length > 0) return done > 0 ? done : -Errno.EFAULT;
    const n = yield* k.m.vfs.write(k, file, chunk, pos === undefined ? undefined : pos + done, append);
    if (n < 0) {
      if (n === -Errno.EPIPE && (rwf & Rwf.NOSIGNAL) === 0) yield* sigpipe(t);
      return done > 0 ? done : n;
    }
    done += n;
    if (n < whole.length) break;
  } while (done < length);
  return done;
}

type Transfer = (t: GuestThread, file: OpenFile, address: number, length: number, pos: number | undefined, rwf?: number) => MaySleep<number>;

/** Counts a call and what it moved, for /proc/PID/io. */
function countTransfer(t: GuestThread, move: Transfer, n: number): void {
  const { io } = t.task.process!;
  if (move === readInto) {
    io.syscr++;
    io.rchar += Math.max(0, n);
  } else {
    io.syscw++;
    io.wchar += Math.max(0, n);
  }
}

/** read, write, pread64, pwrite64. The file stays open while the transfer sleeps. */
function transfer(move: Transfer, positioned: boolean): Handler {
  return function* (t, [fd, address, length, offset]) {
    const file = fileOf(t, fd!);
    if (file === null) return -Errno.EBADF;
    if (positioned && (offset! < 0 || offset! + Math.max(0, length!) >= 2 ** 63)) return -Errno.EINVAL;
    t.k.m.vfs.get(file);
    const n = yield* move(t, file, address!, length!, positioned ? offset! : undefined);
    yield* t.k.m.vfs.put(t.k, file);
    countTransfer(t, move, n);
    return n;
  };
}

/** RWF_*: of one transfer. */
enum Rwf {
  HIPRI = 1,
  DSYNC = 2,
  SYNC = 4,
  NOWAIT = 8,
  APPEND = 0x10,
  NOAPPEND = 0x20,
  NOSIGNAL = 0x100,
}
const RWF_KNOWN = Rwf.HIPRI | Rwf.DSYNC | Rwf.SYNC | Rwf.NOWAIT | Rwf.APPEND | Rwf.NOAPPEND | Rwf.NOSIGNAL;

/** What of RWF_* a file does not do, or cannot be together: 0, -EOPNOTSUPP, -EINVAL. */
function checkRwf(file: OpenFile, rwf: number): number {
  if ((rwf & ~RWF_KNOWN) !== 0 || ((rwf & ~Rwf.HIPRI) !== 0 && file.ops.iter === undefined)) return -Errno.EOPNOTSUPP;
  if ((rwf & Rwf.APPEND) !== 0 && (rwf & Rwf.NOAPPEND) !== 0) return -Errno.EINVAL;
  return (rwf & Rwf.NOWAIT) !== 0 && !takesNowait(file) ? -Errno.EOPNOTSUPP : 0;
}

/** A stream as a transfer sees it that does not wait. */
function withoutWaiting(file: OpenFile): OpenFile {
  return Object.create(file, { flags: { value: file.flags | O.NONBLOCK } }) as OpenFile;
}

/** What readv, writev, preadv, pwritev, preadv2 and pwritev2 do; `offset` is undefined where the file's position counts. */
function* transferVector(t: GuestThread, move: Transfer, [fd, vector, count]: readonly number[], offset?: number, rwf = 0): MaySleep<number> {
  const { k } = t;
  const file = fileOf(t, fd!);
  if (file === null) return -Errno.EBADF;
  const n = int(count!);
  if (n < 0 || n > IOV_MAX) return -Errno.EINVAL;
  if (offset !== undefined && offset < 0) return -Errno.EINVAL;
  const table = yield* readStruct(k, vector!, n * 16);
  if (table === null) return -Errno.EFAULT;
  for (let i = 0; i < n; i++) if (getI64(table, i * 16 + 8) < 0) return -Errno.EINVAL;
  const unknown = offset !== undefined && file.ops.stream === true ? 0 : checkRwf(file, rwf);
  if (unknown < 0) return unknown;
  const through = (rwf & Rwf.NOWAIT) !== 0 && file.ops.stream === true ? withoutWaiting(file) : file;
  k.m.vfs.get(file);
  let done = 0;
  for (let i = 0; i < n; i++) {
    const length = getU64(table, i * 16 + 8);
    if (length === 0) continue;
    const moved = yield* move(t, through, getU64(table, i * 16), length, offset === undefined ? undefined : offset + done, rwf);
    if (moved < 0) {
      if (done === 0) done = moved;
      break;
    }
    done += moved;
    if (moved < length) break;
  }
  yield* k.m.vfs.put(k, file);
  countTransfer(t, move, done);
  return done;
}

/** readv, writev, preadv, pwritev. */
function vectored(move: Transfer, positioned: boolean): Handler {
  return (t, args) => transferVector(t, move, args, positioned ? args[3]! : undefined);
}

/** preadv2, pwritev2: a position of -1 is the file's own. */
function vectored2(move: Transfer): Handler {
  return (t, args) => transferVector(t, move, args, args[3] === -1 ? undefined : args[3]!, int(args[5]!));
}

const openat: Handler = function* (t, [dirfd, name, flags, mode]) {
  const { k } = t;
  const at = yield* pathAt(t, dirfd!, name!);
  if (typeof at === "number") return at;
  const file = yield* k.m.vfs.open(k, at.path, int(flags!), int(mode!) & 0o7777, at.base);
  if (typeof file === "number") return file;
  return yield* installOrPut(t, file, (flags! & O.CLOEXEC) !== 0, 0);
};

export function* installOrPut(t: GuestThread, file: OpenFile, cloexec: boolean, from: number): MaySleep<number> {
  const fd = t.task.process!.files.install(file, cloexec, from, maxFiles(t));
  if (fd < 0) {
    yield* t.k.m.vfs.put(t.k, file);
    return -Errno.EMFILE;
  }
  return fd;
}

/** Two new files get descriptors, which are stored at an address: 0, or a negated errno, and the files are gone. */
export function* installPair(t: GuestThread, pair: readonly [OpenFile, OpenFile], cloexec: boolean, address: number): MaySleep<number> {
  const { k } = t;
  const first = yield* installOrPut(t, pair[0], cloexec, 0);
  if (first < 0) {
    yield* k.m.vfs.put(k, pair[1]);
    return first;
  }
  const second = yield* installOrPut(t, pair[1], cloexec, 0);
  const view = new DataView(new ArrayBuffer(8));
  view.setInt32(0, first, true);
  view.setInt32(4, second, true);
  const error = second < 0 ? second : yield* k.uaccess.copyToUser(k, address, structBytes(view));
  if (error >= 0) return 0;
  for (const fd of [first, second]) {
    const file = fd < 0 ? null : t.task.process!.files.remove(fd);
    if (file !== null) yield* k.m.vfs.put(k, file);
  }
  return error;
}

const close: Handler = function* (t, [fd]) {
  const file = fileOf(t, fd!);
  if (file === null) return -Errno.EBADF;
  const { files } = t.task.process!;
  files.remove(int(fd!));
  yield* filpClose(t.k, files, file);
  return 0;
};

const closeRange: Handler = function* (t, [first, last, flags]) {
  const process = t.task.process!;
  const CLOSE_RANGE_UNSHARE = 2;
  const CLOSE_RANGE_CLOEXEC = 4;
  if ((int(flags!) & ~(CLOSE_RANGE_UNSHARE | CLOSE_RANGE_CLOEXEC)) !== 0 || first! >>> 0 > last! >>> 0) return -Errno.EINVAL;
  if ((int(flags!) & CLOSE_RANGE_UNSHARE) !== 0) unshareFiles(process);
  const { files } = process;
  for (const [fd] of [...files.entries()]) {
    if (fd < first! >>> 0 || fd > last! >>> 0) continue;
    if ((int(flags!) & CLOSE_RANGE_CLOEXEC) !== 0) files.setCloexec(fd, true);
    else {
      const file = files.remove(fd);
      if (file !== null) yield* filpClose(t.k, files, file);
    }
  }
  return 0;
};

const lseek: Handler = function* (t, [fd, offset, whence]) {
  const file = fileOf(t, fd!);
  return file === null ? -Errno.EBADF : yield* t.k.m.vfs.lseek(t.k, file, offset!, int(whence!));
};

const dup: Handler = function* (t, [fd]) {
  const file = fileOf(t, fd!);
  return file === null ? -Errno.EBADF : yield* installOrPut(t, t.k.m.vfs.get(file), false, 0);
};

const dup3: Handler = function* (t, [oldFd, newFd, flags]) {
  const { files } = t.task.process!;
  if ((int(flags!) & ~O.CLOEXEC) !== 0 || int(oldFd!) === int(newFd!)) return -Errno.EINVAL;
  const file = fileOf(t, oldFd!);
  const target = int(newFd!);
  if (file === null || target < 0 || target >= maxFiles(t)) return -Errno.EBADF;
  const replaced = files.remove(target);
  files.set(target, t.k.m.vfs.get(file), (flags! & O.CLOEXEC) !== 0);
  if (replaced !== null) yield* filpClose(t.k, files, replaced);
  return target;
};

const ioctl: Handler = function* (t, [fd, command, argument]) {
  const { k } = t;
  const file = fileOf(t, fd!);
  if (file === null) return -Errno.EBADF;
  const FIOCLEX = 0x5451;
  const FIONCLEX = 0x5450;
  const cmd = command! >>> 0;
  if (cmd === FIOCLEX || cmd === FIONCLEX) {
    t.task.process!.files.setCloexec(int(fd!), cmd === FIOCLEX);
    return 0;
  }
  k.m.vfs.get(file);
  const result = yield* k.m.vfs.ioctl(k, file, cmd, argument!);
  yield* k.m.vfs.put(k, file);
  return result;
};

function writeTime(view: DataView, at: number, ns: number): void {
  setI64(view, at, REALTIME_AT_BOOT_S + Math.floor(ns / NSEC_PER_SEC));
  setI64(view, at + 8, Math.floor(ns % NSEC_PER_SEC));
}

/** struct stat of the generic 64-bit ABI. */
function statBytes(stat: Stat): Uint8Array {
  const view = new DataView(new ArrayBuffer(128));
  setI64(view, 0, stat.dev);
  setI64(view, 8, stat.ino);
  view.setUint32(16, stat.mode, true);
  view.setUint32(20, stat.nlink, true);
  view.setUint32(24, stat.uid, true);
  view.setUint32(28, stat.gid, true);
  setI64(view, 32, stat.rdev);
  setI64(view, 48, stat.size);
  view.setInt32(56, stat.blksize, true);
  setI64(view, 64, stat.blocks);
  writeTime(view, 72, stat.atimeNs);
  writeTime(view, 88, stat.mtimeNs);
  writeTime(view, 104, stat.ctimeNs);
  return structBytes(view);
}

/** struct statx with the basic statistics. */
function statxBytes(stat: Stat): Uint8Array {
  const view = new DataView(new ArrayBuffer(256));
  const STATX_BASIC_STATS = 0x7ff;
  view.setUint32(0, STATX_BASIC_STATS, true);
  view.setUint32(4, stat.blksize, true);
  view.setUint32(16, stat.nlink, true);
  view.setUint32(20, stat.uid, true);
  view.setUint32(24, stat.gid, true);
  view.setUint16(28, stat.mode, true);
  setI64(view, 32, stat.ino);
  setI64(view, 40, stat.size);
  setI64(view, 48, stat.blocks);
  for (const [at, ns] of [[64, stat.atimeNs], [96, stat.ctimeNs], [112, stat.mtimeNs]] as const) {
    setI64(view, at, REALTIME_AT_BOOT_S + Math.floor(ns / NSEC_PER_SEC));
    view.setUint32(at + 8, Math.floor(ns % NSEC_PER_SEC), true);
  }
  const major = (dev: number): number => (dev >>> 8) & 0xfff;
  const minor = (dev: number): number => (dev & 0xff) | ((dev >>> 12) & 0xfff00);
  view.setUint32(128, major(stat.rdev), true);
  view.setUint32(132, minor(stat.rdev), true);
  view.setUint32(136, major(stat.dev), true);
  view.setUint32(140, minor(stat.dev), true);
  return structBytes(view);
}

/** The file that the stat family is asked about. */
function* statAt(t: GuestThread, dirfd: number, name: number, flags: number): MaySleep<Stat | number> {
  const { k } = t;
  if ((flags & ~AT_STAT_FLAGS) !== 0) return -Errno.EINVAL;
  // With AT_EMPTY_PATH a null path stands for an empty one.
  const text = name === 0 && (flags & AT_EMPTY_PATH) !== 0 ? "" : yield* path(t, name);
  if (typeof text === "number") return text;
  if (text === "") {
    if ((flags & AT_EMPTY_PATH) === 0) return -Errno.ENOENT;
    if (int(dirfd) === AT_FDCWD) return yield* k.m.vfs.stat(k, ".", true);
    const file = fileOf(t, dirfd);
    return file === null ? -Errno.EBADF : yield* k.m.vfs.fstat(k, file);
  }
  const base = baseOf(t, dirfd, text);
  if (typeof base === "number") return base;
  return yield* k.m.vfs.stat(k, text, (flags & AT_SYMLINK_NOFOLLOW) === 0, base);
}

const newfstatat: Handler = function* (t, [dirfd, name, buf, flags]) {
  const stat = yield* statAt(t, dirfd!, name!, int(flags!));
  return typeof stat === "number" ? stat : yield* t.k.uaccess.copyToUser(t.k, buf!, statBytes(stat));
};

const fstat: Handler = function* (t, [fd, buf]) {
  const file = fileOf(t, fd!);
  if (file === null) return -Errno.EBADF;
  return yield* t.k.uaccess.copyToUser(t.k, buf!, statBytes(yield* t.k.m.vfs.fstat(t.k, file)));
};

const STATX_RESERVED = 0x8000_0000;

const statx: Handler = function* (t, [dirfd, name, flags, mask, buf]) {
  const both = (int(flags!) & AT_STATX_SYNC_TYPE) === AT_STATX_SYNC_TYPE;
  if (both || (mask! & STATX_RESERVED) !== 0) return -Errno.EINVAL;
  const stat = yield* statAt(t, dirfd!, name!, int(flags!));
  return typeof stat === "number" ? stat : yield* t.k.uaccess.copyToUser(t.k, buf!, statxBytes(stat));
};

function statfsBytes(fs: StatFs): Uint8Array {
  const view = new DataView(new ArrayBuffer(120));
  setI64(view, 0, fs.type);
  setI64(view, 8, fs.bsize);
  setI64(view, 16, fs.blocks);
  setI64(view, 24, fs.bfree);
  setI64(view, 32, fs.bfree);
  setI64(view, 40, fs.files);
  setI64(view, 48, fs.ffree);
  view.setInt32(56, fs.dev, true);
  setI64(view, 64, 255);
  setI64(view, 72, fs.bsize);
  return structBytes(view);
}

const statfs: Handler = function* (t, [name, buf]) {
  const text = yield* path(t, name!);
  if (typeof text === "number") return text;
  const fs = yield* t.k.m.vfs.statfs(t.k, text);
  return typeof fs === "number" ? fs : yield* t.k.uaccess.copyToUser(t.k, buf!, statfsBytes(fs));
};

const fstatfs: Handler = function* (t, [fd, buf]) {
  const file = fileOf(t, fd!);
  if (file === null) return -Errno.EBADF;
  return yield* t.k.uaccess.copyToUser(t.k, buf!, statfsBytes(yield* t.k.m.vfs.fstatfs(t.k, file)));
};

const readlinkat: Handler = function* (t, [dirfd, name, buf, size]) {
  if (int(size!) <= 0) return -Errno.EINVAL;
  const at = yield* pathAt(t, dirfd!, name!);
  if (typeof at === "number") return at;
  const target = yield* t.k.m.vfs.readlink(t.k, at.path, at.base);
  if (typeof target === "number") return target;
  const bytes = bytesOf(target).subarray(0, int(size!));
  const error = yield* t.k.uaccess.copyToUser(t.k, buf!, bytes);
  return error < 0 ? error : bytes.length;
};

const getdents64: Handler = function* (t, [fd, buf, size]) {
  const file = fileOf(t, fd!);
  if (file === null) return -Errno.EBADF;
  const records = yield* t.k.m.vfs.getdents64(t.k, file, size! >>> 0);
  if (typeof records === "number") return records;
  if (records.length === 0) return 0;
  const error = yield* t.k.uaccess.copyToUser(t.k, buf!, records);
  return error < 0 ? error : records.length;
};

const mknodat: Handler = function* (t, [dirfd, name, mode]) {
  const at = yield* pathAt(t, dirfd!, name!);
  return typeof at === "number" ? at : yield* t.k.m.vfs.mknod(t.k, at.path, int(mode!) & 0xffff, at.base);
};

const mkdirat: Handler = function* (t, [dirfd, name, mode]) {
  const at = yield* pathAt(t, dirfd!, name!);
  return typeof at === "number" ? at : yield* t.k.m.vfs.mkdir(t.k, at.path, int(mode!), at.base);
};

const unlinkat: Handler = function* (t, [dirfd, name, flags]) {
  if ((int(flags!) & ~AT_REMOVEDIR) !== 0) return -Errno.EINVAL;
  const at = yield* pathAt(t, dirfd!, name!);
  if (typeof at === "number") return at;
  const { vfs } = t.k.m;
  return (flags! & AT_REMOVEDIR) !== 0 ? yield* vfs.rmdir(t.k, at.path, at.base) : yield* vfs.unlink(t.k, at.path, at.base);
};

const symlinkat: Handler = function* (t, [target, dirfd, name]) {
  const to = yield* path(t, target!);
  if (typeof to === "number") return to;
  const at = yield* pathAt(t, dirfd!, name!);
  return typeof at === "number" ? at : yield* t.k.m.vfs.symlink(t.k, to, at.path, at.base);
};

const AT_SYMLINK_FOLLOW = 0x400;

const linkat: Handler = function* (t, [fromFd, from, toFd, to, flags]) {
  if ((int(flags!) & ~(AT_SYMLINK_FOLLOW | AT_EMPTY_PATH)) !== 0) return -Errno.EINVAL;
  const source = yield* pathAt(t, fromFd!, from!);
  if (typeof source === "number") return source;
  const { vfs } = t.k.m;
  const own = source.path === "" && source.base !== null && (flags! & AT_EMPTY_PATH) !== 0;
  const inode = own ? source.base!.inode : yield* vfs.lookup(t.k, source.path, (flags! & AT_SYMLINK_FOLLOW) !== 0, source.base);
  if (typeof inode === "number") return inode;
  const target = yield* pathAt(t, toFd!, to!);
  return typeof target === "number" ? target : yield* vfs.link(t.k, inode, target.path, target.base);
};

const renameat2: Handler = function* (t, [fromFd, from, toFd, to, flags]) {
  const both = Rename.NOREPLACE | Rename.EXCHANGE;
  if ((int(flags!) & ~both) !== 0 || int(flags!) === both) return -Errno.EINVAL;
  const source = yield* pathAt(t, fromFd!, from!);
  if (typeof source === "number") return source;
  const target = yield* pathAt(t, toFd!, to!);
  if (typeof target === "number") return target;
  return yield* t.k.m.vfs.rename(t.k, source.path, target.path, source.base, target.base, int(flags!));
};

const getcwd: Handler = function* (t, [buf, size]) {
  const bytes = bytesOf(`${t.task.process!.fs.cwd}\0`);
  if (size! < bytes.length) return -Errno.ERANGE;
  const error = yield* t.k.uaccess.copyToUser(t.k, buf!, bytes);
  return error < 0 ? error : bytes.length;
};

const chdir: Handler = function* (t, [name]) {
  const text = yield* path(t, name!);
  return typeof text === "number" ? text : yield* t.k.m.vfs.chdir(t.k, text);
};

const fchdir: Handler = function* (t, [fd]) {
  const file = fileOf(t, fd!);
  return file === null ? -Errno.EBADF : yield* t.k.m.vfs.fchdir(t.k, file);
};

const truncate: Handler = function* (t, [name, size]) {
  const text = yield* path(t, name!);
  if (typeof text === "number") return text;
  return size! < 0 ? -Errno.EINVAL : yield* t.k.m.vfs.truncate(t.k, text, size!);
};

const ftruncate: Handler = function* (t, [fd, size]) {
  if (size! < 0) return -Errno.EINVAL;
  const file = fileOf(t, fd!);
  if (file === null) return -Errno.EBADF;
  if (exceedsLimit(t, file, size!)) {
    yield* fileTooLarge(t);
    return -Errno.EFBIG;
  }
  return yield* t.k.m.vfs.ftruncate(t.k, file, size!);
};

const fallocate: Handler = function* (t, [fd, mode, offset, length]) {
  const file = fileOf(t, fd!);
  if (file === null) return -Errno.EBADF;
  // What keeps the size does not grow the file.
  if (int(mode!) === 0 && offset! >= 0 && length! > 0 && exceedsLimit(t, file, offset! + length!)) {
    yield* fileTooLarge(t);
    return -Errno.EFBIG;
  }
  return yield* t.k.m.vfs.fallocate(t.k, file, int(mode!), offset!, length!);
};

/** POSIX_FADV_NORMAL to POSIX_FADV_NOREUSE: there is nothing to read ahead or to write back of files in memory. */
const FADVICES = 6;

const fadvise64: Handler = function* (t, [fd, , length, advice]) {
  const file = fileOf(t, fd!);
  if (file === null) return -Errno.EBADF;
  if (file.inode.kind === "pipe") return -Errno.ESPIPE;
  return length! >= 0 && int(advice!) >= 0 && int(advice!) < FADVICES ? 0 : -Errno.EINVAL;
};

const fsync: Handler = function* (t, [fd]) {
  const file = fileOf(t, fd!);
  if (file === null) return -Errno.EBADF;
  const { kind } = file.inode;
  return (kind === "file" && file.ops.stream !== true) || kind === "directory" ? 0 : -Errno.EINVAL;
};

/** SYNC_FILE_RANGE_WAIT_BEFORE, _WRITE and _WAIT_AFTER. */
const SYNC_FLAGS = 7;

const sync_file_range: Handler = function* (t, [fd, offset, length, flags]) {
  const file = fileOf(t, fd!);
  if (file === null) return -Errno.EBADF;
  if ((int(flags!) & ~SYNC_FLAGS) !== 0 || offset! < 0 || length! < 0 || offset! + length! >= 2 ** 63) return -Errno.EINVAL;
  const { kind } = file.inode;
  return (kind === "file" && file.ops.stream !== true) || kind === "directory" ? 0 : -Errno.ESPIPE;
};

const syncfs: Handler = function* (t, [fd]) {
  return fileOf(t, fd!) === null ? -Errno.EBADF : 0;
};

const umask: Handler = function* (t, [mask]) {
  const { fs } = t.task.process!;
  const old = fs.umask;
  fs.umask = mask! & 0o777;
  return old;
};

/** ppoll(2). With no descriptors it is a sleep. */
const ppoll: Handler = function* (t, [fds, count, timeout, sigmask, size]) {
  const { k } = t;
  const n = count!;
  if (n < 0 || n > maxFiles(t)) return -Errno.EINVAL;
  const table = yield* readStruct(k, fds!, n * 8);
  if (table === null) return -Errno.EFAULT;
  const deadline = yield* readDeadline(t, timeout!);
  if (deadline < 0) return deadline;
  const error = yield* setUserSigmask(t, sigmask!, size!);
  if (error < 0) return error;
  const result = yield* pollUntil(t, fds!, table, n, deadline);
  return yield* tellRemaining(t, timeout!, deadline, result);
};

function* pollUntil(t: GuestThread, fds: number, table: DataView, n: number, deadline: number): MaySleep<number> {
  const { k } = t;
  for (;;) {
    const ready = lookAt(t, table, n);
    if (ready > 0 || k.m.now() >= deadline) {
      if (n > 0 && (yield* k.uaccess.copyToUser(k, fds, structBytes(table))) < 0) return -Errno.EFAULT;
      return ready;
    }
    const timer = deadline === Infinity ? null : k.m.sched.addTimer(deadline, t.task.isUser, () => k.m.sched.wake(t.task));
    const woken = yield* k.m.pollWait.sleep(TaskState.Interruptible, n === 0 ? "a signal or a timeout" : "poll");
    timer?.cancel();
    if (!woken) return -Restart.ERESTARTNOHAND;
  }
}

/** Writes what each file is ready for into a table of struct pollfd; how many are for anything. */
function lookAt(t: GuestThread, table: DataView, n: number): number {
  let ready = 0;
  for (let i = 0; i < n; i++) {
    const fd = table.getInt32(i * 8, true);
    const file = fd < 0 ? null : fileOf(t, fd);
    const wanted = table.getInt16(i * 8 + 4, true) | Poll.ERR | Poll.HUP;
    let now = 0;
    if (file !== null) now = pollFile(file);
    else if (fd >= 0) now = Poll.NVAL;
    const revents = file === null ? now : now & wanted;
    table.setInt16(i * 8 + 6, revents, true);
    if (revents !== 0) ready++;
  }
  return ready;
}

/** Pipes of watch_queue, which is not configured. */
const O_NOTIFICATION_PIPE = 0o200;

const pipe2: Handler = function* (t, [fds, flags]) {
  if ((int(flags!) & ~(O.CLOEXEC | O.NONBLOCK | O.DIRECT | O_NOTIFICATION_PIPE)) !== 0) return -Errno.EINVAL;
  if ((int(flags!) & O_NOTIFICATION_PIPE) !== 0) return -Errno.ENOPKG;
  return yield* installPair(t, makePipe(t.k, int(flags!)), (int(flags!) & O.CLOEXEC) !== 0, fds!);
};

export const PATH_AT = [F.DIRFD, F.PATH];
const RWF_FLAGS = F.flags([
  [1, "RWF_HIPRI"], [2, "RWF_DSYNC"], [4, "RWF_SYNC"], [8, "RWF_NOWAIT"], [0x10, "RWF_APPEND"], [0x20, "RWF_NOAPPEND"],
  [0x40, "RWF_ATOMIC"], [0x80, "RWF_DONTCACHE"], [0x100, "RWF_NOSIGNAL"],
]);

export const FS: readonly (readonly [number, Syscall])[] = [
  [17, call("getcwd", [F.OUT, F.SIZE], getcwd)],
  [23, call("dup", [F.INT], dup)],
  [24, call("dup3", [F.INT, F.INT, F.OPEN_FLAGS], dup3)],
  [29, call("ioctl", [F.INT, F.IOCTL, F.IOCTL_ARG], ioctl)],
  [33, call("mknodat", [...PATH_AT, F.OCTAL, F.HEX], mknodat, "no devices")],
  [34, call("mkdirat", [...PATH_AT, F.OCTAL], mkdirat)],
  [35, call("unlinkat", [...PATH_AT, F.AT_FLAGS], unlinkat)],
  [36, call("symlinkat", [F.PATH, ...PATH_AT], symlinkat)],
  [37, call("linkat", [...PATH_AT, ...PATH_AT, F.HEX], linkat)],
  [38, call("renameat", [...PATH_AT, ...PATH_AT], function* (t, a) { return yield* renameat2(t, [...a.slice(0, 4), 0]); })],
  [43, call("statfs", [F.PATH, F.OUT], statfs)],
  [44, call("fstatfs", [F.INT, F.OUT], fstatfs)],
  [45, call("truncate", [F.PATH, F.SIZE], truncate)],
  [46, call("ftruncate", [F.INT, F.SIZE], ftruncate)],
  [47, call("fallocate", [F.INT, F.FALLOC_MODE, F.SIZE, F.SIZE], fallocate)],
  [49, call("chdir", [F.PATH], chdir)],
  [50, call("fchdir", [F.INT], fchdir)],
  [56, call("openat", [...PATH_AT, F.OPEN_FLAGS, F.OPEN_MODE], openat)],
  [57, call("close", [F.INT], close)],
  [59, call("pipe2", [F.FD_PAIR, F.PIPE_FLAGS], pipe2)],
  [61, call("getdents64", [F.INT, F.OUT, F.SIZE], getdents64)],
  [62, call("lseek", [F.INT, F.INT, F.WHENCE], lseek)],
  [63, call("read", [F.INT, F.READ_BUFFER, F.SIZE], transfer(readInto, false))],
  [64, call("write", [F.INT, F.buffer(2), F.SIZE], transfer(writeFrom, false))],
  [65, call("readv", [F.INT, F.iovec(2), F.INT], vectored(readInto, false))],
  [66, call("writev", [F.INT, F.iovec(2), F.INT], vectored(writeFrom, false))],
  [67, call("pread64", [F.INT, F.READ_BUFFER, F.SIZE, F.SIZE], transfer(readInto, true))],
  [68, call("pwrite64", [F.INT, F.buffer(2), F.SIZE, F.SIZE], transfer(writeFrom, true))],
  [69, call("preadv", [F.INT, F.iovec(2), F.INT, F.SIZE], vectored(readInto, true))],
  [70, call("pwritev", [F.INT, F.iovec(2), F.INT, F.SIZE], vectored(writeFrom, true))],
  [73, call("ppoll", [F.POINTER, F.SIZE, F.TIMESPEC, F.sigset(false), F.SIZE], ppoll)],
  [78, call("readlinkat", [...PATH_AT, F.READ_BUFFER, F.SIZE], readlinkat)],
  [79, call("newfstatat", [...PATH_AT, F.STAT, F.AT_FLAGS], newfstatat)],
  [80, call("fstat", [F.INT, F.STAT], fstat)],
  [81, call("sync", [], constant(0))],
  [82, call("fsync", [F.INT], fsync)],
  [83, call("fdatasync", [F.INT], fsync)],
  [84, call("sync_file_range", [F.INT, F.SIZE, F.SIZE, F.HEX], sync_file_range)],
  [166, call("umask", [F.OCTAL], umask, "", "octal")],
  [223, call("fadvise64", [F.INT, F.SIZE, F.SIZE, F.FADVICE], fadvise64)],
  [276, call("renameat2", [...PATH_AT, ...PATH_AT, F.HEX], renameat2, "no RENAME_WHITEOUT")],
  [286, call("preadv2", [F.INT, F.iovec(2), F.INT, F.SIZE, F.SIZE, RWF_FLAGS], vectored2(readInto))],
  [287, call("pwritev2", [F.INT, F.iovec(2), F.INT, F.SIZE, F.SIZE, RWF_FLAGS], vectored2(writeFrom))],
  [291, call("statx", [...PATH_AT, F.AT_FLAGS, F.HEX, F.OUT], statx)],
  [436, call("close_range", [F.INT, F.INT, F.CLOSE_RANGE_FLAGS], closeRange)],
  [267, call("syncfs", [F.INT], syncfs)],
];
