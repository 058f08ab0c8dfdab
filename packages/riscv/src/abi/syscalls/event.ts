import { EFD_SEMAPHORE, epollCtl, EpollOp, epollWait, Errno, makeEpoll, makeEventfd, O, type MaySleep } from "@faultline/kernel";
import type { GuestThread } from "../guest_thread.js";
import { readStruct, readTimespec, structBytes } from "../user.js";
import * as F from "./format.js";
import { fileOf, installOrPut } from "./fs.js";
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

const EPOLL_OP = F.oneOf({ 1: "EPOLL_CTL_ADD", 2: "EPOLL_CTL_DEL", 3: "EPOLL_CTL_MOD" });
const EVENTFD_FLAGS = F.flags([[O.CLOEXEC, "EFD_CLOEXEC"], [O.NONBLOCK, "EFD_NONBLOCK"], [EFD_SEMAPHORE, "EFD_SEMAPHORE"]]);

export const EVENT: readonly (readonly [number, Syscall])[] = [
  [19, call("eventfd2", [F.INT, EVENTFD_FLAGS], eventfd2)],
  [20, call("epoll_create1", [F.flags([[O.CLOEXEC, "EPOLL_CLOEXEC"]])], epoll_create1)],
  [21, call("epoll_ctl", [F.INT, EPOLL_OP, F.INT, F.POINTER], epoll_ctl)],
  [22, call("epoll_pwait", [F.INT, F.OUT, F.INT, F.INT, F.sigset(false), F.SIZE], epoll_pwait)],
  [441, call("epoll_pwait2", [F.INT, F.OUT, F.INT, F.TIMESPEC, F.sigset(false), F.SIZE], epoll_pwait2)],
];
