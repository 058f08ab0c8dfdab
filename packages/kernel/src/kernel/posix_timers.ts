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
  deadline = 0;
  interval = 0;
  handle: TimerHandle | null = null;
  /** Times that have come since its signal was queued, and that were told with the last one. */
  missed = 0;
  overrun = 0;
  /** The signal that is queued, or was last. */
  info: SignalInfo | null = null;

  constructor(
    readonly id: number,
    /** What is to be taken off a point in time of its clock to get machine time. */
    readonly epochNs: number,
    readonly notice: TimerNotice,
  ) {}
}

/** A timer of the current process that is not set. */
export function* timerCreate(k: Kernel, epochNs: number, notice: (id: number) => TimerNotice): Atomic<PosixTimer> {
  const process = k.m.current!.process!;
  if (k.m.point(Op.Process, process.pid)) yield SWITCH;
  const id = process.nextTimerId++;
  const timer = new PosixTimer(id, epochNs, notice(id));
  process.posixTimers.set(id, timer);
  return timer;
}

function isQueued(process: Process, { info, notice }: PosixTimer): boolean {
  if (info === null) return false;
  const queue = (notice.thread === null ? process.sharedSignalInfo : notice.thread.thread.signalInfo).get(info.signo);
  return queue?.includes(info) === true;
}

/** What is left, and the interval; both 0 where it is not set. */
export function timerGet(k: Kernel, { handle, deadline, interval }: PosixTimer): { left: number; interval: number } {
  return handle === null ? { left: 0, interval: 0 } : { left: Math.max(deadline - k.m.now(), 1), interval };
}

/** Sets it for a machine time (0: never), then each `interval` (0: once). What was left, and the interval before. */
export function* timerSet(k: Kernel, timer: PosixTimer, deadline: number, interval: number): Atomic<{ left: number; interval: number }> {
  const process = k.m.current!.process!;
  if (k.m.point(Op.Process, process.pid)) yield SWITCH;
  const before = k.posixTimers.timerGet(k, timer);
  timer.handle?.cancel();
  timer.handle = null;
  timer.interval = interval;
  timer.missed = timer.overrun = 0;
  if (deadline > 0) arm(k, process, timer, deadline);
  return before;
}

function arm(k: Kernel, process: Process, timer: PosixTimer, deadline: number): void {
  const { m } = k;
  timer.deadline = deadline;
  timer.handle = m.sched.addTimer(deadline, !process.isOperator, () => {
    timer.handle = null;
    if (timer.interval > 0) arm(k, process, timer, deadline + timer.interval);
    const { signo, value, thread } = timer.notice;
    if (signo === 0) return;
    if (isQueued(process, timer)) {
      timer.missed = Math.min(timer.missed + 1, OVERRUN_MAX);
      return;
    }
    timer.overrun = timer.missed;
    timer.missed = 0;
    timer.info = { signo, code: SI.TIMER, addr: 0, pid: timer.id, value, overrun: timer.overrun };
    if (thread === null || process.threads.has(thread)) m.signals.send(process, thread, timer.info);
  });
}

export function* timerDelete(k: Kernel, id: number): Atomic<number> {
  const process = k.m.current!.process!;
  if (k.m.point(Op.Process, process.pid)) yield SWITCH;
  const timer = process.posixTimers.get(id);
  if (timer === undefined) return -Errno.EINVAL;
  timer.handle?.cancel();
  process.posixTimers.delete(id);
  return 0;
}

/** All of a process go: with its end, or the program's. */
export function* deleteAll(k: Kernel, process: Process): Atomic<void> {
  if (k.m.point(Op.Process, process.pid)) yield SWITCH;
  for (const timer of process.posixTimers.values()) timer.handle?.cancel();
  process.posixTimers.clear();
}
