/**
 * Waiting for one of several futexes.
 *
 * @linux kernel/futex/waitwake.c
 * @own unqueueMultiple
 */
import type { Kernel } from "../kernel.js";
import { SWITCH, type Atomic, type MaySleep } from "./coroutine.js";
import { Errno } from "./errno.js";
import { sleepUntil, type Waiter } from "./futex.js";
import { Restart } from "./signal.js";

/** One of the futexes that futex_waitv(2) waits for. */
export interface FutexWaitv {
  readonly address: number;
  readonly value: number;
  readonly shared: boolean;
}

/**
 * futex_waitv(2): the index of one that was woken, or -EAGAIN (a word has another value), -ETIMEDOUT at `deadline`
 * (machine time in nanoseconds, Infinity for none), -EFAULT, -EINVAL, or a restart code.
 */
export function* futexWaitMultiple(k: Kernel, futexes: readonly FutexWaitv[], deadline: number): MaySleep<number> {
  const { m } = k;
  const task = m.current!;
  const keys: number[] = [];
  for (const { address, shared } of futexes) {
    const key = yield* k.futex.futexKey(k, address, shared);
    if (key < 0) return key;
    keys.push(key);
  }
  let due = false;
  for (;;) {
    const waiters: Waiter[] = [];
    const failed = yield* queueMultiple(k, futexes, keys, waiters);
    if (failed === null) due = yield* sleepUntil(k, deadline, `${futexes.length} futexes`, () => waiters.some((w) => w.woken));
    const woken = yield* k.futexWaitv.unqueueMultiple(k, waiters);
    if (woken >= 0) return woken;
    if (failed === null) return due ? -Errno.ETIMEDOUT : -Restart.ERESTARTSYS;
    if (!failed.absent) return -Errno.EAGAIN;
    if ((yield* k.uaccess.getUser32(k, failed.address)) === null) return -Errno.EFAULT;
    if (m.signals.fatalPending(task)) return -Restart.ERESTARTSYS;
    if (m.retries.again("futex_wait_multiple")) yield SWITCH;
  }
}

/** Queues the current task at each; null, or where that was in vain: the page is absent, or the value is another. */
function* queueMultiple(k: Kernel, futexes: readonly FutexWaitv[], keys: readonly number[], waiters: Waiter[]): Atomic<{ address: number; absent: boolean } | null> {
  const { m } = k;
  for (const [i, { address, value }] of futexes.entries()) {
    const key = keys[i]!;
    const bucket = m.futexes.at(m.futexes.bucket(key));
    if (!bucket.lock.tryLock()) yield* bucket.lock.lock();
    const seen = yield* k.futex.readInAtomic(k, address);
    if (seen === value) {
      const waiter: Waiter = { task: m.current!, bitset: 0xffff_ffff, key, woken: false };
      bucket.waiters.push(waiter);
      waiters.push(waiter);
    }
    if (!bucket.lock.tryUnlock()) yield* bucket.lock.unlock();
    if (seen !== value) return { address, absent: seen === null };
  }
  return null;
}

/** Takes all off their queues: the last that was woken, -1 for none. */
export function* unqueueMultiple(k: Kernel, waiters: readonly Waiter[]): Atomic<number> {
  let woken = -1;
  for (const [i, waiter] of waiters.entries()) if (yield* k.futex.unqueue(k, waiter)) woken = i;
  return woken;
}
