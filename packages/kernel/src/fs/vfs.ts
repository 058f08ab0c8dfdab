import { SWITCH, type MaySleep } from "../kernel/coroutine.js";
import { Errno } from "../kernel/errno.js";
import type { Mutex, RwSem } from "../kernel/locks.js";
import { Op } from "../kernel/op.js";
import type { Kernel } from "../kernel.js";
import type { AddressSpace } from "../mm/address_space.js";
import type { Vma } from "../mm/mm_types.js";
import { releaseFileLocks, type InodeLocks } from "./file_locks.js";
import type { FileOwner } from "./file_owner.js";
import type { FileSystem } from "./namei.js";
import type { DriverFile } from "../drivers/device.js";
import type { HostNode } from "./host_fs.js";
import type { UserBytes } from "./user_bytes.js";

/** Flags of renameat2(2). */
export enum Rename {
  /** -EEXIST where the new name is there already. */
  NOREPLACE = 1,
  /** Both names are there, and change places. */
  EXCHANGE = 2,
}

/** Flags of open(2), as the generic ABI numbers them. */
export enum O {
  RDONLY = 0,
  WRONLY = 1,
  RDWR = 2,
  ACCMODE = 3,
  CREAT = 0o100,
  EXCL = 0o200,
  NOCTTY = 0o400,
  TRUNC = 0o1000,
  APPEND = 0o2000,
  NONBLOCK = 0o4000,
  DSYNC = 0o10000,
  DIRECT = 0o40000,
  LARGEFILE = 0o100000,
  DIRECTORY = 0o200000,
  NOFOLLOW = 0o400000,
  NOATIME = 0o1000000,
  CLOEXEC = 0o2000000,
  PATH = 0o10000000,
  /** __O_TMPFILE together with O_DIRECTORY. */
  TMPFILE = 0o20200000,
}

/** RESOLVE_* of openat2(2): what the resolution of a path must not do. */
export enum Resolve {
  /** Leave the mount that it starts on. */
  NO_XDEV = 1,
  /** Follow what /proc has for links, which lead to files and not to paths. */
  NO_MAGICLINKS = 2,
  NO_SYMLINKS = 4,
  /** Leave the directory that it starts in. */
  BENEATH = 8,
  /** That directory is the root, for as long as it lasts. */
  IN_ROOT = 0x10,
  /** Wait for a disk. */
  CACHED = 0x20,
}

/** In a mode: a program runs as its owner, or by its group; of a directory, that names are their owners' to remove. */
export const S_ISUID = 0o4000;
export const S_ISGID = 0o2000;
export const S_ISVTX = 0o1000;

/** Events of poll(2). */
export enum Poll {
  IN = 1,
  OUT = 4,
  ERR = 8,
  HUP = 0x10,
  NVAL = 0x20,
  RDNORM = 0x40,
  WRNORM = 0x100,
  WRBAND = 0x200,
  RDHUP = 0x2000,
}
/** As most files that can be read, or written, have it. */
export const POLL_READABLE = Poll.IN | Poll.RDNORM;
export const POLL_WRITABLE = Poll.OUT | Poll.WRNORM;

export const SEEK_SET = 0;
export const SEEK_CUR = 1;
export const SEEK_END = 2;
export const SEEK_DATA = 3;
export const SEEK_HOLE = 4;

/** A device number as st_dev and st_rdev carry it. */
export function makedev(major: number, minor: number): number {
  return (minor & 0xff) | ((major & 0xfff) << 8) | ((minor & ~0xff) << 12);
}

export function majorOf(dev: number): number {
  return (dev >>> 8) & 0xfff;
}

export function minorOf(dev: number): number {
  return (dev & 0xff) | ((dev >>> 12) & 0xfff00);
}

/** What files can do whose transfers take more than a buffer: splice(2), and the flags of preadv2(2). */
export interface FileIter {
  /** What splice(2) takes from it: the pages of its page cache as they are, or copies. Without it: EINVAL. */
  readonly from?: "pages" | "copies";
  /** splice(2) puts something into it. Without it: EINVAL. */
  readonly to?: boolean;
  /** RWF_NOWAIT is known. Without it: EOPNOTSUPP. */
  readonly nowait?: boolean;
}

/** What can be done with an open file. Results are byte counts, or negated errnos. */
export interface FileOps {
  /** Reads up to `into.length` bytes at `pos` into a kernel buffer. Without it: EINVAL. */
  read?(k: Kernel, file: OpenFile, into: Uint8Array, pos: number): MaySleep<number>;
  /** Reads past the page cache, into memory of the current address space (O_DIRECT). Without it, O_DIRECT reads as ever. */
  directRead?(k: Kernel, file: OpenFile, addr: number, length: number, pos: number): MaySleep<number>;
  /** Reads up to `into.length` bytes at `pos` into user memory, so that it meets what faults there do in between. Without it: by way of `read`. */
  readUser?(k: Kernel, file: OpenFile, into: UserBytes, pos: number): MaySleep<number>;
  /** Takes back what `read` gave last and could not be delivered: for streams, where it would be lost. */
  unread?(k: Kernel, file: OpenFile, bytes: Uint8Array): void;
  /** Writes from a kernel buffer at `pos`. Without it: EINVAL. */
  write?(k: Kernel, file: OpenFile, from: Uint8Array, pos: number): MaySleep<number>;
  /** Writes from user memory at `pos`, the same way. Without it: by way of `write`. */
  writeUser?(k: Kernel, file: OpenFile, from: UserBytes, pos: number): MaySleep<number>;
  /** `arg` is a user address; `task.mm` is where it points. Without it: ENOTTY. */
  ioctl?(k: Kernel, file: OpenFile, cmd: number, arg: number): MaySleep<number>;
  /** The new position (`file.pos` is the caller's to set); without it, that of a device: 0. */
  llseek?(k: Kernel, file: OpenFile, offset: number, whence: number): MaySleep<number>;
  /** Prepares a new mapping of the file; 0 or a negated errno. Without it: ENODEV. */
  mmap?(k: Kernel, file: OpenFile, vma: Vma): MaySleep<number>;
  /** fallocate(2), checked arguments, the inode's lock held; 0 or a negated errno. Without it: EOPNOTSUPP. */
  fallocate?(k: Kernel, file: OpenFile, mode: number, offset: number, length: number): MaySleep<number>;
  /** A descriptor of it is closed, whether or not it is the last. */
  flush?(k: Kernel, file: OpenFile): MaySleep<void>;
  /** The last reference is gone. */
  release?(k: Kernel, file: OpenFile): MaySleep<void>;
  /**
   * What of `Poll` is so now; what it depends on wakes `Machine.pollWait` when it changes. Without
   * it the file is always ready for what it was opened for.
   */
  poll?(file: OpenFile): number;
  /** Without it there is no splice(2), and none of the flags of preadv2(2) but RWF_HIPRI. */
  readonly iter?: FileIter;
  /** Lines of its own in /proc/PID/fdinfo. */
  showFdinfo?(file: OpenFile): string;
  /** How often what `poll` says may have become so anew: for those who are told once of each change (EPOLLET). */
  changes?(file: OpenFile): number;
  /** Whether it takes O_DIRECT, and does the same all the same. */
  readonly ignoresDirect?: boolean;
  /** True for streams: no position, lseek and positioned transfers answer ESPIPE. */
  readonly stream?: boolean;
  /** Of a stream for which lseek(2) does nothing all the same, and says so with 0. */
  readonly seeks?: boolean;
}

/** An open file description: what file descriptors refer to. */
export class OpenFile {
  pos = 0;
  references = 1;
  /** For the file's owner: a driver's own state, a tmpfs inode, the text of a proc file. */
  data: unknown = null;
  /** Where path resolution found it: what openat() with it as directory starts from. */
  node: PathNode | null = null;
  /** Whether O_DIRECT means something, as opening it has found out: not of a memfd, until it is opened by its path. */
  takesDirect = false;
  /** Opening it has made the file. */
  created = false;
  /** Whom F_SETOWN has named; null for nobody. */
  owner: FileOwner | null = null;
  /** The signal that F_SETSIG has chosen; 0 for SIGIO. */
  ownerSignal = 0;
  /** Serialises those who move `pos`; made when first needed. */
  posLock: Mutex | null = null;

  constructor(
    readonly path: string,
    readonly inode: Inode,
    readonly ops: FileOps,
    /** O_* as given to open(2), status flags included. */
    public flags: number,
  ) {}

  get readable(): boolean {
    return (this.flags & O.ACCMODE) !== O.WRONLY && (this.flags & O.PATH) === 0;
  }

  get writable(): boolean {
    return (this.flags & O.ACCMODE) !== O.RDONLY && (this.flags & O.PATH) === 0;
  }
}

/** lseek of a file with a size, for those that keep one: SEEK_SET, SEEK_CUR and SEEK_END. */
export function seekWithin(file: OpenFile, offset: number, whence: number): number {
  let pos: number;
  if (whence === SEEK_SET) pos = offset;
  else if (whence === SEEK_CUR) pos = file.pos + offset;
  else if (whence === SEEK_END) pos = file.inode.size + offset;
  else return -Errno.EINVAL;
  return pos < 0 ? -Errno.EINVAL : pos;
}

/** What of `Poll` is so of a file now; one that cannot say is always ready, however it was opened. */
export function pollFile(file: OpenFile): number {
  return file.ops.poll?.(file) ?? POLL_READABLE | POLL_WRITABLE;
}

/** Drops a reference, and closes the file with the last one. */
export function* fput(k: Kernel, file: OpenFile): MaySleep<void> {
  if (k.m.point(Op.Inode, file.inode.ino)) yield SWITCH;
  if (--file.references > 0) return;
  if (file.writable && file.inode.writers !== undefined) file.inode.writers--;
  yield* releaseFileLocks(k, file);
  if (file.ops.release !== undefined) yield* file.ops.release(k, file);
}

export type InodeKind = "file" | "directory" | "char" | "symlink" | "pipe" | "socket" | "anon";

export interface DirEntry {
  readonly name: string;
  readonly ino: number;
  readonly kind: InodeKind;
}

/**
 * A file of some file system, and what can be done with it without opening it. Names are byte
 * strings (a character is a byte). Absent methods answer what Linux answers where a file system
 * lacks the operation.
 */
export interface Inode {
  /** Unique within its file system. */
  readonly ino: number;
  readonly kind: InodeKind;
  /** Permission bits, e.g. 0o644. */
  mode: number;
  /** Device number for character devices. */
  readonly rdev: number;
  size: number;
  /** Whose it is; root's unless given. */
  uid?: number;
  gid?: number;
  /** The file system's device number; 0 for what has none. */
  readonly dev?: number;
  /** What statfs(2) calls its file system, where no mount has it and it is not told by its kind. */
  readonly fsMagic?: number;
  /** 1 unless given. */
  nlink?: number;
  /** In 512-byte units, for what occupies memory. */
  readonly blocks?: number;
  /** Preferred size of transfers in bytes; 4096 unless given. */
  readonly blksize?: number;
  /** Of a directory: the longest name that it looks up, in bytes; 255 unless given. */
  readonly nameMax?: number;
  /** Its page cache, for files that can be mapped. */
  readonly mapping?: AddressSpace;
  /** F_SEAL_*, of what can be sealed. */
  readonly seals?: number;
  /** i_rwsem: held by whoever writes to the file. */
  readonly lock?: RwSem;
  /** Who has it open for writing; below zero, how many execute it, so that nobody can. Absent where nobody ever can. */
  writers?: number;
  /** Extended attributes by their names, where the file system has any. */
  readonly xattrs?: Map<string, Uint8Array>;
  /** Made for the first lock on it. */
  locks?: InodeLocks;
  /** Of a read-only file system: changes of the file or its names answer EROFS. */
  readonly readOnly?: boolean;
  /** Times in nanoseconds of machine time since boot. */
  atimeNs?: number;
  mtimeNs?: number;
  ctimeNs?: number;
  /** What opening it gives; without them it cannot be opened (ENXIO). */
  readonly ops?: FileOps;
  /** Sets up `file.data`; 0 or a negated errno. */
  open?(k: Kernel, file: OpenFile): MaySleep<number>;
  /** An inode, null where there is none, or a negated errno. */
  lookup?(k: Kernel, name: string): MaySleep<Inode | number | null>;
  /** All names but "." and "..". */
  readdir?(k: Kernel): MaySleep<DirEntry[]>;
  /** Makes a regular file (EEXIST where one came in between). */
  create?(k: Kernel, name: string, mode: number): MaySleep<Inode | number>;
  /** Makes a regular file without a name. */
  tmpfile?(k: Kernel, mode: number, linkable: boolean): MaySleep<Inode | number>;
  mkdir?(k: Kernel, name: string, mode: number): MaySleep<number>;
  /** Makes a FIFO, or the name of a socket. */
  mknod?(k: Kernel, name: string, kind: "pipe" | "socket", mode: number): MaySleep<number>;
  symlink?(k: Kernel, name: string, target: string): MaySleep<number>;
  unlink?(k: Kernel, name: string): MaySleep<number>;
  rmdir?(k: Kernel, name: string): MaySleep<number>;
  rename?(k: Kernel, name: string, to: Inode, toName: string, exchange: boolean): MaySleep<number>;
  link?(k: Kernel, name: string, inode: Inode): MaySleep<number>;
  /** Where a symbolic link leads. */
  readlink?(k: Kernel): MaySleep<string | number>;
  /** For links that lead to a file rather than to a path, as those of /proc/PID/fd do. */
  follow?(k: Kernel): MaySleep<PathNode | number>;
  /** Of a symbolic link: it leads to a file, and its text is only what that is called. So does one that has `follow`. */
  readonly isMagic?: true;
  truncate?(k: Kernel, size: number): MaySleep<number>;
  /** A negated errno refuses these O_* flags of open(2), whoever asks. */
  permission?(flags: number): number;
}

/** A place in the tree as path resolution reached it. */
export interface PathNode {
  readonly name: string;
  readonly inode: Inode;
  /** null for the root. */
  readonly parent: PathNode | null;
}

/** Where a file was found; of one that no directory has, what it is. */
export function nodeOf(file: OpenFile): PathNode {
  return file.node ?? { name: file.path, inode: file.inode, parent: null };
}

/** The absolute path of a place; one that has lost its name says so as Linux does. */
export function pathOf(node: PathNode): string {
  // What no directory has is called as it calls itself; the root has no name.
  if (node.parent === null && node.name !== "") return node.name;
  let path = "";
  for (let n: PathNode = node; n.parent !== null; n = n.parent) path = `/${n.name}${path}`;
  if (path === "") return "/";
  return node.inode.nlink === 0 ? `${path} (deleted)` : path;
}

/** What the stat family reports; times in nanoseconds of machine time since boot. */
export interface Stat {
  readonly dev: number;
  readonly ino: number;
  /** S_IFMT bits included. */
  readonly mode: number;
  readonly nlink: number;
  readonly uid: number;
  readonly gid: number;
  readonly rdev: number;
  readonly size: number;
  readonly blksize: number;
  readonly blocks: number;
  readonly atimeNs: number;
  readonly mtimeNs: number;
  readonly ctimeNs: number;
}

export interface StatFs {
  /** The magic number, e.g. TMPFS_MAGIC. */
  readonly type: number;
  readonly bsize: number;
  /** Blocks of `bsize` bytes. */
  readonly blocks: number;
  readonly bfree: number;
  readonly files: number;
  readonly ffree: number;
  readonly dev: number;
}

/** What uname(2) and /proc/version say. */
export interface UtsName {
  readonly sysname: string;
  readonly nodename: string;
  readonly release: string;
  readonly version: string;
  readonly machine: string;
}

/** A process's file descriptors. */
export class FileTable {
  /** Processes that have this table. */
  users = 1;
  private readonly files: ({ file: OpenFile; cloexec: boolean } | undefined)[];

  /** The same files at the same descriptors, where there is another table to copy. */
  constructor(other: FileTable | null = null) {
    this.files = (other?.files ?? []).map((entry) => entry && { ...entry });
    for (const entry of this.files) if (entry !== undefined) entry.file.references++;
  }

  /** The table itself, for one process more. */
  share(): FileTable {
    this.users++;
    return this;
  }

  get(fd: number): OpenFile | null {
    return this.files[fd]?.file ?? null;
  }

  /** Puts a file at the lowest free descriptor from `from` on; -1 when `limit` is reached. */
  install(file: OpenFile, cloexec = false, from = 0, limit = 1024): number {
    for (let fd = from; fd < limit; fd++) {
      if (this.files[fd] === undefined) {
        this.files[fd] = { file, cloexec };
        return fd;
      }
    }
    return -1;
  }

  set(fd: number, file: OpenFile, cloexec: boolean): void {
    this.files[fd] = { file, cloexec };
  }

  isCloexec(fd: number): boolean {
    return this.files[fd]?.cloexec ?? false;
  }

  setCloexec(fd: number, cloexec: boolean): void {
    const entry = this.files[fd];
    if (entry !== undefined) entry.cloexec = cloexec;
  }

  /** Takes a descriptor out; the caller drops the file's reference. */
  remove(fd: number): OpenFile | null {
    const file = this.files[fd]?.file ?? null;
    this.files[fd] = undefined;
    return file;
  }

  *entries(): Generator<[number, OpenFile], void, void> {
    for (let fd = 0; fd < this.files.length; fd++) {
      const entry = this.files[fd];
      if (entry !== undefined) yield [fd, entry.file];
    }
  }

  /** Descriptors that the table has room for, as FDSize in /proc/PID/status: 64, doubled as needed. */
  get capacity(): number {
    let n = 64;
    while (n < this.files.length) n *= 2;
    return n;
  }
}

/** A character device as a driver registers it: what open(2) of its node does. */
export interface CharDevice {
  readonly name: string;
  /** As `makedev` makes it. */
  readonly rdev: number;
  /** Permission bits of the node; 0o600 unless given. */
  readonly mode?: number;
  readonly ops: FileOps;
  /** Sets up `file.data`; 0 or a negated errno. */
  open?(k: Kernel, file: OpenFile): MaySleep<number>;
}

/**
 * The mount tree of a machine: what the system calls and the operator's lines go through. Paths
 * are byte strings; relative ones start at `base` if given (dirfd), else at the current process's
 * working directory. Errors are negated errnos.
 */
export interface Vfs {
  readonly uts: UtsName;
  /**
   * Before anything runs: shares a directory or a single file of the host, read-only, making what is
   * missing of the path. Null where that cannot be: in /proc, say, or below a file. `readAheadPages`
   * is how many pages a fault reads that finds none; 32 unless given.
   */
  mountHost(path: string, source: string, root: HostNode, readAheadPages?: number): PathNode | null;
  /** Covers a directory with a new file system; `dev` is the device number that it is to have. */
  mountAt(k: Kernel, path: string, make: (dev: number) => FileSystem, base?: OpenFile | null): MaySleep<number>;
  /** The device number for a file system that is not mounted yet. */
  allocateDev(): number;
  /** Uncovers it: -EINVAL for what is not mounted, -EBUSY for files in use unless `detach`. */
  umount(k: Kernel, path: string, detach: boolean): MaySleep<number>;
  /** Adds /dev/NAME. */
  registerDevice(device: CharDevice): void;
  /** Adds files of a driver's in /sys/kernel/debug/NAME. */
  registerDebugfs(name: string, files: Readonly<Record<string, DriverFile>>): void;
  /** Opens a path for the current task; the reference is the caller's. */
  /** `resolve`: bits of `Resolve`. */
  open(k: Kernel, path: string, flags: number, mode: number, base?: OpenFile | null, resolve?: number): MaySleep<OpenFile | number>;
  /**
   * Opens a program to execute it; an empty path stands for `base` itself. -EACCES for what is no
   * regular file or may not be executed, -ETXTBSY where somebody has it open for writing. Until
   * `k.exec.releaseExec` nobody can open it for that.
   */
  openExec(k: Kernel, path: string, base: OpenFile | null, follow: boolean): MaySleep<OpenFile | number>;
  /** Takes one more reference, as dup(2) does. */
  get(file: OpenFile): OpenFile;
  /** Drops a reference, and closes the file with the last one. */
  put(k: Kernel, file: OpenFile): MaySleep<void>;
  /** Reads at the file's position and moves it; with `pos`, there and without moving (pread). */
  read(k: Kernel, file: OpenFile, into: Uint8Array | UserBytes, pos?: number): MaySleep<number>;
  /** `append`: behind what is there, as O_APPEND says unless given. */
  write(k: Kernel, file: OpenFile, from: Uint8Array | UserBytes, pos?: number, append?: boolean): MaySleep<number>;
  lseek(k: Kernel, file: OpenFile, offset: number, whence: number): MaySleep<number>;
  ioctl(k: Kernel, file: OpenFile, cmd: number, arg: number): MaySleep<number>;
  stat(k: Kernel, path: string, follow: boolean, base?: OpenFile | null): MaySleep<Stat | number>;
  fstat(k: Kernel, file: OpenFile): MaySleep<Stat>;
  statfs(k: Kernel, path: string): MaySleep<StatFs | number>;
  fstatfs(k: Kernel, file: OpenFile): MaySleep<StatFs>;
  /** linux_dirent64 records of at most `max` bytes; empty at the end; EINVAL when none fits. */
  getdents64(k: Kernel, file: OpenFile, max: number): MaySleep<Uint8Array | number>;
  readlink(k: Kernel, path: string, base?: OpenFile | null): MaySleep<string | number>;
  /** `mode` is of access(2): R_OK 4, W_OK 2, X_OK 1. By the ids for files; access(2) itself is run `byRealIds`. */
  access(k: Kernel, path: string, mode: number, base?: OpenFile | null, follow?: boolean): MaySleep<number>;
  accessInode(k: Kernel, inode: Inode, mode: number): MaySleep<number>;
  mkdir(k: Kernel, path: string, mode: number, base?: OpenFile | null): MaySleep<number>;
  /** mknod(2), whose mode says what is made; no devices. */
  mknod(k: Kernel, path: string, mode: number, base?: OpenFile | null): MaySleep<number>;
  rmdir(k: Kernel, path: string, base?: OpenFile | null): MaySleep<number>;
  unlink(k: Kernel, path: string, base?: OpenFile | null): MaySleep<number>;
  symlink(k: Kernel, target: string, path: string, base?: OpenFile | null): MaySleep<number>;
  link(k: Kernel, source: Inode, to: string, toBase?: OpenFile | null): MaySleep<number>;
  /** `flags`: of `Rename`. */
  rename(k: Kernel, from: string, to: string, fromBase?: OpenFile | null, toBase?: OpenFile | null, flags?: number): MaySleep<number>;
  truncate(k: Kernel, path: string, size: number): MaySleep<number>;
  ftruncate(k: Kernel, file: OpenFile, size: number): MaySleep<number>;
  /** fallocate(2), for whoever calls with a mode of `FallocFl`. */
  fallocate(k: Kernel, file: OpenFile, mode: number, offset: number, length: number): MaySleep<number>;
  /** Whether a file is on a mount on which programs run as nobody but who executes them. */
  isNosuid(inode: Inode): boolean;
  /** An existing file by its path, for what is done to the file itself. */
  lookup(k: Kernel, path: string, follow: boolean, base?: OpenFile | null): MaySleep<Inode | number>;
  /** Both set the current process's working directory. */
  chdir(k: Kernel, path: string): MaySleep<number>;
  fchdir(k: Kernel, file: OpenFile): MaySleep<number>;
}
