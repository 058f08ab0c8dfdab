/**
 * @linux kernel/exit.c
 * @omits Core dumps and process accounting.
 * @own childInfo, endTold, exitFiles, futexOwnerDied, reap, startGroupExit
 */
import { filpClose } from "../fs/file_locks.js";
import type { Kernel } from "../kernel.js";
import { SWITCH, type Atomic, type MaySleep } from "./coroutine.js";
import { Errno } from "./errno.js";
import { FUTEX_OWNER_DIED, FUTEX_TID_MASK, FUTEX_WAITERS } from "./futex.js";
import { hasStopped, jobInfo, notifyParent } from "./job_control.js";
import { Op } from "./op.js";
import type { Process } from "./process.js";
import { Restart, SA, SI, Sig, SIG_IGN, type SignalInfo } from "./signal.js";
import { TaskState, WaitQueue, type Task } from "./sched.js";
import { Event } from "../trace.js";
import type { Machine } from "../machine.js";

/** si_code of SIGCHLD. */
enum CLD {
  EXITED = 1,
  KILLED = 2,
  DUMPED = 3,
}
/** In a status as wait(2) has it. */
const CORE_DUMPED = 0x80;

/** A robust list may have at most this many entries: it is user memory and may be circular. */
const ROBUST_LIST_LIMIT = 2048;

/** The whole thread group is to exit. `status` as wait(2) reports it: code << 8 | signal. */
export function* startGroupExit(k: Kernel, status: number): Atomic<void> {
  const process = k.m.current!.process!;
  if (k.m.point(Op.Process, process.pid)) yield SWITCH;
  k.m.signals.startGroupExit(process, status);
}

/**
 * Ends the current thread; its body returns right after. What the group shared goes with its last
 * thread: the address space, the files; then the parent is told.
 */
export function* doExit(k: Kernel, status: number): MaySleep<void> {
  const { m } = k;
  const task = m.current!;
  const process = task.process!;
  // Nothing can interrupt a thread that exits, and SIGKILL has had its effect.
  task.exiting = true;
  task.pendingSignals.clear();
  task.blockedSignals = ~0n & 0xffff_ffff_ffff_ffffn;
  yield* k.exit.exitMm(k, task);
  yield* k.sem.exitSem(k, task);
  if (m.point(Op.Process, process.pid)) yield SWITCH;
  process.gone.userTimeNs += task.thread.userTimeNs;
  process.gone.systemTimeNs += task.thread.systemTimeNs;
  process.gone.minorFaults += task.minorFaults;
  process.gone.majorFaults += task.majorFaults;
  if (task.id === process.pid) process.leaderStatus = status;
  process.threads.delete(task);
  yield* k.ptrace.exitTrace(k, task);
  m.sink?.emit(Event.SchedProcessExit, task.id, process.threads.size === 0 ? 1 : 0, 0, 0);
  process.execWait?.wakeAll();
  if (process.threads.size > 0) {
    // It may have been the one that the others had to stop without.
    if (hasStopped(process) && process.jobChange === null) notifyParent(m, process, "stopped");
    return;
  }
  process.mm = null;
  process.realTimer?.handle?.cancel();
  process.realTimer = null;
  yield* k.posixTimers.deleteAll(k, process);
  yield* k.exit.exitFiles(k, process);
  const { exeFile } = process;
  process.exeFile = null;
  if (exeFile !== null) yield* k.exec.releaseExec(k, exeFile);
  process.exitStatus ??= process.leaderStatus ?? status;
  yield* k.exit.exitNotify(k, process);
}

/** Leaves the address space: robust futexes, CLONE_CHILD_CLEARTID, and the last one tears it down. */
export function* exitMm(k: Kernel, task: Task): MaySleep<void> {
  const { m } = k;
  const { mm } = task;
  if (mm === null) return;
  if (task.thread.utask !== null) yield* k.uprobeHit.uprobeFreeUtask(k, task);
  if (task.thread.robustList !== 0) yield* k.exit.exitRobustList(k, task);
  if (m.futexes.pi.size > 0) yield* k.futexPi.exitPiStates(k, task);
  if (task.clearChildTid !== 0 && mm.users > 1) {
    // The address may be bad: then nobody can wait there either.
    yield* k.uaccess.putUser32(k, task.clearChildTid, 0);
    yield* k.futex.futexWake(k, task.clearChildTid, true, 1, 0xffff_ffff);
  }
  task.clearChildTid = 0;
  if (m.point(Op.MmCounter, mm.id)) yield SWITCH;
  m.touches(Op.MmUsers, mm.id);
  const process = task.process!;
  process.maxRssPages = Math.max(process.maxRssPages, mm.highRss, mm.rssPages());
  // A parent in vfork(2) runs on what the child has left.
  task.thread.vforkDone?.wakeAll();
  task.thread.vforkDone = null;
  if (--mm.users === 0) yield* k.mmap.exitMmap(k, mm);
  task.mm = null;
}

/** Marks the robust futexes that a dying thread holds, and wakes a waiter of each. */
export function* exitRobustList(k: Kernel, task: Task): MaySleep<void> {
  const head = task.thread.robustList;
  task.thread.robustList = 0;
  const offset = yield* k.uaccess.getUser64(k, head + 8);
  const pending = yield* k.uaccess.getUser64(k, head + 16);
  let entry = yield* k.uaccess.getUser64(k, head);
  if (offset === null || pending === null) return;
  const futexOffset = Number(BigInt.asIntN(64, offset));
  for (let n = 0; n < ROBUST_LIST_LIMIT; n++) {
    // Bit 0 of an entry says that it is a PI futex, which exitPiStates() passes on.
    const address = entry === null ? head : Number(entry & ~1n);
    if (address === head) break;
    entry = yield* k.uaccess.getUser64(k, address);
    if (BigInt(address) !== (pending & ~1n)) yield* k.exit.futexOwnerDied(k, address + futexOffset, task);
  }
  if (pending !== 0n) yield* k.exit.futexOwnerDied(k, Number(pending & ~1n) + futexOffset, task);
}

export function* futexOwnerDied(k: Kernel, address: number, task: Task): MaySleep<void> {
  if (address % 4 !== 0) return;
  for (;;) {
    const value = yield* k.uaccess.getUser32(k, address);
    if (value === null || (value & FUTEX_TID_MASK) !== task.id) return;
    const dead = ((value & FUTEX_WAITERS) | FUTEX_OWNER_DIED) >>> 0;
    const seen = yield* k.uaccess.cmpxchgUser32(k, address, value, dead);
    if (seen === null) return;
    if (seen !== value) {
      if (k.m.retries.again("handle_futex_death")) yield SWITCH;
      continue;
    }
    if ((value & FUTEX_WAITERS) !== 0) yield* k.futex.futexWake(k, address, true, 1, 0xffff_ffff);
    return;
  }
}

/** Closes every file of a process. */
export function* exitFiles(k: Kernel, { files }: Pick<Process, "files">): MaySleep<void> {
  if (--files.users > 0) return;
  for (const [fd] of [...files.entries()]) {
    const file = files.remove(fd);
    if (file !== null) yield* filpClose(k, files, file);
  }
}

/** Who takes the children of a process that ends: the nearest forebear that has asked for it, else init. */
function reaperOf(m: Machine, process: Process): Process | null {
  for (let p = process.parent; p !== null && p.pid !== 1; p = p.parent) if (p.isSubreaper && p.exitStatus === null) return p;
  return m.processes.get(1) ?? null;
}

/** The last thread is gone: children go to another parent, and its own parent hears of it. */
export function* exitNotify(k: Kernel, process: Process): Atomic<void> {
  const { m } = k;
  yield* k.exit.forgetOriginalParent(k, process);
  yield* k.jobControl.killOrphanedGroup(k, process, process, process.parent);
  if (m.point(Op.Process, process.parent?.pid ?? 0)) yield SWITCH;
  process.zombie = true;
  // Who has traced it waits for it first.
  if (process.endTold === null) notifyEnd(k, process);
  for (const other of [...m.processes.values()]) if (other.endTold === process) k.exit.endTold(k, other);
  m.pollWait.wakeAll();
}

/** Children go to another parent, with the signal that they have asked for. */
export function* forgetOriginalParent(k: Kernel, process: Process): Atomic<void> {
  const { m } = k;
  if (process.children.size === 0) return;
  const reaper = reaperOf(m, process);
  for (const child of [...process.children]) {
    if (m.point(Op.Process, child.pid)) yield SWITCH;
    process.children.delete(child);
    child.parent = reaper;
    reaper?.children.add(child);
    child.exitSignal = Sig.SIGCHLD;
    for (const task of child.threads) {
      const { deathSignal } = task.thread;
      if (deathSignal !== 0) m.signals.send(child, null, { signo: deathSignal, code: SI.USER, addr: 0, pid: process.pid });
    }
    if (child.zombie && m.processes.get(child.pid) === child) notifyEnd(k, child);
    yield* k.jobControl.killOrphanedGroup(k, process, child, process);
  }
}

/** Tells the parent of an end, or reaps at once where nobody will wait for it. */
function notifyEnd(k: Kernel, process: Process): void {
  const { parent, exitSignal } = process;
  // Init and the operator's shell wait for their children at all times.
  if (parent === null || parent.pid === 1 || parent.isOperator) return k.exit.reap(k, process);
  k.m.touches(Op.Process, parent.pid);
  // Who ignores the signal does not want to hear of the child, and cannot wait for it.
  const { handler, flags } = parent.handlers.get(Sig.SIGCHLD);
  const ignored = exitSignal === Sig.SIGCHLD && handler === SIG_IGN;
  if (exitSignal !== 0 && !ignored) k.m.signals.send(parent, null, k.exit.childInfo(process, exitSignal));
  if (ignored || (exitSignal === Sig.SIGCHLD && (flags & SA.NOCLDWAIT) !== 0)) k.exit.reap(k, process);
  parent.childWait?.wakeAll();
}

/** Who has traced a process has heard of its end, or never will: now its parent does. */
export function endTold(k: Kernel, process: Process): void {
  k.m.touches(Op.Process, process.pid);
  process.endTold = null;
  if (process.zombie) notifyEnd(k, process);
}

/** What a parent is told of a child's end. */
export function childInfo({ pid, exitStatus }: Process, signo: number): SignalInfo {
  const status = exitStatus!;
  const signal = status & 127;
  if (signal === 0) return { signo, code: CLD.EXITED, addr: 0, pid, status: status >> 8 };
  return { signo, code: (status & CORE_DUMPED) === 0 ? CLD.KILLED : CLD.DUMPED, addr: 0, pid, status: signal };
}

/** Frees the pid of a zombie. Its status stays readable in the Process. */
export function reap(k: Kernel, process: Process): void {
  process.parent?.children.delete(process);
  k.m.processes.delete(process.pid);
  k.m.pollWait.wakeAll();
}

/** Which children are waited for, and what of them. */
export interface WaitFor {
  /** True for a child that is meant, or a thread of it that is traced: `id` is that one's. */
  readonly meant: (child: Process, id: number) => boolean;
  /** Also children whose end raises no SIGCHLD, and those alone (__WCLONE); every child with __WALL. */
  readonly clones: "no" | "only" | "too";
  /** WEXITED, WUNTRACED and WCONTINUED. */
  readonly ended: boolean;
  readonly stopped: boolean;
  readonly continued: boolean;
  /** WNOHANG. */
  readonly once: boolean;
  /** WNOWAIT: it can be waited for again. */
  readonly leave: boolean;
}

/** What has become of a child that was waited for. */
export interface Waited {
  readonly child: Process;
  /** Its pid, or the id of the thread of it that is traced. */
  readonly id: number;
  /** As wait(2) has it. */
  readonly status: number;
  /** As SIGCHLD and waitid(2) have it. */
  readonly info: SignalInfo;
}

/** A status that says that the child goes on. */
const CONTINUED_STATUS = 0xffff;
/** In the low byte of one that says which signal has stopped it. */
const STOPPED_STATUS = 0x7f;

/** What there is to tell of a child now, and what is asked; null for nothing. */
function lookAtChild(k: Kernel, child: Process, { ended, stopped, continued }: WaitFor): Waited | null {
  if (child.zombie && child.endTold !== null) return null;
  if (child.zombie) return ended ? { child, id: child.pid, status: child.exitStatus!, info: k.exit.childInfo(child, Sig.SIGCHLD) } : null;
  const { jobChange } = child;
  if (jobChange === "stopped" && stopped) {
    return { child, id: child.pid, status: (child.stopSignal << 8) | STOPPED_STATUS, info: jobInfo(child, jobChange) };
  }
  if (jobChange === "continued" && continued) return { child, id: child.pid, status: CONTINUED_STATUS, info: jobInfo(child, jobChange) };
  return null;
}

/**
 * Waits for a child: what has become of which; null where nothing has (WNOHANG); -ECHILD when no
 * child is meant; -ERESTARTSYS after a signal.
 */
export function* doWait(k: Kernel, wait: WaitFor): MaySleep<Waited | number | null> {
  const { m } = k;
  const process = m.current!.process!;
  const { meant, clones, once, leave } = wait;
  for (;;) {
    if (m.point(Op.Process, process.pid)) yield SWITCH;
    const children = [...process.children].filter((child) => (clones === "too" || (child.exitSignal === Sig.SIGCHLD) === (clones === "no")) && meant(child, child.pid));
    const tracees = [...process.tracees].filter((task) => meant(task.process!, task.id));
    const strangers = [...m.processes.values()].filter((other) => other.endTold === process && meant(other, other.pid));
    // One that has ended has nothing more to tell to those who do not ask for ends.
    if (tracees.length === 0 && strangers.length === 0 && !children.some(({ zombie }) => !zombie || wait.ended)) return -Errno.ECHILD;
    for (const task of tracees) {
      m.touches(Op.Process, task.process!.pid);
      const { stop } = task.thread.tracee!;
      if (stop === null || stop.told) continue;
      if (!leave) stop.told = true;
      return { child: task.process!, id: task.id, status: (stop.code << 8) | STOPPED_STATUS, info: k.ptrace.stopInfo(task) };
    }
    for (const other of strangers) {
      if (!other.zombie || !wait.ended) continue;
      if (!leave) k.exit.endTold(k, other);
      return { child: other, id: other.pid, status: other.exitStatus!, info: k.exit.childInfo(other, Sig.SIGCHLD) };
    }
    let waited: Waited | null = null;
    for (const child of children) {
      m.touches(Op.Process, child.pid);
      waited ??= lookAtChild(k, child, wait);
    }
    if (waited !== null) {
      const { child } = waited;
      if (!leave && child.zombie) {
        addTimes(process, child);
        k.exit.reap(k, child);
      } else if (!leave) child.jobChange = null;
      return waited;
    }
    if (once) return null;
    process.childWait ??= new WaitQueue(m);
    if (!(yield* process.childWait.sleep(TaskState.Interruptible, "do_wait"))) return -Restart.ERESTARTSYS;
  }
}

function addTimes(parent: Process, child: Process): void {
  const { reaped } = parent;
  for (const key of Object.keys(reaped) as (keyof typeof reaped)[]) reaped[key] += child.gone[key] + child.reaped[key];
  parent.reapedMaxRssPages = Math.max(parent.reapedMaxRssPages, child.maxRssPages, child.reapedMaxRssPages);
}
