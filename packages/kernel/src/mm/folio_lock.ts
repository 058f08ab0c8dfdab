/**
 * @linux mm/filemap.c
 * @omits Waiters have a queue for each folio, rather than one for all whose hashes agree, so that nobody is woken
 *   for another's sake.
 * @own lockNewFolio, tryFolioLock
 */
import { SWITCH, type Atomic, type MaySleep } from "../kernel/coroutine.js";
import { Op } from "../kernel/op.js";
import { TaskState } from "../kernel/sched.js";
import type { Kernel } from "../kernel.js";
import { Event } from "../trace.js";
import { FaultFlag, VmFault } from "./fault_flags.js";
import type { Vmf } from "./memory.js";
import { PG } from "./page.js";

/** Takes the folio lock if it is free. */
export function* folioTrylock(k: Kernel, folio: number): Atomic<boolean> {
  if (k.m.point(Op.FolioLock, folio)) yield SWITCH;
  return take(k, folio);
}

/**
 * Takes the folio lock at once when schedule and lock allow: the idiom of kernel/locks, so where it
 * returns false `folioLock` must follow.
 */
export function tryFolioLock(k: Kernel, folio: number): boolean {
  const { m } = k;
  m.mightSleep("folio_lock");
  if (m.point(Op.FolioLock, folio)) {
    m.pendingSwitch = true;
    return false;
  }
  m.locks.observer?.mayWait(m.current!, "folio_lock", folio);
  return take(k, folio);
}

function take(k: Kernel, folio: number): boolean {
  const { m } = k;
  const free = !m.memmap.has(folio, PG.locked);
  m.sink?.emit(Event.FolioLock, folio, 0, free ? 1 : 0, 0);
  if (!free) return false;
  m.memmap.set(folio, PG.locked);
  m.locks.observer?.acquired(m.current!, "folio_lock", folio, true);
  return true;
}

/** Locks a folio that nobody else can find yet. */
export function lockNewFolio(k: Kernel, folio: number): void {
  k.m.memmap.set(folio, PG.locked);
  k.m.locks.observer?.acquired(k.m.current!, "folio_lock", folio, true);
}

/** Takes the folio lock after a try that failed; false when a fatal signal came first and `state` is Killable. */
export function* folioLock(k: Kernel, folio: number, state = TaskState.Uninterruptible): MaySleep<boolean> {
  const { m } = k;
  if (m.takePendingSwitch()) yield SWITCH;
  m.mightSleep("folio_lock");
  m.locks.observer?.mayWait(m.current!, "folio_lock", folio);
  for (let lost = 0; !take(k, folio); lost++) {
    if (lost >= m.pageLockUnfairness) return yield* waitForHandoff(k, folio, state);
    if (!(yield* m.folioWaitQueue(folio).sleep(state, "folio_lock", folio))) return false;
    if (m.point(Op.FolioLock, folio)) yield SWITCH;
  }
  return true;
}

/** Whoever unlocks the folio next gives the lock to the one that has waited here longest. */
function* waitForHandoff(k: Kernel, folio: number, state: TaskState): MaySleep<boolean> {
  const { m } = k;
  const waiter = { task: m.current!, granted: false };
  const waiters = m.folioHandoffs.get(folio) ?? [];
  if (waiters.push(waiter) === 1) m.folioHandoffs.set(folio, waiters);
  for (;;) {
    const woken = yield* m.folioWaitQueue(folio).sleep(state, "folio_lock", folio);
    if (waiter.granted) return true;
    if (woken) continue;
    const i = waiters.indexOf(waiter);
    waiters.splice(i, 1);
    if (waiters.length === 0) m.folioHandoffs.delete(folio);
    return false;
  }
}

export function* folioUnlock(k: Kernel, folio: number): Atomic<void> {
  const { m } = k;
  if (m.point(Op.FolioUnlock, folio)) yield SWITCH;
  m.sink?.emit(Event.FolioLock, folio, 1, 0, 0);
  m.locks.observer?.released(m.current!, "folio_lock", folio);
  const waiters = m.folioHandoffs.get(folio);
  if (waiters === undefined) m.memmap.clear(folio, PG.locked);
  else {
    // It stays locked, by somebody else.
    const next = waiters.shift()!;
    if (waiters.length === 0) m.folioHandoffs.delete(folio);
    next.granted = true;
    m.locks.observer?.acquired(next.task, "folio_lock", folio);
  }
  wakeFolio(k, folio);
}

function wakeFolio(k: Kernel, folio: number): void {
  const queue = k.m.folioWaiters.get(folio);
  if (queue === undefined) return;
  queue.wakeAll();
  if (queue.empty) k.m.folioWaiters.delete(folio);
}

/** Waits until a flag (the lock, or writeback) is clear, without taking anything. */
export function* folioWaitBit(k: Kernel, folio: number, flag: PG, state: TaskState): MaySleep<boolean> {
  const { m } = k;
  m.mightSleep("folio_wait_bit");
  for (;;) {
    if (m.point(Op.PageFlags, folio)) yield SWITCH;
    if (!m.memmap.has(folio, flag)) return true;
    if (!(yield* m.folioWaitQueue(folio).sleep(state, flag === PG.locked ? "folio_wait_locked" : "folio_wait_writeback", folio))) {
      return false;
    }
  }
}

/** Writeback of a folio is over: wakes those that wait for it. */
export function* folioEndWriteback(k: Kernel, folio: number): Atomic<void> {
  const { m } = k;
  if (m.point(Op.PageFlags, folio)) yield SWITCH;
  if (m.memmap.has(folio, PG.reclaim)) {
    m.memmap.clear(folio, PG.reclaim);
    yield* k.vmscan.folioRotateReclaimable(k, folio);
  }
  m.memmap.clear(folio, PG.writeback);
  m.vmstat.pages.writeback -= m.memmap.folioPages(folio);
  wakeFolio(k, folio);
}

/**
 * Takes the folio lock from a fault. A first try that would have to wait drops the fault's own
 * lock before it sleeps and asks for a retry; 0 means the folio is locked.
 */
export function* folioLockOrRetry(k: Kernel, folio: number, vmf: Vmf): MaySleep<number> {
  if (yield* k.folioLock.folioTrylock(k, folio)) return 0;
  const state = (vmf.flags & FaultFlag.KILLABLE) !== 0 ? TaskState.Killable : TaskState.Uninterruptible;
  if ((vmf.flags & FaultFlag.ALLOW_RETRY) !== 0 && (vmf.flags & FaultFlag.TRIED) === 0) {
    if ((vmf.flags & FaultFlag.RETRY_NOWAIT) !== 0) return VmFault.RETRY;
    yield* k.memory.releaseFaultLock(k, vmf);
    yield* k.folioLock.folioWaitBit(k, folio, PG.locked, state);
    return VmFault.RETRY;
  }
  if (yield* k.folioLock.folioLock(k, folio, state)) return 0;
  yield* k.memory.releaseFaultLock(k, vmf);
  return VmFault.RETRY;
}
