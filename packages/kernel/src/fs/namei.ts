import { Errno } from "../kernel/errno.js";
import { capable, Cap } from "../kernel/capability.js";
import { SWITCH, type MaySleep } from "../kernel/coroutine.js";
import { Mutex } from "../kernel/locks.js";
import { Op } from "../kernel/op.js";
import type { DriverFile } from "../drivers/device.js";
import type { Kernel } from "../kernel.js";
import { withoutPrivileges } from "./attr.js";
import { vfsFallocate } from "./fallocate.js";
import { HugetlbInode } from "./hugetlbfs.js";
import { HostFs, HostInode, type HostNode } from "./host_fs.js";
import { inodePermission, May, mayCreate, mayDelete, ownsInode } from "./permission.js";
import { PseudoDir } from "./pseudo.js";
import { RamDirectory } from "./ram_directory.js";
import { TmpfsDirectory, TMPFS_MAGIC } from "./tmpfs.js";
import { UserBytes } from "./user_bytes.js";
import {
  O,
  OpenFile,
  Resolve,
  fput,
  S_ISGID,
  S_ISUID,
  SEEK_CUR,
  SEEK_SET,
  nodeOf,
  pathOf,
  type CharDevice,
  type DirEntry,
  type FileOps,
  type Inode,
  type InodeKind,
  type PathNode,
  type Stat,
  type StatFs,
  type UtsName,
  type Vfs,
  Rename,
} from "./vfs.js";

/** The device numbers of file systems without a device: 0:20 and up, one for each that is mounted. */
export const FIRST_ANON_DEV = 20;
/** Longest name of one component where the file system says no other, and longest path, in bytes; the path's NUL counts. */
const NAME_MAX = 255;
const PATH_MAX = 4096;
/** Symbolic links that one resolution follows. */
const MAX_LINKS = 40;
/** No call moves more bytes than this: the largest int, less a page. */
export const MAX_RW_COUNT = 0x7ffff000;

const S_IFMT_OF: Record<InodeKind, number> = {
  pipe: 0o010000,
  char: 0o020000,
  directory: 0o040000,
  file: 0o100000,
  symlink: 0o120000,
  socket: 0o140000,
  // What eventfd(2) and its like make has no type.
  anon: 0,
};

const S_IFMT = 0o170000;
/** What mknod(2) makes for a type; none is a file. */
const KINDS_OF_MKNOD: ReadonlyMap<number, "file" | "pipe" | "socket" | "device"> = new Map([
  [0, "file"], [0o100000, "file"], [0o010000, "pipe"], [0o140000, "socket"], [0o020000, "device"], [0o060000, "device"],
]);

/** The file systems of what no mount has, but for files in memory. */
const PIPEFS_MAGIC = 0x50495045;
const SOCKFS_MAGIC = 0x534f434b;
const ANON_INODE_FS_MAGIC = 0x09041934;

const DT_OF: Record<InodeKind, number> = { pipe: 1, char: 2, directory: 4, file: 8, symlink: 10, socket: 12, anon: 0 };

/** What is mounted somewhere, and what /proc/mounts says of it. */
export interface FileSystem {
  readonly type: string;
  readonly source: string;
  /** Of the mount: "rw" and the rest, with commas. */
  readonly options: string;
  /** Of the file system itself, beyond "rw"; or "". */
  readonly superOptions: string;
  readonly root: Inode;
  readonly dev: number;
  statfs(k: Kernel): StatFs;
  /** Whether files of it are open, or mapped. */
  isBusy?(): boolean;
  /** Nobody comes to it by a path any more. */
  umounted?(k: Kernel): MaySleep<void>;
}

export interface Mount {
  readonly path: string;
  readonly fs: FileSystem;
}

/** Where a walk ended. */
interface Walk {
  readonly parent: PathNode;
  readonly name: string;
  /** null where the last component does not exist. */
  readonly node: PathNode | null;
  /** What the last component is: only a "norm" one can be made or removed. */
  readonly last: "norm" | "dot" | "dotdot" | "root";
  /** The path ended with a slash. */
  readonly mustBeDirectory: boolean;
}

interface DirectoryCursor {
  readonly entries: readonly DirEntry[];
}

/** Directories have no data of their own to read; getdents64 goes through `MountTree`. */
const DIRECTORY_OPS: FileOps = {
  *llseek(k, file, offset, whence) {
    if (k.m.point(Op.Inode, file.inode.ino)) yield SWITCH;
    if (whence !== SEEK_SET && whence !== SEEK_CUR) return -Errno.EINVAL;
    const pos = whence === SEEK_CUR ? file.pos + offset : offset;
    return pos < 0 ? -Errno.EINVAL : pos;
  },
};

const PATH_ONLY_OPS: FileOps = {};

/** The tree of mounts with the root file system at its top, and all that goes by path. */
export class MountTree implements Vfs {
  readonly mounts: Mount[] = [];
  private readonly covered = new Map<Inode, FileSystem>();
  /** Device numbers of what is mounted later: behind all that comes at boot. */
  private nextDev = FIRST_ANON_DEV + 100;
  private readonly root: PathNode;

  constructor(
    rootFs: FileSystem,
    readonly uts: UtsName,
    /** Where drivers add what they have. */
    private readonly drivers: Pick<Vfs, "registerDevice" | "registerDebugfs">,
  ) {
    this.root = { name: "", inode: rootFs.root, parent: null };
    this.mounts.push({ path: "/", fs: rootFs });
  }

  /** Covers a directory, at boot. */
  mount(path: string, over: Inode, fs: FileSystem): void {
    this.covered.set(over, fs);
    this.mounts.push({ path, fs });
  }

  allocateDev(): number {
    return this.nextDev++;
  }

  *mountAt(k: Kernel, path: string, make: (dev: number) => FileSystem, base: OpenFile | null = null): MaySleep<number> {
    const found = yield* this.walk(k, path, true, base);
    if (typeof found === "number") return found;
    if (found.node === null) return -Errno.ENOENT;
    if (found.node.inode.kind !== "directory") return -Errno.ENOTDIR;
    if (k.m.point(Op.Inode, found.node.inode.ino)) yield SWITCH;
    this.mount(pathOf(found.node), found.node.inode, make(this.nextDev++));
    return 0;
  }

  *umount(k: Kernel, path: string, detach: boolean): MaySleep<number> {
    const found = yield* this.walk(k, path, true, null);
    if (typeof found === "number") return found;
    if (found.node === null) return -Errno.ENOENT;
    const { inode } = found.node;
    if (k.m.point(Op.Inode, inode.ino)) yield SWITCH;
    const i = this.mounts.findLastIndex(({ fs }) => fs.root === inode);
    const over = [...this.covered].find(([, fs]) => fs.root === inode);
    if (i < 0 || over === undefined) return -Errno.EINVAL;
    const { fs } = this.mounts[i]!;
    if (!detach && fs.isBusy?.() === true) return -Errno.EBUSY;
    this.mounts.splice(i, 1);
    this.covered.delete(over[0]);
    if (fs.umounted !== undefined) yield* fs.umounted(k);
    return 0;
  }

  mountHost(path: string, source: string, root: HostNode, readAheadPages?: number): PathNode | null {
    const names = components(path);
    let at: PathNode | null = names.length === 0 ? null : this.root;
    while (at !== null && names.length > 0) {
      const name = names.pop()!;
      const kind = names.length > 0 ? "directory" : root.kind;
      const inode: Inode | null = this.childAtBoot(at.inode, name, kind === "directory" ? "directory" : "file");
      if (inode === null) return null;
      const node: PathNode = { name, inode: this.covered.get(inode)?.root ?? inode, parent: at };
      if (names.length > 0) {
        at = node.inode.kind === "directory" ? node : null;
        continue;
      }
      // A program may lie in what is shared already.
      if (kind === "file" && node.inode instanceof HostInode) return node;
      if (node.inode.kind !== kind) return null;
      const fs = new HostFs(source, FIRST_ANON_DEV + this.mounts.length, root, readAheadPages);
      this.mount(pathOf(node), inode, fs);
      return { ...node, inode: fs.root };
    }
    return null;
  }

  /** What a directory has of a name, made where it is a tmpfs's; null where there is nothing and nothing can be. */
  private childAtBoot(dir: Inode, name: string, kind: "file" | "directory"): Inode | null {
    if (dir instanceof PseudoDir) return dir.children.get(name) ?? null;
    if (dir instanceof HostInode) return dir.child(name);
    return dir instanceof TmpfsDirectory ? (dir.names.get(name) ?? dir.makeAtBoot(name, kind)) : null;
  }

  registerDevice(device: CharDevice): void {
    this.drivers.registerDevice(device);
  }

  registerDebugfs(name: string, files: Readonly<Record<string, DriverFile>>): void {
    this.drivers.registerDebugfs(name, files);
  }

  private *start(k: Kernel, path: string, base: OpenFile | null): MaySleep<PathNode | number> {
    if (path.startsWith("/")) return this.root;
    if (base !== null) {
      if (base.node === null || base.inode.kind !== "directory") return -Errno.ENOTDIR;
      return base.node;
    }
    const cwd = k.m.current!.process?.fs.cwd ?? "/";
    if (cwd === "/") return this.root;
    const walk = yield* this.walk(k, cwd, true, null);
    if (typeof walk === "number") return walk;
    return walk.node ?? -Errno.ENOENT;
  }

  /** Resolves a path; the last component need not exist, all before it must. */
  private *walk(k: Kernel, path: string, follow: boolean, base: OpenFile | null, resolve = 0): MaySleep<Walk | number> {
    if (path === "") return -Errno.ENOENT;
    if (path.length >= PATH_MAX) return -Errno.ENAMETOOLONG;
    const scoped = (resolve & (Resolve.BENEATH | Resolve.IN_ROOT)) !== 0;
    if (path.startsWith("/") && (resolve & Resolve.BENEATH) !== 0) return -Errno.EXDEV;
    const from = yield* this.start(k, scoped ? "." : path, base);
    if (typeof from === "number") return from;
    const root = scoped ? from : this.root;
    let at = from;
    let mustBeDirectory = path.endsWith("/");
    let links = 0;
    let last: Walk["last"] = "root";
    const todo = components(path);
    while (todo.length > 0) {
      const name = todo.pop()!;
      const isLast = todo.length === 0;
      if (at.inode.kind !== "directory") return -Errno.ENOTDIR;
      const refused = inodePermission(k, at.inode, May.EXEC);
      if (refused < 0) return refused;
      if (name === ".") {
        last = "dot";
        continue;
      }
      if (name === "..") {
        last = "dotdot";
        if (scoped && at.inode === root.inode) {
          if ((resolve & Resolve.BENEATH) !== 0) return -Errno.EXDEV;
          continue;
        }
        if ((resolve & Resolve.NO_XDEV) !== 0 && at.parent !== null && this.isMountRoot(at.inode)) return -Errno.EXDEV;
        at = at.parent ?? at;
        continue;
      }
      last = "norm";
      if (name.length > (at.inode.nameMax ?? NAME_MAX)) return -Errno.ENAMETOOLONG;
      const inode = yield* this.lookupName(k, at, name);
      if (typeof inode === "number") return inode;
      if (inode === null) {
        if (!isLast) return -Errno.ENOENT;
        return { parent: at, name, node: null, last, mustBeDirectory };
      }
      if ((resolve & Resolve.NO_XDEV) !== 0 && this.isMountRoot(inode)) return -Errno.EXDEV;
      if (inode.kind === "symlink" && (!isLast || follow || mustBeDirectory)) {
        if (++links > MAX_LINKS || (resolve & Resolve.NO_SYMLINKS) !== 0) return -Errno.ELOOP;
        if (inode.follow !== undefined || inode.isMagic === true) {
          if ((resolve & Resolve.NO_MAGICLINKS) !== 0) return -Errno.ELOOP;
          if (scoped) return -Errno.EXDEV;
        }
        if (inode.follow !== undefined) {
          const node = yield* inode.follow(k);
          if (typeof node === "number") return node;
          if ((resolve & Resolve.NO_XDEV) !== 0 && node.inode.dev !== at.inode.dev) return -Errno.EXDEV;
          at = node;
          continue;
        }
        const target = inode.readlink === undefined ? -Errno.EINVAL : yield* inode.readlink(k);
        if (typeof target === "number") return target;
        if (target === "") return -Errno.ENOENT;
        if (target.startsWith("/")) {
          if ((resolve & Resolve.BENEATH) !== 0 || ((resolve & Resolve.NO_XDEV) !== 0 && at.inode.dev !== root.inode.dev)) return -Errno.EXDEV;
          at = root;
          last = "root";
        }
        if (isLast && target.endsWith("/")) mustBeDirectory = true;
        todo.push(...components(target));
        continue;
      }
      at = { name, inode, parent: at };
    }
    if (mustBeDirectory && at.inode.kind !== "directory") return -Errno.ENOTDIR;
    return { parent: at.parent ?? at, name: at.name, node: at, last, mustBeDirectory };
  }

  private *lookupName(k: Kernel, dir: PathNode, name: string): MaySleep<Inode | number | null> {
    if (dir.inode.lookup === undefined) return -Errno.ENOENT;
    const found = yield* dir.inode.lookup(k, name);
    if (found === null || typeof found === "number") return found;
    return this.covered.get(found)?.root ?? found;
  }

  /** An existing file, by path. */
  private *resolve(k: Kernel, path: string, follow: boolean, base: OpenFile | null, resolve = 0): MaySleep<PathNode | number> {
    const walk = yield* this.walk(k, path, follow, base, resolve);
    if (typeof walk === "number") return walk;
    return walk.node ?? -Errno.ENOENT;
  }

  *open(
    k: Kernel,
    path: string,
    flags: number,
    mode: number,
    base: OpenFile | null = null,
    resolve = 0,
  ): MaySleep<OpenFile | number> {
    const { m } = k;
    if ((flags & O.ACCMODE) === O.ACCMODE && (flags & O.PATH) === 0) return -Errno.EINVAL;
    const creates = (flags & O.CREAT) !== 0 && (flags & O.PATH) === 0;
    if (creates && (flags & O.DIRECTORY) !== 0) return -Errno.EINVAL;
    const permissions = mode & ~(m.current!.process?.fs.umask ?? 0) & 0o7777;
    if ((flags & O.TMPFILE) === O.TMPFILE && (flags & O.PATH) === 0) {
      return yield* this.openTmpfile(k, path, flags, permissions, base, resolve);
    }
    const exclusive = creates && (flags & O.EXCL) !== 0;
    const follow = (flags & O.NOFOLLOW) === 0 && !exclusive;
    for (;;) {
      const walk = yield* this.walk(k, path, follow, base, resolve);
      if (typeof walk === "number") return walk;
      if (walk.node !== null) {
        if (exclusive) return -Errno.EEXIST;
        if (creates && walk.node.inode.kind === "directory") return -Errno.EISDIR;
        return yield* this.openNode(k, walk.node, flags, false);
      }
      if (!creates) return -Errno.ENOENT;
      if (walk.mustBeDirectory) return -Errno.EISDIR;
      const dir = walk.parent.inode;
      if (dir.readOnly === true) return -Errno.EROFS;
      const refused = mayCreate(k, dir);
      if (refused < 0) return refused;
      if (dir.create === undefined) return -Errno.EACCES;
      const inode = yield* dir.create(k, walk.name, permissions);
      // Somebody else made it between the walk and the creation: it is simply there now.
      if (inode === -Errno.EEXIST && !exclusive) continue;
      if (typeof inode === "number") return inode;
      return yield* this.openNode(k, { name: walk.name, inode, parent: walk.parent }, flags, true);
    }
  }

  *openExec(k: Kernel, path: string, base: OpenFile | null, follow: boolean): MaySleep<OpenFile | number> {
    // What no directory has, as a memfd, is executed all the same.
    const node = path === "" && base !== null ? nodeOf(base) : yield* this.resolve(k, path, follow, base);
    if (typeof node === "number") return node;
    const { inode } = node;
    if (inode.kind === "symlink") return -Errno.ELOOP;
    if (inode.kind !== "file" || (inode.mode & 0o111) === 0) return -Errno.EACCES;
    const refused = inodePermission(k, inode, May.EXEC);
    if (refused < 0) return refused;
    // Who may execute it need not be allowed to read it.
    const file = yield* this.openNode(k, node, O.RDONLY, true);
    if (typeof file === "number" || inode.writers === undefined) return file;
    if (k.m.point(Op.Inode, inode.ino)) yield SWITCH;
    if (inode.writers <= 0) {
      inode.writers--;
      return file;
    }
    yield* this.put(k, file);
    return -Errno.ETXTBSY;
  }

  private *openTmpfile(
    k: Kernel,
    path: string,
    flags: number,
    permissions: number,
    base: OpenFile | null,
    resolve: number,
  ): MaySleep<OpenFile | number> {
    if ((flags & O.ACCMODE) === O.RDONLY) return -Errno.EINVAL;
    const dir = yield* this.resolve(k, path, true, base, resolve);
    if (typeof dir === "number") return dir;
    if (dir.inode.kind !== "directory") return -Errno.ENOTDIR;
    if (dir.inode.readOnly === true) return -Errno.EROFS;
    const refused = mayCreate(k, dir.inode);
    if (refused < 0) return refused;
    if (dir.inode.tmpfile === undefined) return -Errno.EOPNOTSUPP;
    const inode = yield* dir.inode.tmpfile(k, permissions, (flags & O.EXCL) === 0);
    if (typeof inode === "number") return inode;
    return yield* this.openNode(k, { name: `#${inode.ino}`, inode, parent: dir }, flags & ~O.DIRECTORY, true);
  }

  private *openNode(k: Kernel, node: PathNode, flags: number, created: boolean): MaySleep<OpenFile | number> {
    const { inode } = node;
    const writes = (flags & O.ACCMODE) !== O.RDONLY;
    if ((flags & O.DIRECTORY) !== 0 && inode.kind !== "directory") return -Errno.ENOTDIR;
    // What open(2) had to say once is not part of the file's status.
    const status = flags & ~(O.CREAT | O.EXCL | O.NOCTTY | O.TRUNC | O.CLOEXEC);
    const path = pathOf(node);
    if ((flags & O.PATH) !== 0) {
      const file = new OpenFile(path, inode, PATH_ONLY_OPS, status);
      file.node = node;
      return file;
    }
    if (inode.kind === "symlink") return -Errno.ELOOP;
    if (inode.kind === "directory" && (writes || (flags & O.TRUNC) !== 0)) return -Errno.EISDIR;
    const refused = inode.permission?.(flags) ?? 0;
    if (refused < 0) return refused;
    const truncates = (flags & O.TRUNC) !== 0 && inode.kind === "file";
    if ((writes || truncates) && inode.readOnly === true) return -Errno.EROFS;
    if (!created) {
      const wanted = (writes || (flags & O.TRUNC) !== 0 ? May.WRITE : 0) | ((flags & O.ACCMODE) !== O.WRONLY ? May.READ : 0);
      const forbidden = inodePermission(k, inode, wanted);
      if (forbidden < 0) return forbidden;
    }
    if ((flags & O.NOATIME) !== 0 && !ownsInode(k, inode)) return -Errno.EPERM;
    if ((writes || truncates) && (inode.writers ?? 0) < 0) return -Errno.ETXTBSY;
    const ops = inode.kind === "directory" ? DIRECTORY_OPS : inode.ops;
    if (ops === undefined) return -Errno.ENXIO;
    const takesDirect = ops.directRead !== undefined || ops.ignoresDirect === true;
    if ((flags & O.DIRECT) !== 0 && !takesDirect) return -Errno.EINVAL;
    const file = new OpenFile(path, inode, ops, status | O.LARGEFILE);
    file.node = node;
    file.takesDirect = takesDirect;
    if (inode.open !== undefined) {
      const error = yield* inode.open(k, file);
      if (error < 0) return error;
    }
    file.created = created;
    if (writes && inode.writers !== undefined) inode.writers++;
    if (truncates && !created && inode.truncate !== undefined) {
      const error = yield* inode.truncate(k, 0);
      if (error < 0) {
        yield* this.put(k, file);
        return error;
      }
    }
    return file;
  }

  get(file: OpenFile): OpenFile {
    file.references++;
    return file;
  }

  *put(k: Kernel, file: OpenFile): MaySleep<void> {
    yield* fput(k, file);
  }

  private *lockPos(k: Kernel, file: OpenFile): MaySleep<void> {
    const lock = (file.posLock ??= new Mutex(k.m.locks, "f_pos"));
    if (!lock.tryLock()) yield* lock.lock();
  }

  private *unlockPos(file: OpenFile): MaySleep<void> {
    const lock = file.posLock!;
    if (!lock.tryUnlock()) yield* lock.unlock();
  }

  *read(k: Kernel, file: OpenFile, into: Uint8Array | UserBytes, pos?: number): MaySleep<number> {
    if (!file.readable) return -Errno.EBADF;
    if (file.inode.kind === "directory") return -Errno.EISDIR;
    // Of the kinds of memory, each goes to the one that takes it.
    const read = (into instanceof UserBytes ? file.ops.readUser : file.ops.read) as typeof file.ops.read;
    if (file.ops.stream === true && pos !== undefined) return -Errno.ESPIPE;
    if (read === undefined) return -Errno.EINVAL;
    const buffer = (into.length > MAX_RW_COUNT ? into.subarray(0, MAX_RW_COUNT) : into) as Uint8Array;
    if (file.ops.stream === true) return yield* read(k, file, buffer, 0);
    if (pos !== undefined) return pos < 0 ? -Errno.EINVAL : yield* read(k, file, buffer, pos);
    yield* this.lockPos(k, file);
    const n = yield* read(k, file, buffer, file.pos);
    if (n > 0) file.pos += n;
    yield* this.unlockPos(file);
    return n;
  }

  *write(k: Kernel, file: OpenFile, from: Uint8Array | UserBytes, pos?: number, append = (file.flags & O.APPEND) !== 0): MaySleep<number> {
    if (!file.writable) return -Errno.EBADF;
    const write = (from instanceof UserBytes ? file.ops.writeUser : file.ops.write) as typeof file.ops.write;
    if (file.ops.stream === true && pos !== undefined) return -Errno.ESPIPE;
    if (write === undefined) return -Errno.EINVAL;
    const bytes = (from.length > MAX_RW_COUNT ? from.subarray(0, MAX_RW_COUNT) : from) as Uint8Array;
    if (file.ops.stream === true) return yield* write(k, file, bytes, 0);
    if (pos !== undefined && pos < 0) return -Errno.EINVAL;
    if (pos === undefined) yield* this.lockPos(k, file);
    const { lock } = file.inode;
    if (lock !== undefined && !lock.tryWrite()) yield* lock.write();
    const { inode } = file;
    if ((inode.mode & (S_ISUID | S_ISGID)) !== 0 && inode.kind === "file" && !capable(k, Cap.FSETID)) inode.mode = withoutPrivileges(inode.mode);
    const appends = append && file.inode.kind === "file";
    const at = appends ? file.inode.size : (pos ?? file.pos);
    const n = yield* write(k, file, bytes, at);
    if (lock !== undefined && !lock.tryUnlock()) yield* lock.unlock();
    if (pos === undefined) {
      if (n > 0) file.pos = at + n;
      yield* this.unlockPos(file);
    }
    return n;
  }

  *lseek(k: Kernel, file: OpenFile, offset: number, whence: number): MaySleep<number> {
    if ((file.flags & O.PATH) !== 0) return -Errno.EBADF;
    if (file.ops.stream === true) return file.ops.seeks === true ? 0 : -Errno.ESPIPE;
    yield* this.lockPos(k, file);
    const { llseek } = file.ops;
    const pos = llseek === undefined ? 0 : yield* llseek(k, file, offset, whence);
    if (pos >= 0) file.pos = pos;
    yield* this.unlockPos(file);
    return pos;
  }

  *ioctl(k: Kernel, file: OpenFile, cmd: number, arg: number): MaySleep<number> {
    if ((file.flags & O.PATH) !== 0) return -Errno.EBADF;
    const { ioctl } = file.ops;
    return ioctl === undefined ? -Errno.ENOTTY : yield* ioctl(k, file, cmd, arg);
  }

  *stat(k: Kernel, path: string, follow: boolean, base: OpenFile | null = null): MaySleep<Stat | number> {
    const node = yield* this.resolve(k, path, follow, base);
    return typeof node === "number" ? node : yield* this.attributes(k, node.inode);
  }

  *fstat(k: Kernel, file: OpenFile): MaySleep<Stat> {
    return yield* this.attributes(k, file.inode);
  }

  private *attributes(k: Kernel, inode: Inode): MaySleep<Stat> {
    if (k.m.point(Op.Inode, inode.ino)) yield SWITCH;
    return {
      dev: inode.dev ?? 0,
      ino: inode.ino,
      mode: S_IFMT_OF[inode.kind] | inode.mode,
      nlink: inode.nlink ?? 1,
      uid: inode.uid ?? 0,
      gid: inode.gid ?? 0,
      rdev: inode.rdev,
      size: inode.size,
      blksize: inode.blksize ?? 4096,
      blocks: inode.blocks ?? 0,
      atimeNs: inode.atimeNs ?? 0,
      mtimeNs: inode.mtimeNs ?? 0,
      ctimeNs: inode.ctimeNs ?? 0,
    };
  }

  *statfs(k: Kernel, path: string): MaySleep<StatFs | number> {
    const node = yield* this.resolve(k, path, true, null);
    return typeof node === "number" ? node : yield* this.fsStatus(k, node.inode);
  }

  *fstatfs(k: Kernel, file: OpenFile): MaySleep<StatFs> {
    return yield* this.fsStatus(k, file.inode);
  }

  private *fsStatus(k: Kernel, inode: Inode): MaySleep<StatFs> {
    if (k.m.point(Op.Inode, inode.ino)) yield SWITCH;
    const mount = this.mounts.find(({ fs }) => fs.dev === inode.dev);
    if (mount !== undefined) return mount.fs.statfs(k);
    if (inode instanceof HugetlbInode || inode instanceof RamDirectory) return inode.fs.statfs(k);
    const types: Partial<Record<InodeKind, number>> = { file: TMPFS_MAGIC, socket: SOCKFS_MAGIC, anon: ANON_INODE_FS_MAGIC };
    return { type: inode.fsMagic ?? types[inode.kind] ?? PIPEFS_MAGIC, bsize: 4096, blocks: 0, bfree: 0, files: 0, ffree: 0, dev: inode.dev ?? 0 };
  }

  *getdents64(k: Kernel, file: OpenFile, max: number): MaySleep<Uint8Array | number> {
    if ((file.flags & O.PATH) !== 0) return -Errno.EBADF;
    if (file.inode.kind !== "directory") return -Errno.ENOTDIR;
    yield* this.lockPos(k, file);
    const result = yield* this.fillDirents(k, file, max);
    yield* this.unlockPos(file);
    return result;
  }

  private *fillDirents(k: Kernel, file: OpenFile, max: number): MaySleep<Uint8Array | number> {
    const { inode } = file;
    if (inode.nlink === 0) return -Errno.ENOENT;
    // The listing is taken once for each pass, so that removals meanwhile make it skip nothing.
    let cursor = file.data as DirectoryCursor | null;
    if (cursor === null || file.pos === 0) {
      const names = inode.readdir === undefined ? [] : yield* inode.readdir(k);
      const up = file.node?.parent?.inode ?? inode;
      cursor = {
        entries: [
          { name: ".", ino: inode.ino, kind: "directory" },
          { name: "..", ino: up.ino, kind: "directory" },
          ...names,
        ],
      };
      file.data = cursor;
    }
    const records: Uint8Array[] = [];
    let bytes = 0;
    while (file.pos < cursor.entries.length) {
      const record = direntRecord(cursor.entries[file.pos]!, file.pos + 1);
      if (bytes + record.length > max) break;
      records.push(record);
      bytes += record.length;
      file.pos++;
    }
    if (bytes === 0 && file.pos < cursor.entries.length) return -Errno.EINVAL;
    const out = new Uint8Array(bytes);
    let at = 0;
    for (const record of records) {
      out.set(record, at);
      at += record.length;
    }
    return out;
  }

  *readlink(k: Kernel, path: string, base: OpenFile | null = null): MaySleep<string | number> {
    const node = yield* this.resolve(k, path, false, base);
    if (typeof node === "number") return node;
    if (node.inode.readlink === undefined) return -Errno.EINVAL;
    return yield* node.inode.readlink(k);
  }

  *access(k: Kernel, path: string, mode: number, base: OpenFile | null = null, follow = true): MaySleep<number> {
    if ((mode & ~7) !== 0) return -Errno.EINVAL;
    const node = yield* this.resolve(k, path, follow, base);
    return typeof node === "number" ? node : yield* this.accessInode(k, node.inode, mode);
  }

  *accessInode(k: Kernel, inode: Inode, mode: number): MaySleep<number> {
    if (k.m.point(Op.Inode, inode.ino)) yield SWITCH;
    if ((mode & 2) !== 0) {
      const refused = inode.permission?.(O.WRONLY) ?? 0;
      if (refused < 0) return refused;
      if (inode.readOnly === true) return -Errno.EROFS;
    }
    return mode === 0 ? 0 : inodePermission(k, inode, mode);
  }

  /** Where a new name is to be made, or the errno. */
  private *walkToCreate(k: Kernel, path: string, base: OpenFile | null, directory: boolean): MaySleep<Walk | number> {
    const walk = yield* this.walk(k, stripSlashes(path), false, base);
    if (typeof walk === "number") return walk;
    if (walk.node !== null) return -Errno.EEXIST;
    if (walk.parent.inode.readOnly === true) return -Errno.EROFS;
    if (!directory && path.endsWith("/")) return -Errno.ENOENT;
    const refused = mayCreate(k, walk.parent.inode);
    return refused < 0 ? refused : walk;
  }

  *mkdir(k: Kernel, path: string, mode: number, base: OpenFile | null = null): MaySleep<number> {
    const walk = yield* this.walkToCreate(k, path, base, true);
    if (typeof walk === "number") return walk;
    const dir = walk.parent.inode;
    if (dir.mkdir === undefined) return -Errno.EPERM;
    return yield* dir.mkdir(k, walk.name, mode & ~(k.m.current!.process?.fs.umask ?? 0) & 0o1777);
  }

  *mknod(k: Kernel, path: string, mode: number, base: OpenFile | null = null): MaySleep<number> {
    const type = mode & S_IFMT;
    const kind = KINDS_OF_MKNOD.get(type);
    if (kind === undefined) return type === S_IFMT_OF.directory ? -Errno.EPERM : -Errno.EINVAL;
    const walk = yield* this.walkToCreate(k, path, base, false);
    if (typeof walk === "number") return walk;
    const dir = walk.parent.inode;
    const permissions = mode & ~(k.m.current!.process?.fs.umask ?? 0) & 0o7777;
    if (kind === "file") {
      if (dir.create === undefined) return -Errno.EACCES;
      const made = yield* dir.create(k, walk.name, permissions);
      return typeof made === "number" ? made : 0;
    }
    if (kind === "device" || dir.mknod === undefined) return -Errno.EPERM;
    return yield* dir.mknod(k, walk.name, kind, permissions);
  }

  *symlink(k: Kernel, target: string, path: string, base: OpenFile | null = null): MaySleep<number> {
    if (target === "") return -Errno.ENOENT;
    if (target.length >= PATH_MAX) return -Errno.ENAMETOOLONG;
    const walk = yield* this.walkToCreate(k, path, base, false);
    if (typeof walk === "number") return walk;
    const dir = walk.parent.inode;
    return dir.symlink === undefined ? -Errno.EPERM : yield* dir.symlink(k, walk.name, target);
  }

  /** Gives a file a name more. */
  *link(k: Kernel, source: Inode, to: string, toBase: OpenFile | null = null): MaySleep<number> {
    const walk = yield* this.walkToCreate(k, to, toBase, false);
    if (typeof walk === "number") return walk;
    const dir = walk.parent.inode;
    if (dir.dev !== source.dev) return -Errno.EXDEV;
    if (dir.link === undefined || source.kind === "directory") return -Errno.EPERM;
    return yield* dir.link(k, walk.name, source);
  }

  *unlink(k: Kernel, path: string, base: OpenFile | null = null): MaySleep<number> {
    const walk = yield* this.walk(k, stripSlashes(path), false, base);
    if (typeof walk === "number") return walk;
    if (walk.last !== "norm") return -Errno.EISDIR;
    if (walk.parent.inode.readOnly === true) return -Errno.EROFS;
    if (walk.node === null) return -Errno.ENOENT;
    if (walk.node.inode.kind !== "directory" && path.endsWith("/")) return -Errno.ENOTDIR;
    const refused = mayDelete(k, walk.parent.inode, walk.node.inode);
    if (refused < 0) return refused;
    if (walk.node.inode.kind === "directory") return -Errno.EISDIR;
    const dir = walk.parent.inode;
    return dir.unlink === undefined ? -Errno.EPERM : yield* dir.unlink(k, walk.name);
  }

  *rmdir(k: Kernel, path: string, base: OpenFile | null = null): MaySleep<number> {
    const walk = yield* this.walk(k, stripSlashes(path), false, base);
    if (typeof walk === "number") return walk;
    if (walk.last === "dot") return -Errno.EINVAL;
    if (walk.last === "dotdot") return -Errno.ENOTEMPTY;
    if (walk.last === "root") return -Errno.EBUSY;
    if (walk.parent.inode.readOnly === true) return -Errno.EROFS;
    if (walk.node === null) return -Errno.ENOENT;
    const refused = mayDelete(k, walk.parent.inode, walk.node.inode);
    if (refused < 0) return refused;
    if (walk.node.inode.kind !== "directory") return -Errno.ENOTDIR;
    if (this.isMountRoot(walk.node.inode)) return -Errno.EBUSY;
    const dir = walk.parent.inode;
    return dir.rmdir === undefined ? -Errno.EPERM : yield* dir.rmdir(k, walk.name);
  }

  *rename(
    k: Kernel,
    from: string,
    to: string,
    fromBase: OpenFile | null = null,
    toBase: OpenFile | null = null,
    flags = 0,
  ): MaySleep<number> {
    const source = yield* this.walk(k, stripSlashes(from), false, fromBase);
    if (typeof source === "number") return source;
    const target = yield* this.walk(k, stripSlashes(to), false, toBase);
    if (typeof target === "number") return target;
    if (source.last !== "norm" || target.last !== "norm") return -Errno.EBUSY;
    if (source.parent.inode.dev !== target.parent.inode.dev) return -Errno.EXDEV;
    if (source.parent.inode.readOnly === true) return -Errno.EROFS;
    if (source.node === null) return -Errno.ENOENT;
    const exchange = (flags & Rename.EXCHANGE) !== 0;
    if ((flags & Rename.NOREPLACE) !== 0 && target.node !== null) return -Errno.EEXIST;
    if (exchange && target.node === null) return -Errno.ENOENT;
    const moved = source.node.inode;
    if (moved.kind !== "directory" && (from.endsWith("/") || (!exchange && to.endsWith("/")))) return -Errno.ENOTDIR;
    if (exchange && target.node!.inode.kind !== "directory" && to.endsWith("/")) return -Errno.ENOTDIR;
    if (this.isMountRoot(moved) || (target.node !== null && this.isMountRoot(target.node.inode))) return -Errno.EBUSY;
    // A directory cannot move below itself, nor replace one that it lies in.
    for (let n: PathNode | null = target.parent; n !== null; n = n.parent) if (n.inode === moved) return -Errno.EINVAL;
    for (let n: PathNode | null = source.parent; n !== null; n = n.parent) {
      if (n.inode === target.node?.inode) return exchange ? -Errno.EINVAL : -Errno.ENOTEMPTY;
    }
    const dir = source.parent.inode;
    const into = target.parent.inode;
    let refused = mayDelete(k, dir, moved);
    if (refused === 0) refused = target.node === null ? mayCreate(k, into) : mayDelete(k, into, target.node.inode);
    // A directory that moves elsewhere gets another "..".
    if (refused === 0 && moved.kind === "directory" && into !== dir) refused = inodePermission(k, moved, May.WRITE);
    if (refused === 0 && exchange && target.node!.inode.kind === "directory" && into !== dir) refused = inodePermission(k, target.node!.inode, May.WRITE);
    if (refused < 0) return refused;
    if (dir.rename === undefined) return -Errno.EPERM;
    return yield* dir.rename(k, source.name, target.parent.inode, target.name, exchange);
  }

  private isMountRoot(inode: Inode): boolean {
    return this.mounts.some(({ fs }) => fs.root === inode);
  }

  *truncate(k: Kernel, path: string, size: number): MaySleep<number> {
    if (size < 0) return -Errno.EINVAL;
    const node = yield* this.resolve(k, path, true, null);
    if (typeof node === "number") return node;
    const { inode } = node;
    const forbidden = inode.kind === "file" && inode.readOnly !== true ? inodePermission(k, inode, May.WRITE) : 0;
    if (forbidden < 0) return forbidden;
    if ((inode.writers ?? 0) < 0) return -Errno.ETXTBSY;
    return yield* this.setSize(k, inode, size);
  }

  *ftruncate(k: Kernel, file: OpenFile, size: number): MaySleep<number> {
    if (size < 0) return -Errno.EINVAL;
    if ((file.flags & O.PATH) !== 0) return -Errno.EBADF;
    if (file.inode.kind !== "file" || !file.writable) return -Errno.EINVAL;
    return yield* this.setSize(k, file.inode, size);
  }

  *fallocate(k: Kernel, file: OpenFile, mode: number, offset: number, length: number): MaySleep<number> {
    return yield* vfsFallocate(k, file, mode, offset, length);
  }

  private *setSize(k: Kernel, inode: Inode, size: number): MaySleep<number> {
    if (inode.kind === "directory") return -Errno.EISDIR;
    if (inode.kind !== "file") return -Errno.EINVAL;
    const refused = inode.permission?.(O.WRONLY) ?? 0;
    if (refused < 0) return refused;
    if (inode.readOnly === true) return -Errno.EROFS;
    // Files whose text is made when read have no size to set; Linux says nothing.
    return inode.truncate === undefined ? 0 : yield* inode.truncate(k, size);
  }

  isNosuid(inode: Inode): boolean {
    return this.mounts.some(({ fs }) => fs.dev === inode.dev && fs.options.split(",").includes("nosuid"));
  }

  *lookup(k: Kernel, path: string, follow: boolean, base: OpenFile | null = null): MaySleep<Inode | number> {
    const node = yield* this.resolve(k, path, follow, base);
    return typeof node === "number" ? node : node.inode;
  }

  *chdir(k: Kernel, path: string): MaySleep<number> {
    const node = yield* this.resolve(k, path, true, null);
    return typeof node === "number" ? node : yield* this.enter(k, node);
  }

  *fchdir(k: Kernel, file: OpenFile): MaySleep<number> {
    return file.node === null ? -Errno.ENOTDIR : yield* this.enter(k, file.node);
  }

  private *enter(k: Kernel, node: PathNode): MaySleep<number> {
    if (node.inode.kind !== "directory") return -Errno.ENOTDIR;
    const refused = inodePermission(k, node.inode, May.EXEC);
    if (refused < 0) return refused;
    const { process } = k.m.current!;
    if (process !== null) {
      if (k.m.point(Op.Inode, node.inode.ino)) yield SWITCH;
      process.fs.cwd = pathOf(node);
    }
    return 0;
  }
}

/** The parts of a path, last one first. */
function components(path: string): string[] {
  return path.split("/").filter((c) => c !== "").reverse();
}

/** Without trailing slashes, unless it is nothing else. */
function stripSlashes(path: string): string {
  let end = path.length;
  while (end > 1 && path[end - 1] === "/") end--;
  return path.slice(0, end);
}

/** One linux_dirent64: d_ino, d_off, d_reclen, d_type, the name with its NUL, padded to 8 bytes. */
function direntRecord(entry: DirEntry, next: number): Uint8Array {
  const length = (19 + entry.name.length + 1 + 7) & ~7;
  const record = new Uint8Array(length);
  const view = new DataView(record.buffer);
  view.setBigUint64(0, BigInt(entry.ino), true);
  view.setBigUint64(8, BigInt(next), true);
  view.setUint16(16, length, true);
  record[18] = DT_OF[entry.kind];
  for (let i = 0; i < entry.name.length; i++) record[19 + i] = entry.name.charCodeAt(i);
  return record;
}
