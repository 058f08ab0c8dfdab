import { Errno, NSEC_PER_SEC, REALTIME_AT_BOOT_S, type Shm, type ShmSegment } from "@faultline/kernel";
import * as F from "./format.js";
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
  RMID,
  SET,
  STAT,
  INFO,
  LOCK = 11,
  UNLOCK,
}

/** struct shmid64_ds, and where the mode stands in it. */
const SHMID_DS_SIZE = 112;
const MODE_OFFSET = 20;
/** struct shminfo64. */
const SHMINFO_SIZE = 72;

function seconds(ns: number): bigint {
  return ns === 0 ? 0n : BigInt(REALTIME_AT_BOOT_S + Math.floor(ns / NSEC_PER_SEC));
}

function shmidBytes(segment: Readonly<ShmSegment>): Uint8Array {
  const bytes = new Uint8Array(SHMID_DS_SIZE);
  const view = new DataView(bytes.buffer);
  view.setInt32(0, segment.key, true);
  view.setUint32(MODE_OFFSET, segment.mode, true);
  view.setUint16(24, segment.seq, true);
  view.setBigUint64(48, BigInt(segment.size), true);
  view.setBigInt64(56, seconds(segment.atimeNs), true);
  view.setBigInt64(64, seconds(segment.dtimeNs), true);
  view.setBigInt64(72, seconds(segment.ctimeNs), true);
  view.setInt32(80, segment.cpid, true);
  view.setInt32(84, segment.lpid, true);
  view.setBigUint64(88, BigInt(segment.nattch), true);
  return bytes;
}

function shminfoBytes({ max, all, mni }: Shm): Uint8Array {
  const bytes = new Uint8Array(SHMINFO_SIZE);
  const view = new DataView(bytes.buffer);
  const values = [max, 1n, BigInt(mni), BigInt(mni), all];
  values.forEach((value, i) => view.setBigUint64(i * 8, value, true));
  return bytes;
}

const shmctl: Handler = function* (t, [id, command, buf]) {
  const { k } = t;
  if (int(id!) < 0) return -Errno.EINVAL;
  switch (int(command!)) {
    case Ctl.RMID:
      return yield* k.shm.shmRemove(k, int(id!));
    case Ctl.SET: {
      const bytes = new Uint8Array(SHMID_DS_SIZE);
      if ((yield* k.uaccess.copyFromUser(k, buf!, bytes)) !== 0) return -Errno.EFAULT;
      return yield* k.shm.shmSet(k, int(id!), new DataView(bytes.buffer).getUint32(MODE_OFFSET, true));
    }
    case Ctl.STAT: {
      const segment = yield* k.shm.shmStat(k, int(id!));
      return segment === undefined ? -Errno.EINVAL : yield* k.uaccess.copyToUser(k, buf!, shmidBytes(segment));
    }
    case Ctl.INFO:
      return yield* k.uaccess.copyToUser(k, buf!, shminfoBytes(k.m.shm));
    case Ctl.LOCK:
      return yield* k.shm.shmLock(k, int(id!), true);
    case Ctl.UNLOCK:
      return yield* k.shm.shmLock(k, int(id!), false);
    default:
      return -Errno.EINVAL;
  }
};

export const SHM: readonly (readonly [number, Syscall])[] = [
  [194, call("shmget", [F.HEX, F.SIZE, F.OCTAL], shmget, "everybody is root")],
  [195, call("shmctl", [F.INT, F.INT, F.OUT], shmctl, "no SHM_STAT and SHM_INFO; SHM_LOCK is only noted")],
  [196, call("shmat", [F.INT, F.POINTER, F.OCTAL], shmat, "", "address")],
  [197, call("shmdt", [F.POINTER], shmdt)],
];
