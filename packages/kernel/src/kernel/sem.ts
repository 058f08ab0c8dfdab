/**
 * @linux ipc/sem.c
 * @own semRemove, semSet, semSetValues, shareSemUndo, waitersFor
 */
import type { Kernel } from "../kernel.js";
import type { Machine } from "../machine.js";
import { Cap } from "./capability.js";
import type { MaySleep } from "./coroutine.js";
import { Errno } from "./errno.js";
import { ipcExisting, IpcIds, ipcOwned, ipcOwner, ipcPermitted, IPC_CREAT, IPC_NOWAIT, IPC_PRIVATE, type IpcPerm } from "./ipc.js";
import { TaskState, WaitQueue, type Task } from "./sched.js";

/** In the flags of an operation: to be undone when the process ends. */
export const SEM_UNDO = 0o10000;
/** No semaphore is more than this; nor may what is to be undone be, either way. */
export const SEMVMX = 32_767;
export const SEMAEM = SEMVMX;

/** One operation of semop(2). */
export interface SemOp {
  readonly num: number;
  readonly op: number;
  readonly flags: number;
}

interface Semaphore {
  value: number;
  /** Who has changed it last. */
  pid: number;
}

/** Somebody who sleeps in semop(2). */
interface Waiter {
  readonly ops: readonly SemOp[];
  readonly undo: number[] | null;
  readonly pid: number;
  /** The operation that does not go yet. */
  blocking: SemOp;
  readonly queue: WaitQueue;
  /** What came of it; null while nothing has. */
  result: number | null;
}

/** A set of System V semaphores. `Sem.lock` guards it. */
export interface SemArray extends IpcPerm {
  readonly semaphores: readonly Semaphore[];
  /** Those that change something, and those that wait for zeros alone: the latter come first. */
  readonly altering: Waiter[];
  readonly zeros: Waiter[];
  otimeNs: number;
  ctimeNs: number;
}

/** What is to be undone of sets of semaphores; the threads that have it in common (CLONE_SYSVSEM). */
export interface SemUndoList {
  users: number;
  readonly adjustments: Map<SemArray, number[]>;
}

/** All sets of a machine. */
export class Sem extends IpcIds<SemArray> {
  /** kernel.sem: semaphores of a set, of all sets, operations of one call, sets. */
  limits = { perSet: 32_000, all: 1_024_000_000, ops: 500, sets: 32_000 };
  readonly undoLists = new Set<SemUndoList>();

  constructor(m: Machine) {
    super(m, "sem_ids");
  }

  get semaphores(): number {
    return this.all().reduce((sum, { semaphores }) => sum + semaphores.length, 0);
  }
}

/** semget(2): an id, or -EINVAL, -ENOENT, -EEXIST, -ENOSPC, -EACCES. */
export function* semget(k: Kernel, key: number, count: number, flags: number): MaySleep<number> {
  const { sem } = k.m;
  if (count < 0 || count > sem.limits.perSet) return -Errno.EINVAL;
  if (!sem.lock.tryLock()) yield* sem.lock.lock();
  const there = key === IPC_PRIVATE ? undefined : sem.byKey(key);
  let result: number;
  if (there !== undefined) {
    const error = ipcExisting(k, there, flags);
    if (error === -Errno.EEXIST) result = error;
    else if (count > there.semaphores.length) result = -Errno.EINVAL;
    else result = error < 0 ? error : there.id;
  } else if (key !== IPC_PRIVATE && (flags & IPC_CREAT) === 0) result = -Errno.ENOENT;
  else result = newArray(k, key, count, flags);
  if (!sem.lock.tryUnlock()) yield* sem.lock.unlock();
  return result;
}

/** Under the lock. */
function newArray(k: Kernel, key: number, count: number, flags: number): number {
  const { sem } = k.m;
  const { limits } = sem;
  if (count === 0) return -Errno.EINVAL;
  if (sem.semaphores + count > limits.all || sem.objects.size >= limits.sets) return -Errno.ENOSPC;
  const array: SemArray = {
    id: sem.allocateId(), key, mode: flags & 0o777, ...ipcOwner(k),
    semaphores: Array.from({ length: count }, () => ({ value: 0, pid: 0 })),
    altering: [], zeros: [], otimeNs: 0, ctimeNs: k.m.now(),
  };
  sem.add(array);
  return array.id;
}

/* semop(2). */

/**
 * All operations at once, or none. An errno that is negative, 0 where they were done, or the operation
 * that has to wait.
 */
function attempt(array: SemArray, { ops, undo, pid }: Pick<Waiter, "ops" | "undo" | "pid">): SemOp | number {
  const values = new Map<number, number>();
  const undone = new Map<number, number>();
  for (const op of ops) {
    const value = values.get(op.num) ?? array.semaphores[op.num]!.value;
    const next = value + op.op;
    if ((op.op === 0 && value !== 0) || next < 0) return (op.flags & IPC_NOWAIT) !== 0 ? -Errno.EAGAIN : op;
    if (next > SEMVMX) return -Errno.ERANGE;
    if ((op.flags & SEM_UNDO) !== 0) {
      const adjustment = (undone.get(op.num) ?? undo![op.num]!) - op.op;
      if (adjustment < -SEMAEM - 1 || adjustment > SEMAEM) return -Errno.ERANGE;
      undone.set(op.num, adjustment);
    }
    values.set(op.num, next);
  }
  for (const [num, value] of values) Object.assign(array.semaphores[num]!, { value, pid });
  for (const [num, adjustment] of undone) undo![num] = adjustment;
  return 0;
}

const alters = (ops: readonly SemOp[]): boolean => ops.some(({ op }) => op !== 0);

/** Whom a change lets go on goes on: first who waits for zeros, then in turn who changes something himself. */
function update(k: Kernel, array: SemArray): void {
  const finish = (waiting: Waiter[]): Waiter | null => {
    for (const waiter of waiting) {
      const result = attempt(array, waiter);
      if (typeof result !== "number") {
        waiter.blocking = result;
        continue;
      }
      waiting.splice(waiting.indexOf(waiter), 1);
      if (result === 0) array.otimeNs = k.m.now();
      end(waiter, result);
      return waiter;
    }
    return null;
  };
  do while (finish(array.zeros) !== null);
  while (finish(array.altering) !== null);
}

function end(waiter: Waiter, result: number): void {
  waiter.result = result;
  waiter.queue.wakeAll();
}

/** What a task has to undo, with the threads that it shares it with. */
function undoListOf(k: Kernel, task: Task): SemUndoList {
  const { thread } = task;
  if (thread.semUndo === null) {
    thread.semUndo = { users: 1, adjustments: new Map() };
    k.m.sem.undoLists.add(thread.semUndo);
  }
  return thread.semUndo;
}

/** What a clone() with CLONE_SYSVSEM has in common with who calls it. */
export function shareSemUndo(k: Kernel, task: Task): SemUndoList {
  const list = undoListOf(k, task);
  list.users++;
  return list;
}

/**
 * semtimedop(2), `deadline` in nanoseconds of machine time: 0, or -E2BIG, -EINVAL, -EFBIG, -EACCES, -ERANGE, -EAGAIN,
 * -EIDRM, -EINTR.
 */
export function* semtimedop(k: Kernel, id: number, ops: readonly SemOp[], deadline: number): MaySleep<number> {
  const { m } = k;
  const { sem } = m;
  const task = m.current!;
  if (!sem.lock.tryLock()) yield* sem.lock.lock();
  const array = sem.byId(id);
  let result: SemOp | number = -Errno.EINVAL;
  let waiter: Waiter | null = null;
  if (array !== undefined) {
    result = ops.some(({ num }) => num >= array.semaphores.length) ? -Errno.EFBIG : ipcPermitted(k, array, alters(ops) ? 0o222 : 0o444);
    if (result === 0) {
      const undo = ops.some(({ flags }) => (flags & SEM_UNDO) !== 0) ? adjustmentsOf(k, task, array) : null;
      const request = { ops, undo, pid: task.process!.pid };
      result = attempt(array, request);
      if (typeof result !== "number") {
        waiter = { ...request, blocking: result, queue: new WaitQueue(m), result: null };
        (alters(ops) ? array.altering : array.zeros).push(waiter);
      } else if (result === 0) {
        array.otimeNs = m.now();
        if (alters(ops)) update(k, array);
      }
    }
  }
  if (!sem.lock.tryUnlock()) yield* sem.lock.unlock();
  return waiter === null ? (result as number) : yield* wait(k, array!, waiter, deadline);
}

function adjustmentsOf(k: Kernel, task: Task, array: SemArray): number[] {
  const { adjustments } = undoListOf(k, task);
  let there = adjustments.get(array);
  if (there === undefined) adjustments.set(array, (there = array.semaphores.map(() => 0)));
  return there;
}

function* wait(k: Kernel, array: SemArray, waiter: Waiter, deadline: number): MaySleep<number> {
  const { m } = k;
  const { sem } = m;
  const task = m.current!;
  let woken = true;
  const timer = deadline === Infinity ? null : m.sched.addTimer(deadline, task.isUser, () => m.sched.wake(task));
  while (waiter.result === null && woken && m.now() < deadline) {
    woken = yield* waiter.queue.sleep(TaskState.Interruptible, "semop");
  }
  timer?.cancel();
  if (!sem.lock.tryLock()) yield* sem.lock.lock();
  if (waiter.result === null) {
    const waiting = alters(waiter.ops) ? array.altering : array.zeros;
    waiting.splice(waiting.indexOf(waiter), 1);
    waiter.result = woken ? -Errno.EAGAIN : -Errno.EINTR;
  }
  if (!sem.lock.tryUnlock()) yield* sem.lock.unlock();
  return waiter.result;
}

/** A thread ends, or wants a list of its own: with the last one that had a list, what it says is undone, as far as values may go. */
export function* exitSem(k: Kernel, task: Task): MaySleep<void> {
  const { sem } = k.m;
  const list = task.thread.semUndo;
  if (list === null) return;
  task.thread.semUndo = null;
  if (!sem.lock.tryLock()) yield* sem.lock.lock();
  if (--list.users === 0) {
    sem.undoLists.delete(list);
    for (const [array, adjustments] of list.adjustments) {
      adjustments.forEach((adjustment, num) => {
        if (adjustment === 0) return;
        const semaphore = array.semaphores[num]!;
        semaphore.value = Math.min(Math.max(semaphore.value + adjustment, 0), SEMVMX);
        semaphore.pid = task.process!.pid;
      });
      array.otimeNs = k.m.now();
      update(k, array);
    }
  }
  if (!sem.lock.tryUnlock()) yield* sem.lock.unlock();
}

/* semctl(2). */

/** How many wait for a semaphore to become more, or to become 0. */
export function waitersFor({ altering, zeros }: Readonly<SemArray>, num: number): { more: number; zero: number } {
  const blocked = [...altering, ...zeros].filter(({ blocking }) => blocking.num === num);
  const zero = blocked.filter(({ blocking }) => blocking.op === 0).length;
  return { more: blocked.length - zero, zero };
}

/** SETVAL of one semaphore (`first`), SETALL of all: -EINVAL, -EACCES, -ERANGE. What was to be undone of them is forgotten. */
export function* semSetValues(k: Kernel, id: number, first: number, values: readonly number[]): MaySleep<number> {
  const { m } = k;
  const { sem } = m;
  if (!sem.lock.tryLock()) yield* sem.lock.lock();
  const array = sem.byId(id);
  let error = array === undefined || first < 0 || first + values.length > array.semaphores.length ? -Errno.EINVAL : 0;
  if (error === 0) error = ipcPermitted(k, array!, 0o222);
  if (error === 0 && values.some((value) => value > SEMVMX)) error = -Errno.ERANGE;
  if (error === 0) {
    values.forEach((value, i) => {
      Object.assign(array!.semaphores[first + i]!, { value, pid: m.current!.process!.pid });
      for (const { adjustments } of sem.undoLists) {
        const there = adjustments.get(array!);
        if (there !== undefined) there[first + i] = 0;
      }
    });
    array!.ctimeNs = m.now();
    update(k, array!);
  }
  if (!sem.lock.tryUnlock()) yield* sem.lock.unlock();
  return error;
}

/** IPC_RMID: who waits is told so. -EINVAL, -EPERM. */
export function* semRemove(k: Kernel, id: number): MaySleep<number> {
  const { sem } = k.m;
  if (!sem.lock.tryLock()) yield* sem.lock.lock();
  const array = sem.byId(id);
  const error = array === undefined ? -Errno.EINVAL : ipcOwned(k, array, Cap.SYS_ADMIN);
  if (error === 0) {
    sem.remove(array!);
    for (const { adjustments } of sem.undoLists) adjustments.delete(array!);
    for (const waiter of [...array!.altering, ...array!.zeros]) end(waiter, -Errno.EIDRM);
    array!.altering.length = array!.zeros.length = 0;
  }
  if (!sem.lock.tryUnlock()) yield* sem.lock.unlock();
  return error;
}

/** IPC_SET: the owner and the permission bits. -EINVAL, -EPERM. */
export function* semSet(k: Kernel, id: number, { uid, gid, mode }: Pick<IpcPerm, "uid" | "gid" | "mode">): MaySleep<number> {
  const { sem } = k.m;
  if (!sem.lock.tryLock()) yield* sem.lock.lock();
  const array = sem.byId(id);
  const error = array === undefined ? -Errno.EINVAL : ipcOwned(k, array, Cap.SYS_ADMIN);
  if (error === 0) Object.assign(array!, { uid, gid, mode: mode & 0o777, ctimeNs: k.m.now() });
  if (!sem.lock.tryUnlock()) yield* sem.lock.unlock();
  return error;
}
