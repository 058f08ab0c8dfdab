import { RwSem } from "../kernel/locks.js";
import { WaitQueue } from "../kernel/sched.js";
import type { Machine } from "../machine.js";
import type { OpenFile } from "../fs/vfs.js";
import type { AddressSpace, MappingHost } from "./address_space.js";
import { SharedPolicy } from "./shared_policy.js";

/** F_SEAL_*: what can be done to a memfd no more. */
export enum Seal {
  SEAL = 1,
  SHRINK = 2,
  GROW = 4,
  WRITE = 8,
  FUTURE_WRITE = 16,
  EXEC = 32,
}

export type ShmemHuge = "always" | "within_size" | "advise" | "never";

/** A tmpfs as its pages see it. */
export class ShmemSb {
  usedPages = 0;
  /** The mount's option `huge`: where its files may have large folios. */
  huge: ShmemHuge = "never";
  /** The option `noswap`: its pages stay in memory. */
  noswap = false;
  /** Descriptions of its files that are open. */
  opens = 0;
  private nextIno = 1;

  constructor(
    readonly dev: number,
    /** Pages that its files may have together, in memory and in swap. */
    readonly maxPages: number,
  ) {}

  allocateIno(): number {
    return this.nextIno++;
  }

  /** Numbers of inodes handed out. */
  get inodes(): number {
    return this.nextIno - 1;
  }

  /** Room for so many pages more; false, and nothing taken, where there is none. */
  acctBlocks(pages: number): boolean {
    if (this.usedPages + pages > this.maxPages) return false;
    this.usedPages += pages;
    return true;
  }

  unacctBlocks(pages: number): void {
    this.usedPages -= pages;
  }
}

/** Pages that fallocate() punches out just now: faults on them wait. */
export interface HolePunch {
  readonly start: number;
  readonly end: number;
  readonly wait: WaitQueue;
}

/** A file in memory: of a tmpfs, a memfd, or what stands behind shared anonymous memory. */
export class ShmemInode implements MappingHost {
  readonly ino: number;
  /** Where its pages are to be. */
  readonly policy = new SharedPolicy();
  size = 0;
  nlink = 1;
  uid = 0;
  gid = 0;
  atimeNs: number;
  mtimeNs: number;
  ctimeNs: number;
  /** i_rwsem: held by whoever changes contents or size. */
  readonly lock: RwSem;
  readonly mapping: AddressSpace;
  /** Seals that stand; F_SEAL_SEAL unless it was made to be sealed. */
  seals: number = Seal.SEAL;
  punch: HolePunch | null = null;
  readonly xattrs = new Map<string, Uint8Array>();
  /** It is what stands behind shared anonymous memory. */
  anonymous = false;
  /** Open descriptions, those that mappings hold included. With the last one, the contents of a nameless file go. */
  opens = 0;

  constructor(
    readonly m: Machine,
    readonly sb: ShmemSb,
  ) {
    this.ino = sb.allocateIno();
    this.lock = new RwSem(m.locks, "i_rwsem");
    this.atimeNs = this.mtimeNs = this.ctimeNs = m.now();
    this.mapping = m.mappings.create(this);
  }

  reclaimed(pages: number): void {
    this.sb.unacctBlocks(pages);
  }

  get dev(): number {
    return this.sb.dev;
  }

  /** Of 512 bytes; what is in swap counts. */
  get blocks(): number {
    return this.mapping.entries.size * 8;
  }
}

/** The file in memory that an open file, a mapping's among them, is of; null where it is of another kind, or there is none. */
export function shmemInode(file: OpenFile | null): ShmemInode | null {
  const inode: unknown = file?.inode;
  return inode instanceof ShmemInode ? inode : null;
}
