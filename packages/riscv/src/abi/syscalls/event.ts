import { EFD_SEMAPHORE, epollCtl, EpollOp, epollWait, Errno, isPipe, makeEpoll, makeEventfd, O, Sig, SI, vmspliceToPipe, type MaySleep } from "@faultline/kernel";
import type { GuestThread } from "../guest_thread.js";
import { getU64, readStruct, readTimespec, structBytes } from "../user.js";
import * as F from "./format.js";
import { fileOf, installOrPut, IOV_MAX } from "./fs.js";
import { call, int, type Handler, type Syscall } from "./syscall.js";

const eventfd2: Handler = function* (t, [initial, flags]) {
  if ((int(flags!) & ~(EFD_SEMAPHORE | O.CLOEXEC | O.NONBLOCK)) !== 0) return -Errno.EINVAL;
  return yield* installOrPut(t, makeEventfd(t.k, initial!, int(flags!)), (int(flags!) & O.CLOEXEC) !== 0, 0);
};

const epoll_create1: Handler = function* (t, [flags]) {
  if ((int(flags!) & ~O.CLOEXEC) !== 0) return -Errno.EINVAL;
  return yield* installOrPut(t, makeEpoll(t.k), (int(flags!) & O.CLOEXEC) !== 0, 0);
};

/** struct epoll_event, which only x86 packs. */
const EVENT_SIZE = 16;
const MAX_EVENTS = Math.floor((2 ** 31 - 1) / EVENT_SIZE);

const epoll_ctl: Handler = function* (t, [epfd, op, fd, address]) {
  let events = 0;
  let data = 0n;
  if (int(op!) !== EpollOp.DEL) {
    const view = yield* readStruct(t.k, address!, EVENT_SIZE);
    if (view === null) return -Errno.EFAULT;
    events = view.getInt32(0, true);
    data = view.getBigUint64(8, true);
  }
  const file = fileOf(t, epfd!);
  const target = fileOf(t, fd!);
  if (file === null || target === null) return -Errno.EBADF;
  return yield* epollCtl(t.k, file, int(op!), int(fd!), target, events, data);
};

/** epoll_pwait and epoll_pwait2: `timeout` in nanoseconds, Infinity for none. */
function* wait(t: GuestThread, args: readonly number[], timeout: number): MaySleep<number> {
  const { k, task } = t;
  const [epfd, address, max, , sigmask, size] = args;
  if (sigmask !== 0) {
    if (size !== 8) return -Errno.EINVAL;
    const mask = yield* readStruct(k, sigmask!, 8);
    if (mask === null) return -Errno.EFAULT;
    task.thread.savedSigmask = task.blockedSignals;
    k.signal.setBlocked(k, mask.getBigUint64(0, true));
  }
  if (int(max!) <= 0 || int(max!) > MAX_EVENTS) return -Errno.EINVAL;
  const file = fileOf(t, epfd!);
  if (file === null) return -Errno.EBADF;
  k.m.vfs.get(file);
  const events = yield* epollWait(k, file, int(max!), k.m.now() + timeout);
  yield* k.m.vfs.put(k, file);
  if (typeof events === "number") return events;
  const view = new DataView(new ArrayBuffer(events.length * EVENT_SIZE));
  events.forEach((event, i) => {
    view.setInt32(i * EVENT_SIZE, event.events, true);
    view.setBigUint64(i * EVENT_SIZE + 8, event.data, true);
  });
  const error = yield* k.uaccess.copyToUser(k, address!, structBytes(view));
  return error < 0 ? error : events.length;
}

const epoll_pwait: Handler = function* (t, args) {
  const ms = int(args[3]!);
  return yield* wait(t, args, ms < 0 ? Infinity : ms * 1e6);
};

const epoll_pwait2: Handler = function* (t, args) {
  if (args[3] === 0) return yield* wait(t, args, Infinity);
  const ns = yield* readTimespec(t.k, args[3]!);
  return ns < 0 ? ns : yield* wait(t, args, ns);
};

const SPLICE_F_NONBLOCK = 2;
const SPLICE_F_ALL = 0x0f;

/** vmsplice(2): a writer's pages go into the pipe as they are; a reader's get copies, as always. */
const vmsplice: Handler = function* (t, [fd, vector, count, flags]) {
  const { k } = t;
  if ((int(flags!) & ~SPLICE_F_ALL) !== 0) return -Errno.EINVAL;
  const file = fileOf(t, fd!);
  if (file === null) return -Errno.EBADF;
  if (count! < 0 || count! > IOV_MAX) return -Errno.EINVAL;
  const table = yield* readStruct(k, vector!, count! * 16);
  if (table === null) return -Errno.EFAULT;
  if (!isPipe(file)) return -Errno.EBADF;
  k.m.vfs.get(file);
  let done = 0;
  for (let i = 0; i < count!; i++) {
    const address = getU64(table, i * 16);
    const length = getU64(table, i * 16 + 8);
    if (length === 0) continue;
    const n = file.writable ? yield* vmspliceToPipe(k, file, address, length, (int(flags!) & SPLICE_F_NONBLOCK) !== 0) : yield* readOut(t, file, address, length);
    if (n < 0) {
      if (n === -Errno.EPIPE) yield* k.signal.sendToThread(k, t.task, { signo: Sig.SIGPIPE, code: SI.USER, addr: 0, pid: t.task.process!.pid });
      if (done === 0) done = n;
      break;
    }
    done += n;
    if (n < length) break;
  }
  yield* k.m.vfs.put(k, file);
  return done;
};

function* readOut(t: GuestThread, file: Parameters<typeof vmspliceToPipe>[1], address: number, length: number): MaySleep<number> {
  const { k } = t;
  const bytes = new Uint8Array(Math.min(length, 65536));
  const n = yield* k.m.vfs.read(k, file, bytes);
  if (n <= 0) return n;
  const error = yield* k.uaccess.copyToUser(k, address, bytes.subarray(0, n));
  return error < 0 ? error : n;
}

const EPOLL_OP = F.oneOf({ 1: "EPOLL_CTL_ADD", 2: "EPOLL_CTL_DEL", 3: "EPOLL_CTL_MOD" });
const EVENTFD_FLAGS = F.flags([[O.CLOEXEC, "EFD_CLOEXEC"], [O.NONBLOCK, "EFD_NONBLOCK"], [EFD_SEMAPHORE, "EFD_SEMAPHORE"]]);
const SPLICE_FLAGS = F.flags([[1, "SPLICE_F_MOVE"], [2, "SPLICE_F_NONBLOCK"], [4, "SPLICE_F_MORE"], [8, "SPLICE_F_GIFT"]]);

export const EVENT: readonly (readonly [number, Syscall])[] = [
  [19, call("eventfd2", [F.INT, EVENTFD_FLAGS], eventfd2)],
  [20, call("epoll_create1", [F.flags([[O.CLOEXEC, "EPOLL_CLOEXEC"]])], epoll_create1)],
  [21, call("epoll_ctl", [F.INT, EPOLL_OP, F.INT, F.POINTER], epoll_ctl)],
  [22, call("epoll_pwait", [F.INT, F.OUT, F.INT, F.INT, F.sigset(false), F.SIZE], epoll_pwait)],
  [75, call("vmsplice", [F.INT, F.iovec(2), F.SIZE, SPLICE_FLAGS], vmsplice)],
  [441, call("epoll_pwait2", [F.INT, F.OUT, F.INT, F.TIMESPEC, F.sigset(false), F.SIZE], epoll_pwait2)],
];
