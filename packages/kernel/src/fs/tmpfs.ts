import { SWITCH, type Atomic, type MaySleep } from "../kernel/coroutine.js";
import { Errno } from "../kernel/errno.js";
import { Op } from "../kernel/op.js";
import type { Kernel } from "../kernel.js";
import type { Machine } from "../machine.js";
import { PAGE_SIZE } from "../mm/frame_memory.js";
import { SHMEM_FILE_OPS, truncateShmem } from "../mm/shmem_file.js";
import { ShmemInode, ShmemSb } from "../mm/shmem_inode.js";
import type { FileSystem } from "./namei.js";
import type { DirEntry, Inode, InodeKind, OpenFile, StatFs } from "./vfs.js";

export const TMPFS_MAGIC = 0x01021994;
/** What one name adds to the size of its directory. */
const DIRENT_BYTES = 20;
/**
 * A tmpfs: names in memory, contents in the page cache (`mm/shmem`). A file's `lock` is held by
 * whoever changes its contents or size, a directory's by whoever changes its names; where two directories
 * are needed, the lower inode number comes first. Reading takes no lock: it is consistent page by
 * page, as in Linux.
 */
export class Tmpfs implements FileSystem {
  readonly type = "tmpfs";
  readonly root: TmpfsInode;
  readonly sb: ShmemSb;

  constructor(
    readonly m: Machine,
    readonly source: string,
    readonly options: string,
    readonly dev: number,
    /** Pages that the files may have together: Linux's default is half of RAM. */
    readonly maxPages: number,
    rootMode: number,
    readonly superOptions = "",
    /** Files and directories that there may be. */
    readonly maxInodes = maxPages,
  ) {
    this.sb = new ShmemSb(dev, maxPages);
    this.root = this.newInode("directory", rootMode);
    this.root.nlink = 2;
  }

  newInode(kind: InodeKind, mode: number): TmpfsInode {
    return new TmpfsInode(this, kind, mode);
  }

  /** A directory at the top, before anything runs. */
  mkdirAtBoot(name: string, mode: number): Inode {
    const dir = this.root.makeAtBoot(name, "directory");
    dir.mode = mode;
    return dir;
  }

  statfs(): StatFs {
    const { maxInodes, sb, dev } = this;
    // Without a limit there is nothing to count down from.
    const limited = this.maxPages !== Infinity;
    return {
      type: TMPFS_MAGIC,
      bsize: PAGE_SIZE,
      blocks: limited ? this.maxPages : 0,
      bfree: limited ? this.maxPages - sb.usedPages : 0,
      files: maxInodes,
      ffree: maxInodes - sb.inodes,
      dev,
    };
  }
}

export class TmpfsInode extends ShmemInode implements Inode {
  readonly rdev = 0;
  readonly ops = SHMEM_FILE_OPS;
  /** Of directories. */
  readonly names = new Map<string, TmpfsInode>();
  /** Of symbolic links. */
  target = "";
  writers = 0;

  constructor(
    readonly fs: Tmpfs,
    readonly kind: InodeKind,
    public mode: number,
  ) {
    super(fs.m, fs.sb, kind === "directory" ? "i_rwsem_dir" : "i_rwsem");
    if (kind === "directory") this.size = 2 * DIRENT_BYTES;
  }

  *open(k: Kernel, _file: OpenFile): MaySleep<number> {
    if (k.m.point(Op.Inode, this.ino)) yield SWITCH;
    this.opens++;
    return 0;
  }

  *lookup(k: Kernel, name: string): MaySleep<Inode | null> {
    if (k.m.point(Op.Inode, this.ino)) yield SWITCH;
    return this.names.get(name) ?? null;
  }

  *readdir(k: Kernel): MaySleep<DirEntry[]> {
    if (k.m.point(Op.Inode, this.ino)) yield SWITCH;
    return [...this.names].map(([name, { ino, kind }]) => ({ name, ino, kind }));
  }

  /** A file or directory in this one, before anything runs. */
  makeAtBoot(name: string, kind: "file" | "directory"): TmpfsInode {
    const child = this.fs.newInode(kind, kind === "directory" ? 0o755 : 0o644);
    if (kind === "directory") {
      child.nlink = 2;
      this.nlink++;
    }
    this.names.set(name, child);
    this.size += DIRENT_BYTES;
    return child;
  }

  private *add(k: Kernel, name: string, child: TmpfsInode): MaySleep<number> {
    if (!this.lock.tryWrite()) yield* this.lock.write();
    let error = 0;
    if (this.nlink === 0) error = -Errno.ENOENT;
    else if (this.names.has(name)) error = -Errno.EEXIST;
    else {
      this.names.set(name, child);
      if (child.kind === "directory") this.nlink++;
      this.changed(k);
    }
    if (!this.lock.tryUnlock()) yield* this.lock.unlock();
    return error;
  }

  /** The names of this directory are others now. */
  private changed(k: Kernel): void {
    this.size = (2 + this.names.size) * DIRENT_BYTES;
    this.mtimeNs = this.ctimeNs = k.m.now();
  }

  *create(k: Kernel, name: string, mode: number): MaySleep<Inode | number> {
    const child = this.fs.newInode("file", mode);
    const error = yield* this.add(k, name, child);
    return error < 0 ? error : child;
  }

  *tmpfile(k: Kernel, mode: number): MaySleep<Inode | number> {
    if (k.m.point(Op.Inode, this.ino)) yield SWITCH;
    const child = this.fs.newInode("file", mode);
    child.nlink = 0;
    return child;
  }

  *mkdir(k: Kernel, name: string, mode: number): MaySleep<number> {
    const child = this.fs.newInode("directory", mode);
    child.nlink = 2;
    return yield* this.add(k, name, child);
  }

  *symlink(k: Kernel, name: string, target: string): MaySleep<number> {
    const child = this.fs.newInode("symlink", 0o777);
    child.target = target;
    child.size = target.length;
    return yield* this.add(k, name, child);
  }

  *link(k: Kernel, name: string, inode: Inode): MaySleep<number> {
    if (!(inode instanceof TmpfsInode) || inode.fs !== this.fs) return -Errno.EXDEV;
    if (inode.nlink === 0) return -Errno.ENOENT;
    const error = yield* this.add(k, name, inode);
    if (error < 0) return error;
    if (k.m.point(Op.Inode, inode.ino)) yield SWITCH;
    inode.nlink++;
    inode.ctimeNs = k.m.now();
    return 0;
  }

  *readlink(k: Kernel): MaySleep<string | number> {
    if (this.kind !== "symlink") return -Errno.EINVAL;
    // Never changes once made.
    if (k.m.point(Op.Inode, this.ino)) yield SWITCH;
    return this.target;
  }

  *unlink(k: Kernel, name: string): MaySleep<number> {
    if (!this.lock.tryWrite()) yield* this.lock.write();
    const child = this.names.get(name);
    let error = 0;
    if (child === undefined) error = -Errno.ENOENT;
    else if (child.kind === "directory") error = -Errno.EISDIR;
    else {
      this.names.delete(name);
      this.changed(k);
    }
    if (!this.lock.tryUnlock()) yield* this.lock.unlock();
    if (error === 0) yield* child!.unlinked(k);
    return error;
  }

  /** A name of this file is gone. */
  private *unlinked(k: Kernel): MaySleep<void> {
    if (k.m.point(Op.Inode, this.ino)) yield SWITCH;
    this.nlink--;
    this.ctimeNs = k.m.now();
    if (this.nlink === 0 && this.opens === 0) yield* k.shmem.shmemEvictInode(k, this);
  }

  *rmdir(k: Kernel, name: string): MaySleep<number> {
    if (k.m.point(Op.Inode, this.ino)) yield SWITCH;
    const child = this.names.get(name);
    if (child === undefined) return -Errno.ENOENT;
    if (child.kind !== "directory") return -Errno.ENOTDIR;
    // The child's lock keeps names from being made in it while it goes.
    yield* lockTwo(this, child);
    const stale = this.names.get(name) !== child;
    const empty = child.names.size === 0;
    if (!stale && empty) {
      child.nlink = 0;
      this.names.delete(name);
      this.nlink--;
      this.changed(k);
    }
    yield* unlockTwo(this, child);
    if (stale) return yield* this.rmdir(k, name);
    return empty ? 0 : -Errno.ENOTEMPTY;
  }

  *rename(k: Kernel, name: string, to: Inode, toName: string): MaySleep<number> {
    if (!(to instanceof TmpfsInode) || to.fs !== this.fs) return -Errno.EXDEV;
    yield* lockTwo(this, to);
    const child = this.names.get(name);
    const replaced = to.names.get(toName);
    const error = renameError(child, replaced, to);
    const moves = error === 0 && child !== replaced;
    if (moves) {
      this.names.delete(name);
      to.names.set(toName, child!);
      if (child!.kind === "directory") {
        this.nlink--;
        if (replaced === undefined) to.nlink++;
      }
      if (replaced?.kind === "directory") replaced.nlink = 0;
      this.changed(k);
      to.changed(k);
      child!.ctimeNs = k.m.now();
    }
    yield* unlockTwo(this, to);
    if (moves && replaced !== undefined && replaced.kind !== "directory") yield* replaced.unlinked(k);
    return error;
  }

  *truncate(k: Kernel, size: number): MaySleep<number> {
    return this.kind === "file" ? yield* truncateShmem(k, this, size) : -Errno.EINVAL;
  }
}

/** Locks one or two directories, the lower inode number first. */
function* lockTwo(a: TmpfsInode, b: TmpfsInode): MaySleep<void> {
  const [first, second] = a.ino < b.ino ? [a, b] : [b, a];
  if (!first.lock.tryWrite()) yield* first.lock.write();
  if (second !== first && !second.lock.tryWrite()) yield* second.lock.write();
}

function* unlockTwo(a: TmpfsInode, b: TmpfsInode): Atomic<void> {
  if (!a.lock.tryUnlock()) yield* a.lock.unlock();
  if (b !== a && !b.lock.tryUnlock()) yield* b.lock.unlock();
}

function renameError(child: TmpfsInode | undefined, replaced: TmpfsInode | undefined, to: TmpfsInode): number {
  if (child === undefined || to.nlink === 0) return -Errno.ENOENT;
  if (replaced === undefined || replaced === child) return 0;
  if (child.kind === "directory") {
    if (replaced.kind !== "directory") return -Errno.ENOTDIR;
    return replaced.names.size > 0 ? -Errno.ENOTEMPTY : 0;
  }
  return replaced.kind === "directory" ? -Errno.EISDIR : 0;
}
