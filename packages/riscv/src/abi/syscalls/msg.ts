import { Errno, msgBytes, MsgRcv, Op, SWITCH, type MaySleep, type MsgQueue } from "@faultline/kernel";
import type { GuestThread } from "../guest_thread.js";
import { getU64, readStruct, readUser, setI64, structBytes } from "../user.js";
import * as F from "./format.js";
import { ipcSeconds, IPC_INFO, IPC_PERM_SIZE, IPC_RMID, IPC_SET, IPC_STAT, readPerm, writePerm } from "./ipc.js";
import { call, int, type Handler, type Syscall } from "./syscall.js";

const IPC_NOWAIT = 0o4000;

const msgget: Handler = function* (t, [key, flags]) {
  return yield* t.k.msg.msgget(t.k, int(key!), int(flags!));
};

/** A message in memory begins with its type; its text follows. */
const TYPE_SIZE = 8;

const msgsnd: Handler = function* (t, [id, address, length, flags]) {
  const { k } = t;
  const head = yield* readStruct(k, address!, TYPE_SIZE);
  if (head === null) return -Errno.EFAULT;
  const type = head.getBigInt64(0, true);
  if (length! < 0 || length! > k.m.msg.max || int(id!) < 0 || type < 1n) return -Errno.EINVAL;
  const bytes = yield* readUser(k, address! + TYPE_SIZE, length!);
  return bytes === null ? -Errno.EFAULT : yield* k.msg.msgsnd(k, int(id!), type, bytes, int(flags!));
};

const msgrcv: Handler = function* (t, [id, address, room, type, flags]) {
  const { k } = t;
  const how = int(flags!);
  if (int(id!) < 0 || room! < 0) return -Errno.EINVAL;
  if ((how & MsgRcv.COPY) !== 0 && ((how & MsgRcv.EXCEPT) !== 0 || (how & IPC_NOWAIT) === 0)) return -Errno.EINVAL;
  const message = yield* k.msg.msgrcv(k, int(id!), { type: BigInt(type!), flags: how, room: room! });
  if (typeof message === "number") return message;
  const bytes = message.bytes.subarray(0, room);
  if ((yield* k.uaccess.putUser64(k, address!, message.type)) < 0) return -Errno.EFAULT;
  const error = bytes.length === 0 ? 0 : yield* k.uaccess.copyToUser(k, address! + TYPE_SIZE, bytes);
  return error < 0 ? -Errno.EFAULT : bytes.length;
};

enum Ctl {
  STAT = 11,
  INFO,
  STAT_ANY,
}

/** struct msqid64_ds, and where the size of the queue stands in it. */
const MSQID_DS_SIZE = 120;
const QBYTES_OFFSET = 88;
/** struct msginfo. */
const MSGINFO_SIZE = 32;
/** What IPC_INFO says of things that have no limit any more: segments of a message, and their size. */
const MSGSSZ = 16;
const MSGSEG = 0xffff;
const MSGMNI = 32_000;
const MSGMNB = 16_384;

function msqidBytes(queue: Readonly<MsgQueue>): Uint8Array {
  const view = new DataView(new ArrayBuffer(MSQID_DS_SIZE));
  writePerm(view, queue);
  const values = [ipcSeconds(queue.stimeNs), ipcSeconds(queue.rtimeNs), ipcSeconds(queue.ctimeNs), msgBytes(queue), queue.messages.length, queue.maxBytes];
  values.forEach((value, i) => setI64(view, IPC_PERM_SIZE + i * 8, value));
  view.setInt32(96, queue.lspid, true);
  view.setInt32(100, queue.lrpid, true);
  return structBytes(view);
}

/** IPC_INFO: the limits; MSG_INFO: what is used, in place of three of them. The largest number of a queue. */
function* info(t: GuestThread, used: boolean, address: number): MaySleep<number> {
  const { k } = t;
  const { msg } = k.m;
  if (k.m.point(Op.GuardedRead, msg.lock.id)) yield SWITCH;
  const queues = msg.all();
  const view = new DataView(new ArrayBuffer(MSGINFO_SIZE));
  const messages = queues.reduce((sum, queue) => sum + queue.messages.length, 0);
  const bytes = queues.reduce((sum, queue) => sum + msgBytes(queue), 0);
  const [pool, map, headers] = used ? [queues.length, messages, bytes] : [(MSGMNI * MSGMNB) / 1024, MSGMNB, MSGMNB];
  [pool, map, msg.max, msg.mnb, msg.mni, MSGSSZ, headers].forEach((value, i) => view.setInt32(i * 4, value, true));
  view.setUint16(28, MSGSEG, true);
  const { highest } = msg;
  const error = yield* k.uaccess.copyToUser(k, address, structBytes(view));
  return error < 0 ? error : highest;
}

const msgctl: Handler = function* (t, [msqid, cmd, buf]) {
  const { k } = t;
  const [id, command] = [int(msqid!), int(cmd!)];
  if (id < 0 || command < 0) return -Errno.EINVAL;
  switch (command) {
    case IPC_RMID:
      return yield* k.msg.msgRemove(k, id);
    case IPC_SET: {
      const view = yield* readStruct(k, buf!, MSQID_DS_SIZE);
      return view === null ? -Errno.EFAULT : yield* k.msg.msgSet(k, id, readPerm(view), getU64(view, QBYTES_OFFSET));
    }
    case IPC_STAT:
    case Ctl.STAT:
    case Ctl.STAT_ANY: {
      const queue = yield* k.ipc.ipcStat(k, k.m.msg, command === IPC_STAT ? { id } : { number: id, anybody: command === (Ctl.STAT_ANY as number) });
      if (typeof queue === "number") return queue;
      const error = yield* k.uaccess.copyToUser(k, buf!, msqidBytes(queue));
      return error < 0 || command === IPC_STAT ? error : queue.id;
    }
    case IPC_INFO:
    case Ctl.INFO:
      return yield* info(t, command !== IPC_INFO, buf!);
    default:
      return -Errno.EINVAL;
  }
};

const MSG_COMMAND = F.oneOf({ 0: "IPC_RMID", 1: "IPC_SET", 2: "IPC_STAT", 3: "IPC_INFO", 11: "MSG_STAT", 12: "MSG_INFO", 13: "MSG_STAT_ANY" });

export const MSG: readonly (readonly [number, Syscall])[] = [
  [186, call("msgget", [F.HEX, F.OCTAL], msgget)],
  [187, call("msgctl", [F.INT, MSG_COMMAND, F.POINTER], msgctl)],
  [188, call("msgrcv", [F.INT, F.OUT, F.SIZE, F.SIZE, F.OCTAL], msgrcv)],
  [189, call("msgsnd", [F.INT, F.POINTER, F.SIZE, F.OCTAL], msgsnd)],
];
