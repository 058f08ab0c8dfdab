/**
 * @linux kernel/time/posix-timers.c
 * @omits Timers by CPU time.
 * @own deleteAll, timerDeliver, timerGet, timerSet, timersAfterAction
 */
import type { Kernel } from "../kernel.js";
import { SWITCH, type Atomic } from "./coroutine.js";
import { Errno } from "./errno.js";
import { Op } from "./op.js";
import type { Process } from "./process.js";
import type { Task, TimerHandle } from "./sched.js";
import { SI, type SignalInfo } from "./signal.js";

/** How a timer tells that its time has come. */
export interface TimerNotice {
  /** 0: not at all. */
  readonly signo: number;
  readonly value: bigint;
  /** The thread that gets it; null for the process. */
  readonly thread: Task | null;
}

/** DELAYTIMER_MAX. */
const OVERRUN_MAX = 0x7fff_ffff;

/** One that timer_create(2) has made. Times are nanoseconds of machine time. */
export class PosixTimer {
  /** When its time comes next; 0 while it is not set. */
  deadline = 0;
  interval = 0;
  /** Null while nothing is to happen at the deadline: its signal is pending, or ignored, or there is none. */
  handle: TimerHandle | null = null;
  /** How often its time had come unnoticed when its last signal was taken, and since the last was sent. */
  overrun = 0;
  missed = 0;
  /** The signal that is pending; null for none. */
  info: SignalInfo | null = null;
  /** Its time has come, and the signal was ignored: it goes on when that is no longer so. */
  ignored = false;

  constructor(
    readonly id: number,
    /** What is to be taken off a point in time of its clock to get machine time. */
    readonly epochNs: number,
    readonly notice: TimerNotice,
  ) {}
}

/** A timer of the current process that is not set; -EAGAIN where there are as many as signals may be pending. */
export function* timerCreate(k: Kernel, epochNs: number, notice: (id: number) => TimerNotice): Atomic<PosixTimer | number> {
  const process = k.m.current!.process!;
  if (k.m.point(Op.Process, process.pid)) yield SWITCH;
  if (!k.m.signals.mayQueue(process)) return -Errno.EAGAIN;
  const id = process.nextTimerId++;
  const timer = new PosixTimer(id, epochNs, notice(id));
  process.posixTimers.set(id, timer);
  return timer;
}

/** Moves the deadline of a timer with an interval past `now`; how many intervals it has missed. */
function forward(timer: PosixTimer, now: number): number {
  if (timer.deadline > now) return 0;
  const passed = Math.floor((now - timer.deadline) / timer.interval) + 1;
  timer.deadline += passed * timer.interval;
  return passed;
}

/** What is left, and the interval; both 0 where it is not set. */
export function timerGet(k: Kernel, timer: PosixTimer): { left: number; interval: number } {
  const { interval, notice } = timer;
  if (timer.deadline === 0) return { left: 0, interval };
  const now = k.m.now();
  // Nobody has looked since its time came.
  if (interval > 0 && timer.handle === null) timer.missed += forward(timer, now);
  const left = timer.deadline - now;
  if (left > 0) return { left, interval };
  if (timer.handle === null && interval === 0) return { left: 0, interval };
  return { left: notice.signo === 0 ? 0 : 1, interval };
}

/** Sets it for a machine time (0: never), then each `interval` (0: once). What was left, and the interval before. */
export function* timerSet(k: Kernel, timer: PosixTimer, deadline: number, interval: number): Atomic<{ left: number; interval: number }> {
  const process = k.m.current!.process!;
  if (k.m.point(Op.Process, process.pid)) yield SWITCH;
  const before = k.posixTimers.timerGet(k, timer);
  disarm(timer);
  timer.overrun = timer.missed = 0;
  timer.deadline = deadline;
  timer.interval = deadline > 0 ? interval : 0;
  if (deadline > 0) arm(k, process, timer);
  return before;
}

/** A signal of it that is pending is none of it any more. */
function disarm(timer: PosixTimer): void {
  timer.handle?.cancel();
  timer.handle = null;
  timer.info = null;
  timer.ignored = false;
}

/**
 * One time only: a timer with an interval goes on when its signal is taken, so that a short one
 * costs no more than who takes its signals can stand.
 */
function arm(k: Kernel, process: Process, timer: PosixTimer): void {
  if (timer.notice.signo === 0) return;
  timer.handle = k.m.sched.addTimer(timer.deadline, !process.isOperator, () => {
    timer.handle = null;
    tell(k, process, timer);
  });
}

function tell(k: Kernel, process: Process, timer: PosixTimer): void {
  const { signo, value, thread } = timer.notice;
  if (thread !== null && !process.threads.has(thread)) return;
  const info: SignalInfo = { signo, code: SI.TIMER, addr: 0, pid: timer.id, value, overrun: 0, timer };
  timer.info = info;
  if (k.m.signals.send(process, thread, info) === "queued") return;
  timer.info = null;
  timer.ignored = timer.interval > 0;
}

/** The signal of a timer is taken, and the timer goes on; null where it has been set anew, or deleted, meanwhile. */
export function timerDeliver(k: Kernel, info: SignalInfo, timer: PosixTimer): SignalInfo | null {
  if (timer.info !== info) return null;
  timer.info = null;
  if (timer.interval === 0) return info;
  const missed = timer.missed + forward(timer, k.m.now());
  timer.missed = 0;
  timer.overrun = Math.min(missed - 1, OVERRUN_MAX);
  arm(k, k.m.current!.process!, timer);
  return { ...info, overrun: timer.overrun };
}

/** What a process does about a signal has changed: its timers wait for that, or send it after all. */
export function timersAfterAction(k: Kernel, process: Process, signo: number, ignored: boolean): void {
  for (const timer of process.posixTimers.values()) {
    if (timer.notice.signo !== signo) continue;
    if (ignored && timer.info !== null) {
      timer.info = null;
      timer.ignored = timer.interval > 0;
    } else if (!ignored && timer.ignored) {
      timer.ignored = false;
      tell(k, process, timer);
    }
  }
}

export function* timerDelete(k: Kernel, id: number): Atomic<number> {
  const process = k.m.current!.process!;
  if (k.m.point(Op.Process, process.pid)) yield SWITCH;
  const timer = process.posixTimers.get(id);
  if (timer === undefined) return -Errno.EINVAL;
  disarm(timer);
  process.posixTimers.delete(id);
  return 0;
}

/** All of a process go: with its end, or the program's. */
export function* deleteAll(k: Kernel, process: Process): Atomic<void> {
  if (k.m.point(Op.Process, process.pid)) yield SWITCH;
  for (const timer of process.posixTimers.values()) disarm(timer);
  process.posixTimers.clear();
}
