import type { Machine } from "../machine.js";
import { SWITCH, type Atomic, type MaySleep } from "./coroutine.js";
import { Op } from "./op.js";
import { TaskState, WaitQueue, type Task } from "./sched.js";
import { Contention, Event } from "../trace.js";

/**
 * Locks come in pairs of methods: `tryX()` does X at once and returns true, unless the schedule
 * wants somebody else to run first or the lock is taken; then `yield* x()` does it. So the common
 * case costs no generator: `if (!lock.tryLock()) yield* lock.lock();`.
 */
export interface LockObserver {
  /** `trylock`: it would not have waited, had the lock been taken. */
  acquired(task: Task, cls: string, id: number, trylock?: boolean): void;
  /** The task is about to take the lock, and waits if it must. For locks whose taking is a trylock in a loop. */
  mayWait(task: Task, cls: string, id: number): void;
  released(task: Task, cls: string, id: number): void;
  /**
   * The task holds a spinlock, or is inside an RCU section, and calls what may sleep; `sleeps`: it
   * gives its CPU up. While checking only.
   */
  sleepsInAtomic?(task: Task, what: string, sleeps: boolean): void;
  /** The task calls what may only be called with the lock held: see `Machine.mustHold`. */
  needs?(task: Task, cls: string, id: number, what: string): void;
  /** Inside an invalidate callback, the task is about to do what cannot be done before that invalidation ends, or under its locks. */
  waitsInCallback?(task: Task, what: string): void;
}

/** What all locks of a machine share: their ids, and who is told of them. */
export class Locks {
  private nextId = 1;
  /** Every lock by its id, for who compares states of the machine; only while checking. */
  readonly byId: (SpinLock | RwSem | undefined)[] = [];
  /** Classes of locks that events have told of, which have the index. */
  readonly classes: string[] = [];
  observer: LockObserver | null = null;

  constructor(readonly m: Machine) {}

  allocateId(): number {
    return this.nextId++;
  }

  /** A new lock: its id. */
  register(lock: SpinLock | RwSem): number {
    const id = this.allocateId();
    if (this.m.config.checking) this.byId[id] = lock;
    return id;
  }

  /** Somebody begins to wait for a lock; `flags` of `Contention`. */
  contentionBegin(cls: string, id: number, flags: number): void {
    this.m.sink?.emit(Event.ContentionBegin, id, flags, this.classIndex(cls), 0);
  }

  contentionEnd(cls: string, id: number): void {
    this.m.sink?.emit(Event.ContentionEnd, id, 0, this.classIndex(cls), 0);
  }

  classIndex(cls: string): number {
    const i = this.classes.indexOf(cls);
    return i >= 0 ? i : this.classes.push(cls) - 1;
  }
}

export class SpinLock {
  owner: Task | null = null;
  /** Some executor spins for it. */
  private contended = false;
  readonly id: number;

  constructor(
    private readonly locks: Locks,
    readonly cls: string,
  ) {
    this.id = locks.register(this);
  }

  tryLock(): boolean {
    const { m } = this.locks;
    if (m.point(Op.SpinLock, this.id)) {
      m.pendingSwitch = true;
      return false;
    }
    if (this.owner !== null) return false;
    this.take();
    return true;
  }

  *lock(): Atomic<void> {
    const { m } = this.locks;
    if (m.takePendingSwitch()) yield SWITCH;
    if (this.owner !== null) {
      this.locks.contentionBegin(this.cls, this.id, Contention.SPIN);
      do {
        m.executor!.spinsFor = this;
        this.contended = true;
        yield SWITCH;
      } while (this.owner !== null);
      this.locks.contentionEnd(this.cls, this.id);
    }
    this.take();
  }

  tryUnlock(): boolean {
    const { m } = this.locks;
    if (m.point(Op.SpinUnlock, this.id)) {
      m.pendingSwitch = true;
      return false;
    }
    this.release();
    return true;
  }

  *unlock(): Atomic<void> {
    if (this.locks.m.takePendingSwitch()) yield SWITCH;
    this.release();
  }

  private take(): void {
    this.owner = this.locks.m.current;
    this.owner!.preemptCount++;
    this.locks.observer?.acquired(this.owner!, this.cls, this.id);
  }

  private release(): void {
    if (this.owner === null) throw new Error(`spinlock ${this.cls} is released, and nobody holds it`);
    this.owner.preemptCount--;
    this.locks.observer?.released(this.owner, this.cls, this.id);
    this.owner = null;
    if (!this.contended) return;
    this.contended = false;
    for (const e of this.locks.m.sched.executors) if (e.spinsFor === this) e.spinsFor = null;
  }
}

/** A reader-writer semaphore: first come, first served, so that a waiting writer holds off readers. */
export class RwSem {
  readers = 0;
  writer: Task | null = null;
  readonly id: number;
  private readonly waiting: { task: Task; write: boolean; granted: boolean }[] = [];
  private readonly queue: WaitQueue;

  constructor(
    protected readonly locks: Locks,
    readonly cls: string,
    /** What a mutex is made of: its waits are called so. */
    private readonly isMutex = false,
  ) {
    this.id = locks.register(this);
    this.queue = new WaitQueue(locks.m);
  }

  get isLocked(): boolean {
    return this.readers > 0 || this.writer !== null;
  }

  /** Those that wait for it, in order. */
  waitingTasks(): readonly Task[] {
    return this.waiting.map(({ task }) => task);
  }

  /** Whether a task waits for it, and has not been given it yet. */
  isWaiting(task: Task): boolean {
    return this.waiting.some((entry) => entry.task === task);
  }

  tryRead(): boolean {
    return this.tryAcquire(Op.SemRead, false);
  }

  *read(): MaySleep<void> {
    yield* this.acquire(false);
  }

  /**
   * Takes it for reading, where that need not wait, in one step with what came before: for those who take it always, on behalf of
   * somebody who is rarely there, as Linux does with a percpu_rw_semaphore.
   */
  tryReadAside(): boolean {
    const { m } = this.locks;
    m.mightSleep(this.cls);
    m.touches(Op.SemRead, this.id);
    if (this.waiting.length > 0 || !this.free(false)) return false;
    this.take(false, m.current!);
    return true;
  }

  /** The same for giving it back. */
  tryUnlockAside(): boolean {
    this.locks.m.touches(Op.SemRelease, this.id);
    this.release();
    return true;
  }

  tryWrite(): boolean {
    return this.tryAcquire(Op.SemWrite, true);
  }

  *write(): MaySleep<void> {
    yield* this.acquire(true);
  }

  /** Takes it for writing where that need not wait, and only there: for who holds what is inside of it. */
  *trylockWrite(): Atomic<boolean> {
    const { m } = this.locks;
    if (m.point(Op.SemWrite, this.id)) yield SWITCH;
    if (this.waiting.length > 0 || !this.free(true)) return false;
    this.writer = m.current!;
    this.locks.observer?.acquired(m.current!, this.cls, this.id, true);
    return true;
  }

  tryUnlock(): boolean {
    const { m } = this.locks;
    if (m.point(Op.SemRelease, this.id)) {
      m.pendingSwitch = true;
      return false;
    }
    this.release();
    return true;
  }

  *unlock(): Atomic<void> {
    if (this.locks.m.takePendingSwitch()) yield SWITCH;
    this.release();
  }

  private free(write: boolean): boolean {
    return this.writer === null && (write ? this.readers === 0 : true);
  }

  private tryAcquire(op: Op, write: boolean): boolean {
    const { m } = this.locks;
    m.mightSleep(this.cls);
    this.wanted(write);
    if (m.point(op, this.id)) {
      m.pendingSwitch = true;
      return false;
    }
    if (this.waiting.length > 0 || !this.free(write)) return false;
    this.take(write, m.current!);
    this.obtained(write);
    return true;
  }

  private *acquire(write: boolean): MaySleep<void> {
    const { m } = this.locks;
    if (m.takePendingSwitch()) yield SWITCH;
    const task = m.current!;
    m.mightSleep(this.cls);
    if (this.waiting.length === 0 && this.free(write)) {
      this.take(write, task);
      this.obtained(write);
      return;
    }
    const entry = { task, write, granted: false };
    this.locks.contentionBegin(this.cls, this.id, this.isMutex ? Contention.MUTEX : write ? Contention.WRITE : Contention.READ);
    this.waiting.push(entry);
    while (!entry.granted) yield* this.queue.sleep(TaskState.Uninterruptible, `${this.cls} (${write ? "write" : "read"})`, this.id);
    this.locks.contentionEnd(this.cls, this.id);
    this.obtained(write);
  }

  /* For tracepoints of their own: the current task asks, has it, gives it back. */

  protected wanted(_write: boolean): void {}
  protected obtained(_write: boolean): void {}
  protected released(_write: boolean): void {}

  private take(write: boolean, task: Task): void {
    if (write) this.writer = task;
    else this.readers++;
    this.locks.observer?.acquired(task, this.cls, this.id);
  }

  private release(): void {
    if (!this.isLocked) throw new Error(`${this.isMutex ? "mutex" : "semaphore"} ${this.cls} is released, and nobody holds it`);
    this.locks.observer?.released(this.locks.m.current!, this.cls, this.id);
    this.released(this.writer !== null);
    if (this.writer !== null) this.writer = null;
    else this.readers--;
    // Hand the lock over in order of arrival: one writer, or all readers up to the next writer.
    let woke = false;
    while (this.waiting.length > 0 && this.free(this.waiting[0]!.write)) {
      const entry = this.waiting.shift()!;
      this.take(entry.write, entry.task);
      entry.granted = true;
      woke = true;
    }
    if (woke) this.queue.wakeAll();
  }
}

/** A sleeping lock with one holder. */
export class Mutex {
  private readonly sem: RwSem;

  constructor(locks: Locks, cls: string) {
    this.sem = new RwSem(locks, cls, true);
  }

  get id(): number {
    return this.sem.id;
  }

  get cls(): string {
    return this.sem.cls;
  }

  get isLocked(): boolean {
    return this.sem.isLocked;
  }

  /** Who holds it; null for nobody. */
  get owner(): Task | null {
    return this.sem.writer;
  }

  tryLock(): boolean {
    return this.sem.tryWrite();
  }

  lock(): MaySleep<void> {
    return this.sem.write();
  }

  tryUnlock(): boolean {
    return this.sem.tryUnlock();
  }

  unlock(): Atomic<void> {
    return this.sem.unlock();
  }

  /** Takes it where that need not wait (mutex_trylock()): also for who must not sleep. */
  trylock(): Atomic<boolean> {
    return this.sem.trylockWrite();
  }
}
