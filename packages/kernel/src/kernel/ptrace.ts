/**
 * @linux kernel/ptrace.c, kernel/signal.c
 * @omits Events but PTRACE_EVENT_STOP, single steps, group stops of who is traced, and PTRACE_LISTEN.
 * @own exitTrace, resume, stopInfo, syscallStop, traceMe, traceStop, traceeOf
 */
import type { Kernel } from "../kernel.js";
import { BLOCK, SWITCH, type Atomic, type MaySleep } from "./coroutine.js";
import { Errno } from "./errno.js";
import { Op } from "./op.js";
import { TaskState, type Task } from "./sched.js";
import { NSIG, SA, Sig, SI, SIG_IGN, type SignalInfo } from "./signal.js";
import { Tracee } from "./tracee.js";
import { capable, Cap } from "./capability.js";
import { actingAs } from "./cred.js";
import type { Process } from "./process.js";

/** By whose ids somebody wants to look into another process: those for files, or the real ones. */
export type PtraceBy = "files" | "real";

/** Whether the current task may look into a process, as far as who they are says (ptrace(2), "Ptrace access mode checking"). */
export function ptraceMayAccess(k: Kernel, target: Process, by: PtraceBy): boolean {
  const process = k.m.current?.process ?? null;
  const cred = actingAs(k);
  if (process === null || cred === null || process === target) return true;
  if (capable(k, Cap.SYS_PTRACE)) return true;
  const [uid, gid] = by === "files" ? [cred.fsuid, cred.fsgid] : [cred.uid, cred.gid];
  const { cred: theirs, capabilities } = target;
  const same = [theirs.uid, theirs.euid, theirs.suid].every((id) => id === uid) && [theirs.gid, theirs.egid, theirs.sgid].every((id) => id === gid);
  const mine = by === "files" ? process.capabilities.effective : process.capabilities.permitted;
  return same && target.mm?.dumpable !== 0 && (capabilities.permitted & ~mine) === 0n;
}

/** PTRACE_O_*. */
enum TraceOption {
  SYSGOOD = 1,
  EXITKILL = 0x10_0000,
}
const OPTIONS = TraceOption.SYSGOOD | TraceOption.EXITKILL;
/** si_code of SIGCHLD: a traced child has stopped. */
const CLD_TRAPPED = 4;

/** Makes the current thread its parent's tracee: 0 or -EPERM. */
export function* traceMe(k: Kernel): Atomic<number> {
  const { m } = k;
  const task = m.current!;
  if (m.point(Op.Process, task.process!.pid)) yield SWITCH;
  const tracer = [...(task.process!.parent?.threads ?? [])][0];
  if (task.thread.tracee !== null || tracer === undefined) return -Errno.EPERM;
  begin(k, task, new Tracee(tracer, false));
  return 0;
}

/** PTRACE_ATTACH and PTRACE_SEIZE: 0, -EPERM, -ESRCH or -EIO. The former stops the thread. */
export function* attach(k: Kernel, task: Task, seizes: boolean, options: number): Atomic<number> {
  const { m } = k;
  const { process } = task;
  const tracer = m.current!;
  if (process === null || process.isOperator || process === tracer.process) return -Errno.EPERM;
  if ((options & ~OPTIONS) !== 0) return -Errno.EIO;
  if (m.point(Op.Process, process.pid)) yield SWITCH;
  if (process.pid === 1 || task.thread.tracee !== null || task.exiting || !ptraceMayAccess(k, process, "real")) return -Errno.EPERM;
  begin(k, task, new Tracee(tracer, seizes));
  task.thread.tracee!.options = options;
  if (!seizes) m.signals.send(process, task, { signo: Sig.SIGSTOP, code: SI.KERNEL, addr: 0 });
  return 0;
}

function begin({ m }: Kernel, task: Task, tracee: Tracee): void {
  m.touches(Op.Process, tracee.tracer.process!.pid);
  task.thread.tracee = tracee;
  tracee.tracer.process!.tracees.add(task);
}

/** The current thread's tracee by its id, stopped unless `running` will do; null where it is none. */
export function traceeOf(k: Kernel, id: number, running: boolean): Task | null {
  const task = k.m.tasks.get(id);
  const tracee = task?.thread.tracee ?? null;
  if (task === undefined || tracee === null || tracee.tracer !== k.m.current) return null;
  return running || tracee.stop !== null ? task : null;
}

/** PTRACE_SETOPTIONS: 0 or -EINVAL. */
export function setOptions(_k: Kernel, task: Task, options: number): number {
  if ((options & ~OPTIONS) !== 0) return -Errno.EINVAL;
  task.thread.tracee!.options = options;
  return 0;
}

/** PTRACE_INTERRUPT: 0, or -EIO of what was not seized. */
export function* interrupt(k: Kernel, task: Task): Atomic<number> {
  const tracee = task.thread.tracee!;
  if (!tracee.seized) return -Errno.EIO;
  if (k.m.point(Op.Process, task.process!.pid)) yield SWITCH;
  tracee.interrupted = true;
  k.m.signals.wakeFor(task);
  return 0;
}

/** PTRACE_CONT, PTRACE_SYSCALL and PTRACE_DETACH: lets a stopped thread go on, with a signal where `signo` is one. 0 or -EIO. */
export function* resume(k: Kernel, task: Task, signo: number, how: "on" | "to a system call" | "alone"): Atomic<number> {
  if (signo < 0 || signo > NSIG) return -Errno.EIO;
  const { m } = k;
  const { thread } = task;
  const tracee = thread.tracee!;
  if (m.point(Op.Process, task.process!.pid)) yield SWITCH;
  const { info } = tracee.stop!;
  const taken = signo === 0 ? null : info?.signo === signo ? info : { signo, code: SI.USER, addr: 0, pid: m.current!.process!.pid };
  tracee.stop = null;
  tracee.atSyscalls = how === "to a system call";
  // At other stops there is no signal to replace.
  if (how !== "alone") tracee.injected = info === null ? null : taken;
  else {
    tracee.tracer.process!.tracees.delete(task);
    thread.tracee = null;
    if (taken !== null && info !== null) m.signals.send(task.process!, task, taken);
  }
  m.sched.wake(task);
  return 0;
}

/** The current thread stops for its tracer, until that lets it go on or it is killed. The caller has announced its process. */
export function* traceStop(k: Kernel, code: number, info: SignalInfo | null): MaySleep<void> {
  const { m } = k;
  const task = m.current!;
  const { thread } = task;
  const { tracee } = thread;
  if (tracee === null) return;
  tracee.stop = { code, info, told: false };
  tracee.interrupted = false;
  thread.stopped = true;
  const tracer = tracee.tracer.process!;
  m.touches(Op.Process, tracer.pid);
  const { handler, flags } = tracer.handlers.get(Sig.SIGCHLD);
  if (handler !== SIG_IGN && (flags & SA.NOCLDSTOP) === 0) m.signals.send(tracer, null, { ...stopInfo(task), status: code & 0x7f });
  tracer.childWait?.wakeAll();
  while (tracee.stop !== null && !m.signals.fatalPending(task)) {
    task.state = TaskState.Stopped;
    task.waitingFor = "its tracer";
    yield BLOCK;
  }
  if (m.point(Op.Process, task.process!.pid)) yield SWITCH;
  tracee.stop = null;
  thread.stopped = false;
}

/** PTRACE_SYSCALL: the current thread stops where it enters a system call, or leaves it. */
export function* syscallStop(k: Kernel): MaySleep<void> {
  const { tracee } = k.m.current!.thread;
  if (tracee === null || !tracee.atSyscalls) return;
  if (k.m.point(Op.Process, k.m.current!.process!.pid)) yield SWITCH;
  yield* k.ptrace.traceStop(k, Sig.SIGTRAP | ((tracee.options & TraceOption.SYSGOOD) !== 0 ? 0x80 : 0), null);
}

/** What waitid(2) tells a tracer of a stop. */
export function stopInfo({ id, thread }: Task): SignalInfo {
  return { signo: Sig.SIGCHLD, code: CLD_TRAPPED, addr: 0, pid: id, status: thread.tracee!.stop!.code };
}

/** The current thread, or its whole process, ends: nobody traces it any more, and those that it traces go on, or are killed. */
export function* exitTrace(k: Kernel, task: Task): Atomic<void> {
  const { m } = k;
  const process = task.process!;
  const { tracee } = task.thread;
  if (tracee !== null) {
    const tracer = tracee.tracer.process!;
    m.touches(Op.Process, tracer.pid);
    tracer.tracees.delete(task);
    task.thread.tracee = null;
    // A parent hears of the end of a child anyway.
    if (process.threads.size === 0 && tracer !== process.parent) process.endTold = tracer;
    tracer.childWait?.wakeAll();
  }
  for (const other of [...process.tracees]) {
    const theirs = other.thread.tracee!;
    if (theirs.tracer !== task) continue;
    if (m.point(Op.Process, other.process!.pid)) yield SWITCH;
    process.tracees.delete(other);
    other.thread.tracee = null;
    if ((theirs.options & TraceOption.EXITKILL) !== 0) m.signals.kill(other.process!);
    if (theirs.stop === null) continue;
    theirs.stop = null;
    m.sched.wake(other);
  }
}
