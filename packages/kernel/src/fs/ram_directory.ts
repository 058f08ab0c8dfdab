import { SWITCH, type Atomic, type MaySleep } from "../kernel/coroutine.js";
import { Errno } from "../kernel/errno.js";
import { RwSem } from "../kernel/locks.js";
import { Op } from "../kernel/op.js";
import type { Kernel } from "../kernel.js";
import type { Machine } from "../machine.js";
import type { FileSystem } from "./namei.js";
import { initOwner } from "./permission.js";
import { seekWithin, type DirEntry, type FileOps, type Inode } from "./vfs.js";

/** A file system whose names are in memory only. */
export interface RamFs extends FileSystem {
  readonly m: Machine;
  /** Preferred size of transfers in bytes, which its directories give as well. */
  readonly blksize: number;
  /** What one name adds to the size of its directory. */
  readonly direntBytes: number;
  allocateIno(): number;
  newFile(mode: number): RamFile;
  newDirectory(mode: number): RamDirectory;
}

/** What a directory in memory has names of, besides directories. */
export interface RamFile extends Inode {
  nlink: number;
  /** It has no name yet, and linkat(2) may give it one (O_TMPFILE). */
  linkable?: boolean;
  ctimeNs: number;
  /** Open descriptions. The contents go when there is neither one of these nor a name. */
  readonly opens: number;
  /** Nobody can come to the file any more. */
  evict(k: Kernel): MaySleep<void>;
}

/**
 * A directory in memory. `lock` is held by whoever changes its names; where two directories are
 * needed, the lower inode number comes first.
 */
export class RamDirectory implements Inode {
  readonly kind = "directory";
  readonly rdev = 0;
  readonly blocks = 0;
  readonly ops = RAM_DIRECTORY_OPS;
  readonly ino: number;
  readonly lock: RwSem;
  readonly names = new Map<string, RamDirectory | RamFile>();
  nlink = 2;
  uid = 0;
  gid = 0;
  size: number;
  atimeNs: number;
  mtimeNs: number;
  ctimeNs: number;

  constructor(
    readonly fs: RamFs,
    public mode: number,
  ) {
    const { m } = fs;
    this.ino = fs.allocateIno();
    this.lock = new RwSem(m.locks, "i_rwsem_dir");
    this.size = 2 * fs.direntBytes;
    this.atimeNs = this.mtimeNs = this.ctimeNs = m.now();
  }

  get dev(): number {
    return this.fs.dev;
  }

  get blksize(): number {
    return this.fs.blksize;
  }

  *lookup(k: Kernel, name: string): MaySleep<Inode | null> {
    if (k.m.point(Op.Inode, this.ino)) yield SWITCH;
    return this.names.get(name) ?? null;
  }

  *readdir(k: Kernel): MaySleep<DirEntry[]> {
    if (k.m.point(Op.Inode, this.ino)) yield SWITCH;
    return [...this.names].map(([name, { ino, kind }]) => ({ name, ino, kind }));
  }

  protected *add(k: Kernel, name: string, child: RamDirectory | RamFile): MaySleep<number> {
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
    this.size = (2 + this.names.size) * this.fs.direntBytes;
    this.mtimeNs = this.ctimeNs = k.m.now();
  }

  *create(k: Kernel, name: string, mode: number): MaySleep<Inode | number> {
    const child = this.fs.newFile(mode);
    initOwner(k, child, this);
    const error = yield* this.add(k, name, child);
    return error < 0 ? error : child;
  }

  *tmpfile(k: Kernel, mode: number, linkable: boolean): MaySleep<Inode | number> {
    if (k.m.point(Op.Inode, this.ino)) yield SWITCH;
    const child = this.fs.newFile(mode);
    initOwner(k, child, this);
    child.nlink = 0;
    child.linkable = linkable;
    return child;
  }

  *mkdir(k: Kernel, name: string, mode: number): MaySleep<number> {
    const child = this.fs.newDirectory(mode);
    initOwner(k, child, this);
    return yield* this.add(k, name, child);
  }

  /** A name more for a file of the same file system. */
  *link(k: Kernel, name: string, inode: Inode): MaySleep<number> {
    const file = inode as RamFile;
    if (file.nlink === 0 && file.linkable !== true) return -Errno.ENOENT;
    const error = yield* this.add(k, name, file);
    if (error < 0) return error;
    if (k.m.point(Op.Inode, file.ino)) yield SWITCH;
    file.nlink++;
    file.linkable = false;
    file.ctimeNs = k.m.now();
    return 0;
  }

  *unlink(k: Kernel, name: string): MaySleep<number> {
    if (!this.lock.tryWrite()) yield* this.lock.write();
    const child = this.names.get(name);
    const isFile = child !== undefined && !(child instanceof RamDirectory);
    if (isFile) {
      this.names.delete(name);
      this.changed(k);
    }
    if (!this.lock.tryUnlock()) yield* this.lock.unlock();
    if (!isFile) return child === undefined ? -Errno.ENOENT : -Errno.EISDIR;
    yield* unlinked(k, child);
    return 0;
  }

  *rmdir(k: Kernel, name: string): MaySleep<number> {
    if (k.m.point(Op.Inode, this.ino)) yield SWITCH;
    const child = this.names.get(name);
    if (child === undefined) return -Errno.ENOENT;
    if (!(child instanceof RamDirectory)) return -Errno.ENOTDIR;
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

  *rename(k: Kernel, name: string, to: Inode, toName: string, exchange: boolean): MaySleep<number> {
    if (!(to instanceof RamDirectory) || to.fs !== this.fs) return -Errno.EXDEV;
    yield* lockTwo(this, to);
    const child = this.names.get(name);
    const replaced = to.names.get(toName);
    const error = exchange ? exchangeError(child, replaced) : renameError(child, replaced, to);
    const moves = error === 0 && child !== replaced;
    if (moves && exchange) {
      this.names.set(name, replaced!);
      to.names.set(toName, child!);
      const directories = Number(replaced!.kind === "directory") - Number(child!.kind === "directory");
      this.nlink += directories;
      to.nlink -= directories;
      this.changed(k);
      to.changed(k);
      child!.ctimeNs = replaced!.ctimeNs = k.m.now();
    } else if (moves) {
      this.names.delete(name);
      to.names.set(toName, child!);
      if (child!.kind === "directory") {
        this.nlink--;
        if (replaced === undefined) to.nlink++;
      }
      if (replaced instanceof RamDirectory) replaced.nlink = 0;
      this.changed(k);
      to.changed(k);
      child!.ctimeNs = k.m.now();
    }
    yield* unlockTwo(this, to);
    if (moves && !exchange && replaced !== undefined && !(replaced instanceof RamDirectory)) yield* unlinked(k, replaced);
    return error;
  }
}

const RAM_DIRECTORY_OPS: FileOps = {
  *llseek(k, file, offset, whence) {
    if (k.m.point(Op.Inode, file.inode.ino)) yield SWITCH;
    return seekWithin(file, offset, whence);
  },
};

/** A name of a file is gone. */
function* unlinked(k: Kernel, file: RamFile): MaySleep<void> {
  if (k.m.point(Op.Inode, file.ino)) yield SWITCH;
  file.nlink--;
  file.ctimeNs = k.m.now();
  if (file.nlink === 0 && file.opens === 0) yield* file.evict(k);
}

/** Locks one or two directories, the lower inode number first. */
function* lockTwo(a: RamDirectory, b: RamDirectory): MaySleep<void> {
  const [first, second] = a.ino < b.ino ? [a, b] : [b, a];
  if (!first.lock.tryWrite()) yield* first.lock.write();
  if (second !== first && !second.lock.tryWrite()) yield* second.lock.write();
}

function* unlockTwo(a: RamDirectory, b: RamDirectory): Atomic<void> {
  if (!a.lock.tryUnlock()) yield* a.lock.unlock();
  if (b !== a && !b.lock.tryUnlock()) yield* b.lock.unlock();
}

function exchangeError(child: RamDirectory | RamFile | undefined, other: RamDirectory | RamFile | undefined): number {
  return child === undefined || other === undefined ? -Errno.ENOENT : 0;
}

function renameError(child: RamDirectory | RamFile | undefined, replaced: RamDirectory | RamFile | undefined, to: RamDirectory): number {
  if (child === undefined || to.nlink === 0) return -Errno.ENOENT;
  if (replaced === undefined || replaced === child) return 0;
  if (!(child instanceof RamDirectory)) return replaced instanceof RamDirectory ? -Errno.EISDIR : 0;
  if (!(replaced instanceof RamDirectory)) return -Errno.ENOTDIR;
  return replaced.names.size > 0 ? -Errno.ENOTEMPTY : 0;
}
