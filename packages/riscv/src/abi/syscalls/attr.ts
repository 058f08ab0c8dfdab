import { byRealIds, chmodInode, chownInode, Errno, NSEC_PER_SEC, O, REALTIME_AT_BOOT_S, utimesInode, type Inode, type MaySleep, type NewTime, type OpenFile } from "@faultline/kernel";
import type { GuestThread } from "../guest_thread.js";
import { getI64, readStruct } from "../user.js";
import * as F from "./format.js";
import { AT_EMPTY_PATH, AT_FDCWD, AT_SYMLINK_NOFOLLOW, fileOf, PATH_AT, pathAt } from "./fs.js";
import { call, int, type Handler, type Syscall } from "./syscall.js";

const AT_EACCESS = 0x200;

/** access(2): by the real ids unless the flags ask for the effective ones. */
function* accessAt(t: GuestThread, dirfd: number, name: number, mode: number, flags: number): MaySleep<number> {
  const { k } = t;
  if ((mode & ~7) !== 0) return -Errno.EINVAL;
  const at = yield* pathAt(t, dirfd, name);
  if (typeof at === "number") return at;
  const inode = at.path === "" && (flags & AT_EMPTY_PATH) !== 0 ? at.base?.inode : undefined;
  const ask = (): MaySleep<number> => {
    if (inode !== undefined) return k.m.vfs.accessInode(k, inode, mode);
    return k.m.vfs.access(k, at.path === "" && (flags & AT_EMPTY_PATH) !== 0 ? "." : at.path, mode, at.base, (flags & AT_SYMLINK_NOFOLLOW) === 0);
  };
  return (flags & AT_EACCESS) !== 0 ? yield* ask() : yield* byRealIds(k, ask);
}

const faccessat: Handler = function* (t, [dirfd, name, mode]) {
  return yield* accessAt(t, dirfd!, name!, int(mode!), 0);
};

const faccessat2: Handler = function* (t, [dirfd, name, mode, flags]) {
  if ((int(flags!) & ~(AT_EACCESS | AT_SYMLINK_NOFOLLOW | AT_EMPTY_PATH)) !== 0) return -Errno.EINVAL;
  return yield* accessAt(t, dirfd!, name!, int(mode!), int(flags!));
};

/** A file by its path, or, with AT_EMPTY_PATH and no path, by a descriptor. */
export function* inodeAt(t: GuestThread, dirfd: number, name: number, flags: number): MaySleep<Inode | number> {
  const at = yield* pathAt(t, dirfd, name);
  if (typeof at === "number") return at;
  if (at.path === "" && (flags & AT_EMPTY_PATH) !== 0) return int(dirfd) === AT_FDCWD ? yield* t.k.m.vfs.lookup(t.k, ".", true) : at.base!.inode;
  return yield* t.k.m.vfs.lookup(t.k, at.path, (flags & AT_SYMLINK_NOFOLLOW) === 0, at.base);
}

/** A file by its descriptor, for what is done to the file itself. */
function ownFile(t: GuestThread, fd: number): OpenFile | null {
  const file = fileOf(t, fd);
  return file === null || (file.flags & O.PATH) !== 0 ? null : file;
}

const fchmodat: Handler = function* (t, [dirfd, name, mode]) {
  const inode = yield* inodeAt(t, dirfd!, name!, 0);
  return typeof inode === "number" ? inode : yield* chmodInode(t.k, inode, int(mode!));
};

const fchmodat2: Handler = function* (t, [dirfd, name, mode, flags]) {
  if ((int(flags!) & ~(AT_SYMLINK_NOFOLLOW | AT_EMPTY_PATH)) !== 0) return -Errno.EINVAL;
  const inode = yield* inodeAt(t, dirfd!, name!, int(flags!));
  if (typeof inode === "number") return inode;
  // A symbolic link has no mode of its own.
  return inode.kind === "symlink" ? -Errno.EOPNOTSUPP : yield* chmodInode(t.k, inode, int(mode!));
};

const fchmod: Handler = function* (t, [fd, mode]) {
  const file = ownFile(t, fd!);
  return file === null ? -Errno.EBADF : yield* chmodInode(t.k, file.inode, int(mode!));
};

const fchownat: Handler = function* (t, [dirfd, name, uid, gid, flags]) {
  if ((int(flags!) & ~(AT_SYMLINK_NOFOLLOW | AT_EMPTY_PATH)) !== 0) return -Errno.EINVAL;
  const inode = yield* inodeAt(t, dirfd!, name!, int(flags!));
  return typeof inode === "number" ? inode : yield* chownInode(t.k, inode, int(uid!), int(gid!));
};

const fchown: Handler = function* (t, [fd, uid, gid]) {
  const file = ownFile(t, fd!);
  return file === null ? -Errno.EBADF : yield* chownInode(t.k, file.inode, int(uid!), int(gid!));
};

const UTIME_NOW = 0x3fff_ffff;
const UTIME_OMIT = 0x3fff_fffe;

/** By how much a time may be off that is decades from boot. */
const ROUNDED_NS = 256;

/** One of the two times: what is to be set, or -EINVAL in place of both. */
function newTime(view: DataView, at: number): { readonly time: NewTime } | null {
  const ns = getI64(view, at + 8);
  if (ns === UTIME_NOW) return { time: null };
  if (ns === UTIME_OMIT) return { time: undefined };
  if (ns < 0 || ns >= NSEC_PER_SEC) return null;
  const second = getI64(view, at) - REALTIME_AT_BOOT_S;
  const time = second * NSEC_PER_SEC + ns;
  // Whole seconds are exact at any distance from boot; what is between may be up to 128 ns off, but not of another second.
  return { time: Math.floor(time / NSEC_PER_SEC) > second ? (second + 1) * NSEC_PER_SEC - ROUNDED_NS : time };
}

const utimensat: Handler = function* (t, [dirfd, name, times, flags]) {
  const { k } = t;
  let [atime, mtime]: [NewTime, NewTime] = [null, null];
  if (times !== 0) {
    const view = yield* readStruct(k, times!, 32);
    if (view === null) return -Errno.EFAULT;
    const [a, m] = [newTime(view, 0), newTime(view, 16)];
    // Nothing to do is not even looked at.
    if (a !== null && m !== null && a.time === undefined && m.time === undefined) return 0;
    if (a === null || m === null) return -Errno.EINVAL;
    [atime, mtime] = [a.time, m.time];
  }
  // Without a path it is about the descriptor itself.
  if (name === 0 && int(dirfd!) !== AT_FDCWD) {
    if (int(flags!) !== 0) return -Errno.EINVAL;
    const file = ownFile(t, dirfd!);
    return file === null ? -Errno.EBADF : yield* utimesInode(k, file.inode, atime, mtime);
  }
  if ((int(flags!) & ~(AT_SYMLINK_NOFOLLOW | AT_EMPTY_PATH)) !== 0) return -Errno.EINVAL;
  const inode = yield* inodeAt(t, dirfd!, name!, int(flags!));
  return typeof inode === "number" ? inode : yield* utimesInode(k, inode, atime, mtime);
};

/** What belongs to a file besides its contents: who may do what with it, whose it is, its times. */
export const ATTR: readonly (readonly [number, Syscall])[] = [
  [48, call("faccessat", [...PATH_AT, F.INT], faccessat)],
  [52, call("fchmod", [F.INT, F.OCTAL], fchmod)],
  [53, call("fchmodat", [...PATH_AT, F.OCTAL], fchmodat)],
  [54, call("fchownat", [...PATH_AT, F.INT, F.INT, F.AT_FLAGS], fchownat)],
  [55, call("fchown", [F.INT, F.INT, F.INT], fchown)],
  [88, call("utimensat", [...PATH_AT, F.POINTER, F.AT_FLAGS], utimensat, "times a hundred days from boot are kept to a quarter of a microsecond")],
  [439, call("faccessat2", [...PATH_AT, F.INT, F.ACCESS_FLAGS], faccessat2)],
  [452, call("fchmodat2", [...PATH_AT, F.OCTAL, F.AT_FLAGS], fchmodat2)],
];
