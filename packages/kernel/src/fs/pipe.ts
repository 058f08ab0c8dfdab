import { SWITCH, type MaySleep } from "../kernel/coroutine.js";
import { capable, Cap } from "../kernel/capability.js";
import { Errno } from "../kernel/errno.js";
import { Op } from "../kernel/op.js";
import { TaskState, WaitQueue } from "../kernel/sched.js";
import { Restart } from "../kernel/signal.js";
import type { Kernel } from "../kernel.js";
import { PAGE_SIZE } from "../mm/frame_memory.js";
import { initOwner } from "./permission.js";
import { O, OpenFile, Poll, POLL_READABLE, POLL_WRITABLE, type FileOps, type Inode } from "./vfs.js";

/** Pages that a pipe has room for, at first. */
const PIPE_DEF_BUFFERS = 16;
/** fs.pipe-max-size: what a pipe may be given without CAP_SYS_RESOURCE, in bytes. */
export const PIPE_MAX_SIZE = 1024 * 1024;
/** No pipe is larger, in bytes. */
const PIPE_SIZE_LIMIT = 2 ** 31;

/** A page's worth of a pipe, or part of one. */
export interface PipeBuffer {
  /** The kernel's copy; null where the page is somebody's, which splice(2) or vmsplice(2) has put here. */
  readonly bytes: Uint8Array | null;
  /** The page that is read instead, with a reference; -1 for none. */
  readonly page: number;
  start: number;
  length: number;
  /** Read as a whole or cut off (O_DIRECT). */
  readonly packet: boolean;
  /** What is written next may go into the same page. */
  readonly merge: boolean;
}

/** What was written and not read yet, and who could still do either. */
export class Pipe {
  readonly buffers: PipeBuffer[] = [];
  /** How many buffers there may be. */
  slots = PIPE_DEF_BUFFERS;
  /** Open descriptions that read, and that write. */
  readers = 0;
  writers = 0;
  /** How often it has been opened to read, and to write. */
  readersEver = 0;
  writersEver = 0;
  /** How often something has come or gone. */
  changes = 0;
  readonly forReaders: WaitQueue;
  readonly forWriters: WaitQueue;

  constructor(k: Kernel) {
    this.forReaders = new WaitQueue(k.m);
    this.forWriters = new WaitQueue(k.m);
  }

  get full(): boolean {
    return this.buffers.length >= this.slots;
  }

  /** Bytes that can be read. */
  get length(): number {
    return this.buffers.reduce((sum, { length }) => sum + length, 0);
  }

  /**
   * As much of `from` as there is room for: what is over from whole pages goes behind what was
   * written last, where its page has room, the rest into pages of its own.
   */
  put(from: Uint8Array, packet: boolean, first: boolean): number {
    const over = from.length % PAGE_SIZE;
    const last = this.buffers.at(-1);
    let done = 0;
    if (first && over > 0 && last?.merge === true && last.start + last.length + over <= PAGE_SIZE) {
      last.bytes!.set(from.subarray(0, over), last.start + last.length);
      last.length += over;
      done = over;
    }
    while (done < from.length && !this.full) {
      const bytes = new Uint8Array(PAGE_SIZE);
      const part = from.subarray(done, done + PAGE_SIZE);
      bytes.set(part);
      this.buffers.push({ bytes, page: -1, start: 0, length: part.length, packet, merge: !packet });
      done += part.length;
    }
    return done;
  }
}

/** An end of a pipe, as its file has it. */
class PipeEnd {
  /** Nobody has spliced by this description: RWF_NOWAIT is known. */
  nowait = true;
  /** It was opened without waiting for somebody who writes: how many had by then. That nobody does is no end of file yet. */
  writersBefore = -1;

  constructor(readonly pipe: Pipe) {}
}

/**
 * What pipe2(2) makes, or a FIFO that has a name. There is a pipe while somebody has it open; with the last of them goes
 * what is in it.
 */
export class PipeInode implements Inode {
  readonly kind = "pipe";
  readonly rdev = 0;
  readonly size = 0;
  readonly ops = PIPE_OPS;
  uid = 0;
  gid = 0;
  /** Open descriptions, and opens that wait. */
  opens = 0;
  pipe: Pipe | null = null;

  /** @param named opening it waits for somebody else to open it too; what pipe2(2) has made is open already */
  constructor(
    readonly ino: number,
    public mode: number,
    private readonly named: boolean,
  ) {}

  /** The pipe, for one more who has it open. */
  take(k: Kernel): Pipe {
    this.opens++;
    return (this.pipe ??= new Pipe(k));
  }

  /** One less has it open. */
  *put(k: Kernel): MaySleep<void> {
    if (--this.opens > 0) return;
    const { buffers } = this.pipe!;
    while (buffers.length > 0) yield* dropFirst(k, this.pipe!);
    this.pipe = null;
  }

  /**
   * Opens it to read, or to write, and waits until somebody has opened it for the other; to do both, or to read with
   * O_NONBLOCK, at once. -ENXIO for a write with O_NONBLOCK to what nobody reads, -ERESTARTSYS for a signal.
   */
  *open(k: Kernel, file: OpenFile): MaySleep<number> {
    if (k.m.point(Op.Inode, this.ino)) yield SWITCH;
    const { readable, writable } = file;
    const nonblock = (file.flags & O.NONBLOCK) !== 0;
    if (this.named && nonblock && !readable && (this.pipe?.readers ?? 0) === 0) return -Errno.ENXIO;
    const pipe = this.take(k);
    const end = new PipeEnd(pipe);
    file.data = end;
    begin(k, pipe, file);
    if (!this.named || (readable && writable) || (readable ? pipe.writers : pipe.readers) > 0) return 0;
    const partners = (): number => (readable ? pipe.writersEver : pipe.readersEver);
    const before = partners();
    if (nonblock) {
      end.writersBefore = before;
      return 0;
    }
    while (partners() === before) {
      if (yield* pipe.forReaders.sleep(TaskState.Interruptible, "fifo_open")) continue;
      yield* this.close(k, file);
      return -Restart.ERESTARTSYS;
    }
    return 0;
  }

  /** A description that has been opened is no more. */
  *close(k: Kernel, file: OpenFile): MaySleep<void> {
    if (k.m.point(Op.Inode, this.ino)) yield SWITCH;
    const pipe = this.pipe!;
    if (file.readable) pipe.readers--;
    if (file.writable) pipe.writers--;
    yield* this.put(k);
    if ((pipe.readers === 0) === (pipe.writers === 0)) return;
    changed(k, pipe, pipe.forReaders);
    pipe.forWriters.wakeAll();
  }
}

/** A description more, in one step with the point of its caller. */
function begin(k: Kernel, pipe: Pipe, { readable, writable }: OpenFile): void {
  const first = (readable && pipe.readers === 0) || (writable && pipe.writers === 0);
  if (readable) {
    pipe.readers++;
    pipe.readersEver++;
  }
  if (writable) {
    pipe.writers++;
    pipe.writersEver++;
  }
  if (first) changed(k, pipe, pipe.forReaders);
}

/** Whether a file is an end of a pipe. */
export function isPipe(file: OpenFile): boolean {
  return file.data instanceof PipeEnd;
}

export function pipeOf(file: OpenFile): Pipe | null {
  return file.data instanceof PipeEnd ? file.data.pipe : null;
}

/** An end takes part in splice(2), which knows nothing of RWF_NOWAIT: from now on its description does not either. */
export function clearNowait(file: OpenFile): void {
  if (file.data instanceof PipeEnd) file.data.nowait = false;
}

/** Whether RWF_NOWAIT is known of a file. */
export function takesNowait(file: OpenFile): boolean {
  return file.data instanceof PipeEnd ? file.data.nowait : file.ops.iter?.nowait === true;
}

/** The pages that splice(2) and vmsplice(2) have put into the pipe of a file, each with a reference; none of what is no pipe. */
export function splicedPages(file: OpenFile): number[] {
  return (pipeOf(file)?.buffers ?? []).filter(({ page }) => page >= 0).map(({ page }) => page);
}

/** pipe2(2): the reading end and the writing end. */
export function makePipe(k: Kernel, flags: number): readonly [OpenFile, OpenFile] {
  const inode = new PipeInode(k.m.nextPipeIno++, 0o600, false);
  initOwner(k, inode, null);
  const end = (mode: O): OpenFile => {
    const name = `pipe:[${inode.ino}]`;
    const file = new OpenFile(name, inode, inode.ops, mode | (flags & (O.NONBLOCK | O.DIRECT)));
    file.node = { name, inode, parent: null };
    file.data = new PipeEnd(inode.take(k));
    begin(k, inode.pipe!, file);
    return file;
  };
  return [end(O.RDONLY), end(O.WRONLY)];
}

/** F_GETPIPE_SZ: in bytes; -EBADF for what is no pipe. */
export function pipeSize(file: OpenFile): number {
  const pipe = pipeOf(file);
  return pipe === null ? -Errno.EBADF : pipe.slots * PAGE_SIZE;
}

/** What the kernel notes of a buffer, and the most that it allocates at once, in bytes. */
const PIPE_BUFFER_BYTES = 40;
const KMALLOC_MAX_SIZE = 2 ** 22;

/** F_SETPIPE_SZ: the new size; -EBUSY where more is in the pipe than that, -EPERM, -EINVAL, -ENOMEM. */
export function* setPipeSize(k: Kernel, file: OpenFile, bytes: number): MaySleep<number> {
  const pipe = pipeOf(file);
  if (pipe === null) return -Errno.EBADF;
  if (bytes > PIPE_SIZE_LIMIT) return -Errno.EINVAL;
  const pages = 2 ** Math.ceil(Math.log2(Math.max(Math.ceil(bytes / PAGE_SIZE), 1)));
  if (k.m.point(Op.Inode, file.inode.ino)) yield SWITCH;
  if (pages > pipe.slots && pages * PAGE_SIZE > PIPE_MAX_SIZE && !capable(k, Cap.SYS_RESOURCE)) return -Errno.EPERM;
  if (pages < pipe.buffers.length) return -Errno.EBUSY;
  if (pages * PIPE_BUFFER_BYTES > KMALLOC_MAX_SIZE) return -Errno.ENOMEM;
  pipe.slots = pages;
  changed(k, pipe, pipe.forWriters);
  return pages * PAGE_SIZE;
}

/** Takes bytes out of the first buffers; frees those that are empty. */
function* take(k: Kernel, pipe: Pipe, into: Uint8Array): MaySleep<number> {
  let done = 0;
  while (done < into.length && pipe.buffers.length > 0) {
    const buffer = pipe.buffers[0]!;
    if (buffer.page >= 0 && k.m.point(Op.FrameRead, buffer.page)) {
      const { start } = buffer;
      yield SWITCH;
      // Somebody else has read it meanwhile.
      if (pipe.buffers[0] !== buffer || buffer.start !== start) continue;
    }
    const n = Math.min(buffer.length, into.length - done);
    if (buffer.page >= 0) {
      into.set(k.m.ram.frame(buffer.page).subarray(buffer.start, buffer.start + n), done);
    } else into.set(buffer.bytes!.subarray(buffer.start, buffer.start + n), done);
    buffer.start += n;
    buffer.length -= n;
    done += n;
    const whole = buffer.packet;
    // What of a packet does not fit is lost.
    if (whole || buffer.length === 0) yield* dropFirst(k, pipe);
    if (whole) break;
  }
  return done;
}

export function* dropFirst(k: Kernel, pipe: Pipe): MaySleep<void> {
  const { page } = pipe.buffers.shift()!;
  if (page >= 0) yield* k.swap.folioPut(k, k.m.memmap.folioOf(page), "pipe");
}

const PIPE_OPS: FileOps = {
  stream: true,
  iter: {},

  *read(k, file, into) {
    const pipe = pipeOf(file)!;
    for (;;) {
      if (k.m.point(Op.Inode, file.inode.ino)) yield SWITCH;
      if (into.length === 0) return 0;
      const n = yield* take(k, pipe, into);
      if (n > 0) {
        changed(k, pipe, pipe.forWriters);
        return n;
      }
      if (pipe.writers === 0) return 0;
      if ((file.flags & O.NONBLOCK) !== 0) return -Errno.EAGAIN;
      if (!(yield* pipe.forReaders.sleep(TaskState.Interruptible, "pipe_read"))) return -Restart.ERESTARTSYS;
    }
  },

  unread(k, file, bytes) {
    const pipe = pipeOf(file)!;
    // Room is a matter of pages: what was read goes back in front, whoever has written since.
    for (let end = bytes.length; end > 0; end -= PAGE_SIZE) {
      const part = bytes.slice(Math.max(0, end - PAGE_SIZE), end);
      pipe.buffers.unshift({ bytes: part, page: -1, start: 0, length: part.length, packet: false, merge: false });
    }
    changed(k, pipe, pipe.forReaders);
  },

  *write(k, file, from) {
    const pipe = pipeOf(file)!;
    for (let done = 0; ; ) {
      if (k.m.point(Op.Inode, file.inode.ino)) yield SWITCH;
      if (from.length === 0) return 0;
      if (pipe.readers === 0) return done > 0 ? done : -Errno.EPIPE;
      const put = pipe.put(from.subarray(done), (file.flags & O.DIRECT) !== 0, done === 0);
      done += put;
      if (put > 0) changed(k, pipe, pipe.forReaders);
      if (done === from.length) return done;
      if ((file.flags & O.NONBLOCK) !== 0) return done > 0 ? done : -Errno.EAGAIN;
      if (!(yield* pipe.forWriters.sleep(TaskState.Interruptible, "pipe_write"))) return done > 0 ? done : -Restart.ERESTARTSYS;
    }
  },

  *ioctl(k, file, cmd, arg) {
    return yield* pipeIoctl(k, file, pipeOf(file)!, cmd, arg);
  },

  changes: (file) => pipeOf(file)!.changes,

  poll(file) {
    const { pipe, writersBefore } = file.data as PipeEnd;
    let ready = 0;
    if (file.readable) ready |= (pipe.buffers.length > 0 ? POLL_READABLE : 0) | (pipe.writers === 0 && pipe.writersEver !== writersBefore ? Poll.HUP : 0);
    if (file.writable) ready |= (pipe.full ? 0 : POLL_WRITABLE) | (pipe.readers === 0 ? Poll.ERR : 0);
    return ready;
  },

  *release(k, file) {
    yield* (file.inode as PipeInode).close(k, file);
  },
};

const FIONREAD = 0x541b;

function* pipeIoctl(k: Kernel, file: OpenFile, pipe: Pipe, cmd: number, arg: number): MaySleep<number> {
  if (cmd !== FIONREAD) return -Errno.ENOTTY;
  if (k.m.point(Op.Inode, file.inode.ino)) yield SWITCH;
  return yield* k.uaccess.putUser32(k, arg, pipe.length);
}

export function changed(k: Kernel, pipe: Pipe, queue: WaitQueue): void {
  pipe.changes++;
  queue.wakeAll();
  k.m.pollWait.wakeAll();
}
