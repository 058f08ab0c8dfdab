/**
 * @linux kernel/time/hrtimer.c
 * @omits Clocks run by simulated time: there is no drift, no slack, and no tick.
 * @own getRealTimer, realTimerTaken, setRealTimer, sleepUntil
 */
import type { Kernel } from "../kernel.js";
import { BLOCK, SWITCH, type Atomic, type MaySleep } from "./coroutine.js";
import { Op } from "./op.js";
import type { Process } from "./process.js";
import { TaskState } from "./sched.js";
import { SI, Sig } from "./signal.js";

/** What the real-time clock shows at boot, in seconds since 1970: the start of 2026. */
export const REALTIME_AT_BOOT_S = 1_767_225_600;

export const NSEC_PER_SEC = 1_000_000_000;

/**
 * Sleeps until a machine time in nanoseconds (Infinity: until a signal comes). True when the time
 * has come, false when a signal ended the sleep: any, unless `state` says which.
 */
export function* sleepUntil(k: Kernel, deadline: number, what: string, state = TaskState.Interruptible): MaySleep<boolean> {
  const { m } = k;
  const task = m.current!;
  if (m.now() >= deadline) return true;
  let due = false;
  const timer =
    deadline === Infinity
      ? null
      : m.sched.addTimer(deadline, task.isUser, () => {
          due = true;
          m.sched.wake(task);
        });
  while (!due && !m.signalWakes(task, state)) {
    task.state = state;
    task.waitingFor = what;
    yield BLOCK;
  }
  timer?.cancel();
  return due;
}

/** What is left of ITIMER_REAL, and its interval, in nanoseconds. */
export function getRealTimer(k: Kernel, process: Process): { left: number; interval: number } {
  const timer = process.realTimer;
  if (timer === null) return { left: 0, interval: 0 };
  if (timer.handle === null) return { left: 0, interval: timer.interval };
  // A timer that is about to fire is not shown as unset.
  return { left: Math.max(timer.deadline - k.m.now(), 1000), interval: timer.interval };
}

/**
 * Sets ITIMER_REAL: SIGALRM after `value` nanoseconds (0: never), then each `interval` (0: once).
 * Returns what was left of the one before, and its interval.
 */
export function* setRealTimer(
  k: Kernel,
  process: Process,
  value: number,
  interval: number,
): Atomic<{ left: number; interval: number }> {
  if (k.m.point(Op.Process, process.pid)) yield SWITCH;
  const before = k.time.getRealTimer(k, process);
  process.realTimer?.handle?.cancel();
  process.realTimer = null;
  if (value > 0) armRealTimer(k, process, k.m.now() + value, interval);
  return before;
}

/** One time only: with an interval it goes on when its signal is taken. */
function armRealTimer(k: Kernel, process: Process, deadline: number, interval: number): void {
  const { m } = k;
  const handle = m.sched.addTimer(deadline, !process.isOperator, () => {
    process.realTimer = interval > 0 ? { handle: null, deadline, interval } : null;
    m.signals.send(process, null, { signo: Sig.SIGALRM, code: SI.KERNEL, addr: 0 });
  });
  process.realTimer = { handle, deadline, interval };
}

/** SIGALRM has been taken, whoever sent it. */
export function realTimerTaken(k: Kernel, process: Process): void {
  const timer = process.realTimer;
  if (timer === null || timer.handle !== null) return;
  const passed = Math.floor((k.m.now() - timer.deadline) / timer.interval) + 1;
  armRealTimer(k, process, timer.deadline + passed * timer.interval, timer.interval);
}
