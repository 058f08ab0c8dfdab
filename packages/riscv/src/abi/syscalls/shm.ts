import { Errno, type ShmSegment } from "@faultline/kernel";
import { readStruct, setI64, structBytes } from "../user.js";
import * as F from "./format.js";
import { ipcSeconds, IPC_INFO, IPC_PERM_SIZE, IPC_RMID, IPC_SET, IPC_STAT, readPerm, writePerm } from "./ipc.js";
import { call, int, type Handler, type Syscall } from "./syscall.js";

const shmget: Handler = function* (t, [key, size, flags]) {
  return yield* t.k.shm.shmget(t.k, int(key!), size!, int(flags!));
};

const shmat: Handler = function* (t, [id, address, flags]) {
  return yield* t.k.shm.shmat(t.k, t.task.mm!, int(id!), address!, int(flags!));
};

const shmdt: Handler = function* (t, [address]) {
  return yield* t.k.shm.shmdt(t.k, t.task.mm!, address!);
};

enum Ctl {
  LOCK = 11,
  UNLOCK,
  STAT,
  INFO,
  STAT_ANY,
}

/** struct shmid64_ds. */
const SHMID_DS_SIZE = 112;
/** struct shminfo64. */
const SHMINFO_SIZE = 72;
/** struct shm_info. */
const SHM_INFO_SIZE = 48;

function shmidBytes(segment: Readonly<ShmSegment>): Uint8Array {
  const view = new DataView(new ArrayBuffer(SHMID_DS_SIZE));
  writePerm(view, segment);
  [segment.size, ipcSeconds(segment.atimeNs), ipcSeconds(segment.dtimeNs), ipcSeconds(segment.ctimeNs)].forEach((value, i) => setI64(view, IPC_PERM_SIZE + i * 8, value));
  view.setInt32(80, segment.cpid, true);
  view.setInt32(84, segment.lpid, true);
  setI64(view, 88, segment.nattch);
  return structBytes(view);
}

const shmctl: Handler = function* (t, [id, command, buf]) {
  const { k } = t;
  const { shm } = k.m;
  if (int(id!) < 0 || int(command!) < 0) return -Errno.EINVAL;
  switch (int(command!)) {
    case IPC_RMID:
      return yield* k.shm.shmRemove(k, int(id!));
    case IPC_SET: {
      const view = yield* readStruct(k, buf!, SHMID_DS_SIZE);
      return view === null ? -Errno.EFAULT : yield* k.shm.shmSet(k, int(id!), readPerm(view));
    }
    case IPC_STAT:
    case Ctl.STAT:
    case Ctl.STAT_ANY: {
      const whole = int(command!) !== IPC_STAT;
      const segment = yield* k.ipc.ipcStat(k, k.m.shm, whole ? { number: int(id!), anybody: int(command!) === (Ctl.STAT_ANY as number) } : { id: int(id!) });
      if (typeof segment === "number") return segment;
      const error = yield* k.uaccess.copyToUser(k, buf!, shmidBytes(segment));
      return error < 0 || !whole ? error : segment.id;
    }
    case IPC_INFO: {
      const view = new DataView(new ArrayBuffer(SHMINFO_SIZE));
      [shm.maxBytes, 1n, BigInt(shm.mni), BigInt(shm.mni), shm.maxPages].forEach((value, i) => view.setBigUint64(i * 8, value, true));
      const { highest } = yield* k.shm.shmTotals(k);
      const error = yield* k.uaccess.copyToUser(k, buf!, structBytes(view));
      return error < 0 ? error : highest;
    }
    case Ctl.INFO: {
      const { segments, pages, rss, swap, highest } = yield* k.shm.shmTotals(k);
      const view = new DataView(new ArrayBuffer(SHM_INFO_SIZE));
      [segments, pages, rss, swap].forEach((value, i) => setI64(view, i * 8, value));
      const error = yield* k.uaccess.copyToUser(k, buf!, structBytes(view));
      return error < 0 ? error : highest;
    }
    case Ctl.LOCK:
      return yield* k.shm.shmLock(k, int(id!), true);
    case Ctl.UNLOCK:
      return yield* k.shm.shmLock(k, int(id!), false);
    default:
      return -Errno.EINVAL;
  }
};

const SHM_COMMAND = F.oneOf({ 0: "IPC_RMID", 1: "IPC_SET", 2: "IPC_STAT", 3: "IPC_INFO", 11: "SHM_LOCK", 12: "SHM_UNLOCK", 13: "SHM_STAT", 14: "SHM_INFO", 15: "SHM_STAT_ANY" });

export const SHM: readonly (readonly [number, Syscall])[] = [
  [194, call("shmget", [F.HEX, F.SIZE, F.OCTAL], shmget)],
  [195, call("shmctl", [F.INT, SHM_COMMAND, F.OUT], shmctl)],
  [196, call("shmat", [F.INT, F.POINTER, F.OCTAL], shmat, "", "address")],
  [197, call("shmdt", [F.POINTER], shmdt)],
];
