/**
 * @linux kernel/signal.c, kernel/exit.c
 * @omits Terminals: what a process group does to one has nobody to see it.
 * @own hasStopped, isOrphaned, jobInfo, killOrphanedGroup, notifyParent
 */
import type { Kernel } from "../kernel.js";
import type { Machine } from "../machine.js";
import { BLOCK, SWITCH, type Atomic, type MaySleep } from "./coroutine.js";
import { Op } from "./op.js";
import type { Process } from "./process.js";
import { TaskState } from "./sched.js";
import { SA, Sig, SI, SIG_IGN, type SignalInfo } from "./signal.js";

/** si_code of SIGCHLD, for what is no end. */
enum CLD {
  STOPPED = 5,
  CONTINUED = 6,
}

/** What a parent is told of a child that has stopped, or goes on. */
export function jobInfo(process: Process, change: "stopped" | "continued"): SignalInfo {
  const stopped = change === "stopped";
  return {
    signo: Sig.SIGCHLD,
    code: stopped ? CLD.STOPPED : CLD.CONTINUED,
    addr: 0,
    pid: process.pid,
    status: stopped ? process.stopSignal : Sig.SIGCONT,
  };
}

/** Tells the parent that a child stops or goes on: in one step with the caller's access to the child. */
export function notifyParent(m: Machine, process: Process, change: "stopped" | "continued"): void {
  const { parent } = process;
  process.jobChange = change;
  if (parent === null) return;
  m.touches(Op.Process, parent.pid);
  const { handler, flags } = parent.handlers.get(Sig.SIGCHLD);
  if (handler !== SIG_IGN && (flags & SA.NOCLDSTOP) === 0) m.signals.send(parent, null, jobInfo(process, change));
  parent.childWait?.wakeAll();
}

/** Whether every thread of a process that is to stop has done so. */
export function hasStopped(process: Process): boolean {
  if (process.stopSignal === 0 || process.threads.size === 0) return false;
  for (const { thread } of process.threads) if (!thread.stopped) return false;
  return true;
}

/** The current thread stops with its group, until SIGCONT or SIGKILL. The caller has announced the process. */
export function* doSignalStop(k: Kernel): MaySleep<void> {
  const { m } = k;
  const task = m.current!;
  const process = task.process!;
  task.thread.stopped = true;
  if (hasStopped(process)) notifyParent(m, process, "stopped");
  while (process.stopSignal !== 0 && !m.signals.fatalPending(task)) {
    task.state = TaskState.Stopped;
    task.waitingFor = "SIGCONT";
    yield BLOCK;
  }
  if (m.point(Op.Process, process.pid)) yield SWITCH;
  task.thread.stopped = false;
}

/** Whether nobody outside of a process group, but in its session, looks after it; `ignoring` is about to end. */
export function isOrphaned(m: Machine, pgid: number, ignoring: Process | null): boolean {
  for (const process of m.processes.values()) {
    const { parent } = process;
    if (process.pgid !== pgid || process === ignoring || process.zombie || parent === null || parent.pid === 1) continue;
    if (parent.pgid !== pgid && parent.sid === process.sid) return false;
  }
  return true;
}

/**
 * A process ends, which may be what a group that has stopped was looked after by: it gets SIGHUP and
 * SIGCONT then. `group` is of the process itself, or of a child, and `other` the one on the other side.
 */
export function* killOrphanedGroup(k: Kernel, ending: Process, group: Process, other: Process | null): Atomic<void> {
  const { m } = k;
  if (m.point(Op.Process, 0)) yield SWITCH;
  if (other === null || other.pgid === group.pgid || other.sid !== group.sid) return;
  if (!isOrphaned(m, group.pgid, ending)) return;
  const members = [...m.processes.values()].filter(({ pgid }) => pgid === group.pgid);
  if (!members.some(hasStopped)) return;
  for (const signo of [Sig.SIGHUP, Sig.SIGCONT]) {
    for (const process of members) yield* k.signal.sendToProcess(k, process, { signo, code: SI.KERNEL, addr: 0 });
  }
}
