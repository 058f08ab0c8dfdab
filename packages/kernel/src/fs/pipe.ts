import { SWITCH, type MaySleep } from "../kernel/coroutine.js";
import { Errno } from "../kernel/errno.js";
import { Op } from "../kernel/op.js";
import { TaskState, WaitQueue } from "../kernel/sched.js";
import { Restart } from "../kernel/signal.js";
import type { Kernel } from "../kernel.js";
import { O, OpenFile, Poll, type FileOps, type Inode } from "./vfs.js";

/** Bytes that a pipe holds (pipe(7)). */
export const PIPE_CAPACITY = 65_536;
/** Writes of up to so many bytes come in one piece. */
const PIPE_BUF = 4096;

/** What was written and not read yet, and who could still do either. */
class Pipe {
  private readonly bytes = new Uint8Array(PIPE_CAPACITY);
  private start = 0;
  length = 0;
  readers = 1;
  writers = 1;
  readonly forReaders: WaitQueue;
  readonly forWriters: WaitQueue;

  constructor(k: Kernel) {
    this.forReaders = new WaitQueue(k.m);
    this.forWriters = new WaitQueue(k.m);
  }

  get room(): number {
    return PIPE_CAPACITY - this.length;
  }

  take(into: Uint8Array): number {
    const n = Math.min(into.length, this.length);
    for (let i = 0; i < n; i++) into[i] = this.bytes[(this.start + i) % PIPE_CAPACITY]!;
    this.start = (this.start + n) % PIPE_CAPACITY;
    this.length -= n;
    return n;
  }

  /** Back to where it was read from: for what there was room until now. */
  putBack(bytes: Uint8Array): void {
    this.start = (this.start - bytes.length + PIPE_CAPACITY) % PIPE_CAPACITY;
    for (let i = 0; i < bytes.length; i++) this.bytes[(this.start + i) % PIPE_CAPACITY] = bytes[i]!;
    this.length += bytes.length;
  }

  /** As many as there is room for. */
  put(from: Uint8Array): number {
    const n = Math.min(from.length, this.room);
    for (let i = 0; i < n; i++) this.bytes[(this.start + this.length + i) % PIPE_CAPACITY] = from[i]!;
    this.length += n;
    return n;
  }
}

/** pipe2(2): the reading end and the writing end. */
export function makePipe(k: Kernel, flags: number): readonly [OpenFile, OpenFile] {
  const { m } = k;
  const pipe = new Pipe(k);
  const inode: Inode = { ino: m.nextPipeIno++, kind: "pipe", mode: 0o600, rdev: 0, size: 0 };
  const end = (ops: FileOps, mode: O): OpenFile => {
    const name = `pipe:[${inode.ino}]`;
    const file = new OpenFile(name, inode, ops, mode | (flags & (O.NONBLOCK | O.DIRECT)));
    file.node = { name, inode, parent: null };
    return file;
  };
  return [end(readingEnd(pipe), O.RDONLY), end(writingEnd(pipe), O.WRONLY)];
}

function readingEnd(pipe: Pipe): FileOps {
  return {
    stream: true,
    *read(k, file, into) {
      for (;;) {
        if (k.m.point(Op.Inode, file.inode.ino)) yield SWITCH;
        if (into.length === 0) return 0;
        const n = pipe.take(into);
        if (n > 0) {
          changed(k, pipe.forWriters);
          return n;
        }
        if (pipe.writers === 0) return 0;
        if ((file.flags & O.NONBLOCK) !== 0) return -Errno.EAGAIN;
        if (!(yield* pipe.forReaders.sleep(TaskState.Interruptible, "pipe_read"))) return -Restart.ERESTARTSYS;
      }
    },
    unread(k, _file, bytes) {
      // Somebody may have filled the room meanwhile: then there is no place to go back to.
      if (bytes.length <= pipe.room) pipe.putBack(bytes);
      changed(k, pipe.forReaders);
    },
    poll: () => (pipe.length > 0 ? Poll.IN : 0) | (pipe.writers === 0 ? Poll.HUP : 0),
    *release(k, file) {
      yield* ended(k, file);
      pipe.readers--;
      changed(k, pipe.forWriters);
    },
  };
}

function writingEnd(pipe: Pipe): FileOps {
  return {
    stream: true,
    *write(k, file, from) {
      for (let done = 0; ; ) {
        if (k.m.point(Op.Inode, file.inode.ino)) yield SWITCH;
        if (pipe.readers === 0) return done > 0 ? done : -Errno.EPIPE;
        // Either all of it, or nothing yet.
        if (from.length > PIPE_BUF || from.length <= pipe.room) done += pipe.put(from.subarray(done));
        if (done > 0 || from.length === 0) changed(k, pipe.forReaders);
        if (done === from.length) return done;
        if ((file.flags & O.NONBLOCK) !== 0) return done > 0 ? done : -Errno.EAGAIN;
        if (!(yield* pipe.forWriters.sleep(TaskState.Interruptible, "pipe_write"))) return done > 0 ? done : -Restart.ERESTARTSYS;
      }
    },
    poll: () => (pipe.room >= PIPE_BUF ? Poll.OUT : 0) | (pipe.readers === 0 ? Poll.ERR : 0),
    *release(k, file) {
      yield* ended(k, file);
      pipe.writers--;
      changed(k, pipe.forReaders);
    },
  };
}

function* ended(k: Kernel, file: OpenFile): MaySleep<void> {
  if (k.m.point(Op.Inode, file.inode.ino)) yield SWITCH;
}

function changed(k: Kernel, queue: WaitQueue): void {
  queue.wakeAll();
  k.m.pollWait.wakeAll();
}
