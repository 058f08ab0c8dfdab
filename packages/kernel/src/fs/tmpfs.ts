import { SWITCH, type Atomic, type MaySleep } from "../kernel/coroutine.js";
import { Errno } from "../kernel/errno.js";
import { RwSem } from "../kernel/locks.js";
import { Op } from "../kernel/op.js";
import type { Kernel } from "../kernel.js";
import type { Machine } from "../machine.js";
import { PAGE_SIZE } from "../mm/frame_memory.js";
import { addShmemPage, removeShmemPage } from "./page_cache.js";
import { seekWithin, type FileSystem } from "./namei.js";
import {
  SEEK_DATA,
  SEEK_HOLE,
  type DirEntry,
  type FileOps,
  type Inode,
  type InodeKind,
  type OpenFile,
  type StatFs,
} from "./vfs.js";

export const TMPFS_MAGIC = 0x01021994;
/** What one name adds to the size of its directory. */
const DIRENT_BYTES = 20;
/** Files end below this: 2^50 bytes, which numbers still address exactly. */
const MAX_BYTES = 2 ** 50;

/**
 * A tmpfs: names in memory, contents in page-cache frames. A file's `lock` is held by whoever
 * changes its contents or size, a directory's by whoever changes its names; where two directories
 * are needed, the lower inode number comes first. Reading takes no lock: it is consistent page by
 * page, as in Linux. There is no `mmap` yet: mapping a tmpfs file answers ENODEV.
 */
export class Tmpfs implements FileSystem {
  readonly type = "tmpfs";
  readonly superOptions = "";
  readonly root: TmpfsInode;
  usedPages = 0;
  private nextIno = 1;

  constructor(
    readonly m: Machine,
    readonly source: string,
    readonly options: string,
    readonly dev: number,
    /** Pages that the files may have together: Linux's default is half of RAM. */
    readonly maxPages: number,
    rootMode: number,
  ) {
    this.root = this.newInode("directory", rootMode);
    this.root.nlink = 2;
  }

  newInode(kind: InodeKind, mode: number): TmpfsInode {
    return new TmpfsInode(this, this.nextIno++, kind, mode);
  }

  /** A directory at the top, before anything runs. */
  mkdirAtBoot(name: string, mode: number): Inode {
    const dir = this.newInode("directory", mode);
    dir.nlink = 2;
    this.root.nlink++;
    this.root.names.set(name, dir);
    this.root.size += DIRENT_BYTES;
    return dir;
  }

  statfs(): StatFs {
    const { maxPages, usedPages, dev } = this;
    return {
      type: TMPFS_MAGIC,
      bsize: PAGE_SIZE,
      blocks: maxPages,
      bfree: maxPages - usedPages,
      files: maxPages,
      ffree: maxPages - this.nextIno,
      dev,
    };
  }
}

class TmpfsInode implements Inode {
  readonly rdev = 0;
  size = 0;
  nlink = 1;
  atimeNs: number;
  mtimeNs: number;
  ctimeNs: number;
  readonly lock: RwSem;
  readonly ops = TMPFS_FILE_OPS;
  /** Contents: page index in the file to page; what is missing is a hole. */
  readonly pages = new Map<number, number>();
  /** Of directories. */
  readonly names = new Map<string, TmpfsInode>();
  /** Of symbolic links. */
  target = "";
  /** Open descriptions; the last one to go takes the contents of a nameless file along. */
  opens = 0;

  constructor(
    readonly fs: Tmpfs,
    readonly ino: number,
    readonly kind: InodeKind,
    public mode: number,
  ) {
    this.lock = new RwSem(fs.m.locks, kind === "directory" ? "i_rwsem_dir" : "i_rwsem");
    this.atimeNs = this.mtimeNs = this.ctimeNs = fs.m.now();
    if (kind === "directory") this.size = 2 * DIRENT_BYTES;
  }

  get dev(): number {
    return this.fs.dev;
  }

  get blocks(): number {
    return this.pages.size * (PAGE_SIZE / 512);
  }

  *open(k: Kernel, _file: OpenFile): MaySleep<number> {
    if (k.m.point(Op.Inode, this.ino)) yield SWITCH;
    this.opens++;
    return 0;
  }

  *closed(k: Kernel): MaySleep<void> {
    if (k.m.point(Op.Inode, this.ino)) yield SWITCH;
    if (--this.opens === 0 && this.nlink === 0) yield* this.dropPages(k, 0);
  }

  *lookup(k: Kernel, name: string): MaySleep<Inode | null> {
    if (k.m.point(Op.Inode, this.ino)) yield SWITCH;
    return this.names.get(name) ?? null;
  }

  *readdir(k: Kernel): MaySleep<DirEntry[]> {
    if (k.m.point(Op.Inode, this.ino)) yield SWITCH;
    return [...this.names].map(([name, { ino, kind }]) => ({ name, ino, kind }));
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
    if (this.nlink === 0 && this.opens === 0) yield* this.dropPages(k, 0);
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
    if (this.kind !== "file") return -Errno.EINVAL;
    if (size > MAX_BYTES) return -Errno.EFBIG;
    if (!this.lock.tryWrite()) yield* this.lock.write();
    if (k.m.point(Op.Inode, this.ino)) yield SWITCH;
    const shrinks = size < this.size;
    this.size = size;
    this.mtimeNs = this.ctimeNs = k.m.now();
    if (shrinks) {
      const tail = size % PAGE_SIZE;
      const page = this.pages.get(Math.floor(size / PAGE_SIZE));
      // What is cut off must read as zeros when the file grows again.
      if (tail !== 0 && page !== undefined) k.m.ram.frame(page).fill(0, tail);
      yield* this.dropPages(k, Math.ceil(size / PAGE_SIZE));
    }
    if (!this.lock.tryUnlock()) yield* this.lock.unlock();
    return 0;
  }

  /** Frees the pages from an index on. */
  private *dropPages(k: Kernel, from: number): MaySleep<void> {
    for (const [index, page] of [...this.pages]) {
      if (index < from) continue;
      if (k.m.point(Op.Inode, this.ino)) yield SWITCH;
      this.pages.delete(index);
      this.fs.usedPages--;
      yield* removeShmemPage(k, page);
      yield* k.m.sched.condResched();
    }
  }

  /** The page at an index for writing, made where there is a hole; or a negated errno. */
  *pageForWrite(k: Kernel, index: number): MaySleep<number> {
    const there = this.pages.get(index);
    if (there !== undefined) return there;
    if (this.fs.usedPages >= this.fs.maxPages) return -Errno.ENOSPC;
    this.fs.usedPages++;
    const page = yield* addShmemPage(k);
    if (k.m.point(Op.Inode, this.ino)) yield SWITCH;
    if (page < 0) this.fs.usedPages--;
    else this.pages.set(index, page);
    return page;
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

const TMPFS_FILE_OPS: FileOps = {
  *read(k, file, into, pos) {
    const inode = file.inode as TmpfsInode;
    let done = 0;
    for (;;) {
      if (k.m.point(Op.Inode, inode.ino)) yield SWITCH;
      // The size can change at any point: look again before each page.
      const left = Math.min(into.length - done, inode.size - pos);
      if (left <= 0) break;
      const offset = pos % PAGE_SIZE;
      const n = Math.min(left, PAGE_SIZE - offset);
      const page = inode.pages.get(Math.floor(pos / PAGE_SIZE));
      if (page === undefined) into.fill(0, done, done + n);
      else into.set(k.m.ram.frame(page).subarray(offset, offset + n), done);
      done += n;
      pos += n;
      yield* k.m.sched.condResched();
    }
    inode.atimeNs = k.m.now();
    return done;
  },

  /** The file's lock is held. */
  *write(k, file, from, pos) {
    const inode = file.inode as TmpfsInode;
    let done = 0;
    while (done < from.length) {
      if (pos >= MAX_BYTES) return done > 0 ? done : -Errno.EFBIG;
      const offset = pos % PAGE_SIZE;
      const n = Math.min(from.length - done, PAGE_SIZE - offset);
      const page = yield* inode.pageForWrite(k, Math.floor(pos / PAGE_SIZE));
      if (page < 0) return done > 0 ? done : page;
      if (k.m.point(Op.Inode, inode.ino)) yield SWITCH;
      k.m.ram.frame(page).set(from.subarray(done, done + n), offset);
      done += n;
      pos += n;
      if (pos > inode.size) inode.size = pos;
      yield* k.m.sched.condResched();
    }
    inode.mtimeNs = inode.ctimeNs = k.m.now();
    return done;
  },

  *llseek(k, file, offset, whence) {
    const inode = file.inode as TmpfsInode;
    if (k.m.point(Op.Inode, inode.ino)) yield SWITCH;
    if (whence !== SEEK_DATA && whence !== SEEK_HOLE) return seekWithin(file, offset, whence);
    if (offset < 0 || offset >= inode.size) return -Errno.ENXIO;
    const start = Math.floor(offset / PAGE_SIZE);
    if (whence === SEEK_DATA) {
      let first = Infinity;
      for (const index of inode.pages.keys()) if (index >= start && index < first) first = index;
      return first * PAGE_SIZE >= inode.size ? -Errno.ENXIO : Math.max(offset, first * PAGE_SIZE);
    }
    let index = start;
    while (inode.pages.has(index)) index++;
    return Math.min(inode.size, Math.max(offset, index * PAGE_SIZE));
  },

  *release(k, file) {
    yield* (file.inode as TmpfsInode).closed(k);
  },
};
