/**
 * Futexes whose word names its owner: who waits for one gets it from the owner's hands, not by trying again.
 *
 * @linux kernel/futex/pi.c
 * @omits Inheritance of priority: the scheduler has none. Waiters are served by real-time priority, then in order of arrival.
 * @omits FUTEX_WAIT_REQUEUE_PI and FUTEX_CMP_REQUEUE_PI.
 * @own casInAtomic, exitPiStates, fixOwner, giveUp, handOver
 */
import type { Kernel } from "../kernel.js";
import { Access } from "../arch/fault.js";
import { NO_PAGE } from "../mm/page.js";
import { SWITCH, type Atomic, type MaySleep } from "./coroutine.js";
import { Errno } from "./errno.js";
import { FUTEX_OWNER_DIED, FUTEX_TID_MASK, FUTEX_WAITERS, sleepUntil, type PiFutex, type PiWaiter } from "./futex.js";
import { Op } from "./op.js";
import type { Task } from "./sched.js";
import { Restart } from "./signal.js";

/** Compares and exchanges a futex word without sleeping: what was there; null when its page must be faulted in. */
export function* casInAtomic(k: Kernel, address: number, expected: number, value: number): Atomic<number | null> {
  const frame = yield* k.uaccess.accessFrameAtomic(k, address, Access.Write);
  if (frame === NO_PAGE) return null;
  const { words } = k.m.ram;
  const index = (frame << 10) | ((address & 4095) >> 2);
  const old = words[index]! >>> 0;
  if (old === expected) words[index] = value;
  return old;
}

/**
 * FUTEX_LOCK_PI, and FUTEX_TRYLOCK_PI where `tryOnly`: 0 once the current task owns the futex, or -EDEADLK (it does
 * already), -ESRCH (the owner is no more), -EPERM (the owner is the kernel's), -EAGAIN (another has it, and `tryOnly`),
 * -ETIMEDOUT at `deadline` (machine time in nanoseconds, Infinity for none), -EFAULT, -EINVAL, or a restart code.
 */
export function* futexLockPi(k: Kernel, address: number, shared: boolean, deadline: number, tryOnly: boolean): MaySleep<number> {
  const { m } = k;
  const { futexes } = m;
  const task = m.current!;
  const key = yield* k.futex.futexKey(k, address, shared, false);
  if (key < 0) return key;
  const { lock } = futexes.at(futexes.bucket(key));
  let waiter: PiWaiter | null = null;
  // The word may change, and its page may not be there: it is faulted in without the lock.
  for (;;) {
    if (!lock.tryLock()) yield* lock.lock();
    const seen = yield* k.futex.readInAtomic(k, address);
    const attempt = seen === null ? null : yield* tryLockPi(k, address, key, seen, tryOnly);
    if (attempt !== null && typeof attempt === "object") {
      waiter = { task, given: null };
      attempt.waiters.push(waiter);
    }
    if (!lock.tryUnlock()) yield* lock.unlock();
    if (typeof attempt === "number") return attempt;
    if (waiter !== null) break;
    if (attempt === null && (yield* k.uaccess.atomicUser32(k, address, (old) => old)) === null) return -Errno.EFAULT;
    if (m.signals.fatalPending(task)) return -Restart.ERESTARTSYS;
    if (m.retries.again("futex_lock_pi")) yield SWITCH;
  }
  const due = yield* sleepUntil(k, deadline, `PI futex 0x${address.toString(16)}`, () => waiter.given !== null);
  if (yield* k.futexPi.giveUp(k, key, waiter)) return waiter.given === "owner died" ? yield* k.futexPi.fixOwner(k, address, key) : 0;
  return due ? -Errno.ETIMEDOUT : -Restart.ERESTARTNOINTR;
}

/** One attempt under the bucket's lock: the result, whom to wait behind, null to fault in, or "again". */
function* tryLockPi(k: Kernel, address: number, key: number, seen: number, tryOnly: boolean): Atomic<number | PiFutex | "again" | null> {
  const { m } = k;
  const task = m.current!;
  const owner = seen & FUTEX_TID_MASK;
  if (owner === task.id) return -Errno.EDEADLK;
  const known = m.futexes.pi.get(key);
  if (known !== undefined) return tryOnly ? -Errno.EAGAIN : known;
  if (owner === 0) {
    const before = yield* k.futexPi.casInAtomic(k, address, seen, ((seen & FUTEX_OWNER_DIED) | task.id) >>> 0);
    return before === null ? null : before === seen ? 0 : "again";
  }
  const before = yield* k.futexPi.casInAtomic(k, address, seen, (seen | FUTEX_WAITERS) >>> 0);
  if (before !== seen) return before === null ? null : "again";
  const holder = m.tasks.get(owner);
  if (holder === undefined) return -Errno.ESRCH;
  if (holder.process === null) return -Errno.EPERM;
  // It may have looked already for what it owns.
  if (holder.exiting) return holder.mm === null ? -Errno.ESRCH : "again";
  if (tryOnly) return -Errno.EAGAIN;
  const pi: PiFutex = { owner: holder, waiters: [] };
  m.futexes.pi.set(key, pi);
  return pi;
}

/** Leaves the queue; true when the futex was given after all. */
export function* giveUp(k: Kernel, key: number, waiter: PiWaiter): Atomic<boolean> {
  const { futexes } = k.m;
  const { lock } = futexes.at(futexes.bucket(key));
  if (!lock.tryLock()) yield* lock.lock();
  const pi = futexes.pi.get(key);
  if (waiter.given === null && pi !== undefined) {
    pi.waiters.splice(pi.waiters.indexOf(waiter), 1);
    if (pi.waiters.length === 0) futexes.pi.delete(key);
  }
  if (!lock.tryUnlock()) yield* lock.unlock();
  return waiter.given !== null;
}

/** The owner has died, and the current task was given the futex: it writes so itself. 0, or -EFAULT. */
export function* fixOwner(k: Kernel, address: number, key: number): MaySleep<number> {
  const { m } = k;
  const { futexes } = m;
  const word = (FUTEX_WAITERS | FUTEX_OWNER_DIED | m.current!.id) >>> 0;
  const seen = yield* k.uaccess.atomicUser32(k, address, () => word);
  const { lock } = futexes.at(futexes.bucket(key));
  if (!lock.tryLock()) yield* lock.lock();
  if (futexes.pi.get(key)?.waiters.length === 0) futexes.pi.delete(key);
  if (!lock.tryUnlock()) yield* lock.unlock();
  return seen === null ? -Errno.EFAULT : 0;
}

/** Makes the first of the waiters the owner; the bucket is locked, and the word is somebody else's business. */
export function* handOver(k: Kernel, pi: PiFutex, next: PiWaiter, died: boolean): Atomic<void> {
  const { m } = k;
  pi.waiters.splice(pi.waiters.indexOf(next), 1);
  pi.owner = next.task;
  next.given = died ? "owner died" : "unlocked";
  if (m.point(Op.Wake, next.task.id)) yield SWITCH;
  m.sched.wake(next.task);
}

/** Who is served first. */
function topWaiter({ waiters }: PiFutex): PiWaiter {
  return waiters.reduce((best, waiter) => (waiter.task.thread.rtPriority > best.task.thread.rtPriority ? waiter : best));
}

/** FUTEX_UNLOCK_PI: 0, or -EPERM (the current task is not the owner), -EFAULT, -EINVAL. */
export function* futexUnlockPi(k: Kernel, address: number, shared: boolean): MaySleep<number> {
  const { m } = k;
  const { futexes } = m;
  const task = m.current!;
  for (;;) {
    const seen = yield* k.uaccess.getUser32(k, address);
    if (seen === null) return -Errno.EFAULT;
    if ((seen & FUTEX_TID_MASK) !== task.id) return -Errno.EPERM;
    const key = yield* k.futex.futexKey(k, address, shared, false);
    if (key < 0) return key;
    const { lock } = futexes.at(futexes.bucket(key));
    if (!lock.tryLock()) yield* lock.lock();
    const pi = futexes.pi.get(key);
    const next = pi === undefined || pi.waiters.length === 0 ? null : topWaiter(pi);
    const wrong = pi !== undefined && pi.owner !== task;
    const word = next === null ? 0 : (FUTEX_WAITERS | next.task.id) >>> 0;
    const before = wrong ? 0 : yield* k.futexPi.casInAtomic(k, address, seen, word);
    if (before === seen && next !== null) {
      yield* k.futexPi.handOver(k, pi!, next, false);
      if (pi!.waiters.length === 0) futexes.pi.delete(key);
    }
    if (!lock.tryUnlock()) yield* lock.unlock();
    if (wrong) return -Errno.EINVAL;
    if (before === seen) return 0;
    if (before === null && (yield* k.uaccess.atomicUser32(k, address, (old) => old)) === null) return -Errno.EFAULT;
    if (m.signals.fatalPending(task)) return -Restart.ERESTARTSYS;
    if (m.retries.again("futex_unlock_pi")) yield SWITCH;
  }
}

/** A task leaves its address space: what it owns, and others wait for, goes to them. */
export function* exitPiStates(k: Kernel, task: Task): Atomic<void> {
  const { futexes } = k.m;
  for (const [key, pi] of [...futexes.pi]) {
    if (pi.owner !== task) continue;
    const { lock } = futexes.at(futexes.bucket(key));
    if (!lock.tryLock()) yield* lock.lock();
    if (futexes.pi.get(key) === pi && pi.owner === task) {
      if (pi.waiters.length > 0) yield* k.futexPi.handOver(k, pi, topWaiter(pi), true);
      else futexes.pi.delete(key);
    }
    if (!lock.tryUnlock()) yield* lock.unlock();
  }
}
