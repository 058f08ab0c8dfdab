import { Errno, Op, SEMAEM, SEMVMX, SWITCH, waitersFor, type MaySleep, type SemArray, type SemOp } from "@faultline/kernel";
import type { GuestThread } from "../guest_thread.js";
import { readStruct, setI64, structBytes, timespecAt } from "../user.js";
import * as F from "./format.js";
import { ipcSeconds, IPC_INFO, IPC_PERM_SIZE, IPC_RMID, IPC_SET, IPC_STAT, readPerm, writePerm } from "./ipc.js";
import { call, int, type Handler, type Syscall } from "./syscall.js";

const semget: Handler = function* (t, [key, count, flags]) {
  return yield* t.k.sem.semget(t.k, int(key!), int(count!), int(flags!));
};

/** struct sembuf, in bytes. */
const SEMBUF_SIZE = 6;

const semtimedop: Handler = function* (t, [id, address, count, timeout]) {
  const { k } = t;
  const time = timeout === 0 ? null : yield* readStruct(k, timeout!, 16);
  if (timeout !== 0 && time === null) return -Errno.EFAULT;
  const n = count! >>> 0;
  if (n > k.m.sem.limits.ops) return -Errno.E2BIG;
  if (n === 0) return -Errno.EINVAL;
  const view = yield* readStruct(k, address!, n * SEMBUF_SIZE);
  if (view === null) return -Errno.EFAULT;
  if (int(id!) < 0) return -Errno.EINVAL;
  let deadline = Infinity;
  if (time !== null) {
    const ns = timespecAt(time, 0);
    if (ns === null) return -Errno.EINVAL;
    deadline = k.m.now() + ns;
  }
  const ops = Array.from({ length: n }, (_, i): SemOp => ({
    num: view.getUint16(i * SEMBUF_SIZE, true),
    op: view.getInt16(i * SEMBUF_SIZE + 2, true),
    flags: view.getInt16(i * SEMBUF_SIZE + 4, true),
  }));
  return yield* k.sem.semtimedop(k, int(id!), ops, deadline);
};

enum Ctl {
  GETPID = 11,
  GETVAL,
  GETALL,
  GETNCNT,
  GETZCNT,
  SETVAL,
  SETALL,
  STAT,
  INFO,
  STAT_ANY,
}

/** struct semid64_ds of the generic 64-bit ABI. */
const SEMID_DS_SIZE = 88;
/** What IPC_INFO says that a record of something to undo takes, in bytes. */
const SEMUSZ = 20;

function semidBytes(array: Readonly<SemArray>): Uint8Array {
  const view = new DataView(new ArrayBuffer(SEMID_DS_SIZE));
  writePerm(view, array);
  [ipcSeconds(array.otimeNs), ipcSeconds(array.ctimeNs), array.semaphores.length].forEach((value, i) => setI64(view, IPC_PERM_SIZE + i * 8, value));
  return structBytes(view);
}

/** GETVAL and its like: of one semaphore. */
function* getOne(t: GuestThread, id: number, num: number, command: number): MaySleep<number> {
  const array = yield* t.k.ipc.ipcStat(t.k, t.k.m.sem, { id });
  if (typeof array === "number") return array;
  if (num < 0 || num >= array.semaphores.length) return -Errno.EINVAL;
  const { value, pid } = array.semaphores[num]!;
  if (command === (Ctl.GETVAL as number)) return value;
  if (command === (Ctl.GETPID as number)) return pid;
  const { more, zero } = waitersFor(array, num);
  return command === (Ctl.GETNCNT as number) ? more : zero;
}

function* getAll(t: GuestThread, id: number, address: number): MaySleep<number> {
  const array = yield* t.k.ipc.ipcStat(t.k, t.k.m.sem, { id });
  if (typeof array === "number") return array;
  const view = new DataView(new ArrayBuffer(array.semaphores.length * 2));
  array.semaphores.forEach(({ value }, i) => view.setUint16(i * 2, value, true));
  return yield* t.k.uaccess.copyToUser(t.k, address, structBytes(view));
}

function* setAll(t: GuestThread, id: number, address: number): MaySleep<number> {
  const { sem } = t.k.m;
  if (t.k.m.point(Op.GuardedRead, sem.lock.id)) yield SWITCH;
  const array = sem.byId(id);
  if (array === undefined) return -Errno.EINVAL;
  const n = array.semaphores.length;
  const view = yield* readStruct(t.k, address, n * 2);
  if (view === null) return -Errno.EFAULT;
  return yield* t.k.sem.semSetValues(t.k, id, 0, Array.from({ length: n }, (_, i) => view.getUint16(i * 2, true)));
}

/** IPC_INFO: the limits; SEM_INFO: what is used, in place of two of them. The largest number of a set. */
function* info(t: GuestThread, used: boolean, address: number): MaySleep<number> {
  const { k } = t;
  const { sem } = k.m;
  if (k.m.point(Op.GuardedRead, sem.lock.id)) yield SWITCH;
  const { perSet, all, ops, sets } = sem.limits;
  const view = new DataView(new ArrayBuffer(40));
  const values = [all, sets, all, all, perSet, ops, ops, used ? sem.objects.size : SEMUSZ, SEMVMX, used ? sem.semaphores : SEMAEM];
  values.forEach((value, i) => view.setInt32(i * 4, value, true));
  const { highest } = sem;
  const error = yield* k.uaccess.copyToUser(k, address, structBytes(view));
  return error < 0 ? error : highest;
}

const semctl: Handler = function* (t, [semid, number, cmd, arg]) {
  const { k } = t;
  const [id, num, command] = [int(semid!), int(number!), int(cmd!)];
  if (id < 0) return -Errno.EINVAL;
  switch (command) {
    case IPC_RMID:
      return yield* k.sem.semRemove(k, id);
    case IPC_SET: {
      const view = yield* readStruct(k, arg!, SEMID_DS_SIZE);
      return view === null ? -Errno.EFAULT : yield* k.sem.semSet(k, id, readPerm(view));
    }
    case IPC_STAT:
    case Ctl.STAT:
    case Ctl.STAT_ANY: {
      const array = yield* k.ipc.ipcStat(k, k.m.sem, command === IPC_STAT ? { id } : { number: id, anybody: command === (Ctl.STAT_ANY as number) });
      if (typeof array === "number") return array;
      const error = yield* k.uaccess.copyToUser(k, arg!, semidBytes(array));
      return error < 0 || command === IPC_STAT ? error : array.id;
    }
    case IPC_INFO:
    case Ctl.INFO:
      return yield* info(t, command !== IPC_INFO, arg!);
    case Ctl.GETALL:
      return yield* getAll(t, id, arg!);
    case Ctl.SETALL:
      return yield* setAll(t, id, arg!);
    case Ctl.SETVAL:
      return int(arg!) < 0 || int(arg!) > SEMVMX ? -Errno.ERANGE : yield* k.sem.semSetValues(k, id, num, [int(arg!)]);
    case Ctl.GETVAL:
    case Ctl.GETPID:
    case Ctl.GETNCNT:
    case Ctl.GETZCNT:
      return yield* getOne(t, id, num, command);
    default:
      return -Errno.EINVAL;
  }
};

const SEM_COMMAND = F.oneOf({
  0: "IPC_RMID", 1: "IPC_SET", 2: "IPC_STAT", 3: "IPC_INFO", 11: "GETPID", 12: "GETVAL", 13: "GETALL", 14: "GETNCNT",
  15: "GETZCNT", 16: "SETVAL", 17: "SETALL", 18: "SEM_STAT", 19: "SEM_INFO", 20: "SEM_STAT_ANY",
});

export const SEM: readonly (readonly [number, Syscall])[] = [
  [190, call("semget", [F.HEX, F.INT, F.OCTAL], semget)],
  [191, call("semctl", [F.INT, F.INT, SEM_COMMAND, F.POINTER], semctl)],
  [192, call("semtimedop", [F.INT, F.POINTER, F.INT, F.TIMESPEC], semtimedop)],
  [193, call("semop", [F.INT, F.POINTER, F.INT], function* (t, args) { return yield* semtimedop(t, [...args.slice(0, 3), 0]); })],
];
