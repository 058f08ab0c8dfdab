import { Errno, mqNotify, mqOpen, MQ_PRIO_MAX, mqReceive, mqSend, mqueueOf, mqUnlink, NSEC_PER_SEC, NSIG, O, REALTIME_AT_BOOT_S, type MaySleep, type OpenFile } from "@faultline/kernel";
import type { GuestThread } from "../guest_thread.js";
import { getI64, getU64, readStruct, readTimespec, readUser, setI64, structBytes } from "../user.js";
import * as F from "./format.js";
import { fileOf, installOrPut, path } from "./fs.js";
import { SigEv, SIGEVENT_SIZE } from "./posix_timers.js";
import { call, int, type Handler, type Syscall } from "./syscall.js";

/** struct mq_attr: flags, maxmsg, msgsize, curmsgs; in bytes. */
const MQ_ATTR_SIZE = 64;

/** What SIGEV_THREAD sends of the memory that the value points to, in bytes. */
const NOTIFY_COOKIE_LEN = 32;

const mq_open: Handler = function* (t, [name, flags, mode, address]) {
  const attr = address === 0 ? null : yield* readStruct(t.k, address!, MQ_ATTR_SIZE);
  if (address !== 0 && attr === null) return -Errno.EFAULT;
  const text = yield* path(t, name!);
  if (typeof text === "number") return text;
  const sizes = attr === null ? null : { maxmsg: getI64(attr, 8), msgsize: getI64(attr, 16) };
  const file = yield* mqOpen(t.k, text, int(flags!), int(mode!), sizes);
  return typeof file === "number" ? file : yield* installOrPut(t, file, true, 0);
};

const mq_unlink: Handler = function* (t, [name]) {
  const text = yield* path(t, name!);
  return typeof text === "number" ? text : yield* mqUnlink(t.k, text);
};

/** A time of day, as machine time: Infinity for none. -EFAULT, -EINVAL. */
function* deadlineAt(t: GuestThread, address: number): MaySleep<number> {
  if (address === 0) return Infinity;
  const ns = yield* readTimespec(t.k, address);
  return ns < 0 ? ns : Math.max(ns - REALTIME_AT_BOOT_S * NSEC_PER_SEC, 0);
}

function queueFile(t: GuestThread, fd: number): OpenFile | null {
  const file = fileOf(t, fd);
  return file === null || mqueueOf(file) === null ? null : file;
}

const mq_timedsend: Handler = function* (t, [fd, address, length, priority, timeout]) {
  const { k } = t;
  const deadline = yield* deadlineAt(t, timeout!);
  if (deadline < 0) return deadline;
  if (priority! >>> 0 >= MQ_PRIO_MAX) return -Errno.EINVAL;
  const file = queueFile(t, fd!);
  if (file === null || !file.writable) return -Errno.EBADF;
  if (length! < 0 || length! > mqueueOf(file)!.sizes.msgsize) return -Errno.EMSGSIZE;
  const bytes = new Uint8Array(length!);
  if (length! > 0 && (yield* k.uaccess.copyFromUser(k, address!, bytes)) !== 0) return -Errno.EFAULT;
  k.m.vfs.get(file);
  const result = yield* mqSend(k, file, bytes, priority!, deadline);
  yield* k.m.vfs.put(k, file);
  return result;
};

const mq_timedreceive: Handler = function* (t, [fd, address, length, priority, timeout]) {
  const { k } = t;
  const deadline = yield* deadlineAt(t, timeout!);
  if (deadline < 0) return deadline;
  const file = queueFile(t, fd!);
  if (file === null || !file.readable) return -Errno.EBADF;
  if (length! >= 0 && length! < mqueueOf(file)!.sizes.msgsize) return -Errno.EMSGSIZE;
  k.m.vfs.get(file);
  const message = yield* mqReceive(k, file, deadline);
  yield* k.m.vfs.put(k, file);
  if (typeof message === "number") return message;
  if (priority !== 0 && (yield* k.uaccess.putUser32(k, priority!, message.priority)) < 0) return -Errno.EFAULT;
  const error = message.bytes.length === 0 ? 0 : yield* k.uaccess.copyToUser(k, address!, message.bytes);
  return error < 0 ? -Errno.EFAULT : message.bytes.length;
};

const mq_notify: Handler = function* (t, [fd, address]) {
  let wanted: { readonly signo: number; readonly value: bigint } | null = null;
  if (address !== 0) {
    const view = yield* readStruct(t.k, address!, SIGEVENT_SIZE);
    if (view === null) return -Errno.EFAULT;
    const signo = view.getInt32(8, true);
    const how = view.getInt32(12, true);
    if (how === (SigEv.THREAD as number)) {
      if ((yield* readUser(t.k, getU64(view, 0), NOTIFY_COOKIE_LEN)) === null) return -Errno.EFAULT;
      return fileOf(t, signo) === null ? -Errno.EBADF : -Errno.ENOTSOCK;
    }
    if (how !== (SigEv.NONE as number) && how !== (SigEv.SIGNAL as number)) return -Errno.EINVAL;
    if (how === (SigEv.SIGNAL as number) && (signo < 0 || signo > NSIG)) return -Errno.EINVAL;
    wanted = { signo: how === (SigEv.NONE as number) ? 0 : signo, value: view.getBigUint64(0, true) };
  }
  const file = queueFile(t, fd!);
  return file === null ? -Errno.EBADF : yield* mqNotify(t.k, file, wanted);
};

const mq_getsetattr: Handler = function* (t, [fd, next, old]) {
  const { k } = t;
  const wanted = next === 0 ? null : yield* readStruct(k, next!, MQ_ATTR_SIZE);
  if (next !== 0 && wanted === null) return -Errno.EFAULT;
  const flags = wanted === null ? null : getI64(wanted, 0);
  if (flags !== null && (flags < 0 || (flags & ~O.NONBLOCK) !== 0 || flags > O.NONBLOCK)) return -Errno.EINVAL;
  const file = queueFile(t, fd!);
  if (file === null) return -Errno.EBADF;
  const { sizes, messages } = mqueueOf(file)!;
  const view = new DataView(new ArrayBuffer(MQ_ATTR_SIZE));
  [file.flags & O.NONBLOCK, sizes.maxmsg, sizes.msgsize, messages.length].forEach((value, i) => setI64(view, i * 8, value));
  if (flags !== null) file.flags = (file.flags & ~O.NONBLOCK) | flags;
  return old === 0 ? 0 : yield* k.uaccess.copyToUser(k, old!, structBytes(view));
};

export const MQUEUE: readonly (readonly [number, Syscall])[] = [
  [180, call("mq_open", [F.PATH, F.OPEN_FLAGS, F.OCTAL, F.POINTER], mq_open)],
  [181, call("mq_unlink", [F.PATH], mq_unlink)],
  [182, call("mq_timedsend", [F.INT, F.buffer(2), F.SIZE, F.INT, F.TIMESPEC], mq_timedsend)],
  [183, call("mq_timedreceive", [F.INT, F.READ_BUFFER, F.SIZE, F.OUT, F.TIMESPEC], mq_timedreceive)],
  [184, call("mq_notify", [F.INT, F.POINTER], mq_notify, "no SIGEV_THREAD, for which there would have to be AF_NETLINK")],
  [185, call("mq_getsetattr", [F.INT, F.POINTER, F.OUT], mq_getsetattr)],
];
