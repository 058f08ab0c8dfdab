import {
  Cap, capable, EFD_SEMAPHORE, epollCtl, EpollOp, epollWait, Errno, makeEpoll, makeEventfd, makeSignalfd, makeTimerfd, O, setSignalfd, Sig, signalBit,
  timerfdGet, timerfdSet, type MaySleep,
} from "@faultline/kernel";
import type { GuestThread } from "../guest_thread.js";
import { readStruct, readTimespec, structBytes, timespecAt } from "../user.js";
import * as F from "./format.js";
import { fileOf, installOrPut } from "./fs.js";
import { epochOf, writeSpec } from "./posix_timers.js";
import { setUserSigmask } from "./poll_wait.js";
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
  const { k } = t;
  const [epfd, address, max, , sigmask, size] = args;
  const refused = yield* setUserSigmask(t, sigmask!, size!);
  if (refused < 0) return refused;
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

/** What a timer by each clock has to be taken off; null for clocks that none goes by. */
function timerEpoch(clock: number): number | null {
  const CLOCK_REALTIME_ALARM = 8;
  const CLOCK_BOOTTIME_ALARM = 9;
  if (clock === CLOCK_REALTIME_ALARM) return epochOf(0);
  return clock === CLOCK_BOOTTIME_ALARM ? 0 : epochOf(clock);
}

const timerfd_create: Handler = function* (t, [clock, flags]) {
  const epoch = timerEpoch(int(clock!));
  if ((int(flags!) & ~(O.CLOEXEC | O.NONBLOCK)) !== 0 || epoch === null) return -Errno.EINVAL;
  if (int(clock!) > 7 && !capable(t.k, Cap.WAKE_ALARM)) return -Errno.EPERM;
  return yield* installOrPut(t, makeTimerfd(t.k, int(clock!), epoch, int(flags!)), (int(flags!) & O.CLOEXEC) !== 0, 0);
};

const TFD_TIMER_ABSTIME = 1;
const TFD_TIMER_CANCEL_ON_SET = 2;

const timerfd_settime: Handler = function* (t, [fd, flags, next, old]) {
  const view = yield* readStruct(t.k, next!, 32);
  if (view === null) return -Errno.EFAULT;
  const [interval, value] = [timespecAt(view, 0), timespecAt(view, 16)];
  if ((int(flags!) & ~(TFD_TIMER_ABSTIME | TFD_TIMER_CANCEL_ON_SET)) !== 0 || interval === null || value === null) return -Errno.EINVAL;
  const file = fileOf(t, fd!);
  if (file === null) return -Errno.EBADF;
  const before = yield* timerfdSet(t.k, file, value, interval, (int(flags!) & TFD_TIMER_ABSTIME) !== 0);
  if (before === null) return -Errno.EINVAL;
  return old === 0 ? 0 : yield* writeSpec(t, old!, before);
};

const timerfd_gettime: Handler = function* (t, [fd, address]) {
  const file = fileOf(t, fd!);
  if (file === null) return -Errno.EBADF;
  const now = yield* timerfdGet(t.k, file);
  return now === null ? -Errno.EINVAL : yield* writeSpec(t, address!, now);
};

/** SIGKILL and SIGSTOP are nobody's to read. */
const UNREADABLE = signalBit(Sig.SIGKILL) | signalBit(Sig.SIGSTOP);

const signalfd4: Handler = function* (t, [fd, address, size, flags]) {
  if (size !== 8) return -Errno.EINVAL;
  const view = yield* readStruct(t.k, address!, 8);
  if (view === null) return -Errno.EFAULT;
  if ((int(flags!) & ~(O.CLOEXEC | O.NONBLOCK)) !== 0) return -Errno.EINVAL;
  const mask = view.getBigUint64(0, true) & ~UNREADABLE;
  if (int(fd!) === -1) return yield* installOrPut(t, makeSignalfd(t.k, mask, int(flags!)), (int(flags!) & O.CLOEXEC) !== 0, 0);
  const file = fileOf(t, fd!);
  if (file === null) return -Errno.EBADF;
  const error = yield* setSignalfd(t.k, file, mask);
  return error < 0 ? error : int(fd!);
};

const EPOLL_OP = F.oneOf({ 1: "EPOLL_CTL_ADD", 2: "EPOLL_CTL_DEL", 3: "EPOLL_CTL_MOD" });
const FD_FLAGS = F.flags([[O.CLOEXEC, "O_CLOEXEC"], [O.NONBLOCK, "O_NONBLOCK"]]);
const EVENTFD_FLAGS = F.flags([[O.CLOEXEC, "EFD_CLOEXEC"], [O.NONBLOCK, "EFD_NONBLOCK"], [EFD_SEMAPHORE, "EFD_SEMAPHORE"]]);

export const EVENT: readonly (readonly [number, Syscall])[] = [
  [19, call("eventfd2", [F.INT, EVENTFD_FLAGS], eventfd2)],
  [20, call("epoll_create1", [F.flags([[O.CLOEXEC, "EPOLL_CLOEXEC"]])], epoll_create1)],
  [21, call("epoll_ctl", [F.INT, EPOLL_OP, F.INT, F.POINTER], epoll_ctl)],
  [22, call("epoll_pwait", [F.INT, F.OUT, F.INT, F.INT, F.sigset(false), F.SIZE], epoll_pwait)],
  [74, call("signalfd4", [F.INT, F.sigset(false), F.SIZE, FD_FLAGS], signalfd4)],
  [85, call("timerfd_create", [F.CLOCK, FD_FLAGS], timerfd_create)],
  [86, call("timerfd_settime", [F.INT, F.flags([[1, "TFD_TIMER_ABSTIME"], [2, "TFD_TIMER_CANCEL_ON_SET"]]), F.POINTER, F.OUT], timerfd_settime)],
  [87, call("timerfd_gettime", [F.INT, F.OUT], timerfd_gettime)],
  [441, call("epoll_pwait2", [F.INT, F.OUT, F.INT, F.TIMESPEC, F.sigset(false), F.SIZE], epoll_pwait2)],
];
