import { SWITCH, type MaySleep } from "../kernel/coroutine.js";
import { Errno } from "../kernel/errno.js";
import { Op } from "../kernel/op.js";
import type { Kernel } from "../kernel.js";
import type { Machine } from "../machine.js";
import { PAGE_SIZE } from "../mm/frame_memory.js";
import { SHMEM_FILE_OPS, truncateShmem } from "../mm/shmem_file.js";
import { ShmemInode, ShmemSb } from "../mm/shmem_inode.js";
import { initOwner } from "./permission.js";
import { PipeInode, type Pipe } from "./pipe.js";
import { RamDirectory, type RamFile, type RamFs } from "./ram_directory.js";
import type { Inode, OpenFile, StatFs } from "./vfs.js";

export const TMPFS_MAGIC = 0x01021994;
/**
 * A tmpfs: names in memory, contents in the page cache (`mm/shmem`). A file's `lock` is held by
 * whoever changes its contents or size. Reading takes no lock: it is consistent page by page, as in
 * Linux.
 */
export class Tmpfs implements RamFs {
  readonly type = "tmpfs";
  readonly root: TmpfsDirectory;
  readonly sb: ShmemSb;
  readonly blksize = PAGE_SIZE;
  readonly direntBytes = 20;

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
    this.root = this.newDirectory(rootMode);
  }

  allocateIno(): number {
    return this.sb.allocateIno();
  }

  newFile(mode: number): TmpfsInode {
    return new TmpfsInode(this, "file", mode);
  }

  newDirectory(mode: number): TmpfsDirectory {
    return new TmpfsDirectory(this, mode);
  }

  /** A directory at the top, before anything runs. */
  mkdirAtBoot(name: string, mode: number): Inode {
    const dir = this.root.makeAtBoot(name, "directory");
    dir.mode = mode;
    return dir;
  }

  isBusy(): boolean {
    return this.sb.opens > 0;
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

export class TmpfsDirectory extends RamDirectory {
  readonly xattrs = new Map<string, Uint8Array>();

  constructor(
    override readonly fs: Tmpfs,
    mode: number,
  ) {
    super(fs, mode);
  }

  /** A file or directory in this one, before anything runs. */
  makeAtBoot(name: string, kind: "file" | "directory"): Inode {
    const child = kind === "directory" ? this.fs.newDirectory(0o755) : this.fs.newFile(0o644);
    if (kind === "directory") this.nlink++;
    this.names.set(name, child);
    this.size += this.fs.direntBytes;
    return child;
  }

  *mknod(k: Kernel, name: string, kind: "pipe" | "socket", mode: number): MaySleep<number> {
    const child = kind === "pipe" ? new TmpfsFifo(this.fs, mode) : new TmpfsSocket(this.fs, mode);
    initOwner(k, child, this);
    return yield* this.add(k, name, child);
  }

  *symlink(k: Kernel, name: string, target: string): MaySleep<number> {
    const child = new TmpfsInode(this.fs, "symlink", 0o777);
    child.target = target;
    child.size = target.length;
    initOwner(k, child, this);
    return yield* this.add(k, name, child);
  }
}

/** A file of a tmpfs, or a symbolic link. */
export class TmpfsInode extends ShmemInode implements RamFile {
  readonly rdev = 0;
  readonly ops = SHMEM_FILE_OPS;
  /** Of symbolic links. */
  target = "";
  writers = 0;

  constructor(
    readonly fs: Tmpfs,
    readonly kind: "file" | "symlink",
    public mode: number,
  ) {
    super(fs.m, fs.sb);
  }

  *open(k: Kernel, _file: OpenFile): MaySleep<number> {
    if (k.m.point(Op.Inode, this.ino)) yield SWITCH;
    this.opens++;
    this.sb.opens++;
    return 0;
  }

  *readlink(k: Kernel): MaySleep<string | number> {
    if (this.kind !== "symlink") return -Errno.EINVAL;
    // Never changes once made.
    if (k.m.point(Op.Inode, this.ino)) yield SWITCH;
    return this.target;
  }

  *truncate(k: Kernel, size: number): MaySleep<number> {
    return this.kind === "file" ? yield* truncateShmem(k, this, size) : -Errno.EINVAL;
  }

  *evict(k: Kernel): MaySleep<void> {
    yield* k.shmem.shmemEvictInode(k, this);
  }
}

/** A FIFO of a tmpfs. */
class TmpfsFifo extends PipeInode implements RamFile {
  readonly xattrs = new Map<string, Uint8Array>();
  nlink = 1;
  atimeNs: number;
  mtimeNs: number;
  ctimeNs: number;

  constructor(
    private readonly fs: Tmpfs,
    mode: number,
  ) {
    super(fs.allocateIno(), mode, true);
    this.atimeNs = this.mtimeNs = this.ctimeNs = fs.m.now();
  }

  get dev(): number {
    return this.fs.dev;
  }

  override take(k: Kernel): Pipe {
    this.fs.sb.opens++;
    return super.take(k);
  }

  override *put(k: Kernel): MaySleep<void> {
    this.fs.sb.opens--;
    yield* super.put(k);
  }

  /** There is nothing of it but its name. */
  *evict(): MaySleep<void> {}
}

/** The name of a socket: nobody can open it (ENXIO), or connect to it here. */
class TmpfsSocket implements Inode, RamFile {
  readonly xattrs = new Map<string, Uint8Array>();
  readonly kind = "socket";
  readonly rdev = 0;
  readonly size = 0;
  readonly opens = 0;
  readonly ino: number;
  nlink = 1;
  uid = 0;
  gid = 0;
  atimeNs: number;
  mtimeNs: number;
  ctimeNs: number;

  constructor(
    private readonly fs: Tmpfs,
    public mode: number,
  ) {
    this.ino = fs.allocateIno();
    this.atimeNs = this.mtimeNs = this.ctimeNs = fs.m.now();
  }

  get dev(): number {
    return this.fs.dev;
  }

  *evict(): MaySleep<void> {}
}
