import { kernfsOrder } from "./kernfs.js";
import { SWITCH, type MaySleep } from "../kernel/coroutine.js";
import { Errno } from "../kernel/errno.js";
import { Op } from "../kernel/op.js";
import type { Kernel } from "../kernel.js";
import { PAGE_SIZE } from "../mm/frame_memory.js";
import type { FileSystem } from "./namei.js";
import { O, seekWithin, type DirEntry, type FileOps, type Inode, type OpenFile, type PathNode, type StatFs } from "./vfs.js";

/** Text as the bytes of a file: a character is a byte, as everywhere in paths and contents. */
export function bytesOf(text: string): Uint8Array {
  const bytes = new Uint8Array(text.length);
  for (let i = 0; i < text.length; i++) bytes[i] = text.charCodeAt(i);
  return bytes;
}

export function textOf(bytes: Uint8Array): string {
  let text = "";
  for (const b of bytes) text += String.fromCharCode(b);
  return text;
}

/** A file system whose files are made up when they are read: proc, sysfs, cgroup2, devtmpfs. */
export class PseudoFs implements FileSystem {
  readonly root: PseudoDir;
  private lastIno = 0;

  constructor(
    readonly type: string,
    readonly source: string,
    readonly options: string,
    readonly dev: number,
    readonly magic: number,
    settings: {
      readonly superOptions?: string;
      readonly blksize?: number;
      readonly rootMode?: number;
      /** What looking up a name that does not exist answers even where it is to be made. */
      readonly missing?: number;
      /** Longest name that lookups take, in bytes: any, as in proc, sysfs and cgroup2, unless given. */
      readonly nameMax?: number;
      /** Directories are listed as kernfs does. */
      readonly kernfs?: true;
    } = {},
  ) {
    this.superOptions = settings.superOptions ?? "";
    this.blksize = settings.blksize ?? 4096;
    this.missing = settings.missing ?? null;
    this.nameMax = settings.nameMax ?? Infinity;
    this.kernfs = settings.kernfs ?? false;
    this.root = new PseudoDir(this, settings.rootMode ?? 0o555);
  }

  readonly superOptions: string;
  readonly blksize: number;
  readonly missing: number | null;
  readonly nameMax: number;
  private readonly kernfs: boolean;

  /** A directory's names in the order in which they are listed. */
  listed(children: Iterable<readonly [string, Inode]>): DirEntry[] {
    const entries = [...children].map(([name, { ino, kind }]) => ({ name, ino, kind }));
    return this.kernfs ? kernfsOrder(entries) : entries;
  }

  allocateIno(): number {
    return ++this.lastIno;
  }

  statfs(): StatFs {
    return { type: this.magic, bsize: PAGE_SIZE, blocks: 0, bfree: 0, files: 0, ffree: 0, dev: this.dev };
  }
}

/** A directory whose names are known; subclasses add some that come and go. */
export class PseudoDir implements Inode {
  readonly kind = "directory";
  readonly rdev = 0;
  size = 0;
  nlink = 2;
  readonly children = new Map<string, Inode>();

  constructor(
    readonly fs: PseudoFs,
    public mode = 0o555,
    readonly ino = fs.allocateIno(),
  ) {}

  get nameMax(): number {
    return this.fs.nameMax;
  }

  get dev(): number {
    return this.fs.dev;
  }

  get blksize(): number {
    return this.fs.blksize;
  }

  /** At boot: adds a file. */
  add<T extends Inode>(name: string, inode: T): T {
    this.children.set(name, inode);
    if (inode.kind === "directory") this.nlink++;
    return inode;
  }

  /** At boot: the directory of that name, made where it is missing. */
  dir(name: string, mode = 0o555): PseudoDir {
    const there = this.children.get(name);
    return there instanceof PseudoDir ? there : this.add(name, new PseudoDir(this.fs, mode));
  }

  *lookup(k: Kernel, name: string): MaySleep<Inode | number | null> {
    if (k.m.point(Op.Inode, this.ino)) yield SWITCH;
    return this.children.get(name) ?? this.fs.missing;
  }

  *readdir(k: Kernel): MaySleep<DirEntry[]> {
    if (k.m.point(Op.Inode, this.ino)) yield SWITCH;
    return this.fs.listed(this.children);
  }
}

export class PseudoLink implements Inode {
  readonly kind = "symlink";
  readonly rdev = 0;
  readonly size: number;
  mode = 0o777;

  constructor(
    readonly fs: PseudoFs,
    private readonly target: (k: Kernel) => string | number,
    readonly ino = fs.allocateIno(),
    size = 0,
  ) {
    this.size = size;
  }

  get dev(): number {
    return this.fs.dev;
  }

  get blksize(): number {
    return this.fs.blksize;
  }

  *readlink(k: Kernel): MaySleep<string | number> {
    if (k.m.point(Op.Inode, this.ino)) yield SWITCH;
    return this.target(k);
  }
}

/** A link that leads to a file itself; its text only describes that file. */
export class MagicLink extends PseudoLink {
  constructor(
    fs: PseudoFs,
    target: (k: Kernel) => string | number,
    private readonly where: (k: Kernel) => PathNode | number,
    ino: number,
    size = 0,
  ) {
    super(fs, target, ino, size);
  }

  *follow(k: Kernel): MaySleep<PathNode | number> {
    if (k.m.point(Op.Inode, this.ino)) yield SWITCH;
    return this.where(k);
  }
}

/** Makes a file's text, or a negated errno, at the first read of an open description. */
export type Show = (k: Kernel, file: OpenFile) => MaySleep<string | number>;
/** Takes what was written at once: how many bytes, 0 for all of them, or a negated errno. */
export type Store = (k: Kernel, text: string, file: OpenFile) => MaySleep<number>;

export interface TextFileSettings {
  readonly mode?: number;
  readonly show?: Show;
  readonly store?: Store;
  readonly ino?: number;
  readonly size?: number;
  /** Root too may open it only as its mode says (sysfs and sysctl files). */
  readonly strict?: boolean;
  /** What write answers where there is no `store`: EINVAL unless given. */
  readonly writeErrno?: number;
  /** Its text is read the old way, as most of /proc/PID is: there is no splice(2) of it. */
  readonly plain?: boolean;
  /** Asked at open: 0 or a negated errno. */
  readonly onOpen?: (k: Kernel) => number;
}

/**
 * A file of text that is made as a whole when a description first reads from it, or reads from
 * its beginning again, so that what one pass reads is consistent.
 */
export class TextFile implements Inode {
  readonly kind = "file";
  readonly rdev = 0;
  mode: number;
  size: number;
  readonly ino: number;
  readonly ops: FileOps;

  constructor(
    readonly fs: PseudoFs,
    readonly settings: TextFileSettings,
  ) {
    this.mode = settings.mode ?? (settings.store === undefined ? 0o444 : settings.show === undefined ? 0o200 : 0o644);
    this.ino = settings.ino ?? fs.allocateIno();
    this.size = settings.size ?? 0;
    const written = settings.strict === true || fs.type !== "proc";
    this.ops = settings.plain === true ? TEXT_FILE_OPS : written ? SPLICED_TEXT_OPS : READ_TEXT_OPS;
  }

  get dev(): number {
    return this.fs.dev;
  }

  get blksize(): number {
    return this.fs.blksize;
  }

  permission(flags: number): number {
    if (this.settings.strict !== true) return 0;
    const access = flags & O.ACCMODE;
    if (access !== O.RDONLY && (this.mode & 0o222) === 0) return -Errno.EACCES;
    if (access !== O.WRONLY && (this.mode & 0o444) === 0) return -Errno.EACCES;
    return 0;
  }

  *open(k: Kernel, _file: OpenFile): MaySleep<number> {
    if (k.m.point(Op.Inode, this.ino)) yield SWITCH;
    return this.settings.onOpen?.(k) ?? 0;
  }
}

const TEXT_FILE_OPS: FileOps = {
  *read(k, file, into, pos) {
    const { show } = (file.inode as TextFile).settings;
    if (show === undefined) return -Errno.EINVAL;
    let text = file.data as Uint8Array | null;
    if (text === null || pos === 0) {
      const made = yield* show(k, file);
      if (typeof made === "number") return made;
      text = bytesOf(made);
      file.data = text;
    }
    const part = text.subarray(pos, pos + into.length);
    into.set(part);
    return part.length;
  },

  *write(k, file, from) {
    const { fs, settings: { store, writeErrno } } = file.inode as TextFile;
    if (store === undefined) return -(writeErrno ?? Errno.EINVAL);
    if (from.length === 0 && fs.type === "sysfs") return 0;
    const result = yield* store(k, textOf(from), file);
    return result === 0 ? from.length : result;
  },

  *llseek(k, file, offset, whence) {
    if (k.m.point(Op.Inode, file.inode.ino)) yield SWITCH;
    return seekWithin(file, offset, whence);
  },
};

const READ_TEXT_OPS: FileOps = { ...TEXT_FILE_OPS, iter: { from: "copies" } };
const SPLICED_TEXT_OPS: FileOps = { ...TEXT_FILE_OPS, iter: { from: "copies", to: true } };

/**
 * An integer as proc, sysctl and cgroup files take it: decimal, 0x… or octal 0…, with space around
 * it, ended by a NUL if there is one; null when it is none. The range is the caller's to check.
 */
export function parseInteger(text: string): number | null {
  const match = /^\s*([-+]?)(?:0[xX]([0-9a-fA-F]+)|0([0-7]*)|([1-9]\d*))\s*(?:\0.*)?$/s.exec(text);
  if (match === null) return null;
  const [, sign, hex, octal, decimal] = match;
  const value = hex !== undefined ? parseInt(hex, 16) : octal !== undefined ? parseInt(`0${octal}`, 8) : Number(decimal);
  return sign === "-" ? -value : value;
}

const ULONG_MAX = 0xffff_ffff_ffff_ffffn;

/** A decimal number as kstrtoul() takes it: no space, one newline at most. Null when it is none, or larger than `max`. */
export function parseUnsigned(text: string, max = Infinity): number | null {
  const match = /^\+?(\d+)\n?$/.exec(text);
  if (match === null || BigInt(match[1]!) > ULONG_MAX) return null;
  const value = Number(match[1]);
  return value > max ? null : value;
}

/** A truth value as kstrtobool() takes it; null when it is none. */
export function parseBool(text: string): boolean | null {
  if (/^([yYtT1]|[oO][nN])/.test(text)) return true;
  return /^([nNfF0]|[oO][fF])/.test(text) ? false : null;
}

const SUFFIXES = "KMGTPE";

/** A number as memparse() takes it: with an optional suffix K to E, and what follows it; null when it starts with no digit. */
export function memparse(text: string): { readonly bytes: number; readonly rest: string } | null {
  const match = /^(0[xX][0-9a-fA-F]+|0[0-7]*|[1-9][0-9]*)([KMGTPEkmgtpe]?)(.*)$/s.exec(text);
  if (match === null) return null;
  const [, digits, suffix, rest] = match as unknown as [string, string, string, string];
  const octal = /^0[0-7]+$/.test(digits);
  const value = BigInt(octal ? `0o${digits.slice(1)}` : digits);
  const shift = suffix === "" ? 0 : 10 * (SUFFIXES.indexOf(suffix.toUpperCase()) + 1);
  return { bytes: Number(BigInt.asUintN(64, value << BigInt(shift))), rest };
}
