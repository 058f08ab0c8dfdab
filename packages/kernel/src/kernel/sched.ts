import type { Mm } from "../mm/mm_types.js";
import type { Memcg } from "../mm/memcontrol.js";
import { Tlb } from "../arch/tlb.js";
import { BLOCK, type MaySleep } from "./coroutine.js";
import type { SpinLock } from "./locks.js";
import type { Machine } from "../machine.js";
import { Op } from "./op.js";
import { Event } from "../trace.js";
import type { TaskNuma } from "./numa_balancing.js";
import { ThreadState, type Process } from "./process.js";

export enum TaskState {
  Running,
  /** Waits and can be woken by any signal. */
  Interruptible,
  /** Waits and can be woken by a fatal signal only. */
  Killable,
  Uninterruptible,
  Dead,
  /** By a signal: goes on with SIGCONT, or ends with SIGKILL. */
  Stopped,
}

/** CPUs whose TLBs may still have entries that the task has cleared (`mm/tlb_batch`). */
interface TlbflushUnmapBatch {
  cpumask: number;
  flushRequired: boolean;
  /** One of the entries was dirty. */
  writable: boolean;
}

/**
 * One flow of control: a guest thread, a scenario thread, a kernel thread, or the engine of a
 * device. Its body runs on its executor, and is resumed only there.
 */
export class Task {
  state = TaskState.Running;
  /** What a waiting task waits for, in words: printed when nothing can run any more. */
  waitingFor = "";
  /** Which one of those: the id of a lock or a VMA, a folio, an mm's id; -1 where there is only one, or it runs. */
  waitingOn = -1;
  /** The thread group it belongs to; null for kernel threads and scenario threads. */
  readonly process: Process | null;
  /** The address space whose page tables user accesses go through; null for kernel threads. */
  mm: Mm | null;
  /** Where new pages are charged. */
  memcg: Memcg;
  /** Faults this thread took that needed no I/O, and those that did. */
  minorFaults = 0;
  majorFaults = 0;
  /** Address that is cleared and woken when the thread exits (CLONE_CHILD_CLEARTID), or 0. */
  clearChildTid = 0;
  /** Numbers of the signals that are pending for this thread alone. */
  readonly pendingSignals = new Set<number>();
  /** The blocked ones as a mask: signal n is bit n - 1. */
  blockedSignals = 0n;
  readonly thread = new ThreadState();
  /** How many RCU read-side sections the task is inside. It does not sleep there. */
  rcuNesting = 0;
  /** Inside how many stretches it must not block (non_block_start()): notifier callbacks for those who cannot wait. */
  nonBlockCount = 0;
  /** How many spinlocks it holds. It does not sleep meanwhile. */
  preemptCount = 0;
  /** The address space of which it is inside an invalidate callback; null outside of all. */
  invalidating: Mm | null = null;
  /** The TLB flush that reclaim on this task's behalf has put off. */
  readonly tlbUbc: TlbflushUnmapBatch = { cpumask: 0, flushRequired: false, writable: false };
  /** Set by the OOM killer: this task may use memory reserves. */
  oomVictim = false;
  /** Pages that it was charged for while its cgroup had more than memory.high, and has not paid for yet. */
  pagesOverHigh = 0;
  /** What it allocates is about to be pinned for ever: none of it is to be movable (PF_MEMALLOC_PIN). */
  memallocPin = false;
  /** It has begun to exit: nobody is asked about its faults any more. */
  exiting = false;
  /** What NUMA balancing knows of it; null until it has run for a while. */
  numa: TaskNuma | null = null;
  /** Numbers of the kernel functions it is in, outermost first; empty unless they are traced (see ftrace.ts). */
  readonly kstack: number[] = [];
  /** Nanoseconds of machine time at which its time slice on its CPU ends. */
  sliceEnd = 0;

  constructor(
    /** Another where execve(2) makes the thread the first of its group. */
    public id: number,
    public comm: string,
    public executor: Executor,
    /** What it runs; another only while the task is not started, or at its start again. */
    public body: MaySleep<void>,
    options: { process?: Process; mm?: Mm | null; memcg: Memcg },
  ) {
    this.process = options.process ?? null;
    this.mm = options.mm ?? null;
    this.memcg = options.memcg;
  }

  /** Whether it must not sleep: it holds a spinlock, is inside an RCU read-side section, or of code that must not block. */
  get inAtomic(): boolean {
    return this.preemptCount + this.rcuNesting + this.nonBlockCount > 0;
  }

  /** A user task counts when the machine decides whether the operator may type his next line. */
  get isUser(): boolean {
    return this.process !== null && !this.process.isOperator;
  }
}

/**
 * The tasks that have not ended, by id, in the order in which they came. Used like a Map, which it is
 * not: emptied, that makes a new table each time, and explorations start and end tasks all the time.
 */
export class TaskTable {
  private readonly ids: number[] = [];
  private readonly byId: (Task | undefined)[] = [];

  get size(): number {
    return this.ids.length;
  }

  has(id: number): boolean {
    return this.get(id) !== undefined;
  }

  get(id: number): Task | undefined {
    return this.byId[id];
  }

  set(id: number, task: Task): void {
    if (!this.has(id)) this.ids.push(id);
    this.byId[id] = task;
  }

  delete(id: number): void {
    if (!this.has(id)) return;
    this.byId[id] = undefined;
    this.ids.splice(this.ids.indexOf(id), 1);
  }

  /** As they are now. */
  keys(): number[] {
    return [...this.ids];
  }

  values(): Task[] {
    return this.ids.map((id) => this.byId[id]!);
  }

  [Symbol.iterator](): Iterator<[id: number, task: Task]> {
    return this.ids.map((id): [number, Task] => [id, this.byId[id]!])[Symbol.iterator]();
  }
}

/** A CPU, or the engine of a device: something that executes one task at a time. */
export class Executor {
  current: Task | null = null;
  /** Whom the last `SchedSwitch` brought here; null for nobody. He runs at the executor's next turn. */
  next: Task | null = null;
  readonly queue: Task[] = [];
  /** The lock, taken by somebody else, that it spins for: it cannot run until that is released. */
  spinsFor: SpinLock | null = null;
  readonly tlb: Tlb;
  /** The address space that the CPU's page-table register points to; kept by kernel threads. */
  activeMm: Mm | null = null;

  constructor(
    readonly id: number,
    readonly name: string,
    readonly isDevice: boolean,
    tlbEntries: number,
  ) {
    this.tlb = new Tlb(tlbEntries);
  }

  get hasWork(): boolean {
    return this.current !== null || this.queue.length > 0;
  }
}

/** Decides who runs. An ordinary run has round robin; an explorer enumerates. */
export interface Strategy {
  /** Nanoseconds of machine time that the executor may run before `preempt` is asked; 0 asks at each point. */
  quantum(executor: Executor): number;
  /** At a point of the running task: true when another executor is to run now. */
  preempt(op: number, object: number): boolean;
  /** Who runs next. `previous` is eligible too unless it blocked or finished. */
  pick(eligible: readonly Executor[], previous: Executor | null): Executor;
}

/** Round robin over the executors with slices drawn from the machine's choices. */
export class RoundRobin implements Strategy {
  private next = 0;

  constructor(private readonly m: Machine) {}

  quantum(): number {
    return 200 + this.m.choices.pick("slice", 800);
  }

  preempt(op: Op): boolean {
    // A program gives way between its instructions, where that costs little.
    return op === Op.Run || !this.m.sched.nextTurnOfSame();
  }

  pick(eligible: readonly Executor[]): Executor {
    this.next = (this.next + 1) % eligible.length;
    return eligible[this.next]!;
  }
}

interface Timer {
  readonly time: number;
  readonly order: number;
  readonly user: boolean;
  readonly background: boolean;
  fire: (() => void) | null;
}

export interface TimerHandle {
  cancel(): void;
}

/** Why `Scheduler.run` came back. */
export type RunEnd = "finished" | "stuck" | "halted" | "paused";

/** A CPU is offered to the next task of its queue after this many nanoseconds. */
const TASK_SLICE_NS = 4_000_000;

/** Task ids end below this. More than `maxThreads` of the largest machine, so that there is always one. */
export const PID_MAX = 32768;
/** Where ids begin again. */
const RESERVED_PIDS = 300;

export class Scheduler {
  readonly executors: Executor[] = [];
  strategy: Strategy;
  /** Asked when no user task can run or has a timer: true when it made something runnable. */
  onQuiescent: (() => boolean) | null = null;
  /** Turns that executors have had so far: who finds it unchanged has been alone. */
  turns = 0;
  private readonly timers: Timer[] = [];
  private timerOrder = 0;
  private userTimers = 0;
  private backgroundTimers = 0;
  private nextTaskId = 1;
  private readonly eligible: Executor[] = [];
  /** How many `run` may still begin. */
  private turnsLeft = 0;
  private halted = false;

  constructor(private readonly m: Machine) {
    this.strategy = new RoundRobin(m);
  }

  addExecutor(name: string, isDevice: boolean, tlbEntries: number): Executor {
    const executor = new Executor(this.executors.length, name, isDevice, tlbEntries);
    this.executors.push(executor);
    return executor;
  }

  /** The next id that no task or process has; the low ones are given out once only. */
  allocateTaskId(): number {
    const { tasks, processes } = this.m;
    for (;;) {
      const id = this.nextTaskId++;
      if (this.nextTaskId === PID_MAX) this.nextTaskId = RESERVED_PIDS;
      if (!tasks.has(id) && !processes.has(id)) return id;
    }
  }

  /** The CPU (never a device) with the least to do, lowest number first; `affinity` has a bit for each allowed. */
  leastLoadedCpu(affinity = -1): Executor {
    let best: Executor | null = null;
    let bestLoad = Infinity;
    for (const e of this.executors) {
      if (e.isDevice || (affinity & (1 << e.id)) === 0) continue;
      const load = e.queue.length + (e.current !== null ? 1 : 0);
      if (load < bestLoad) {
        best = e;
        bestLoad = load;
      }
    }
    return best!;
  }

  /** Makes a new task runnable; `cloneFlags` as clone(2) has them. */
  start(task: Task, cloneFlags = 0): void {
    task.executor.queue.push(task);
    const { sink } = this.m;
    if (sink === null) return;
    sink.emit(Event.TaskNewtask, task.id, cloneFlags, task.process?.oomScoreAdj ?? 0, 0);
    sink.emit(Event.SchedWakeupNew, task.id, task.executor.id, 0, 0);
  }

  /** Makes a waiting task runnable; nothing for one that runs. Always from the waker's context. */
  wake(task: Task): void {
    if (task.state === TaskState.Running || task.state === TaskState.Dead) return;
    task.state = TaskState.Running;
    task.waitingFor = "";
    task.waitingOn = -1;
    if (task.executor.current !== task && !task.executor.queue.includes(task)) {
      if (!task.executor.isDevice && task.executor.hasWork) {
        const idle = this.leastLoadedCpu(task.thread.affinity);
        if (!idle.hasWork) task.executor = idle;
      }
      task.executor.queue.push(task);
    }
    this.m.sink?.emit(Event.SchedWakeup, task.id, task.executor.id, 0, 0);
  }

  /**
   * Calls `fire` (which may wake tasks, and must not touch shared state otherwise) at a machine
   * time in nanoseconds. `user` timers keep the operator waiting. For a `background` timer alone
   * time does not go on: what it does once in a while, for ever, nobody waits for.
   */
  addTimer(time: number, user: boolean, fire: () => void, background = false): TimerHandle {
    const timer: Timer = { time, order: this.timerOrder++, user, background, fire };
    let i = this.timers.length;
    this.timers.push(timer);
    while (i > 0) {
      const parent = (i - 1) >> 1;
      if (!earlier(timer, this.timers[parent]!)) break;
      this.timers[i] = this.timers[parent]!;
      i = parent;
    }
    this.timers[i] = timer;
    if (user) this.userTimers++;
    if (background) this.backgroundTimers++;
    return {
      cancel: () => {
        if (timer.fire !== null) this.uncount(timer);
        timer.fire = null;
      },
    };
  }

  private popTimer(): Timer | null {
    const top = this.timers[0];
    if (top === undefined) return null;
    const last = this.timers.pop()!;
    if (this.timers.length > 0) {
      let i = 0;
      for (;;) {
        let child = 2 * i + 1;
        if (child >= this.timers.length) break;
        if (child + 1 < this.timers.length && earlier(this.timers[child + 1]!, this.timers[child]!)) child++;
        if (!earlier(this.timers[child]!, last)) break;
        this.timers[i] = this.timers[child]!;
        i = child;
      }
      this.timers[i] = last;
    }
    return top;
  }

  private fireDueTimers(): void {
    while (this.timers.length > 0 && (this.timers[0]!.fire === null || this.timers[0]!.time <= this.m.now())) {
      const timer = this.popTimer()!;
      const fire = timer.fire;
      if (fire === null) continue;
      timer.fire = null;
      this.uncount(timer);
      fire();
    }
  }

  halt(): void {
    this.halted = true;
  }

  /** True when no user task can run and none has a timer pending. */
  private quiescent(): boolean {
    if (this.userTimers > 0) return false;
    for (const e of this.executors) {
      if (e.current?.isUser || e.queue.some((t) => t.isUser)) return false;
    }
    return true;
  }

  /**
   * Runs until everything has finished, nothing can run any more, or somebody halts it; or until
   * executors have had so many turns: "paused" then, and the next call goes on as if nothing was.
   */
  run(turns = Infinity): RunEnd {
    const { m, eligible, executors } = this;
    this.turnsLeft = turns;
    while (!this.halted) {
      if (this.turnsLeft-- <= 0) return "paused";
      this.fireDueTimers();
      if (this.onQuiescent !== null && this.quiescent() && this.onQuiescent()) continue;
      let n = 0;
      for (const e of executors) if (this.canRun(e)) eligible[n++] = e;
      if (eligible.length > n) eligible.length = n;
      if (n === 0) {
        const next = this.nextTimer();
        if (next === null) return this.hasTasks() ? "stuck" : "finished";
        m.advanceTo(next);
        continue;
      }
      this.runOn(eligible.length === 1 ? eligible[0]! : this.strategy.pick(eligible, m.executor));
    }
    return "halted";
  }

  /**
   * At the end of a turn: where nothing but the executor that has it could run next, its next turn begins at once, and
   * true is returned. It need not come back to `run` for that, out of all that it is in the middle of.
   */
  nextTurnOfSame(): boolean {
    const { m, timers } = this;
    if (this.halted || this.turnsLeft <= 0 || !m.current!.isUser) return false;
    if (timers.length > 0 && timers[0]!.time <= m.now()) return false;
    for (const e of this.executors) if (this.canRun(e) !== (e === m.executor)) return false;
    this.turnsLeft--;
    this.turns++;
    return true;
  }

  /** True when the executor has something to do, and could get on with it. */
  canRun(executor: Executor): boolean {
    return executor.hasWork && executor.spinsFor === null && !this.m.retries.isWaiting(executor);
  }

  private nextTimer(): number | null {
    while (this.timers.length > 0 && this.timers[0]!.fire === null) this.popTimer();
    // Cancelled ones further down make no difference: time goes on to the next in any case, or there is none.
    return this.timers.length > this.backgroundTimers ? this.timers[0]!.time : null;
  }

  private uncount({ user, background }: Timer): void {
    if (user) this.userTimers--;
    if (background) this.backgroundTimers--;
  }

  private hasTasks(): boolean {
    return this.m.tasks.size > 0;
  }

  private runOn(executor: Executor): void {
    const { m } = this;
    this.turns++;
    m.executor = executor;
    let task = executor.current;
    if (task === null) {
      task = executor.queue.shift()!;
      executor.current = task;
      if (executor.next !== task) this.switched(executor, null, task);
      task.sliceEnd = m.now() + TASK_SLICE_NS;
      if (task.mm !== null && !executor.isDevice) m.switchMm(executor, task.mm);
    }
    m.current = task;
    m.startQuantum(this.strategy.quantum(executor));
    const step = task.body.next();
    m.endQuantum();
    if (step.done) {
      task.state = TaskState.Dead;
      executor.current = null;
      m.tasks.delete(task.id);
      this.switched(executor, task, executor.queue[0] ?? null);
    } else if (step.value === BLOCK) {
      if (task.inAtomic) m.locks.observer?.sleepsInAtomic?.(task, task.waitingFor, true);
      executor.current = null;
      // A task that only gave way is runnable still; one that was woken while it went to sleep too.
      if (task.state === TaskState.Running) this.requeue(task);
      this.switched(executor, task, executor.queue[0] ?? null);
    }
  }

  /** `next` is the head of the queue, where nobody but the executor itself takes tasks off. */
  private switched(executor: Executor, previous: Task | null, next: Task | null): void {
    executor.next = next;
    if (previous !== next) this.m.sink?.emit(Event.SchedSwitch, previous?.id ?? 0, previous?.state ?? 0, next?.id ?? 0, 0);
  }

  /** Puts a runnable task back on a queue: that of its CPU, unless its affinity has changed. */
  private requeue(task: Task): void {
    const { executor, thread } = task;
    if (!executor.isDevice && (thread.affinity & (1 << executor.id)) === 0) task.executor = this.leastLoadedCpu(thread.affinity);
    task.executor.queue.push(task);
  }

  /** True when the current task has used up its slice and another waits for its CPU. */
  needResched(): boolean {
    const { current, executor } = this.m;
    return executor!.queue.length > 0 && this.m.now() >= current!.sliceEnd;
  }

  /** A safe place to give way to another task of the same CPU. */
  *condResched(): MaySleep<void> {
    if (this.needResched()) yield BLOCK;
  }
}

function earlier(a: Timer, b: Timer): boolean {
  return a.time < b.time || (a.time === b.time && a.order < b.order);
}

/** Tasks that wait for one thing. */
export class WaitQueue {
  private readonly waiters: Task[] = [];

  constructor(private readonly m: Machine) {}

  get empty(): boolean {
    return this.waiters.length === 0;
  }

  /** Who waits, by number: first those of the first executor, each in the order in which they are woken. */
  order(): number[] {
    return this.waiters.toSorted((a, b) => a.executor.id - b.executor.id).map(({ id }) => id);
  }

  /**
   * Sleeps once; the caller rechecks its condition in a loop, with no point between check and
   * call. Returns false when a signal ended the sleep. `on` is for `Task.waitingOn`.
   */
  *sleep(state: TaskState, what: string, on = -1): MaySleep<boolean> {
    const task = this.m.current!;
    if (this.m.signalWakes(task, state)) return false;
    this.waiters.push(task);
    task.state = state;
    task.waitingFor = what;
    task.waitingOn = on;
    yield BLOCK;
    const i = this.waiters.indexOf(task);
    if (i < 0) return true;
    this.waiters.splice(i, 1);
    return !this.m.signalWakes(task, state);
  }

  /**
   * Puts the current task into the queue while it still holds a spinlock that keeps its condition
   * from changing. It goes on running; `sleepPrepared` must follow once the lock is dropped.
   */
  prepare(state: TaskState.Uninterruptible, what: string, on: number): void {
    const task = this.m.current!;
    this.waiters.push(task);
    task.state = state;
    task.waitingFor = what;
    task.waitingOn = on;
  }

  /** Sleeps, unless the wake-up has come since `prepare`. */
  *sleepPrepared(): MaySleep<void> {
    if (this.m.current!.state !== TaskState.Running) yield BLOCK;
  }

  wakeOne(): boolean {
    const task = this.waiters.shift();
    if (task === undefined) return false;
    this.m.sched.wake(task);
    return true;
  }

  wakeAll(): number {
    const n = this.waiters.length;
    while (this.wakeOne());
    return n;
  }
}
