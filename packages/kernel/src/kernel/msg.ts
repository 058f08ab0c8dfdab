/**
 * @linux ipc/msg.c
 * @own msgBytes, msgRemove, msgSet
 */
import type { Kernel } from "../kernel.js";
import type { Machine } from "../machine.js";
import { capable, Cap } from "./capability.js";
import type { MaySleep } from "./coroutine.js";
import { Errno } from "./errno.js";
import { ipcExisting, IpcIds, ipcOwned, ipcOwner, ipcPermitted, IPC_CREAT, IPC_NOWAIT, IPC_PRIVATE, type IpcPerm } from "./ipc.js";
import { TaskState, WaitQueue } from "./sched.js";
import { Restart } from "./signal.js";

/** Flags of msgrcv(2). */
export enum MsgRcv {
  /** What does not fit is cut off. */
  NOERROR = 0o10000,
  /** Any type but the one given. */
  EXCEPT = 0o20000,
  /** The message stays; the type is its place in the queue. */
  COPY = 0o40000,
}

interface Message {
  readonly type: bigint;
  readonly bytes: Uint8Array;
}

/** What a receiver wants. */
interface Wanted {
  readonly type: bigint;
  readonly flags: number;
  /** Bytes that it has room for. */
  readonly room: number;
}

/** Somebody who sleeps in msgsnd(2) (no message is taken for him) or in msgrcv(2). */
interface Waiter {
  readonly wanted: Wanted | null;
  readonly queue: WaitQueue;
  /** A message, an errno, or null while nothing has come. */
  result: Message | number | null;
}

/** A System V message queue. `Msg.lock` guards it. */
export interface MsgQueue extends IpcPerm {
  readonly messages: Message[];
  readonly senders: Waiter[];
  readonly receivers: Waiter[];
  /** Bytes that it may have, and messages. */
  maxBytes: number;
  lspid: number;
  lrpid: number;
  stimeNs: number;
  rtimeNs: number;
  ctimeNs: number;
}

export function msgBytes({ messages }: Readonly<MsgQueue>): number {
  return messages.reduce((sum, { bytes }) => sum + bytes.length, 0);
}

/** All queues of a machine. */
export class Msg extends IpcIds<MsgQueue> {
  /** kernel.msgmax and msgmnb in bytes, of a message and of a queue; kernel.msgmni. */
  max = 8192;
  mnb = 16_384;
  mni = 32_000;

  constructor(m: Machine) {
    super(m, "msg_ids");
  }
}

/** msgget(2): an id, or -ENOENT, -EEXIST, -EACCES, -ENOSPC. */
export function* msgget(k: Kernel, key: number, flags: number): MaySleep<number> {
  const { msg } = k.m;
  if (!msg.lock.tryLock()) yield* msg.lock.lock();
  const there = key === IPC_PRIVATE ? undefined : msg.byKey(key);
  let result: number;
  if (there !== undefined) {
    const error = ipcExisting(k, there, flags);
    result = error < 0 ? error : there.id;
  } else if (key !== IPC_PRIVATE && (flags & IPC_CREAT) === 0) result = -Errno.ENOENT;
  else if (msg.objects.size >= msg.mni) result = -Errno.ENOSPC;
  else {
    const queue: MsgQueue = {
      id: msg.allocateId(), key, mode: flags & 0o777, ...ipcOwner(k), messages: [], senders: [], receivers: [],
      maxBytes: msg.mnb, lspid: 0, lrpid: 0, stimeNs: 0, rtimeNs: 0, ctimeNs: k.m.now(),
    };
    msg.add(queue);
    result = queue.id;
  }
  if (!msg.lock.tryUnlock()) yield* msg.lock.unlock();
  return result;
}

/** Whether a receiver that sleeps would take a message. */
function matches({ type, flags }: Wanted, message: Message): boolean {
  if (type === 0n) return true;
  if (type < 0n) return message.type <= -type;
  return (flags & MsgRcv.EXCEPT) !== 0 ? message.type !== type : message.type === type;
}

/** The place of the message that a receiver gets; -1 for none. Of several types that would do, the lowest. */
function search({ messages }: MsgQueue, wanted: Wanted): number {
  if ((wanted.flags & MsgRcv.COPY) !== 0) return wanted.type < BigInt(messages.length) ? Number(wanted.type) : -1;
  let found = -1;
  for (const [i, message] of messages.entries()) {
    if (!matches(wanted, message)) continue;
    if (wanted.type >= 0n) return i;
    if (found < 0 || message.type < messages[found]!.type) found = i;
  }
  return found;
}

function finish(waiter: Waiter, result: Message | number): void {
  waiter.result = result;
  waiter.queue.wakeAll();
}

/** Gives a message to the first who waits for one like it; false where nobody does. Who has too little room is told so. */
function handOver(k: Kernel, queue: MsgQueue, message: Message): boolean {
  for (const receiver of [...queue.receivers]) {
    const { wanted } = receiver;
    if (!matches(wanted!, message)) continue;
    queue.receivers.splice(queue.receivers.indexOf(receiver), 1);
    if (message.bytes.length > wanted!.room && (wanted!.flags & MsgRcv.NOERROR) === 0) {
      finish(receiver, -Errno.E2BIG);
      continue;
    }
    queue.rtimeNs = k.m.now();
    finish(receiver, message);
    return true;
  }
  return false;
}

/** Sleeps, without the lock, until somebody has left a result, which is given; null where a signal has come first. */
function* wait(k: Kernel, waiting: Waiter[], waiter: Waiter, what: string): MaySleep<Message | number | null> {
  const { msg } = k.m;
  let woken = true;
  while (waiter.result === null && woken) woken = yield* waiter.queue.sleep(TaskState.Interruptible, what);
  if (!msg.lock.tryLock()) yield* msg.lock.lock();
  if (waiter.result === null) waiting.splice(waiting.indexOf(waiter), 1);
  if (!msg.lock.tryUnlock()) yield* msg.lock.unlock();
  return waiter.result;
}

/** msgsnd(2), of checked type and length: 0, or -EINVAL, -EACCES, -EAGAIN, -EIDRM, -ERESTARTNOHAND. */
export function* msgsnd(k: Kernel, id: number, type: bigint, bytes: Uint8Array, flags: number): MaySleep<number> {
  const { m } = k;
  const { msg } = m;
  for (let removed = false; ; removed = true) {
    if (!msg.lock.tryLock()) yield* msg.lock.lock();
    const queue = msg.byId(id);
    let error = queue === undefined ? (removed ? -Errno.EIDRM : -Errno.EINVAL) : ipcPermitted(k, queue, 0o222);
    let waiter: Waiter | null = null;
    if (error === 0) {
      const { messages, maxBytes } = queue!;
      const fits = bytes.length + msgBytes(queue!) <= maxBytes && messages.length + 1 <= maxBytes;
      if (fits) {
        queue!.lspid = m.current!.process!.pid;
        queue!.stimeNs = m.now();
        if (!handOver(k, queue!, { type, bytes })) messages.push({ type, bytes });
      } else if ((flags & IPC_NOWAIT) !== 0) error = -Errno.EAGAIN;
      else queue!.senders.push((waiter = { wanted: null, queue: new WaitQueue(m), result: null }));
    }
    if (!msg.lock.tryUnlock()) yield* msg.lock.unlock();
    if (waiter === null) return error;
    const result = yield* wait(k, queue!.senders, waiter, "msgsnd");
    if (result === null) return -Restart.ERESTARTNOHAND;
    if (typeof result === "number" && result < 0) return result;
  }
}

/** msgrcv(2): a message, or -EINVAL, -EACCES, -E2BIG, -ENOMSG, -EIDRM, -ERESTARTNOHAND. */
export function* msgrcv(k: Kernel, id: number, wanted: Wanted): MaySleep<Message | number> {
  const { m } = k;
  const { msg } = m;
  if (!msg.lock.tryLock()) yield* msg.lock.lock();
  const queue = msg.byId(id);
  let result: Message | number = queue === undefined ? -Errno.EINVAL : ipcPermitted(k, queue, 0o444);
  let waiter: Waiter | null = null;
  if (result === 0) {
    const at = search(queue!, wanted);
    const message = queue!.messages[at];
    if (message === undefined) {
      if ((wanted.flags & IPC_NOWAIT) !== 0) result = -Errno.ENOMSG;
      else queue!.receivers.push((waiter = { wanted, queue: new WaitQueue(m), result: null }));
    } else if (message.bytes.length > wanted.room && (wanted.flags & MsgRcv.NOERROR) === 0) result = -Errno.E2BIG;
    else {
      result = message;
      if ((wanted.flags & MsgRcv.COPY) === 0) {
        queue!.messages.splice(at, 1);
        queue!.lrpid = m.current!.process!.pid;
        queue!.rtimeNs = m.now();
        // Who waits to send looks for himself whether there is room.
        for (const sender of queue!.senders.splice(0)) finish(sender, 0);
      }
    }
  }
  if (!msg.lock.tryUnlock()) yield* msg.lock.unlock();
  if (waiter === null) return result;
  const got = yield* wait(k, queue!.receivers, waiter, "msgrcv");
  if (got !== null && typeof got !== "number") queue!.lrpid = m.current!.process!.pid;
  return got ?? -Restart.ERESTARTNOHAND;
}

/* msgctl(2). */

/** IPC_RMID: who waits is told so. -EINVAL, -EPERM. */
export function* msgRemove(k: Kernel, id: number): MaySleep<number> {
  const { msg } = k.m;
  if (!msg.lock.tryLock()) yield* msg.lock.lock();
  const queue = msg.byId(id);
  const error = queue === undefined ? -Errno.EINVAL : ipcOwned(k, queue, Cap.SYS_ADMIN);
  if (error === 0) {
    msg.remove(queue!);
    for (const waiter of [...queue!.senders.splice(0), ...queue!.receivers.splice(0)]) finish(waiter, -Errno.EIDRM);
  }
  if (!msg.lock.tryUnlock()) yield* msg.lock.unlock();
  return error;
}

/** IPC_SET: the owner, the permission bits, and how much there may be. -EINVAL, -EPERM. */
export function* msgSet(k: Kernel, id: number, { uid, gid, mode }: Pick<IpcPerm, "uid" | "gid" | "mode">, maxBytes: number): MaySleep<number> {
  const { msg } = k.m;
  if (!msg.lock.tryLock()) yield* msg.lock.lock();
  const queue = msg.byId(id);
  let error = queue === undefined ? -Errno.EINVAL : ipcOwned(k, queue, Cap.SYS_ADMIN);
  if (error === 0 && maxBytes > msg.mnb && !capable(k, Cap.SYS_RESOURCE)) error = -Errno.EPERM;
  if (error === 0) {
    Object.assign(queue!, { uid, gid, mode: mode & 0o777, maxBytes, ctimeNs: k.m.now() });
    for (const sender of queue!.senders.splice(0)) finish(sender, 0);
  }
  if (!msg.lock.tryUnlock()) yield* msg.lock.unlock();
  return error;
}
