import type { Atomic, MaySleep } from "../kernel/coroutine.js";
import type { Kernel } from "../kernel.js";
import type { Vma } from "../mm/mm_types.js";

/** What can be done with an open file. Results are byte counts, or negated errnos. */
export interface FileOps {
  /** Reads up to `into.length` bytes at `pos` into a kernel buffer. */
  read?(k: Kernel, file: OpenFile, into: Uint8Array, pos: number): MaySleep<number>;
  write?(k: Kernel, file: OpenFile, from: Uint8Array, pos: number): MaySleep<number>;
  /** `arg` is a user address; `task.mm` is where it points. */
  ioctl?(k: Kernel, file: OpenFile, cmd: number, arg: number): MaySleep<number>;
  /** Prepares a new mapping of the file; 0 or a negated errno. Without it: ENODEV. */
  mmap?(k: Kernel, file: OpenFile, vma: Vma): MaySleep<number>;
  /** The last reference is gone. */
  release?(k: Kernel, file: OpenFile): MaySleep<void>;
}

/** An open file description: what file descriptors refer to. */
export class OpenFile {
  pos = 0;
  references = 1;
  /** For the file's owner: a driver's own state, a tmpfs inode, the text of a proc file. */
  data: unknown = null;

  constructor(
    readonly path: string,
    readonly inode: Inode,
    readonly ops: FileOps,
    /** O_* as given to open(2), status flags included. */
    public flags: number,
  ) {}
}

export type InodeKind = "file" | "directory" | "char" | "symlink" | "pipe";

/** A file of some file system. Numbers are unique in the machine. */
export interface Inode {
  readonly ino: number;
  readonly kind: InodeKind;
  /** Permission bits, e.g. 0o644. */
  mode: number;
  /** Device number for character devices. */
  readonly rdev: number;
  size: number;
}

/** A process's file descriptors. */
export class FileTable {
  private readonly files: ({ file: OpenFile; cloexec: boolean } | undefined)[] = [];

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
}

/** A character device as a driver registers it: what open(2) of its node does. */
export interface CharDevice {
  readonly name: string;
  readonly rdev: number;
  readonly ops: FileOps;
  /** Sets up `file.data`; 0 or a negated errno. */
  open?(k: Kernel, file: OpenFile): MaySleep<number>;
}

/** The mount tree of a machine: what the system calls and the operator's lines go through. */
export interface Vfs {
  /** Adds /dev/NAME. */
  registerDevice(device: CharDevice): void;
  /** Opens a path for the current task; an open file, or a negated errno. */
  open(k: Kernel, path: string, flags: number, mode: number): MaySleep<OpenFile | number>;
  /** Drops a reference, and closes the file with the last one. */
  put(k: Kernel, file: OpenFile): MaySleep<void>;
  mkdir(k: Kernel, path: string, mode: number): Atomic<number> | MaySleep<number>;
}
