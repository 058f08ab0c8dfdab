import { SWITCH } from "../kernel/coroutine.js";
import { Op } from "../kernel/op.js";
import { O, OpenFile, type FileOps, type FileTable, type Inode } from "./vfs.js";

/** The host's side of the standard streams. */
export interface HostStreams {
  /**
   * All of standard input (empty unless given), or a function that returns its next bytes: at most
   * as many as asked for, none at the end. The whole machine stands still while it waits.
   */
  readonly stdin?: Uint8Array | ((max: number) => Uint8Array);
  /** Called with each write; the bytes are the callee's to keep. */
  readonly write: (fd: 1 | 2, bytes: Uint8Array) => void;
}

/**
 * The standard streams: pipes to the host, so that a program that asks is told they are no
 * terminals. They live outside every mount, as pipefs does.
 */
export class StdStreams {
  private readonly inodes: readonly Inode[];

  constructor(host: HostStreams) {
    const { stdin } = host;
    const input = stdin === undefined || typeof stdin === "function" ? new Uint8Array(0) : stdin;
    let consumed = 0;
    const reader: FileOps = {
      stream: true,
      iter: { from: "copies" },
      *read(k, file, into) {
        if (k.m.point(Op.Inode, file.inode.ino)) yield SWITCH;
        const part = typeof stdin === "function" ? stdin(into.length) : input.subarray(consumed, consumed + into.length);
        into.set(part);
        consumed += part.length;
        return part.length;
      },
    };
    const writer = (fd: 1 | 2): FileOps => ({
      stream: true,
      iter: { to: true },
      *write(k, file, from) {
        if (k.m.point(Op.Inode, file.inode.ino)) yield SWITCH;
        host.write(fd, from.slice());
        return from.length;
      },
    });
    this.inodes = [reader, writer(1), writer(2)].map((ops, fd) => ({
      ino: fd + 1,
      kind: "pipe",
      mode: 0o600,
      rdev: 0,
      size: 0,
      ops,
    }));
  }

  /** Puts fresh descriptions of the three streams at descriptors 0, 1 and 2. */
  install(files: FileTable): void {
    this.inodes.forEach((inode, fd) => {
      const name = `pipe:[${inode.ino}]`;
      const file = new OpenFile(name, inode, inode.ops!, fd === 0 ? O.RDONLY : O.WRONLY);
      file.node = { name, inode, parent: null };
      files.set(fd, file, false);
    });
  }
}
