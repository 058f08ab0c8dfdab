import { SWITCH, type Atomic } from "../kernel/coroutine.js";
import { Errno } from "../kernel/errno.js";
import { Op } from "../kernel/op.js";
import { TaskState, WaitQueue, type TimerHandle } from "../kernel/sched.js";
import { NSEC_PER_SEC } from "../kernel/time.js";
import { Restart } from "../kernel/signal.js";
import type { Kernel } from "../kernel.js";
import { anonFile } from "./anon_inode.js";
import { O, Poll, type FileOps, type OpenFile } from "./vfs.js";

/** A timer that is read: how often its time has come since it was last read or set. */
class Timerfd {
  /** When its time comes next, in nanoseconds of machine time; Infinity while it is not set. */
  deadline = Infinity;
  /** Of nanoseconds; 0 for once. */
  interval = 0;
  handle: TimerHandle | null = null;
  changes = 0;
  /** What it was last set with: whether to a point in time. */
  absolute = false;
  readonly wait: WaitQueue;

  constructor(
    private readonly k: Kernel,
    /** What is to be taken off a point in time of its clock to get machine time. */
    readonly epochNs: number,
    readonly clock: number,
  ) {
    this.wait = new WaitQueue(k.m);
  }

  get expired(): boolean {
    return this.deadline <= this.k.m.now();
  }

  arm(deadline: number, interval: number): void {
    const { m } = this.k;
    this.handle?.cancel();
    this.deadline = deadline;
    this.interval = interval;
    this.handle = deadline === Infinity ? null : m.sched.addTimer(deadline, m.current!.isUser, () => this.fire());
  }

  private fire(): void {
    this.changes++;
    this.wait.wakeAll();
    this.k.m.pollWait.wakeAll();
  }

  /** How often its time has come since it was read or set. */
  get ticks(): number {
    if (!this.expired) return 0;
    return this.interval === 0 ? 1 : Math.floor((this.k.m.now() - this.deadline) / this.interval) + 1;
  }

  /** The same; from then on it counts anew. */
  take(): number {
    const { deadline, interval, ticks: times } = this;
    if (interval === 0) {
      this.deadline = Infinity;
      return 1;
    }
    this.arm(deadline + times * interval, interval);
    return times;
  }

  /** What is left until its time comes next, and the interval; 0 for a timer that is not set. */
  get(): { readonly left: number; readonly interval: number } {
    const { deadline, interval } = this;
    const now = this.k.m.now();
    if (deadline > now) return { left: deadline === Infinity ? 0 : deadline - now, interval };
    return { left: interval === 0 ? 0 : interval - ((now - deadline) % interval), interval };
  }
}

/** timerfd_create(2). */
export function makeTimerfd(k: Kernel, clock: number, epochNs: number, flags: number): OpenFile {
  const file = anonFile(k, "[timerfd]", TIMERFD_OPS, O.RDWR | (flags & O.NONBLOCK));
  file.data = new Timerfd(k, epochNs, clock);
  return file;
}

function timerOf(file: OpenFile): Timerfd | null {
  return file.data instanceof Timerfd ? file.data : null;
}

/** timerfd_gettime(2); null for what is no timer. */
export function* timerfdGet(k: Kernel, file: OpenFile): Atomic<{ readonly left: number; readonly interval: number } | null> {
  if (k.m.point(Op.Inode, file.inode.ino)) yield SWITCH;
  return timerOf(file)?.get() ?? null;
}

/** timerfd_settime(2): what there was before; null for what is no timer. A value of 0 stops it. */
export function* timerfdSet(k: Kernel, file: OpenFile, value: number, interval: number, absolute: boolean): Atomic<{ readonly left: number; readonly interval: number } | null> {
  if (k.m.point(Op.Inode, file.inode.ino)) yield SWITCH;
  const timer = timerOf(file);
  if (timer === null) return null;
  const old = timer.get();
  const deadline = absolute ? Math.max(value - timer.epochNs, 0) : k.m.now() + value;
  timer.absolute = absolute;
  timer.arm(value === 0 ? Infinity : deadline, interval);
  return old;
}

function fdinfo(timer: Timerfd): string {
  const { left, interval } = timer.get();
  const time = (ns: number): string => `(${Math.floor(ns / NSEC_PER_SEC)}, ${Math.floor(ns % NSEC_PER_SEC)})`;
  return `clockid: ${timer.clock}\nticks: ${timer.ticks}\nsettime flags: 0${Number(timer.absolute)}\nit_value: ${time(left)}\nit_interval: ${time(interval)}\n`;
}

const TIMERFD_OPS: FileOps = {
  stream: true,
  seeks: true,
  iter: { nowait: true },
  *read(k, file, into) {
    const timer = timerOf(file)!;
    if (into.length < 8) return -Errno.EINVAL;
    for (;;) {
      if (k.m.point(Op.Inode, file.inode.ino)) yield SWITCH;
      if (timer.expired) break;
      if ((file.flags & O.NONBLOCK) !== 0) return -Errno.EAGAIN;
      if (!(yield* timer.wait.sleep(TaskState.Interruptible, "timerfd_read"))) return -Restart.ERESTARTSYS;
    }
    new DataView(into.buffer, into.byteOffset).setBigUint64(0, BigInt(timer.take()), true);
    return 8;
  },
  showFdinfo: (file) => fdinfo(timerOf(file)!),
  poll: (file) => (timerOf(file)!.expired ? Poll.IN : 0),
  *release(k, file) {
    if (k.m.point(Op.Inode, file.inode.ino)) yield SWITCH;
    timerOf(file)!.arm(Infinity, 0);
  },
};
