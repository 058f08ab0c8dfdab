import { SWITCH, type Atomic, type MaySleep } from "../kernel/coroutine.js";
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
}

/** A subscription to everything that happens to an address space. */
export interface MmuNotifier {
  invalidateRangeStart?(k: Kernel, range: NotifierRange): MaySleep<void>;
  invalidateRangeEnd?(k: Kernel, range: NotifierRange): MaySleep<void>;
  /** The address space is going away. */
  release?(k: Kernel, mm: Mm): MaySleep<void>;
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

/** True when somebody watches: without notifiers, start and end cost nothing. */
export function mmHasNotifiers(k: Kernel, mm: Mm): boolean {
  return mm.notifiers.length > 0 || mm.intervals.length > 0 || k.m.config.checking;
}

/**
 * Before page-table entries of the range change. The sequence becomes odd, so that readers wait,
 * and every overlapping subscriber drops what it has cached. The entries are still there.
 */
export function* invalidateRangeStart(k: Kernel, range: NotifierRange): MaySleep<void> {
  const { mm } = range;
  if (k.mmuNotifier.mmHasNotifiers(k, mm)) {
    if (k.m.point(Op.NotifierStart, mm.id)) yield SWITCH;
    k.m.sink?.emit(Event.InvalidateStart, mm.id, range.startVpn, range.endVpn, range.event);
  }
  // Counted even when nobody watches yet: who subscribes before the end must wait for it.
  mm.activeInvalidations++;
  mm.invalidateSeq |= 1;
  const seq = mm.invalidateSeq;
  for (const notifier of mm.intervals) {
    if (!overlaps(notifier, range.startVpn, range.endVpn)) continue;
    yield* notifier.invalidate(k, range, seq);
  }
  for (const notifier of mm.notifiers) {
    if (notifier.invalidateRangeStart !== undefined) yield* notifier.invalidateRangeStart(k, range);
  }
}

/** The entries have changed and the CPUs' TLBs are flushed: readers may go on. */
export function* invalidateRangeEnd(k: Kernel, range: NotifierRange): MaySleep<void> {
  const { mm } = range;
  for (const notifier of mm.notifiers) {
    if (notifier.invalidateRangeEnd !== undefined) yield* notifier.invalidateRangeEnd(k, range);
  }
  if (k.mmuNotifier.mmHasNotifiers(k, mm)) {
    if (k.m.point(Op.NotifierEnd, mm.id)) yield SWITCH;
    k.m.sink?.emit(Event.InvalidateEnd, mm.id, range.startVpn, range.endVpn, range.event);
  }
  // The last one out makes the sequence even again, which is what readers wait for.
  if (--mm.activeInvalidations === 0) {
    mm.invalidateSeq++;
    mm.invalidateWait.wakeAll();
  }
}

/** Begins reading under a subscription; sleeps while the range is being invalidated. */
export function* intervalReadBegin(k: Kernel, notifier: IntervalNotifier): MaySleep<number> {
  const { mm } = notifier;
  if (k.m.point(Op.NotifierSeqRead, notifier.id)) yield SWITCH;
  k.m.touches(Op.NotifierActive, mm.id);
  const seq = notifier.invalidateSeq;
  const invalidating = (mm.invalidateSeq & 1) !== 0 && seq === mm.invalidateSeq;
  if (invalidating) {
    while (mm.invalidateSeq === seq) yield* mm.invalidateWait.sleep(TaskState.Uninterruptible, "mmu_interval_read_begin");
  }
  return seq;
}

/** True when an invalidation came since `readBegin` gave `seq`. Under the driver's lock to be final. */
export function* intervalReadRetry(k: Kernel, notifier: IntervalNotifier, seq: number): Atomic<boolean> {
  if (k.m.point(Op.NotifierSeqRead, notifier.id)) yield SWITCH;
  return notifier.invalidateSeq !== seq;
}

/** Like `intervalReadRetry`, without a lock: a hint that reading on is pointless. */
export function* intervalCheckRetry(k: Kernel, notifier: IntervalNotifier, seq: number): Atomic<boolean> {
  if (k.m.point(Op.NotifierSeqRead, notifier.id)) yield SWITCH;
  return notifier.invalidateSeq !== seq;
}

/** Adds a subscription; the mm must be alive. */
export function* intervalInsert(k: Kernel, notifier: IntervalNotifier): MaySleep<void> {
  const { mm } = notifier;
  if (k.m.point(Op.NotifierSubscribe, mm.id)) yield SWITCH;
  k.m.touches(Op.NotifierSeqSet, notifier.id);
  mm.intervals = [...mm.intervals, notifier];
  // Born while an invalidation runs: readers must wait for its end. Otherwise it is behind, and
  // the first read succeeds at once.
  notifier.invalidateSeq = (mm.invalidateSeq & 1) !== 0 ? mm.invalidateSeq : mm.invalidateSeq - 1;
}

/** Removes a subscription, and waits for invalidations that may still be calling it. */
export function* intervalRemove(k: Kernel, notifier: IntervalNotifier): MaySleep<void> {
  const { mm } = notifier;
  if (k.m.point(Op.NotifierSubscribe, mm.id)) yield SWITCH;
  mm.intervals = mm.intervals.filter((other) => other !== notifier);
  const seq = mm.invalidateSeq;
  while ((mm.invalidateSeq & 1) !== 0 && mm.invalidateSeq === seq) {
    yield* mm.invalidateWait.sleep(TaskState.Uninterruptible, "mmu_interval_notifier_remove");
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
    yield* k.mmuNotifier.invalidateRangeStart(k, range);
    yield* k.mmuNotifier.invalidateRangeEnd(k, range);
  }
  for (const notifier of mm.notifiers) {
    if (notifier.release !== undefined) yield* notifier.release(k, mm);
  }
}
