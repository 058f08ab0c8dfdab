import { Errno, NSEC_PER_SEC, NSIG, REALTIME_AT_BOOT_S, Sig, type MaySleep, type PosixTimer, type Task, type TimerNotice } from "@faultline/kernel";
import type { GuestThread } from "../guest_thread.js";
import { readStruct, setI64, structBytes, timespecAt } from "../user.js";
import * as F from "./format.js";
import { call, int, type Handler, type Syscall } from "./syscall.js";

/** When a clock's time began, in nanoseconds before the machine's; null for one that no timer goes by. */
export function epochOf(clock: number): number | null {
  const CLOCK_REALTIME = 0;
  const CLOCK_MONOTONIC = 1;
  const CLOCK_BOOTTIME = 7;
  if (clock === CLOCK_REALTIME) return REALTIME_AT_BOOT_S * NSEC_PER_SEC;
  return clock === CLOCK_MONOTONIC || clock === CLOCK_BOOTTIME ? 0 : null;
}

export enum SigEv {
  SIGNAL,
  NONE,
  THREAD,
  THREAD_ID = 4,
}
export const SIGEVENT_SIZE = 64;

/** What struct sigevent asks for; SIGALRM with the timer's id where there is none. A negated errno otherwise. */
function* readNotice(t: GuestThread, address: number): MaySleep<((id: number) => TimerNotice) | number> {
  if (address === 0) return (id) => ({ signo: Sig.SIGALRM, value: BigInt(id), thread: null });
  const view = yield* readStruct(t.k, address, SIGEVENT_SIZE);
  if (view === null) return -Errno.EFAULT;
  const value = view.getBigUint64(0, true);
  const signo = view.getInt32(8, true);
  const notify = view.getInt32(12, true);
  if (notify === (SigEv.NONE as number)) return () => ({ signo: 0, value, thread: null });
  let thread: Task | null = null;
  if (notify === (SigEv.THREAD_ID as number)) {
    thread = t.k.m.tasks.get(view.getInt32(16, true)) ?? null;
    if (thread === null || thread.process !== t.task.process) return -Errno.EINVAL;
  } else if (notify !== (SigEv.SIGNAL as number) && notify !== (SigEv.THREAD as number)) return -Errno.EINVAL;
  if (signo <= 0 || signo > NSIG) return -Errno.EINVAL;
  return () => ({ signo, value, thread });
}

const timer_create: Handler = function* (t, [clock, event, id]) {
  const { k } = t;
  const epoch = epochOf(int(clock!));
  if (epoch === null) return -Errno.EINVAL;
  const notice = yield* readNotice(t, event!);
  if (typeof notice === "number") return notice;
  const timer = yield* k.posixTimers.timerCreate(k, epoch, notice);
  if (typeof timer === "number") return timer;
  const error = yield* k.uaccess.putUser32(k, id!, timer.id);
  if (error < 0) yield* k.posixTimers.timerDelete(k, timer.id);
  return error;
};

function timerOf(t: GuestThread, id: number): PosixTimer | null {
  return t.task.process!.posixTimers.get(int(id)) ?? null;
}

export function* writeSpec(t: GuestThread, address: number, { left, interval }: { left: number; interval: number }): MaySleep<number> {
  const view = new DataView(new ArrayBuffer(32));
  [interval, left].forEach((ns, i) => {
    setI64(view, i * 16, Math.floor(ns / NSEC_PER_SEC));
    setI64(view, i * 16 + 8, Math.floor(ns % NSEC_PER_SEC));
  });
  return yield* t.k.uaccess.copyToUser(t.k, address, structBytes(view));
}

const timer_gettime: Handler = function* (t, [id, spec]) {
  const timer = timerOf(t, id!);
  return timer === null ? -Errno.EINVAL : yield* writeSpec(t, spec!, t.k.posixTimers.timerGet(t.k, timer));
};

const timer_getoverrun: Handler = function* (t, [id]) {
  return timerOf(t, id!)?.overrun ?? -Errno.EINVAL;
};

const TIMER_ABSTIME = 1;

const timer_settime: Handler = function* (t, [id, flags, spec, old]) {
  const { k } = t;
  const view = spec === 0 ? null : yield* readStruct(k, spec!, 32);
  if (view === null) return spec === 0 ? -Errno.EINVAL : -Errno.EFAULT;
  const interval = timespecAt(view, 0);
  const value = timespecAt(view, 16);
  if (interval === null || value === null) return -Errno.EINVAL;
  const timer = timerOf(t, id!);
  if (timer === null) return -Errno.EINVAL;
  const absolute = (int(flags!) & TIMER_ABSTIME) !== 0;
  // A time that has passed is now; only no time at all is never.
  const deadline = value === 0 ? 0 : Math.max(absolute ? value - timer.epochNs : k.m.now() + value, 1);
  const before = yield* k.posixTimers.timerSet(k, timer, deadline, interval);
  return old === 0 ? 0 : yield* writeSpec(t, old!, before);
};

const timer_delete: Handler = function* (t, [id]) {
  return yield* t.k.posixTimers.timerDelete(t.k, int(id!));
};

export const POSIX_TIMERS: readonly (readonly [number, Syscall])[] = [
  [107, call("timer_create", [F.CLOCK, F.POINTER, F.OUT], timer_create, "no timers by CPU time")],
  [108, call("timer_gettime", [F.INT, F.OUT], timer_gettime)],
  [109, call("timer_getoverrun", [F.INT], timer_getoverrun)],
  [110, call("timer_settime", [F.INT, F.flags([[1, "TIMER_ABSTIME"]]), F.POINTER, F.OUT], timer_settime)],
  [111, call("timer_delete", [F.INT], timer_delete)],
];
