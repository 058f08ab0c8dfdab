/**
 * @linux kernel/rcu/tree.c, kernel/rcu/srcutree.c
 * @omits A grace period ends with the last reader that was inside when it began, at once where there was none;
 *   callbacks run in that reader. No expedited and no Tasks RCU.
 * @own tryRcuReadUnlock
 */
import type { Kernel } from "../kernel.js";
import type { Machine } from "../machine.js";
import { SWITCH, type Atomic, type MaySleep } from "./coroutine.js";
import { Op } from "./op.js";
import { TaskState, WaitQueue, type Task } from "./sched.js";

/** What is done once a grace period is over, with interrupts as it were: it may not sleep. */
export type RcuCallback = () => Atomic<void>;

/** What waits until everybody who was inside a read-side section when it began has left that. */
interface GracePeriod {
  readonly readers: Set<Task>;
  readonly callbacks: RcuCallback[];
  readonly waiters: WaitQueue;
}

/** The grace periods of RCU, or of one SRCU domain. */
export class GracePeriods {
  private readonly running: GracePeriod[] = [];

  constructor(
    private readonly m: Machine,
    /** 0 for RCU; SRCU domains count from 1. */
    readonly id: number,
  ) {}

  /** True when some grace period waits for this task. */
  waitFor(task: Task): boolean {
    return this.running.length > 0 && this.running.some((period) => period.readers.has(task));
  }

  /** Number of grace periods that are not over. */
  get pending(): number {
    return this.running.length;
  }

  begin(readers: Iterable<Task>): GracePeriod {
    const period = { readers: new Set(readers), callbacks: [], waiters: new WaitQueue(this.m) };
    this.running.push(period);
    return period;
  }

  /** A task has left its outermost section. Wakes who waited for it alone; returns what may be called now. */
  left(task: Task): RcuCallback[] {
    const due: RcuCallback[] = [];
    for (let i = 0; i < this.running.length; ) {
      const { readers, callbacks, waiters } = this.running[i]!;
      readers.delete(task);
      if (readers.size > 0) {
        i++;
        continue;
      }
      this.running.splice(i, 1);
      waiters.wakeAll();
      due.push(...callbacks);
    }
    return due;
  }
}

/** An SRCU domain: its readers may sleep. */
export class SrcuDomain {
  readonly periods: GracePeriods;
  /** How deep each task is inside. */
  readonly nesting = new Map<Task, number>();

  constructor(m: Machine, id: number) {
    this.periods = new GracePeriods(m, id);
  }
}

/* RCU. A section never sleeps, so whoever is inside is the current task of some executor. */

/** Enters a read-side section, or one more. */
export function rcuReadLock(k: Kernel): void {
  const { m } = k;
  m.touches(Op.RcuRead, 0);
  m.current!.rcuNesting++;
}

/** Leaves a section at once, unless somebody waits for that: then `rcuReadUnlock` must follow. */
export function tryRcuReadUnlock(k: Kernel): boolean {
  const { m } = k;
  const task = m.current!;
  m.touches(Op.RcuRead, 0);
  if (task.rcuNesting === 1 && m.rcu.waitFor(task)) return false;
  task.rcuNesting--;
  return true;
}

/** Leaves a section that a grace period waits for; what waited for it alone is called here. */
export function* rcuReadUnlock(k: Kernel): Atomic<void> {
  const { m } = k;
  if (m.point(Op.RcuPeriod, 0)) yield SWITCH;
  const task = m.current!;
  task.rcuNesting--;
  for (const callback of m.rcu.left(task)) yield* callback();
}

function rcuReaders(m: Machine): Task[] {
  const readers: Task[] = [];
  for (const { current } of m.sched.executors) if (current !== null && current.rcuNesting > 0) readers.push(current);
  return readers;
}

/** Calls back after a grace period: at once when nobody is inside a section. */
export function* callRcu(k: Kernel, callback: RcuCallback): Atomic<void> {
  const { m } = k;
  if (m.point(Op.RcuPeriod, 0)) yield SWITCH;
  const readers = rcuReaders(m);
  if (readers.length === 0) yield* callback();
  else m.rcu.begin(readers).callbacks.push(callback);
}

/** Waits for a grace period. Not from inside a section. */
export function* synchronizeRcu(k: Kernel): MaySleep<void> {
  const { m } = k;
  m.mightSleep("synchronize_rcu");
  if (m.point(Op.RcuPeriod, 0)) yield SWITCH;
  yield* waitFor(m.rcu, rcuReaders(m), "synchronize_rcu");
}

function* waitFor(periods: GracePeriods, readers: readonly Task[], what: string): MaySleep<void> {
  if (readers.length === 0) return;
  const period = periods.begin(readers);
  while (period.readers.size > 0) yield* period.waiters.sleep(TaskState.Uninterruptible, what);
}

/* SRCU. */

export function* srcuReadLock(k: Kernel, domain: SrcuDomain): Atomic<void> {
  const { m } = k;
  if (m.point(Op.RcuRead, domain.periods.id)) yield SWITCH;
  domain.nesting.set(m.current!, (domain.nesting.get(m.current!) ?? 0) + 1);
}

export function* srcuReadUnlock(k: Kernel, domain: SrcuDomain): Atomic<void> {
  const { m } = k;
  if (m.point(Op.RcuPeriod, domain.periods.id)) yield SWITCH;
  const task = m.current!;
  const depth = domain.nesting.get(task)! - 1;
  if (depth > 0) {
    domain.nesting.set(task, depth);
    return;
  }
  domain.nesting.delete(task);
  for (const callback of domain.periods.left(task)) yield* callback();
}

/** Calls back after a grace period of the domain: at once when nobody is inside. */
export function* callSrcu(k: Kernel, domain: SrcuDomain, callback: RcuCallback): Atomic<void> {
  if (k.m.point(Op.RcuPeriod, domain.periods.id)) yield SWITCH;
  if (domain.nesting.size === 0) yield* callback();
  else domain.periods.begin(domain.nesting.keys()).callbacks.push(callback);
}

/** Waits for a grace period of the domain. Not from inside a section of it. */
export function* synchronizeSrcu(k: Kernel, domain: SrcuDomain): MaySleep<void> {
  if (k.m.point(Op.RcuPeriod, domain.periods.id)) yield SWITCH;
  yield* waitFor(domain.periods, [...domain.nesting.keys()], "synchronize_srcu");
}
