/**
 * @linux mm/mmu_notifier.c
 * @omits Interval notifiers of two passes (`invalidate_start` and `finish`).
 * @omits Intervals are in a list, not in a tree: they are told in the order in which they came.
 * @own intervalCheckRetry, intervalInsert, intervalReadBegin, intervalReadRetry, intervalRemove, intervalsEnd,
 *   intervalsStart, intervalTryReadBegin, invalidateRangeEnd, invalidateRangeStart
 */
import { SWITCH, type Atomic, type MaySleep } from "../kernel/coroutine.js";
import { Errno } from "../kernel/errno.js";
import { Op } from "../kernel/op.js";
import { TaskState } from "../kernel/sched.js";
import type { Kernel } from "../kernel.js";
import { Event } from "../trace.js";
import type { Mm } from "./mm_types.js";

/** Why an invalidation happens; drivers may ignore those they cause themselves (`owner`). */
export enum NotifyEvent {
  UNMAP,
  CLEAR,
  PROTECTION_VMA,
  PROTECTION_PAGE,
  SOFT_DIRTY,
  RELEASE,
  MIGRATE,
  EXCLUSIVE,
}

/** [startVpn, endVpn) of an address space is about to change, or has changed. */
export interface NotifierRange {
  readonly mm: Mm;
  readonly startVpn: number;
  readonly endVpn: number;
  readonly event: NotifyEvent;
  /** The driver on whose behalf it happens, for MIGRATE and EXCLUSIVE; null otherwise. */
  readonly owner: object | null;
  /** Who invalidates must not wait: a callback that would have to says so instead (`rangeBlockable`). */
  readonly nonblock?: true;
}

/**
 * A subscription to everything that happens to an address space. Its functions run inside a
 * section of `Machine.notifierSrcu`, and may sleep.
 */
export interface MmuNotifier {
  /** 0, or nothing; -EAGAIN where the range is not blockable, and it would have to wait. */
  invalidateRangeStart?(k: Kernel, range: NotifierRange): MaySleep<number | void>;
  invalidateRangeEnd?(k: Kernel, range: NotifierRange): MaySleep<void>;
  /**
   * Whether the subscriber has used [startVpn, endVpn) since it was last asked: it forgets that, and (`clearFlushYoung`) its
   * translations too where it could not tell otherwise. These and `testYoung`, which forgets nothing, are called with spinlocks
   * held. Subscribers without them have used nothing.
   */
  clearFlushYoung?(k: Kernel, mm: Mm, startVpn: number, endVpn: number): Atomic<boolean>;
  clearYoung?(k: Kernel, mm: Mm, startVpn: number, endVpn: number): Atomic<boolean>;
  testYoung?(k: Kernel, mm: Mm, vpn: number): Atomic<boolean>;
  /** The address space is going away, or the subscription is; both may call at the same time. */
  release?(k: Kernel, mm: Mm): MaySleep<void>;
  /**
   * For a TLB that is no CPU's and whose hardware walks the CPUs' page table by itself (`SecondaryTlb`): called wherever the CPUs'
   * TLBs are flushed, after the entries have changed, perhaps with page-table locks held, and with no start and no end around
   * it. Hardware may fill its TLB until an entry has changed, so that `invalidateRangeStart` comes too early for it. Not together with
   * that or `invalidateRangeEnd`.
   */
  archInvalidateSecondaryTlbs?(k: Kernel, mm: Mm, startVpn: number, endVpn: number): Atomic<void>;
  /** After `mmuNotifierPut`, once nobody can be calling any more. It may not sleep. */
  freeNotifier?(k: Kernel): void;
  /** What `mmuNotifierGet` has made it by; undefined for one that was registered. */
  readonly ops?: MmuNotifierOps;
  /** How many puts end it: the kernel's. */
  users?: number;
}

/** What makes subscriptions of one kind, of which an address space has one at most (`mmuNotifierGet`). */
export interface MmuNotifierOps {
  /** A new one, whose `ops` is this object; or a negated errno. mmap_lock is held for writing. */
  allocNotifier(k: Kernel, mm: Mm): MaySleep<MmuNotifier | number>;
}

/**
 * A subscription to a range. Its `seq` is compared by `readRetry`: a driver that reads the CPU's
 * page tables between `readBegin` and `readRetry`, and finds it unchanged, has read nothing that
 * was being invalidated. Locking is the driver's: it must hold the lock that its `invalidate`
 * takes from `readRetry` until it has updated its own page table (mm/hmm documentation).
 */
export interface IntervalNotifier {
  readonly id: number;
  readonly mm: Mm;
  startVpn: number;
  endVpn: number;
  invalidateSeq: number;
  /** Drops the device's translations. Must set the sequence first, under the driver's lock. */
  invalidate(k: Kernel, range: NotifierRange, seq: number): MaySleep<boolean>;
}

function overlaps(notifier: IntervalNotifier, startVpn: number, endVpn: number): boolean {
  return notifier.startVpn < endVpn && startVpn < notifier.endVpn;
}

function anyOverlaps(intervals: readonly IntervalNotifier[], { startVpn, endVpn }: NotifierRange): boolean {
  for (const notifier of intervals) if (overlaps(notifier, startVpn, endVpn)) return true;
  return false;
}

/** True when somebody watches: without notifiers, start and end cost nothing. */
export function mmHasNotifiers(k: Kernel, mm: Mm): boolean {
  return mm.notifiers.length > 0 || mm.intervals.length > 0 || k.m.config.checking;
}

/**
 * Before page-table entries of the range change: every subscriber whose range overlaps drops what
 * it has cached. The entries are still there.
 */
export function* invalidateRangeStart(k: Kernel, range: NotifierRange): MaySleep<void> {
  const { mm } = range;
  yield* k.mmuNotifier.intervalsStart(k, range);
  if (mm.notifiers.length === 0) return;
  const task = k.m.current!;
  const outer = task.invalidating;
  task.invalidating = mm;
  yield* eachNotifier(k, mm, (notifier) => notifier.invalidateRangeStart?.(k, range));
  task.invalidating = outer;
}

/** Whether a callback may wait for a lock. */
export function rangeBlockable(_k: Kernel, { nonblock }: NotifierRange): boolean {
  return nonblock !== true;
}

/**
 * The same for who must not wait, as the OOM reaper: callbacks may not sleep. 0; -EAGAIN when one of them would have had to, and
 * then the invalidation is over already.
 */
export function* invalidateRangeStartNonblock(k: Kernel, wanted: NotifierRange): MaySleep<number> {
  const { mm } = wanted;
  const range: NotifierRange = { ...wanted, nonblock: true };
  const task = k.m.current!;
  task.nonBlockCount++;
  const started = yield* intervalsStart(k, range);
  const told: MmuNotifier[] = [];
  let refused = false;
  if (started && mm.notifiers.length > 0) {
    const outer = task.invalidating;
    task.invalidating = mm;
    yield* eachNotifier(k, mm, function* (notifier) {
      const error = (yield* notifier.invalidateRangeStart?.(k, range) ?? []) ?? 0;
      if (error === 0) told.push(notifier);
      else refused = true;
    });
    task.invalidating = outer;
  }
  task.nonBlockCount--;
  if (started && !refused) return 0;
  yield* k.mmuNotifier.intervalsEnd(k, range);
  // Those that have begun expect an end.
  if (refused) yield* eachNotifier(k, mm, (notifier) => (told.includes(notifier) ? notifier.invalidateRangeEnd?.(k, range) : undefined));
  return -Errno.EAGAIN;
}

/** The entries have changed and the CPUs' TLBs are flushed: readers may go on. */
export function* invalidateRangeEnd(k: Kernel, range: NotifierRange): MaySleep<void> {
  yield* k.mmuNotifier.intervalsEnd(k, range);
  if (range.mm.notifiers.length > 0) yield* eachNotifier(k, range.mm, (notifier) => notifier.invalidateRangeEnd?.(k, range));
}

/**
 * The sequence becomes odd if an interval overlaps, so that readers wait; then each is told. False when a callback of a range that is
 * not blockable would have had to wait; the others are not called then.
 */
export function* intervalsStart(k: Kernel, range: NotifierRange): MaySleep<boolean> {
  const { mm } = range;
  if (k.mmuNotifier.mmHasNotifiers(k, mm)) {
    if (k.m.point(Op.NotifierStart, mm.id)) yield SWITCH;
    k.m.sink?.emit(Event.InvalidateStart, mm.id, range.startVpn, range.endVpn, range.event);
  }
  // Counted even when nobody watches yet: who subscribes before the end must wait for it.
  mm.activeInvalidations++;
  if (!anyOverlaps(mm.intervals, range)) return true;
  mm.invalidateSeq |= 1;
  const seq = mm.invalidateSeq;
  const task = k.m.current!;
  const outer = task.invalidating;
  task.invalidating = mm;
  for (const notifier of mm.intervals) {
    if (!overlaps(notifier, range.startVpn, range.endVpn)) continue;
    const done = yield* notifier.invalidate(k, range, seq);
    k.m.sink?.emit(Event.IntervalInvalidated, notifier.id, range.startVpn, range.endVpn, range.event, range.owner === null ? 0 : 1, done ? 1 : 0);
    if (done) continue;
    if (k.mmuNotifier.rangeBlockable(k, range)) {
      k.m.dmesg.printOnce(`WARNING: mn_itree_invalidate: an invalidate callback has returned ${String(done)} for a range that is blockable`);
      continue;
    }
    task.invalidating = outer;
    return false;
  }
  task.invalidating = outer;
  return true;
}

/** The last one out makes the sequence even again, which is what readers wait for. */
export function* intervalsEnd(k: Kernel, range: NotifierRange): Atomic<void> {
  const { mm } = range;
  if (k.mmuNotifier.mmHasNotifiers(k, mm)) {
    if (k.m.point(Op.NotifierEnd, mm.id)) yield SWITCH;
    k.m.sink?.emit(Event.InvalidateEnd, mm.id, range.startVpn, range.endVpn, range.event);
  }
  if (--mm.activeInvalidations > 0 || !invalidating(mm)) return;
  mm.invalidateSeq++;
  applyDeferred(mm);
  mm.invalidateWait.wakeAll();
}

/** Begins reading under a subscription; sleeps while the range is being invalidated. */
export function* intervalReadBegin(k: Kernel, notifier: IntervalNotifier): MaySleep<number> {
  const { mm } = notifier;
  k.m.mightWaitForInvalidation(mm, "mmu_interval_read_begin");
  if (k.m.point(Op.NotifierSeqRead, notifier.id)) yield SWITCH;
  k.m.touches(Op.NotifierActive, mm.id);
  const seq = notifier.invalidateSeq;
  const invalidating = (mm.invalidateSeq & 1) !== 0 && seq === mm.invalidateSeq;
  if (invalidating) {
    while (mm.invalidateSeq === seq) yield* mm.invalidateWait.sleep(TaskState.Uninterruptible, "mmu_interval_read_begin", mm.id);
  }
  k.m.sink?.emit(Event.IntervalReadBegin, notifier.id, seq, 0, 0);
  return seq;
}

/**
 * The same for who holds what an invalidation may wait for (UFFDIO_MOVE waits for folio locks inside its own): null where
 * the range is being invalidated.
 */
export function* intervalTryReadBegin(k: Kernel, notifier: IntervalNotifier): Atomic<number | null> {
  const { mm } = notifier;
  if (k.m.point(Op.NotifierSeqRead, notifier.id)) yield SWITCH;
  k.m.touches(Op.NotifierActive, mm.id);
  const seq = notifier.invalidateSeq;
  if ((mm.invalidateSeq & 1) !== 0 && seq === mm.invalidateSeq) return null;
  k.m.sink?.emit(Event.IntervalReadBegin, notifier.id, seq, 0, 0);
  return seq;
}

/** True when an invalidation came since `readBegin` gave `seq`. Under the driver's lock to be final. */
export function* intervalReadRetry(k: Kernel, notifier: IntervalNotifier, seq: number): Atomic<boolean> {
  if (k.m.point(Op.NotifierSeqRead, notifier.id)) yield SWITCH;
  const retry = notifier.invalidateSeq !== seq;
  k.m.sink?.emit(Event.IntervalReadRetry, notifier.id, seq, retry ? 1 : 0, 0);
  return retry;
}

/** What an invalidate callback calls, under the driver's lock: who reads the page tables just now is to begin again. */
export function intervalSetSeq(k: Kernel, notifier: IntervalNotifier, seq: number): void {
  k.m.touches(Op.NotifierSeqSet, notifier.id);
  k.m.sink?.emit(Event.IntervalSetSeq, notifier.id, seq, 0, 0);
  notifier.invalidateSeq = seq;
}

/** Like `intervalReadRetry`, without a lock: a hint that reading on is pointless. */
export function* intervalCheckRetry(k: Kernel, notifier: IntervalNotifier, seq: number): Atomic<boolean> {
  if (k.m.point(Op.NotifierSeqRead, notifier.id)) yield SWITCH;
  return notifier.invalidateSeq !== seq;
}

/**
 * Adds a subscription; the mm must be alive.
 * @throws RangeError for one that is subscribed already: Linux's tree of intervals would be broken
 */
export function* intervalInsert(k: Kernel, notifier: IntervalNotifier): MaySleep<void> {
  const { mm } = notifier;
  if (k.m.point(Op.NotifierSubscribe, mm.id)) yield SWITCH;
  if (isSubscribed(notifier)) throw new RangeError(`the interval notifier of ${hexRange(notifier)} is subscribed already`);
  k.m.touches(Op.NotifierSeqSet, notifier.id);
  if (mm.activeInvalidations === 0) {
    // Behind: the first read succeeds at once.
    notifier.invalidateSeq = mm.invalidateSeq - 1;
    mm.intervals.push(notifier);
    return;
  }
  // Born while an invalidation runs: readers wait for its end.
  if (invalidating(mm)) mm.deferredIntervals.push({ notifier, insert: true });
  else {
    mm.invalidateSeq |= 1;
    mm.intervals.push(notifier);
  }
  notifier.invalidateSeq = mm.invalidateSeq;
}

/** Whether it has been inserted, and not been removed: also where that waits for the end of an invalidation. */
function isSubscribed(notifier: IntervalNotifier): boolean {
  const { intervals, deferredIntervals } = notifier.mm;
  const deferred = deferredIntervals.findLast((other) => other.notifier === notifier);
  return deferred === undefined ? intervals.includes(notifier) : deferred.insert;
}

function hexRange({ startVpn, endVpn }: IntervalNotifier): string {
  return `pages 0x${startVpn.toString(16)} to 0x${(endVpn - 1).toString(16)}`;
}

/** While an invalidation goes through the intervals, nobody may change their list. */
function invalidating(mm: Mm): boolean {
  return (mm.invalidateSeq & 1) !== 0;
}

/** What came and went while the invalidations ran that have just ended. */
function applyDeferred(mm: Mm): void {
  // Nearly always; and making an array shorter is slow.
  if (mm.deferredIntervals.length === 0) return;
  for (const { notifier, insert } of mm.deferredIntervals) {
    if (insert) mm.intervals.push(notifier);
    else removeFrom(mm.intervals, notifier);
  }
  mm.deferredIntervals.length = 0;
}

function removeFrom(list: IntervalNotifier[], notifier: IntervalNotifier): void {
  const i = list.indexOf(notifier);
  if (i >= 0) list.splice(i, 1);
}

/**
 * Removes a subscription, and waits for invalidations that may still be calling it.
 * @throws RangeError for one that is not subscribed: Linux's tree of intervals would be broken
 */
export function* intervalRemove(k: Kernel, notifier: IntervalNotifier): MaySleep<void> {
  const { mm } = notifier;
  k.m.mightWaitForInvalidation(mm, "mmu_interval_notifier_remove");
  if (k.m.point(Op.NotifierSubscribe, mm.id)) yield SWITCH;
  if (!isSubscribed(notifier)) throw new RangeError(`the interval notifier of ${hexRange(notifier)} is not subscribed`);
  if (!invalidating(mm)) return removeFrom(mm.intervals, notifier);
  const waits = mm.deferredIntervals.findIndex((deferred) => deferred.notifier === notifier && deferred.insert);
  if (waits >= 0) {
    // It came during this invalidation, and has never been called.
    mm.deferredIntervals.splice(waits, 1);
    return;
  }
  mm.deferredIntervals.push({ notifier, insert: false });
  const seq = mm.invalidateSeq;
  while (mm.invalidateSeq === seq) {
    yield* mm.invalidateWait.sleep(TaskState.Uninterruptible, "mmu_interval_notifier_remove", mm.id);
  }
}

/** The address space is exiting: everything every subscriber has cached must go. */
export function* mmuNotifierRelease(k: Kernel, mm: Mm): MaySleep<void> {
  if (mm.intervals.length > 0) {
    const range: NotifierRange = {
      mm,
      startVpn: 0,
      endVpn: 1 << 26,
      event: NotifyEvent.RELEASE,
      owner: null,
    };
    yield* k.mmuNotifier.intervalsStart(k, range);
    yield* k.mmuNotifier.intervalsEnd(k, range);
  }
  if (mm.notifiers.length > 0) {
    yield* eachNotifier(k, mm, (notifier) => notifier.release?.(k, mm));
    if (k.m.point(Op.NotifierSubscribe, mm.id)) yield SWITCH;
    setNotifiers(k, mm, []);
    // An unregister that came too late to find itself on the list waits for the same.
    yield* k.rcu.synchronizeSrcu(k, k.m.notifierSrcu);
  }
  k.m.sink?.emit(Event.MmRelease, mm.id, 0, 0, 0);
}

/** Calls each subscription of an address space, as the list was when it began. */
function* eachNotifier(k: Kernel, mm: Mm, call: (notifier: MmuNotifier) => MaySleep<unknown> | undefined): MaySleep<void> {
  yield* k.rcu.srcuReadLock(k, k.m.notifierSrcu);
  for (const notifier of mm.notifiers) yield* call(notifier) ?? [];
  yield* k.rcu.srcuReadUnlock(k, k.m.notifierSrcu);
}

/* Reclaim, and idle page tracking, ask who has used memory: devices among them, as KVM's guests. */

/** Whether a subscriber has used a range lately; they forget it (mmu_notifier_clear_flush_young()). Under page-table locks. */
export function* mmuNotifierClearFlushYoung(k: Kernel, mm: Mm, startVpn: number, endVpn: number): Atomic<boolean> {
  return yield* anyYoung(k, mm, (notifier) => notifier.clearFlushYoung?.(k, mm, startVpn, endVpn));
}

/** The same without a flush: what they have cached may be used unnoticed (mmu_notifier_clear_young()). */
export function* mmuNotifierClearYoung(k: Kernel, mm: Mm, startVpn: number, endVpn: number): Atomic<boolean> {
  return yield* anyYoung(k, mm, (notifier) => notifier.clearYoung?.(k, mm, startVpn, endVpn));
}

/** Whether a subscriber has used a page lately; nobody forgets it (mmu_notifier_test_young()). */
export function* mmuNotifierTestYoung(k: Kernel, mm: Mm, vpn: number): Atomic<boolean> {
  return yield* anyYoung(k, mm, (notifier) => notifier.testYoung?.(k, mm, vpn));
}

function* anyYoung(k: Kernel, mm: Mm, ask: (notifier: MmuNotifier) => Atomic<boolean> | undefined): Atomic<boolean> {
  k.m.touches(Op.NotifierActive, mm.id);
  if (mm.notifiers.length === 0) return false;
  let young = false;
  yield* k.rcu.srcuReadLock(k, k.m.notifierSrcu);
  for (const notifier of mm.notifiers) if ((yield* ask(notifier) ?? []) === true) young = true;
  yield* k.rcu.srcuReadUnlock(k, k.m.notifierSrcu);
  return young;
}

/* TLBs of devices that share the CPUs' page table, as an IOMMU's does. */

/** Whether somebody is told of flushes of an address space. */
export function mmHasSecondaryTlbs(k: Kernel, mm: Mm): boolean {
  k.m.touches(Op.NotifierListRead, mm.id);
  for (const { archInvalidateSecondaryTlbs } of mm.notifiers) if (archInvalidateSecondaryTlbs !== undefined) return true;
  return false;
}

/** Tells them: entries of [startVpn, endVpn) have changed. */
export function* archInvalidateSecondaryTlbs(k: Kernel, mm: Mm, startVpn: number, endVpn: number): Atomic<void> {
  yield* k.rcu.srcuReadLock(k, k.m.notifierSrcu);
  k.m.sink?.emit(Event.SecondaryTlbInvalidate, mm.id, startVpn, endVpn, 0);
  for (const notifier of mm.notifiers) yield* notifier.archInvalidateSecondaryTlbs?.(k, mm, startVpn, endVpn) ?? [];
  k.m.sink?.emit(Event.SecondaryTlbInvalidate, mm.id, startVpn, endVpn, 1);
  yield* k.rcu.srcuReadUnlock(k, k.m.notifierSrcu);
}

/* Coming and going. */

/** The list is never changed, but replaced: who goes through it keeps the one that he began with. */
function setNotifiers(k: Kernel, mm: Mm, notifiers: MmuNotifier[]): void {
  k.m.touches(Op.NotifierListWrite, mm.id);
  mm.notifiers = notifiers;
}

/**
 * Subscribes to an address space, for one `mmuNotifierUnregister` or one `mmuNotifierPut`: 0, or -EINVAL for one that wants both
 * `archInvalidateSecondaryTlbs` and to hear of starts and ends.
 */
export function* mmuNotifierRegister(k: Kernel, mm: Mm, notifier: MmuNotifier): MaySleep<number> {
  if (!mm.mmapLock.tryWrite()) yield* mm.mmapLock.write();
  const error = yield* k.mmuNotifier.mmuNotifierRegisterLocked(k, mm, notifier);
  if (!mm.mmapLock.tryUnlock()) yield* mm.mmapLock.unlock();
  return error;
}

/**
 * The same with mmap_lock held for writing. While its anon_vmas are locked, no reverse walk can be between the start and
 * the end of an invalidation; mmap_lock keeps away the others (mm_take_all_locks()).
 */
export function* mmuNotifierRegisterLocked(k: Kernel, mm: Mm, notifier: MmuNotifier): MaySleep<number> {
  const { archInvalidateSecondaryTlbs: secondary, invalidateRangeStart: start, invalidateRangeEnd: end } = notifier;
  if (k.mmuNotifier.refusesBoth && secondary !== undefined && (start ?? end) !== undefined) {
    k.m.dmesg.printOnce("WARNING: __mmu_notifier_register: arch_invalidate_secondary_tlbs() and invalidate_range_start() or _end()");
    return -Errno.EINVAL;
  }
  const anonVmas = new Set(mm.vmas.flatMap((vma) => vma.anonVma ?? []));
  for (const { lock } of anonVmas) if (!lock.tryWrite()) yield* lock.write();
  if (k.m.point(Op.NotifierSubscribe, mm.id)) yield SWITCH;
  notifier.users = 1;
  setNotifiers(k, mm, [...mm.notifiers, notifier]);
  for (const { lock } of anonVmas) if (!lock.tryUnlock()) yield* lock.unlock();
  return 0;
}

/** Since 6.6: a subscription has starts and ends, or is told of flushes. */
export const refusesBoth: boolean = true;

/**
 * The subscription of a kind that an address space has, or a new one: or a negated errno. Each needs a `mmuNotifierPut`; the
 * address space stays valid until then, though it may be empty (`mmgetNotZero`).
 */
export function* mmuNotifierGet(k: Kernel, mm: Mm, ops: MmuNotifierOps): MaySleep<MmuNotifier | number> {
  if (!mm.mmapLock.tryWrite()) yield* mm.mmapLock.write();
  const notifier = yield* k.mmuNotifier.mmuNotifierGetLocked(k, mm, ops);
  if (!mm.mmapLock.tryUnlock()) yield* mm.mmapLock.unlock();
  return notifier;
}

export function* mmuNotifierGetLocked(k: Kernel, mm: Mm, ops: MmuNotifierOps): MaySleep<MmuNotifier | number> {
  if (k.m.point(Op.NotifierSubscribe, mm.id)) yield SWITCH;
  const found = mm.notifiers.find((other) => other.ops === ops);
  if (found !== undefined) {
    found.users!++;
    return found;
  }
  const notifier = yield* ops.allocNotifier(k, mm);
  if (typeof notifier === "number") return notifier;
  const error = yield* k.mmuNotifier.mmuNotifierRegisterLocked(k, mm, notifier);
  if (error === 0) return notifier;
  notifier.freeNotifier?.(k);
  return error;
}

/**
 * Ends a subscription: when this returns, `release` has run, here or in the exit of the address
 * space, and nobody is calling the subscription any more.
 */
export function* mmuNotifierUnregister(k: Kernel, mm: Mm, notifier: MmuNotifier): MaySleep<void> {
  const { m } = k;
  if (m.point(Op.NotifierSubscribe, mm.id)) yield SWITCH;
  if (mm.notifiers.includes(notifier)) {
    yield* k.rcu.srcuReadLock(k, m.notifierSrcu);
    if (notifier.release !== undefined) yield* notifier.release(k, mm);
    yield* k.rcu.srcuReadUnlock(k, m.notifierSrcu);
    if (m.point(Op.NotifierSubscribe, mm.id)) yield SWITCH;
    setNotifiers(k, mm, mm.notifiers.filter((other) => other !== notifier));
  }
  yield* k.rcu.synchronizeSrcu(k, m.notifierSrcu);
}

/** Ends one use of a subscription, without waiting: with the last, `freeNotifier` is called when nobody uses it any more. `release` is not. */
export function* mmuNotifierPut(k: Kernel, mm: Mm, notifier: MmuNotifier): Atomic<void> {
  if (k.m.point(Op.NotifierSubscribe, mm.id)) yield SWITCH;
  if (--notifier.users! > 0) return;
  setNotifiers(k, mm, mm.notifiers.filter((other) => other !== notifier));
  yield* k.rcu.callSrcu(k, k.m.notifierSrcu, () => freed(k, notifier));
}

function* freed(k: Kernel, notifier: MmuNotifier): Atomic<void> {
  if (k.m.point(Op.RcuPeriod, k.m.notifierSrcu.periods.id)) yield SWITCH;
  notifier.freeNotifier?.(k);
}

/** Waits until each subscription that was put has been freed: before a driver goes whose functions that calls. */
export function* mmuNotifierSynchronize(k: Kernel): MaySleep<void> {
  yield* k.rcu.synchronizeSrcu(k, k.m.notifierSrcu);
}
