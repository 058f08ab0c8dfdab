import { SWITCH, type MaySleep } from "../kernel/coroutine.js";
import { Errno } from "../kernel/errno.js";
import { Op } from "../kernel/op.js";
import { NSEC_PER_SEC, REALTIME_AT_BOOT_S } from "../kernel/time.js";
import type { Kernel } from "../kernel.js";
import type { AddressSpace } from "../mm/address_space.js";
import { filemapVmOps, type ReadsFolios } from "../mm/filemap.js";
import { PAGE_SIZE } from "../mm/frame_memory.js";
import { directRead } from "./direct_io.js";
import type { FileSystem } from "./namei.js";
import { seekWithin, type DirEntry, type FileOps, type Inode, type InodeKind, type StatFs } from "./vfs.js";

/**
 * A file, directory or symbolic link of the host, as whoever runs the machine hands it in. Names are
 * byte strings. Nothing of it changes while the machine runs.
 */
export interface HostNode {
  readonly kind: "file" | "directory" | "symlink";
  /** Permission bits. */
  readonly mode: number;
  /** In bytes; of a symbolic link, of where it leads to. */
  readonly size: number;
  /** When it was last changed, in seconds since 1970. */
  readonly mtimeS: number;
  /** Of a file: fills `into` from `pos` on, as far as there is something; how many bytes that were. Null: it cannot be read. */
  read(into: Uint8Array, pos: number): number | null;
  /** Of a directory: what is in it, but for "." and "..". */
  names(): readonly string[];
  /** Of a directory: null where there is no such name, or something else than a node. */
  lookup(name: string): HostNode | null;
  /** Of a symbolic link. */
  readlink(): string;
}

/** A file that is in memory already. */
export function hostFile(bytes: Uint8Array, mode: number): HostNode {
  return {
    kind: "file",
    mode,
    size: bytes.length,
    mtimeS: REALTIME_AT_BOOT_S,
    read: (into, pos) => {
      const part = bytes.subarray(pos, pos + into.length);
      into.set(part);
      return part.length;
    },
    names: () => [],
    lookup: () => null,
    readlink: () => "",
  };
}

/** What FUSE file systems, virtiofs among them, answer in statfs(2). */
const FUSE_SUPER_MAGIC = 0x65735546;
/** 128 KiB, as every block or FUSE device has it (read_ahead_kb). */
const READ_AHEAD_PAGES = 32;

/** Files of the host, shared read-only as virtiofs shares them. Its root may be a single file. */
export class HostFs implements FileSystem {
  readonly type = "virtiofs";
  readonly options = "ro,relatime";
  readonly superOptions = "";
  readonly root: HostInode;
  private lastIno = 0;

  constructor(
    /** As /proc/mounts names it. */
    readonly source: string,
    readonly dev: number,
    root: HostNode,
    /** Pages that a fault reads at a time. */
    readonly readAheadPages = READ_AHEAD_PAGES,
  ) {
    this.root = new HostInode(this, root, this.allocateIno());
  }

  allocateIno(): number {
    return ++this.lastIno;
  }

  statfs(): StatFs {
    return { type: FUSE_SUPER_MAGIC, bsize: PAGE_SIZE, blocks: 0, bfree: 0, files: 0, ffree: 0, dev: this.dev };
  }
}

export class HostInode implements Inode, ReadsFolios {
  readonly kind: InodeKind;
  readonly rdev = 0;
  readonly readOnly = true;
  readonly cached = true;
  readonly mode: number;
  readonly size: number;
  readonly ops = HOST_FILE_OPS;
  readonly mtimeNs: number;
  /** What has been looked up so far: a name keeps its inode. */
  private readonly children = new Map<string, HostInode | null>();
  /** Made when it is first read or mapped. */
  mapping?: AddressSpace;
  readonly vmOps = filemapVmOps(this);

  constructor(
    readonly fs: HostFs,
    readonly node: HostNode,
    readonly ino: number,
  ) {
    this.kind = node.kind;
    this.mode = node.mode;
    this.size = node.size;
    this.mtimeNs = (node.mtimeS - REALTIME_AT_BOOT_S) * NSEC_PER_SEC;
  }

  get dev(): number {
    return this.fs.dev;
  }

  get readAheadPages(): number {
    return this.fs.readAheadPages;
  }

  get atimeNs(): number {
    return this.mtimeNs;
  }

  get ctimeNs(): number {
    return this.mtimeNs;
  }

  get blocks(): number {
    return Math.ceil(this.size / 512);
  }

  pageCache(k: Kernel): AddressSpace {
    return (this.mapping ??= k.m.mappings.create(this));
  }

  *readFolio(k: Kernel, folio: number, index: number): MaySleep<number> {
    const { m } = k;
    m.charge(READ_PAGE_NS);
    if (m.point(Op.FrameWrite, folio)) yield SWITCH;
    const frame = m.ram.frame(folio);
    const got = this.node.read(frame, index * PAGE_SIZE);
    if (got === null) return -Errno.EIO;
    frame.fill(0, got);
    m.vmstat.events.pgpgin += 4;
    return 0;
  }

  /** Null where there is no such name. */
  child(name: string): HostInode | null {
    let inode = this.children.get(name);
    if (inode === undefined) {
      const node = this.node.lookup(name);
      inode = node === null ? null : new HostInode(this.fs, node, this.fs.allocateIno());
      this.children.set(name, inode);
    }
    return inode;
  }

  *lookup(k: Kernel, name: string): MaySleep<Inode | null> {
    if (k.m.point(Op.Inode, this.ino)) yield SWITCH;
    return this.child(name);
  }

  *readdir(k: Kernel): MaySleep<DirEntry[]> {
    if (k.m.point(Op.Inode, this.ino)) yield SWITCH;
    return this.node.names().flatMap((name): DirEntry[] => {
      const inode = this.child(name);
      return inode === null ? [] : [{ name, ino: inode.ino, kind: inode.kind }];
    });
  }

  *readlink(k: Kernel): MaySleep<string | number> {
    if (this.kind !== "symlink") return -Errno.EINVAL;
    if (k.m.point(Op.Inode, this.ino)) yield SWITCH;
    return this.node.readlink();
  }
}

/** What the host needs for a page, in nanoseconds. */
const READ_PAGE_NS = 20_000;

const HOST_FILE_OPS: FileOps = {
  iter: { from: "pages", to: true },

  *read(k, file, into, pos) {
    const { m } = k;
    const inode = file.inode as HostInode;
    let done = 0;
    while (done < into.length && pos + done < inode.size) {
      const index = Math.floor((pos + done) / PAGE_SIZE);
      const from = (pos + done) % PAGE_SIZE;
      const n = Math.min(into.length - done, inode.size - pos - done, PAGE_SIZE - from);
      const found = yield* k.filemap.readMappingPage(k, inode.pageCache(k), inode, index, "read");
      if (typeof found === "number") return done > 0 ? done : found;
      const folio = m.memmap.folioOf(found.page);
      yield* k.folioLock.folioUnlock(k, folio);
      if (m.point(Op.FrameRead, found.page)) yield SWITCH;
      into.set(m.ram.frame(found.page).subarray(from, from + n), done);
      yield* k.swap.folioMarkAccessed(k, folio);
      yield* k.swap.folioPut(k, folio, "read");
      done += n;
      yield* m.sched.condResched();
    }
    return done;
  },

  *directRead(k, file, addr, length, pos) {
    const { node, size } = file.inode as HostInode;
    const n = Math.min(length, size - pos);
    if (n <= 0) return 0;
    let wrong = false;
    const done = yield* directRead(k, addr, n, pos, (into, at) => {
      const got = node.read(into, at);
      wrong ||= got === null;
      return got ?? 0;
    });
    return wrong ? -Errno.EIO : done;
  },

  *mmap(k, file, vma) {
    const inode = file.inode as HostInode;
    if (k.m.point(Op.Inode, inode.ino)) yield SWITCH;
    if (inode.kind !== "file") return -Errno.ENODEV;
    inode.pageCache(k);
    vma.ops = inode.vmOps;
    return 0;
  },

  *llseek(k, file, offset, whence) {
    if (k.m.point(Op.Inode, file.inode.ino)) yield SWITCH;
    return seekWithin(file, offset, whence);
  },
};
