import { capable, Cap } from "../kernel/capability.js";
import { SWITCH, type Atomic, type MaySleep } from "../kernel/coroutine.js";
import { Errno } from "../kernel/errno.js";
import { Op } from "../kernel/op.js";
import type { Process } from "../kernel/process.js";
import { rlimit, Rlimit } from "../kernel/rlimit.js";
import { TaskState, WaitQueue } from "../kernel/sched.js";
import { Restart, SI } from "../kernel/signal.js";
import type { Kernel } from "../kernel.js";
import { inodePermission, May } from "./permission.js";
import { bytesOf } from "./pseudo.js";
import { O, OpenFile, POLL_READABLE, POLL_WRITABLE, seekWithin, type FileOps, type Inode } from "./vfs.js";

/** The device number of the file system that has the queues, which nobody has mounted. */
const MQUEUE_DEV = 2;
/** What stat(2) says that the text of a queue is long, in bytes. */
const FILE_SIZE = 80;
/** What counts of a message towards RLIMIT_MSGQUEUE besides its bytes: its header, and its place in the queue. */
const MSG_MSG_BYTES = 48;
const TREE_NODE_BYTES = 48;
/** Priorities are below this. */
export const MQ_PRIO_MAX = 32_768;
const NAME_MAX = 255;
/** What CAP_SYS_RESOURCE may ask for: messages, and bytes of one. */
const HARD_MSGMAX = 65_536;
const HARD_MSGSIZEMAX = 16 * 1024 * 1024;

interface Message {
  readonly bytes: Uint8Array;
  readonly priority: number;
}

/** Somebody who sleeps in mq_timedsend(2) (with a message) or mq_timedreceive(2). */
interface Waiter {
  message: Message | null;
  done: boolean;
  readonly queue: WaitQueue;
}

/** Who is told, once, of a message that comes into the empty queue; no signal (0): nobody, but the queue is taken. */
interface Notification {
  readonly owner: Process;
  readonly signo: number;
  readonly value: bigint;
}

export interface MqueueSizes {
  /** Messages that it has room for. */
  readonly maxmsg: number;
  /** Bytes of one. */
  readonly msgsize: number;
}

/** A POSIX message queue. Steps on `Op.Inode` guard it. */
class MqueueInode implements Inode {
  readonly kind = "file";
  readonly rdev = 0;
  readonly dev = MQUEUE_DEV;
  readonly size = FILE_SIZE;
  readonly ops = MQUEUE_OPS;
  nlink = 1;
  atimeNs: number;
  mtimeNs: number;
  ctimeNs: number;
  /** Those of higher priority first; of one priority, the oldest. */
  readonly messages: Message[] = [];
  readonly senders: Waiter[] = [];
  readonly receivers: Waiter[] = [];
  notification: Notification | null = null;
  opens = 0;
  changes = 0;

  constructor(
    k: Kernel,
    readonly ino: number,
    public mode: number,
    public uid: number,
    public gid: number,
    readonly sizes: MqueueSizes,
  ) {
    this.atimeNs = this.mtimeNs = this.ctimeNs = k.m.now();
  }

  /** What it counts towards RLIMIT_MSGQUEUE of who made it. */
  get bytes(): number {
    return chargeOf(this.sizes);
  }
}

function chargeOf({ maxmsg, msgsize }: MqueueSizes): number {
  return maxmsg * (MSG_MSG_BYTES + msgsize) + Math.min(maxmsg, MQ_PRIO_MAX) * TREE_NODE_BYTES;
}

/** All queues of a machine that have a name, and what there may be of them (/proc/sys/fs/mqueue). */
export class Mqueues {
  readonly names = new Map<string, MqueueInode>();
  /** Bytes by user. */
  readonly charged = new Map<number, number>();
  queues = 0;
  queuesMax = 256;
  msgMax = 10;
  msgsizeMax = 8192;
  msgDefault = 10;
  msgsizeDefault = 8192;
  nextIno = 2;
}

/** A queue's file, open; null for another. */
export function mqueueOf(file: OpenFile): MqueueInode | null {
  return file.inode instanceof MqueueInode ? file.inode : null;
}

function checkName(name: string): number {
  if (name === "") return -Errno.ENOENT;
  if (name.includes("/") || name === "." || name === "..") return -Errno.EACCES;
  return name.length > NAME_MAX ? -Errno.ENAMETOOLONG : 0;
}

/** mq_open(2): a file, or -ENOENT, -EEXIST, -EACCES, -EINVAL, -ENOSPC, -EMFILE. */
export function* mqOpen(k: Kernel, name: string, flags: number, mode: number, sizes: MqueueSizes | null): MaySleep<OpenFile | number> {
  const { mqueues } = k.m;
  const wrong = checkName(name);
  if (wrong < 0) return wrong;
  if (k.m.point(Op.Inode, 0)) yield SWITCH;
  let inode = mqueues.names.get(name);
  const created = inode === undefined;
  if (inode === undefined) {
    if ((flags & O.CREAT) === 0) return -Errno.ENOENT;
    const made = create(k, mode, sizes);
    if (typeof made === "number") return made;
    inode = made;
    mqueues.names.set(name, inode);
  } else {
    if ((flags & (O.CREAT | O.EXCL)) === (O.CREAT | O.EXCL)) return -Errno.EEXIST;
    const access = [May.READ, May.WRITE, May.READ | May.WRITE][flags & O.ACCMODE];
    if (access === undefined) return -Errno.EINVAL;
    const refused = inodePermission(k, inode, access);
    if (refused < 0) return refused;
  }
  inode.opens++;
  const file = new OpenFile(`/${name}`, inode, MQUEUE_OPS, flags & (O.ACCMODE | O.NONBLOCK));
  file.created = created;
  return file;
}

function create(k: Kernel, mode: number, sizes: MqueueSizes | null): MqueueInode | number {
  const { mqueues } = k.m;
  const { cred, fs: { umask } } = k.m.current!.process!;
  const mayMore = capable(k, Cap.SYS_RESOURCE);
  if (mqueues.queues >= mqueues.queuesMax && !mayMore) return -Errno.ENOSPC;
  const { maxmsg, msgsize } = sizes ?? {
    maxmsg: Math.min(mqueues.msgMax, mqueues.msgDefault),
    msgsize: Math.min(mqueues.msgsizeMax, mqueues.msgsizeDefault),
  };
  if (maxmsg <= 0 || msgsize <= 0) return -Errno.EINVAL;
  const [mostMessages, mostBytes] = mayMore ? [HARD_MSGMAX, HARD_MSGSIZEMAX] : [mqueues.msgMax, mqueues.msgsizeMax];
  if (maxmsg > mostMessages || msgsize > mostBytes) return -Errno.EINVAL;
  const charged = (mqueues.charged.get(cred.uid) ?? 0) + chargeOf({ maxmsg, msgsize });
  if (BigInt(charged) > rlimit(k.m, Rlimit.MSGQUEUE)) return -Errno.EMFILE;
  mqueues.charged.set(cred.uid, charged);
  mqueues.queues++;
  return new MqueueInode(k, mqueues.nextIno++, mode & ~umask & 0o777, cred.fsuid, cred.fsgid, { maxmsg, msgsize });
}

/** mq_unlink(2): the name goes, the queue with the last who has it open. -ENOENT, -EACCES. */
export function* mqUnlink(k: Kernel, name: string): MaySleep<number> {
  const { mqueues } = k.m;
  const wrong = checkName(name);
  if (wrong < 0) return wrong;
  if (k.m.point(Op.Inode, 0)) yield SWITCH;
  const inode = mqueues.names.get(name);
  if (inode === undefined) return -Errno.ENOENT;
  // The directory is everybody's, and sticky.
  if (k.m.current!.process!.cred.fsuid !== inode.uid && !capable(k, Cap.FOWNER)) return -Errno.EPERM;
  mqueues.names.delete(name);
  inode.nlink = 0;
  forget(k, inode);
  return 0;
}

/** Neither a name nor a description is left: it counts no more. */
function forget(k: Kernel, inode: MqueueInode): void {
  if (inode.nlink > 0 || inode.opens > 0) return;
  const { mqueues } = k.m;
  mqueues.queues--;
  mqueues.charged.set(inode.uid, mqueues.charged.get(inode.uid)! - inode.bytes);
}

function changed(k: Kernel, inode: MqueueInode): void {
  inode.changes++;
  inode.mtimeNs = inode.ctimeNs = k.m.now();
  k.m.pollWait.wakeAll();
}

/** Puts a message behind those of at least its priority. */
function insert(inode: MqueueInode, message: Message): void {
  const at = inode.messages.findIndex(({ priority }) => priority < message.priority);
  inode.messages.splice(at < 0 ? inode.messages.length : at, 0, message);
}

/** Tells who has asked to be told; asked once, he is told once. */
function* notify(k: Kernel, inode: MqueueInode): Atomic<void> {
  const { notification } = inode;
  if (notification === null || inode.messages.length !== 1) return;
  inode.notification = null;
  const { owner, signo, value } = notification;
  if (signo === 0) return;
  if (k.m.point(Op.Process, owner.pid)) yield SWITCH;
  k.m.signals.send(owner, null, { signo, code: SI.MESGQ, addr: 0, pid: k.m.current!.process!.pid, value });
}

/** Sleeps until somebody has done what the waiter is for: 0, -ETIMEDOUT, -ERESTARTSYS. */
function* wait(k: Kernel, inode: MqueueInode, waiting: Waiter[], waiter: Waiter, deadline: number, what: string): MaySleep<number> {
  const { m } = k;
  const task = m.current!;
  waiting.push(waiter);
  let woken = true;
  const timer = deadline === Infinity || m.now() >= deadline ? null : m.sched.addTimer(deadline, task.isUser, () => m.sched.wake(task));
  while (!waiter.done && woken && m.now() < deadline) woken = yield* waiter.queue.sleep(TaskState.Interruptible, what);
  timer?.cancel();
  if (m.point(Op.Inode, inode.ino)) yield SWITCH;
  if (waiter.done) return 0;
  waiting.splice(waiting.indexOf(waiter), 1);
  return woken ? -Errno.ETIMEDOUT : -Restart.ERESTARTSYS;
}

function finish(waiter: Waiter): void {
  waiter.done = true;
  waiter.queue.wakeAll();
}

/** mq_timedsend(2), of checked length; `deadline` in nanoseconds of machine time. 0, -EAGAIN, -ETIMEDOUT, -ERESTARTSYS. */
export function* mqSend(k: Kernel, file: OpenFile, bytes: Uint8Array, priority: number, deadline: number): MaySleep<number> {
  const inode = mqueueOf(file)!;
  const message = { bytes, priority };
  if (k.m.point(Op.Inode, inode.ino)) yield SWITCH;
  if (inode.messages.length >= inode.sizes.maxmsg) {
    if ((file.flags & O.NONBLOCK) !== 0) return -Errno.EAGAIN;
    return yield* wait(k, inode, inode.senders, { message, done: false, queue: new WaitQueue(k.m) }, deadline, "mq_send");
  }
  const receiver = inode.receivers.shift();
  if (receiver !== undefined) {
    receiver.message = message;
    finish(receiver);
  } else insert(inode, message);
  changed(k, inode);
  if (receiver === undefined) yield* notify(k, inode);
  return 0;
}

/** mq_timedreceive(2): the first message, or -EAGAIN, -ETIMEDOUT, -ERESTARTSYS. */
export function* mqReceive(k: Kernel, file: OpenFile, deadline: number): MaySleep<Message | number> {
  const inode = mqueueOf(file)!;
  if (k.m.point(Op.Inode, inode.ino)) yield SWITCH;
  const message = inode.messages.shift();
  if (message === undefined) {
    if ((file.flags & O.NONBLOCK) !== 0) return -Errno.EAGAIN;
    const waiter: Waiter = { message: null, done: false, queue: new WaitQueue(k.m) };
    const error = yield* wait(k, inode, inode.receivers, waiter, deadline, "mq_receive");
    return error < 0 ? error : waiter.message!;
  }
  const sender = inode.senders.shift();
  if (sender !== undefined) {
    insert(inode, sender.message!);
    finish(sender);
  }
  inode.atimeNs = k.m.now();
  changed(k, inode);
  if (sender !== undefined) yield* notify(k, inode);
  return message;
}

/** mq_notify(2): null gives up what the current process has asked for. -EBUSY where somebody has asked already. */
export function* mqNotify(k: Kernel, file: OpenFile, wanted: { readonly signo: number; readonly value: bigint } | null): MaySleep<number> {
  const inode = mqueueOf(file)!;
  const owner = k.m.current!.process!;
  if (k.m.point(Op.Inode, inode.ino)) yield SWITCH;
  if (wanted === null) {
    if (inode.notification?.owner === owner) inode.notification = null;
  } else if (inode.notification !== null) return -Errno.EBUSY;
  else inode.notification = { ...wanted, owner };
  return 0;
}

function textOf({ messages, notification }: MqueueInode): Uint8Array {
  const bytes = messages.reduce((sum, message) => sum + message.bytes.length, 0);
  const column = (value: number, width: number): string => String(value).padEnd(width);
  const [how, signo, pid] = notification === null ? [0, 0, 0] : [notification.signo === 0 ? 1 : 0, notification.signo, notification.owner.pid];
  return bytesOf(`QSIZE:${column(bytes, 10)} NOTIFY:${column(how, 5)} SIGNO:${column(signo, 5)} NOTIFY_PID:${column(pid, 6)}\n`);
}

const MQUEUE_OPS: FileOps = {
  *read(k, file, into, pos) {
    if (k.m.point(Op.Inode, file.inode.ino)) yield SWITCH;
    const part = textOf(mqueueOf(file)!).subarray(pos, pos + into.length);
    into.set(part);
    return part.length;
  },
  *llseek(k, file, offset, whence) {
    if (k.m.point(Op.Inode, file.inode.ino)) yield SWITCH;
    return seekWithin(file, offset, whence);
  },
  /** With a descriptor goes what its process has asked to be told. */
  *flush(k, file) {
    const inode = mqueueOf(file)!;
    if (k.m.point(Op.Inode, inode.ino)) yield SWITCH;
    if (inode.notification?.owner === k.m.current!.process) inode.notification = null;
  },
  poll(file) {
    const { messages, sizes } = mqueueOf(file)!;
    return (messages.length > 0 ? POLL_READABLE : 0) | (messages.length < sizes.maxmsg ? POLL_WRITABLE : 0);
  },
  *release(k, file) {
    const inode = mqueueOf(file)!;
    if (k.m.point(Op.Inode, inode.ino)) yield SWITCH;
    inode.opens--;
    forget(k, inode);
  },
};
