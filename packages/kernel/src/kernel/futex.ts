/**
 * @linux kernel/futex/waitwake.c, kernel/futex/requeue.c
 * @omits Hash tables of a process of its own (since 6.16): there is one for all.
 * @own atomicOp, futexKey, readInAtomic, sharedKey, sleepUntil, unqueue
 */
import type { Kernel } from "../kernel.js";
import type { Machine } from "../machine.js";
import { Access } from "../arch/fault.js";
import { FollFlag } from "../mm/gup_flags.js";
import { PAGE_SIZE } from "../mm/frame_memory.js";
import { NO_PAGE, PG } from "../mm/page.js";
import { BLOCK, SWITCH, type Atomic, type MaySleep } from "./coroutine.js";
import { Errno } from "./errno.js";
import { SpinLock } from "./locks.js";
import { Op } from "./op.js";
import { TaskState, type Task } from "./sched.js";
import { Restart } from "./signal.js";

/** Bits of a futex word that the kernel knows of (robust futexes). */
export const FUTEX_WAITERS = 0x8000_0000;
export const FUTEX_OWNER_DIED = 0x4000_0000;
export const FUTEX_TID_MASK = 0x3fff_ffff;

const BUCKETS = 64;
/** User addresses are below 2^38; what stands above in a key is the address space, of a process or of a file. */
const KEY_SHIFT = 2 ** 38;
/** In the low bits of a shared futex's key, which an address leaves free: it is in a file, or in memory of the process's alone. */
const KEY_IN_FILE = 1;
const KEY_MM_SHARED = 2;

export interface Waiter {
  readonly task: Task;
  readonly bitset: number;
  key: number;
  /** Set, under the bucket's lock, by whoever takes the waiter off the queue to wake it. */
  woken: boolean;
}

/** Who waits for a futex to be given (`futex_pi.ts`). */
export interface PiWaiter {
  readonly task: Task;
  /** Set under the bucket's lock: the futex is the waiter's, and how it came to that. */
  given: "unlocked" | "owner died" | null;
}

/** struct futex_pi_state: who owns a futex that others wait for, in order of arrival. Guarded by the bucket's lock. */
export interface PiFutex {
  owner: Task;
  readonly waiters: PiWaiter[];
}

class Bucket {
  readonly lock: SpinLock;
  /** In order of arrival. */
  waiters: Waiter[] = [];

  constructor(m: Machine) {
    this.lock = new SpinLock(m.locks, "futex_hash");
  }
}

/** Who waits for which futex. */
export class Futexes {
  /** Made when first used. */
  private readonly buckets: (Bucket | undefined)[];
  /** By key, as long as somebody waits. */
  readonly pi = new Map<number, PiFutex>();

  constructor(private readonly m: Machine) {
    this.buckets = new Array<Bucket | undefined>(BUCKETS).fill(undefined);
  }

  bucket(key: number): number {
    return (key >>> 2) % BUCKETS;
  }

  at(index: number): Bucket {
    return (this.buckets[index] ??= new Bucket(this.m));
  }
}

/**
 * What a futex is known by, or -EINVAL, -EFAULT. A private one is an address of the current address space. What a
 * shared one is depends on the page there: of a file it is the place in the file, whoever maps it and where; else an
 * address again, which is not the same as that of a private futex. `mayRead`: the word is only read, so that
 * a mapping of a file without write permission will do.
 */
export function* futexKey(k: Kernel, address: number, shared: boolean, mayRead = true): MaySleep<number> {
  if (address % 4 !== 0) return -Errno.EINVAL;
  if (address < 0 || address >= KEY_SHIFT) return -Errno.EFAULT;
  const own = k.m.current!.mm!.id * KEY_SHIFT + address;
  return shared ? yield* k.futex.sharedKey(k, address, own, mayRead) : own;
}

/** The key of a shared futex; `own` is that of a private one at the same address. */
export function* sharedKey(k: Kernel, address: number, own: number, mayRead: boolean): MaySleep<number> {
  const { memmap, retries } = k.m;
  const vpn = Math.floor(address / PAGE_SIZE);
  for (;;) {
    let page = yield* k.gup.getUserPageFast(k, vpn, FollFlag.WRITE | FollFlag.GET, "futex");
    const readOnly = page === -Errno.EFAULT && mayRead;
    if (readOnly) page = yield* k.gup.getUserPageFast(k, vpn, FollFlag.GET, "futex");
    if (page < 0) return page;
    const folio = memmap.folioOf(page);
    const anon = memmap.isAnon(folio);
    const mapping = anon ? null : k.filemap.folioMapping(k, folio);
    const at = (memmap.index[folio]! * (memmap.has(folio, PG.hugetlb) ? memmap.folioPages(folio) : 1) + page - folio) * PAGE_SIZE;
    yield* k.gupPin.gupPutFolio(k, folio, FollFlag.GET, "futex");
    if (anon) return readOnly ? -Errno.EFAULT : own + KEY_MM_SHARED;
    if (mapping !== null) return mapping.id * KEY_SHIFT + at + (address % PAGE_SIZE) + KEY_IN_FILE;
    // Zeros, of memory that nobody may write to; or else a page that has left its file meanwhile.
    if (readOnly) return -Errno.EFAULT;
    if (retries.again("futex_shared_key")) yield SWITCH;
  }
}

/** Reads a futex word without sleeping; null when its page is not there and must be faulted in. */
export function* readInAtomic(k: Kernel, address: number): Atomic<number | null> {
  const frame = yield* k.uaccess.accessFrameAtomic(k, address, Access.Read);
  if (frame === NO_PAGE) return null;
  return k.m.ram.words[(frame << 10) | ((address & 4095) >> 2)]! >>> 0;
}

/** Locks one or two buckets, the lower first. */
function* lockBuckets(k: Kernel, a: number, b: number): Atomic<void> {
  const { futexes } = k.m;
  const first = futexes.at(Math.min(a, b)).lock;
  if (!first.tryLock()) yield* first.lock();
  if (a === b) return;
  const second = futexes.at(Math.max(a, b)).lock;
  if (!second.tryLock()) yield* second.lock();
}

function* unlockBuckets(k: Kernel, a: number, b: number): Atomic<void> {
  const { futexes } = k.m;
  const { lock } = futexes.at(a);
  if (!lock.tryUnlock()) yield* lock.unlock();
  if (a === b) return;
  const other = futexes.at(b).lock;
  if (!other.tryUnlock()) yield* other.unlock();
}

/**
 * FUTEX_WAIT and FUTEX_WAIT_BITSET: sleeps if the word is still `value`. 0 when woken, -EAGAIN,
 * -ETIMEDOUT at `deadline` (machine time in nanoseconds, Infinity for none), or a restart code.
 *
 * The word is read under the lock of its bucket, so that who changes it and then wakes either is
 * seen to have changed it, or finds the waiter queued.
 */
export function* futexWait(k: Kernel, address: number, shared: boolean, value: number, bitset: number, deadline: number): MaySleep<number> {
  const { m } = k;
  if (bitset === 0) return -Errno.EINVAL;
  const key = yield* k.futex.futexKey(k, address, shared);
  if (key < 0) return key;
  const index = m.futexes.bucket(key);
  const bucket = m.futexes.at(index);
  const task = m.current!;
  // The page may not be there, and is faulted in without the lock.
  for (;;) {
    if (!bucket.lock.tryLock()) yield* bucket.lock.lock();
    const seen = yield* k.futex.readInAtomic(k, address);
    if (seen === value) break;
    if (!bucket.lock.tryUnlock()) yield* bucket.lock.unlock();
    if (seen !== null) return -Errno.EAGAIN;
    if ((yield* k.uaccess.getUser32(k, address)) === null) return -Errno.EFAULT;
    if (m.signals.fatalPending(task)) return -Restart.ERESTARTSYS;
    if (m.retries.again("futex_wait")) yield SWITCH;
  }
  const waiter: Waiter = { task, bitset, key, woken: false };
  bucket.waiters.push(waiter);
  if (!bucket.lock.tryUnlock()) yield* bucket.lock.unlock();

  const due = yield* sleepUntil(k, deadline, `futex 0x${address.toString(16)}`, () => waiter.woken);
  if (yield* k.futex.unqueue(k, waiter)) return 0;
  if (due) return -Errno.ETIMEDOUT;
  return deadline === Infinity ? -Restart.ERESTARTSYS : -Restart.ERESTART_RESTARTBLOCK;
}

/**
 * Sleeps until `isOver` says so, a signal comes, or the deadline (machine time in nanoseconds): then true. There is no point
 * between the test and the sleep: a wake-up that comes later finds the task asleep.
 */
export function* sleepUntil({ m }: Kernel, deadline: number, waitingFor: string, isOver: () => boolean): MaySleep<boolean> {
  const task = m.current!;
  let due = m.now() >= deadline;
  const timer =
    due || deadline === Infinity
      ? null
      : m.sched.addTimer(deadline, task.isUser, () => {
          due = true;
          m.sched.wake(task);
        });
  while (!isOver() && !due && !m.signalWakes(task, TaskState.Interruptible)) {
    task.state = TaskState.Interruptible;
    task.waitingFor = waitingFor;
    yield BLOCK;
  }
  timer?.cancel();
  return due;
}

/** Takes a waiter that gives up off its queue; true when it was woken after all. */
export function* unqueue(k: Kernel, waiter: Waiter): Atomic<boolean> {
  const { m } = k;
  // A requeue may have moved the waiter to another bucket meanwhile.
  while (!waiter.woken) {
    const index = m.futexes.bucket(waiter.key);
    const bucket = m.futexes.at(index);
    if (!bucket.lock.tryLock()) yield* bucket.lock.lock();
    const found = bucket.waiters.indexOf(waiter);
    if (found >= 0) bucket.waiters.splice(found, 1);
    if (!bucket.lock.tryUnlock()) yield* bucket.lock.unlock();
    if (found >= 0) return false;
    if (m.retries.again("futex_unqueue", () => waiter.woken || m.futexes.bucket(waiter.key) !== index)) yield SWITCH;
  }
  return true;
}

/** Wakes waiters of a key; its bucket is locked. Returns how many. */
function* wakeKey(k: Kernel, key: number, count: number, bitset: number): Atomic<number> {
  const { m } = k;
  const bucket = m.futexes.at(m.futexes.bucket(key));
  let woken = 0;
  for (let i = 0; i < bucket.waiters.length && woken < count; ) {
    const waiter = bucket.waiters[i]!;
    if (waiter.key !== key || (waiter.bitset & bitset) === 0) {
      i++;
      continue;
    }
    bucket.waiters.splice(i, 1);
    waiter.woken = true;
    woken++;
    if (m.point(Op.Wake, waiter.task.id)) yield SWITCH;
    m.sched.wake(waiter.task);
  }
  return woken;
}

/**
 * FUTEX_WAKE and FUTEX_WAKE_BITSET: how many were woken, or a negated errno. A count of zero or less still wakes one,
 * unless `strict`, as futex_wake(2) has it.
 */
export function* futexWake(k: Kernel, address: number, shared: boolean, count: number, bitset: number, strict = false): MaySleep<number> {
  const { m } = k;
  if (bitset === 0) return -Errno.EINVAL;
  const key = yield* k.futex.futexKey(k, address, shared);
  if (key < 0) return key;
  if (strict && count === 0) return 0;
  const { lock } = m.futexes.at(m.futexes.bucket(key));
  if (!lock.tryLock()) yield* lock.lock();
  const woken = yield* wakeKey(k, key, Math.max(count, 1), bitset);
  if (!lock.tryUnlock()) yield* lock.unlock();
  return woken;
}

/**
 * FUTEX_REQUEUE, and with `expected` FUTEX_CMP_REQUEUE: wakes `wake` waiters of the first futex
 * and moves up to `requeue` others to the second. Woken and, for CMP_REQUEUE, moved ones count.
 */
export function* futexRequeue(
  k: Kernel,
  from: number,
  to: number,
  shared: boolean,
  wake: number,
  requeue: number,
  expected: number | null,
): MaySleep<number> {
  const { m } = k;
  if (wake < 0 || requeue < 0) return -Errno.EINVAL;
  const fromKey = yield* k.futex.futexKey(k, from, shared);
  if (fromKey < 0) return fromKey;
  const toKey = yield* k.futex.futexKey(k, to, shared);
  if (toKey < 0) return toKey;
  const a = m.futexes.bucket(fromKey);
  const b = m.futexes.bucket(toKey);
  // The page may not be there, and is faulted in without the locks.
  for (;;) {
    yield* lockBuckets(k, a, b);
    if (expected === null) break;
    const seen = yield* k.futex.readInAtomic(k, from);
    if (seen === expected) break;
    yield* unlockBuckets(k, a, b);
    if (seen !== null) return -Errno.EAGAIN;
    if ((yield* k.uaccess.getUser32(k, from)) === null) return -Errno.EFAULT;
    if (m.retries.again("futex_requeue")) yield SWITCH;
  }
  let done = wake === 0 ? 0 : yield* wakeKey(k, fromKey, wake, 0xffff_ffff);
  const source = m.futexes.at(a);
  const moved: Waiter[] = [];
  for (const waiter of source.waiters) if (waiter.key === fromKey && moved.length < requeue) moved.push(waiter);
  if (moved.length > 0 && fromKey !== toKey) {
    source.waiters = source.waiters.filter((w) => !moved.includes(w));
    for (const waiter of moved) waiter.key = toKey;
    m.futexes.at(b).waiters.push(...moved);
  }
  done += moved.length;
  yield* unlockBuckets(k, a, b);
  return done;
}

/** FUTEX_WAKE_OP: changes the second word, wakes the first and, if the old value compares, the second. */
export function* futexWakeOp(
  k: Kernel,
  address1: number,
  address2: number,
  shared: boolean,
  wake1: number,
  wake2: number,
  encoded: number,
): MaySleep<number> {
  const { m } = k;
  const key1 = yield* k.futex.futexKey(k, address1, shared);
  if (key1 < 0) return key1;
  const key2 = yield* k.futex.futexKey(k, address2, shared, false);
  if (key2 < 0) return key2;
  const old = yield* k.futex.atomicOp(k, address2, encoded);
  if (typeof old !== "number") return old.error;
  const a = m.futexes.bucket(key1);
  const b = m.futexes.bucket(key2);
  yield* lockBuckets(k, a, b);
  let woken = yield* wakeKey(k, key1, Math.max(wake1, 1), 0xffff_ffff);
  if (compares(old | 0, encoded)) woken += yield* wakeKey(k, key2, Math.max(wake2, 1), 0xffff_ffff);
  yield* unlockBuckets(k, a, b);
  return woken;
}

/** The read-modify-write of FUTEX_WAKE_OP, which faults as a store does: the old value, unsigned. */
export function* atomicOp(k: Kernel, address: number, encoded: number): MaySleep<number | { readonly error: number }> {
  const operation = (encoded >>> 28) & 7;
  let argument = (encoded << 8) >> 20;
  if (((encoded >>> 28) & 8) !== 0) argument = 1 << (argument & 31);
  if (operation > 4) return { error: -Errno.ENOSYS };
  const old = yield* k.uaccess.atomicUser32(k, address, (word) => [argument, word + argument, word | argument, word & ~argument, word ^ argument][operation]! >>> 0);
  return old ?? { error: -Errno.EFAULT };
}

function compares(old: number, encoded: number): boolean {
  const argument = (encoded << 20) >> 20;
  switch ((encoded >>> 24) & 15) {
    case 0:
      return old === argument;
    case 1:
      return old !== argument;
    case 2:
      return old < argument;
    case 3:
      return old <= argument;
    case 4:
      return old > argument;
    case 5:
      return old >= argument;
    default:
      return false;
  }
}
