import { SWITCH, type MaySleep } from "../kernel/coroutine.js";
import { Errno } from "../kernel/errno.js";
import { Op } from "../kernel/op.js";
import { TaskState, WaitQueue } from "../kernel/sched.js";
import { Restart } from "../kernel/signal.js";
import type { Kernel } from "../kernel.js";
import { PAGE_SIZE } from "../mm/frame_memory.js";
import { initOwner } from "./permission.js";
import { fput, O, OpenFile, Poll, POLL_READABLE, POLL_WRITABLE, type FileOps, type Inode } from "./vfs.js";

export enum SockType {
  STREAM = 1,
  DGRAM = 2,
  SEQPACKET = 5,
}

/** net.core.wmem_default: memory that what a socket has sent and nobody read yet may take, in bytes. */
const SNDBUF = 212_992;
/** Longest message; what is more is refused. Of a stream there is none. */
export const MESSAGE_MAX = SNDBUF - 32;

/* What a message takes besides its bytes: struct sk_buff, and struct skb_shared_info behind the first of them. */
const SK_BUFF = 256;
const SHARED_INFO = 320;
const HEAD_MAX = 4 * PAGE_SIZE - SHARED_INFO;
const FRAGS_MAX = 17 * PAGE_SIZE;
/** Of a stream, what stands in a page of its own, and how long one part can be. */
const STREAM_HEAD = PAGE_SIZE - SHARED_INFO;
export const STREAM_PART = STREAM_HEAD + 8 * PAGE_SIZE;

/** Memory that a message takes, in bytes: its head is a power of two, the rest are pages. */
function truesize(length: number, type: SockType): number {
  const over = type === SockType.STREAM ? length - STREAM_HEAD : Math.min(length - HEAD_MAX, FRAGS_MAX);
  const pages = Math.ceil(Math.max(over, 0) / PAGE_SIZE) * PAGE_SIZE;
  const head = Math.max(length - pages, 0);
  return SK_BUFF + 2 ** Math.ceil(Math.log2(head + SHARED_INFO)) + pages;
}

interface Message {
  bytes: Uint8Array;
  /** What it takes of its sender's buffer, until all of it is read. */
  readonly truesize: number;
  /** Descriptors that come with it, each with a reference. */
  files: readonly OpenFile[];
}

/** What is done besides with one transfer. */
export interface SocketCall {
  readonly nonblock: boolean;
  readonly peek: boolean;
}

/** One end of a pair: what it has been sent, and which ways are shut. */
export class UnixSocket {
  peer!: UnixSocket;
  readonly queue: Message[] = [];
  closed = false;
  shutRead = false;
  shutWrite = false;
  /** The other end went with something unread: told once. */
  reset = false;
  changes = 0;
  readonly wait: WaitQueue;

  constructor(
    private readonly k: Kernel,
    readonly type: SockType,
    readonly ino: number,
  ) {
    this.wait = new WaitQueue(k.m);
  }

  /** Memory that is taken by what it has sent and its peer has not read. */
  get unread(): number {
    return this.peer.queue.reduce((sum, message) => sum + message.truesize, 0);
  }

  changed(): void {
    for (const end of [this, this.peer]) {
      end.changes++;
      end.wait.wakeAll();
    }
    this.k.m.pollWait.wakeAll();
  }

  /** Sends all of it, or of a stream what there is room for; the files are the callee's. */
  *send(bytes: Uint8Array, files: readonly OpenFile[], { nonblock }: SocketCall): MaySleep<number> {
    const { k, type } = this;
    if (type !== SockType.STREAM && bytes.length > MESSAGE_MAX) return -Errno.EMSGSIZE;
    for (let done = 0; ; ) {
      if (k.m.point(Op.Inode, this.ino)) yield SWITCH;
      if (this.shutWrite || ((this.peer.closed || this.peer.shutRead) && type !== SockType.DGRAM)) return done > 0 ? done : -Errno.EPIPE;
      if (this.peer.closed || this.peer.shutRead) return this.peer.closed ? -Errno.ECONNREFUSED : -Errno.EPIPE;
      // Of a stream, nothing is no message.
      if (type === SockType.STREAM && done === bytes.length) return done;
      // The last message may take more than there is.
      if (this.unread < SNDBUF) {
        const part = bytes.slice(done, type === SockType.STREAM ? done + STREAM_PART : undefined);
        this.peer.queue.push({ bytes: part, files: done === 0 ? files : [], truesize: truesize(part.length, type) });
        done += part.length;
        this.changed();
        if (done === bytes.length) return done;
        continue;
      }
      if (nonblock) return done > 0 ? done : -Errno.EAGAIN;
      if (!(yield* this.wait.sleep(TaskState.Interruptible, "unix_send"))) return done > 0 ? done : -Restart.ERESTARTSYS;
    }
  }

  /** Receives into a buffer: how many bytes, and the files that came with them; `whole` is how long the message was. */
  *receive(into: Uint8Array, { nonblock, peek }: SocketCall): MaySleep<{ n: number; whole: number; files: readonly OpenFile[] } | number> {
    const { k, queue } = this;
    for (;;) {
      if (k.m.point(Op.Inode, this.ino)) yield SWITCH;
      const first = queue[0];
      // A stream is read to its end first.
      if (this.reset && (first === undefined || this.type !== SockType.STREAM)) {
        this.reset = false;
        return -Errno.ECONNRESET;
      }
      if (first !== undefined) return this.type === SockType.STREAM ? this.takeStream(into, peek) : this.takeMessage(into, first, peek);
      if (this.shutRead || ((this.peer.closed || this.peer.shutWrite) && this.type !== SockType.DGRAM)) return { n: 0, whole: 0, files: [] };
      if (nonblock) return -Errno.EAGAIN;
      if (!(yield* this.wait.sleep(TaskState.Interruptible, "unix_receive"))) return -Restart.ERESTARTSYS;
    }
  }

  private takeMessage(into: Uint8Array, { bytes, files }: Message, peek: boolean): { n: number; whole: number; files: readonly OpenFile[] } {
    const n = Math.min(into.length, bytes.length);
    into.set(bytes.subarray(0, n));
    if (!peek) {
      this.queue.shift();
      this.changed();
    }
    return { n, whole: bytes.length, files: peek ? [] : files };
  }

  private takeStream(into: Uint8Array, peek: boolean): { n: number; whole: number; files: readonly OpenFile[] } {
    let n = 0;
    let files: readonly OpenFile[] = [];
    for (const message of [...this.queue]) {
      // What comes with descriptors is not read together with what came before.
      if (n === into.length || (n > 0 && (message.files.length > 0 || files.length > 0))) break;
      const part = message.bytes.subarray(0, into.length - n);
      into.set(part, n);
      n += part.length;
      if (peek) continue;
      files = message.files;
      message.files = [];
      message.bytes = message.bytes.subarray(part.length);
      if (message.bytes.length === 0) this.queue.shift();
    }
    if (!peek) this.changed();
    return { n, whole: n, files };
  }

  poll(): number {
    const over = this.type !== SockType.DGRAM && (this.peer.closed || this.peer.shutWrite);
    const deaf = this.shutRead || over;
    const dumb = this.shutWrite || (this.type !== SockType.DGRAM && (this.peer.closed || this.peer.shutRead));
    const room = this.unread <= SNDBUF / 4 ? POLL_WRITABLE | Poll.WRBAND : 0;
    return (
      (this.queue.length > 0 || deaf ? POLL_READABLE : 0) |
      (deaf ? Poll.RDHUP : 0) |
      (deaf && dumb ? Poll.HUP : 0) |
      (this.reset ? Poll.ERR : 0) |
      room
    );
  }

  *close(): MaySleep<void> {
    if (this.k.m.point(Op.Inode, this.ino)) yield SWITCH;
    this.closed = true;
    if (this.queue.length > 0 && this.type !== SockType.DGRAM) this.peer.reset = true;
    const left = this.queue.splice(0);
    this.changed();
    for (const { files } of left) for (const file of files) yield* fput(this.k, file);
  }
}

/** The socket that a file is; null for another. */
export function socketOf(file: OpenFile): UnixSocket | null {
  return file.data instanceof UnixSocket ? file.data : null;
}

const NOTHING_BESIDES: SocketCall = { nonblock: false, peek: false };

const SOCKET_OPS: FileOps = {
  iter: { from: "copies", to: true, nowait: true },
  stream: true,
  *read(k, file, into) {
    const received = yield* socketOf(file)!.receive(into, { ...NOTHING_BESIDES, nonblock: (file.flags & O.NONBLOCK) !== 0 });
    if (typeof received === "number") return received;
    for (const passed of received.files) yield* fput(k, passed);
    return received.n;
  },
  *write(_k, file, from) {
    return yield* socketOf(file)!.send(from, [], { ...NOTHING_BESIDES, nonblock: (file.flags & O.NONBLOCK) !== 0 });
  },
  poll: (file) => socketOf(file)!.poll(),
  *release(_k, file) {
    yield* socketOf(file)!.close();
  },
};

/** socketpair(2) of AF_UNIX: two files, connected. */
export function makeSocketPair(k: Kernel, type: SockType, flags: number): readonly [OpenFile, OpenFile] {
  const make = (): readonly [UnixSocket, OpenFile] => {
    const inode: Inode = { ino: k.m.nextPipeIno++, kind: "socket", mode: 0o777, rdev: 0, size: 0 };
    initOwner(k, inode, null);
    const socket = new UnixSocket(k, type, inode.ino);
    const name = `socket:[${inode.ino}]`;
    const file = new OpenFile(name, inode, { ...SOCKET_OPS, changes: () => socket.changes }, O.RDWR | (flags & O.NONBLOCK));
    file.node = { name, inode, parent: null };
    file.data = socket;
    return [socket, file];
  };
  const [a, first] = make();
  const [b, second] = make();
  a.peer = b;
  b.peer = a;
  return [first, second];
}

/** shutdown(2): 0 for reading, 1 for writing, 2 for both. */
export function* shutdownSocket(k: Kernel, socket: UnixSocket, how: number): MaySleep<number> {
  if (how < 0 || how > 2) return -Errno.EINVAL;
  if (k.m.point(Op.Inode, socket.ino)) yield SWITCH;
  if (how !== 1) socket.shutRead = true;
  if (how !== 0) socket.shutWrite = true;
  socket.changed();
  return 0;
}
