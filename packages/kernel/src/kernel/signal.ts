/**
 * @linux kernel/signal.c
 * @omits Core dumps.
 * @own forceSignal, pendingMask, sendToProcess, sendToThread, setBlocked, signalBit, signalName, sigtimedwait
 */
import type { Kernel } from "../kernel.js";
import { Event, TraceSignalResult } from "../trace.js";
import type { Machine } from "../machine.js";
import { BLOCK, SWITCH, type Atomic, type MaySleep } from "./coroutine.js";
import { maySignal } from "./cred.js";
import { Errno } from "./errno.js";
import { hasStopped, isOrphaned, notifyParent } from "./job_control.js";
import { Op } from "./op.js";
import type { PosixTimer } from "./posix_timers.js";
import type { Process } from "./process.js";
import { RLIM_INFINITY, Rlimit } from "./rlimit.js";
import { TaskState, type Task } from "./sched.js";
import { INTERRUPTED_STOP } from "./tracee.js";

/** Signal numbers of the generic Linux ABI. */
export enum Sig {
  SIGHUP = 1,
  SIGINT,
  SIGQUIT,
  SIGILL,
  SIGTRAP,
  SIGABRT,
  SIGBUS,
  SIGFPE,
  SIGKILL,
  SIGUSR1,
  SIGSEGV,
  SIGUSR2,
  SIGPIPE,
  SIGALRM,
  SIGTERM,
  SIGSTKFLT,
  SIGCHLD,
  SIGCONT,
  SIGSTOP,
  SIGTSTP,
  SIGTTIN,
  SIGTTOU,
  SIGURG,
  SIGXCPU,
  SIGXFSZ,
  SIGVTALRM,
  SIGPROF,
  SIGWINCH,
  SIGIO,
  SIGPWR,
  SIGSYS,
}
export const SIGRTMIN = 32;
export const NSIG = 64;

export const SIG_DFL = 0;
export const SIG_IGN = 1;

export enum SA {
  NOCLDSTOP = 1,
  NOCLDWAIT = 2,
  SIGINFO = 4,
  ONSTACK = 0x0800_0000,
  RESTART = 0x1000_0000,
  NODEFER = 0x4000_0000,
  RESETHAND = 0x8000_0000,
}

/** si_code values. */
export enum SI {
  USER = 0,
  TIMER = -2,
  MESGQ = -3,
  TKILL = -6,
  KERNEL = 0x80,
}

/** What siginfo_t tells. `addr` is exact below 2^53. */
export interface SignalInfo {
  readonly signo: number;
  readonly code: number;
  /** si_addr of faults, else 0. */
  readonly addr: number;
  /** si_addr_lsb of SIGBUS for broken memory. */
  readonly addrLsb?: number;
  /** Sender, else 0. */
  readonly pid?: number;
  /** si_status of SIGCHLD: the exit code, or the signal. */
  readonly status?: number;
  /** Exact si_addr where it does not fit a number. */
  readonly addrBig?: bigint;
  /** si_value of rt_sigqueueinfo and the like. */
  readonly value?: bigint;
  /** si_overrun of a timer: how often its time has come unnoticed. */
  readonly overrun?: number;
  /** The timer that has sent it. */
  readonly timer?: PosixTimer;
}

/** How one signal is handled; addresses are user addresses. */
export interface SignalAction {
  /** 0 for SIG_DFL, 1 for SIG_IGN, else the handler's address. */
  handler: number;
  /** SA_*, as an unsigned number. */
  flags: number;
  /** Signals blocked while the handler runs: bit n - 1 for signal n. */
  mask: bigint;
}

const DEFAULT_ACTION: SignalAction = { handler: SIG_DFL, flags: 0, mask: 0n };

/** Dispositions of a process, by signal number. */
export class SignalHandlers {
  readonly actions: Map<number, SignalAction>;

  /** What another process does, where it is a copy of that. */
  constructor(other: SignalHandlers | null = null) {
    this.actions = new Map([...(other?.actions ?? [])].map(([signo, action]) => [signo, { ...action }]));
  }

  /** A table with what is ignored here, and the default for all else. */
  ignored(): SignalHandlers {
    const handlers = new SignalHandlers();
    for (const [signo, { handler }] of this.actions) {
      if (handler === SIG_IGN) handlers.actions.set(signo, { handler, flags: 0, mask: 0n });
    }
    return handlers;
  }

  get(signo: number): SignalAction {
    return this.actions.get(signo) ?? DEFAULT_ACTION;
  }
}

/** Error numbers that never reach a program: how an interrupted call goes on. */
export enum Restart {
  /** Again if the handler has SA_RESTART or there is none, else EINTR. */
  ERESTARTSYS = 512,
  /** Again whatever the handler says. */
  ERESTARTNOINTR = 513,
  /** EINTR if a handler runs, else again. */
  ERESTARTNOHAND = 514,
  /** As ERESTARTNOHAND: what goes on is the rest of a timed sleep. */
  ERESTART_RESTARTBLOCK = 516,
}

export function signalBit(signo: number): bigint {
  return 1n << BigInt(signo - 1);
}

/** No program can block or handle these. */
export const UNBLOCKABLE = signalBit(Sig.SIGKILL) | signalBit(Sig.SIGSTOP);
/** Raised by an instruction: delivered before others. */
const SYNCHRONOUS: readonly number[] = [Sig.SIGSEGV, Sig.SIGBUS, Sig.SIGILL, Sig.SIGTRAP, Sig.SIGFPE, Sig.SIGSYS];
const IGNORED_BY_DEFAULT: readonly number[] = [Sig.SIGCHLD, Sig.SIGCONT, Sig.SIGURG, Sig.SIGWINCH];
const STOPS_BY_DEFAULT: readonly number[] = [Sig.SIGSTOP, Sig.SIGTSTP, Sig.SIGTTIN, Sig.SIGTTOU];
const DUMPS_BY_DEFAULT: readonly number[] = [
  Sig.SIGQUIT,
  Sig.SIGILL,
  Sig.SIGTRAP,
  Sig.SIGABRT,
  Sig.SIGBUS,
  Sig.SIGFPE,
  Sig.SIGSEGV,
  Sig.SIGXCPU,
  Sig.SIGXFSZ,
  Sig.SIGSYS,
];

/** `SIGSEGV`, `SIGRT_3`: as strace names signals. */
export function signalName(signo: number): string {
  return Sig[signo] ?? `SIGRT_${signo - SIGRTMIN}`;
}

function isBlocked(task: Task, signo: number): boolean {
  return task.blockedSignals !== 0n && (task.blockedSignals & signalBit(signo)) !== 0n;
}

function isAwaited(task: Task, signo: number): boolean {
  return (task.thread.awaitedSignals & signalBit(signo)) !== 0n;
}

function isIgnored(process: Process, signo: number): boolean {
  const { handler } = process.handlers.get(signo);
  if (handler === SIG_IGN) return true;
  return handler === SIG_DFL && IGNORED_BY_DEFAULT.includes(signo);
}

/** True when the signal kills the whole group at once, without so much as a core dump. */
function killsAtOnce(process: Process, signo: number): boolean {
  if (process.handlers.get(signo).handler !== SIG_DFL) return false;
  return ![IGNORED_BY_DEFAULT, STOPS_BY_DEFAULT, DUMPS_BY_DEFAULT].some((signals) => signals.includes(signo));
}

/**
 * The signals of a machine. The methods change state at one moment and have no points of their
 * own, so that timers can call them too; tasks go through the functions below, which do.
 */
export class Signals {
  constructor(private readonly m: Machine) {}

  /** True when a signal is pending that ends a sleep of this kind. */
  endsSleep(task: Task, state: TaskState): boolean {
    if (state === TaskState.Interruptible) return this.pending(task);
    return (state === TaskState.Killable || state === TaskState.Stopped) && this.fatalPending(task);
  }

  /** True when any unblocked signal is pending, or the thread is to stop. */
  pending(task: Task): boolean {
    if (task.process !== null && task.process.stopSignal !== 0 && !task.thread.stopped) return true;
    const { tracee } = task.thread;
    if (tracee !== null && !task.thread.stopped && (tracee.interrupted || tracee.injected !== null)) return true;
    const shared = task.process?.sharedPending;
    if (task.pendingSignals.size === 0 && (shared === undefined || shared.size === 0)) return false;
    for (const signo of task.pendingSignals) if (!isBlocked(task, signo)) return true;
    if (shared !== undefined) for (const signo of shared) if (!isBlocked(task, signo)) return true;
    return false;
  }

  /** True when SIGKILL is pending. */
  fatalPending(task: Task): boolean {
    return task.pendingSignals.has(Sig.SIGKILL);
  }

  /** Sends SIGKILL to a process, as the OOM killer does. */
  kill(process: Process): void {
    this.send(process, null, { signo: Sig.SIGKILL, code: SI.KERNEL, addr: 0 });
  }

  /** Signals of a user's processes that are queued, and timers that will send one. */
  queuedBy(uid: number): number {
    let queued = 0;
    for (const process of this.m.processes.values()) if (process.cred.uid === uid) queued += queuedSignals(process);
    return queued;
  }

  /** Whether a process may have one more signal pending, or timer that sends one (RLIMIT_SIGPENDING). */
  mayQueue(process: Process): boolean {
    const limit = process.limits[Rlimit.SIGPENDING]!.current;
    return limit === RLIM_INFINITY || this.queuedBy(process.cred.uid) < Number(limit);
  }

  /** Sends a signal to a process, or to one thread of it. "full" where a real-time signal cannot be queued with its details. */
  send(process: Process, thread: Task | null, info: SignalInfo): "queued" | "ignored" | "full" {
    const { signo } = info;
    // The operator's shell handles what it is sent itself, and init cannot be killed.
    if (process.zombie || process.pid === 1) return "ignored";
    const main = thread ?? firstOf(process);
    if (main === null) return "ignored";
    if (STOPS_BY_DEFAULT.includes(signo)) forget(process, [Sig.SIGCONT]);
    else if (signo === Sig.SIGCONT) {
      forget(process, STOPS_BY_DEFAULT);
      this.goOn(process);
    }
    // A tracer sees what is ignored, too.
    const matters = process.isOperator || signo === Sig.SIGKILL || main.thread.tracee !== null || isBlocked(main, signo) || isAwaited(main, signo);
    if (!matters && isIgnored(process, signo)) {
      this.traceGenerate(info, main, thread === null, TraceSignalResult.IGNORED);
      return "ignored";
    }
    const pending = thread !== null ? thread.pendingSignals : process.sharedPending;
    const details = thread !== null ? thread.thread.signalInfo : process.sharedSignalInfo;
    const queue = details.get(signo) ?? [];
    // Real-time signals queue, the others merge with what is pending.
    if (pending.has(signo) && signo < SIGRTMIN) {
      this.traceGenerate(info, main, thread === null, TraceSignalResult.ALREADY_PENDING);
      return info.timer === undefined ? "queued" : "ignored";
    }
    // A timer has its place already; who only says kill() loses the details.
    const hasRoom = signo < SIGRTMIN || info.timer !== undefined || this.mayQueue(process);
    if (!hasRoom && info.code !== SI.USER) {
      this.traceGenerate(info, main, thread === null, TraceSignalResult.OVERFLOW_FAIL);
      return "full";
    }
    this.traceGenerate(info, main, thread === null, hasRoom ? TraceSignalResult.DELIVERED : TraceSignalResult.LOSE_INFO);
    if (hasRoom) queue.push(info);
    details.set(signo, queue);
    pending.add(signo);
    if (this.m.signalfds > 0) this.m.pollWait.wakeAll();
    const taker = thread ?? this.takerOf(process, signo);
    // Who has stopped takes nothing but SIGKILL until it goes on.
    if (taker === null || isBlocked(taker, signo) || (taker.thread.stopped && signo !== Sig.SIGKILL)) return "queued";
    const alone = taker.thread.tracee === null || signo === Sig.SIGKILL;
    if (!process.isOperator && !isAwaited(taker, signo) && alone && killsAtOnce(process, signo)) this.startGroupExit(process, signo);
    else this.wakeFor(taker);
    return "queued";
  }

  /** The threads of a group are to stop; the current one goes there itself. */
  startGroupStop(process: Process, signo: number): void {
    process.stopSignal = signo;
    for (const task of process.threads) this.wakeFor(task);
  }

  /** SIGCONT has come: whether somebody handles it, ignores it, or has it blocked. */
  private goOn(process: Process): void {
    if (process.stopSignal === 0) return;
    const wasStopped = hasStopped(process);
    process.stopSignal = 0;
    for (const task of process.threads) if (task.thread.stopped) this.m.sched.wake(task);
    if (wasStopped) notifyParent(this.m, process, "continued");
  }

  private traceGenerate({ signo, code }: SignalInfo, task: Task, group: boolean, result: TraceSignalResult): void {
    this.m.sink?.emit(Event.SignalGenerate, signo, 0, code, task.id, group ? 1 : 0, result);
  }

  /** All threads of the group but one are to exit, for execve(2). */
  zapOthers(process: Process, task: Task): void {
    for (const other of process.threads) {
      if (other === task) continue;
      other.pendingSignals.add(Sig.SIGKILL);
      this.wakeFor(other);
    }
  }

  /** All threads of the group are to exit with this status, those that sleep killably too. */
  startGroupExit(process: Process, status: number): void {
    process.exitStatus ??= status;
    process.stopSignal = 0;
    for (const task of process.threads) {
      task.pendingSignals.add(Sig.SIGKILL);
      this.wakeFor(task);
    }
  }

  private takerOf(process: Process, signo: number): Task | null {
    for (const task of process.threads) if (!isBlocked(task, signo) && (!task.thread.stopped || signo === Sig.SIGKILL)) return task;
    return null;
  }

  /** A thread is to look around on its way to user mode: ends a sleep that what is pending may end. */
  wakeFor(task: Task): void {
    if (this.endsSleep(task, task.state)) this.m.sched.wake(task);
  }
}

/** Places for signals that a process takes: those that are queued, and one for each timer. */
function queuedSignals(process: Process): number {
  let n = process.posixTimers.size;
  const count = (details: ReadonlyMap<number, readonly SignalInfo[]>): void => {
    for (const queue of details.values()) for (const { timer } of queue) if (timer === undefined) n++;
  };
  count(process.sharedSignalInfo);
  for (const { thread } of process.threads) count(thread.signalInfo);
  return n;
}

/** Signals that are pending are not any more, for the group and for each thread. */
function forget(process: Process, signals: readonly number[]): void {
  for (const signo of signals) {
    process.sharedPending.delete(signo);
    process.sharedSignalInfo.delete(signo);
    for (const task of process.threads) {
      task.pendingSignals.delete(signo);
      task.thread.signalInfo.delete(signo);
    }
  }
}

function firstOf(process: Process): Task | null {
  for (const task of process.threads) return task;
  return null;
}

/** Sends a signal to a process as a task does it: 0, or -EAGAIN where no more can be queued. */
export function* sendToProcess(k: Kernel, process: Process, info: SignalInfo): Atomic<number> {
  if (k.m.point(Op.Process, process.pid)) yield SWITCH;
  return k.m.signals.send(process, null, info) === "full" ? -Errno.EAGAIN : 0;
}

/** Sends a signal to one thread: 0 or -EAGAIN. */
export function* sendToThread(k: Kernel, task: Task, info: SignalInfo): Atomic<number> {
  if (k.m.point(Op.Wake, task.id)) yield SWITCH;
  return task.process !== null && k.m.signals.send(task.process, task, info) === "full" ? -Errno.EAGAIN : 0;
}

/** kill(2): 0, -EINVAL, -ESRCH, -EPERM. */
export function* kill(k: Kernel, pid: number, signo: number): Atomic<number> {
  const { m } = k;
  if (signo < 0 || signo > NSIG) return -Errno.EINVAL;
  const sender = m.current!.process!;
  const info: SignalInfo = { signo, code: SI.USER, addr: 0, pid: sender.pid };
  const targets: Process[] = [];
  for (const p of m.processes.values()) {
    if (pid > 0 ? p.pid === pid : pid === -1 ? p.pid > 1 && p !== sender && !p.isOperator : p.pgid === (pid === 0 ? sender.pgid : -pid)) {
      targets.push(p);
    }
  }
  if (targets.length === 0) return -Errno.ESRCH;
  const allowed = targets.filter((target) => maySignal(sender, target) || (signo === Sig.SIGCONT && target.sid === sender.sid));
  if (signo !== 0) for (const p of allowed) yield* k.signal.sendToProcess(k, p, info);
  return allowed.length === 0 ? -Errno.EPERM : 0;
}

/** tkill(2) and tgkill(2); `tgid` is 0 where any thread group will do. */
export function* tgkill(k: Kernel, tgid: number, tid: number, signo: number): Atomic<number> {
  const { m } = k;
  if (signo < 0 || signo > NSIG || tid <= 0) return -Errno.EINVAL;
  const task = m.tasks.get(tid);
  if (task === undefined || task.process === null) return -Errno.ESRCH;
  if (tgid !== 0 && task.process.pid !== tgid) return -Errno.ESRCH;
  if (!maySignal(m.current!.process!, task.process)) return -Errno.EPERM;
  if (signo === 0) return 0;
  return yield* k.signal.sendToThread(k, task, { signo, code: SI.TKILL, addr: 0, pid: m.current!.process!.pid });
}

/** Makes the current thread take a signal that it can neither ignore nor block: faults. */
export function forceSignal(k: Kernel, info: SignalInfo): void {
  const task = k.m.current!;
  const process = task.process!;
  const { signo } = info;
  const action = process.handlers.get(signo);
  if (action.handler === SIG_IGN || isBlocked(task, signo)) {
    process.handlers.actions.set(signo, { ...DEFAULT_ACTION });
    task.blockedSignals &= ~signalBit(signo);
  }
  task.pendingSignals.add(signo);
  task.thread.signalInfo.set(signo, [info]);
}

/** Takes the next unblocked signal of the current thread, or null. */
export function dequeueSignal(k: Kernel, mask = k.m.current!.blockedSignals): SignalInfo | null {
  const task = k.m.current!;
  const process = task.process!;
  for (;;) {
    const own = pickFrom(task.pendingSignals, mask);
    const shared = own !== 0 ? 0 : pickFrom(process.sharedPending, mask);
    if (own === 0 && shared === 0) return null;
    const info = own !== 0 ? take(task.pendingSignals, task.thread.signalInfo, own) : take(process.sharedPending, process.sharedSignalInfo, shared);
    if (shared === Sig.SIGALRM) k.time.realTimerTaken(k, process);
    const told = info.timer === undefined ? info : k.posixTimers.timerDeliver(k, info, info.timer);
    if (told !== null) return told;
  }
}

function pickFrom(pending: ReadonlySet<number>, mask: bigint): number {
  let best = 0;
  for (const signo of pending) {
    if ((mask & signalBit(signo)) !== 0n) continue;
    if (SYNCHRONOUS.includes(signo)) return signo;
    if (best === 0 || signo < best) best = signo;
  }
  return best;
}

function take(pending: Set<number>, details: Map<number, SignalInfo[]>, signo: number): SignalInfo {
  const queue = details.get(signo);
  // There was no room for its details.
  const info = queue?.shift() ?? { signo, code: SI.USER, addr: 0, pid: 0 };
  if (queue === undefined || queue.length === 0) {
    pending.delete(signo);
    details.delete(signo);
  }
  return info;
}

/** What a thread has to do before it goes on in user mode. */
export type Delivery =
  | { readonly kind: "handler"; readonly info: SignalInfo; readonly action: SignalAction }
  /** `status` as wait(2) reports it. `info` is null when another thread began the exit. */
  | { readonly kind: "die"; readonly status: number; readonly info: SignalInfo | null }
  /** The thread stops for its tracer, which chooses what becomes of the signal; null where there is none to choose about. */
  | { readonly kind: "trace"; readonly code: number; readonly info: SignalInfo | null }
  /** The group stops. */
  | { readonly kind: "stop" }
  /** This thread alone ends: another one executes a new program. */
  | { readonly kind: "leave" };

/** The next signal that has an effect on the current thread; null when there is none. */
export function getSignal(k: Kernel): Delivery | null {
  const task = k.m.current!;
  const process = task.process!;
  for (;;) {
    if (process.exitStatus !== null) return { kind: "die", status: process.exitStatus, info: killer(task, process) };
    if (process.execTask !== null && process.execTask !== task) return { kind: "leave" };
    if (process.stopSignal !== 0) return { kind: "stop" };
    const { tracee } = task.thread;
    if (tracee?.interrupted === true) return { kind: "trace", code: INTERRUPTED_STOP, info: null };
    const injected = tracee?.injected ?? null;
    if (tracee !== null) tracee.injected = null;
    const info = injected ?? k.signal.dequeueSignal(k);
    if (info === null) return null;
    const { signo } = info;
    if (tracee !== null && injected === null && signo !== Sig.SIGKILL) return { kind: "trace", code: signo, info };
    const action = process.handlers.get(signo);
    k.m.sink?.emit(Event.SignalDeliver, signo, 0, info.code, action.handler, action.flags);
    if (signo !== Sig.SIGKILL) {
      if (isIgnored(process, signo)) continue;
      if (action.handler !== SIG_DFL) {
        if ((action.flags & SA.RESETHAND) !== 0) process.handlers.actions.set(signo, { ...DEFAULT_ACTION });
        return { kind: "handler", info, action };
      }
      if (STOPS_BY_DEFAULT.includes(signo)) {
        // The terminal's stop signals are for groups that a shell looks after.
        if (signo !== Sig.SIGSTOP && isOrphaned(k.m, process.pgid, null)) continue;
        // A traced thread stops for its tracer once more, and for nobody else.
        if (tracee !== null) return { kind: "trace", code: signo, info: null };
        k.m.signals.startGroupStop(process, signo);
        return { kind: "stop" };
      }
    }
    // Bit 7 tells of a core dump; core files are not written, so it stays clear.
    return { kind: "die", status: signo, info };
  }
}

/** The signal that started a group exit, if it was one and this thread is the first to see it. */
function killer(task: Task, process: Process): SignalInfo | null {
  const signo = process.exitStatus! & 127;
  if (signo === 0) return null;
  return task.thread.signalInfo.get(signo)?.[0] ?? process.sharedSignalInfo.get(signo)?.[0] ?? { signo, code: SI.KERNEL, addr: 0 };
}

/** rt_sigaction(2): the old action, or a negated errno. */
export function* sigaction(k: Kernel, signo: number, action: SignalAction | null): Atomic<SignalAction | number> {
  if (k.m.point(Op.Process, k.m.current!.process!.pid)) yield SWITCH;
  const process = k.m.current!.process!;
  if (signo < 1 || signo > NSIG || (action !== null && (signo === Sig.SIGKILL || signo === Sig.SIGSTOP))) return -Errno.EINVAL;
  const old = { ...process.handlers.get(signo) };
  if (action !== null) {
    process.handlers.actions.set(signo, { ...action, mask: action.mask & ~UNBLOCKABLE });
    const ignored = isIgnored(process, signo);
    // What is now ignored is not delivered later either.
    if (ignored) forget(process, [signo]);
    k.posixTimers.timersAfterAction(k, process, signo, ignored);
  }
  return old;
}

/** Replaces the current thread's mask of blocked signals. */
export function setBlocked(k: Kernel, mask: bigint): void {
  k.m.current!.blockedSignals = mask & ~UNBLOCKABLE & 0xffff_ffff_ffff_ffffn;
}

/** All pending signals of the current thread, blocked or not. */
export function pendingMask(k: Kernel): bigint {
  const task = k.m.current!;
  let mask = 0n;
  for (const signo of task.pendingSignals) mask |= signalBit(signo);
  for (const signo of task.process!.sharedPending) mask |= signalBit(signo);
  return mask;
}

/** pause(2): sleeps until a signal; always a negated restart code. */
export function* pause(k: Kernel): MaySleep<number> {
  const { m } = k;
  const task = m.current!;
  while (!m.signalWakes(task, TaskState.Interruptible)) {
    task.state = TaskState.Interruptible;
    task.waitingFor = "a signal";
    yield BLOCK;
  }
  return -Restart.ERESTARTNOHAND;
}

/** rt_sigsuspend(2). The old mask is back once the signal's handler has its frame. */
export function* sigsuspend(k: Kernel, mask: bigint): MaySleep<number> {
  const task = k.m.current!;
  task.thread.savedSigmask = task.blockedSignals;
  k.signal.setBlocked(k, mask);
  return yield* k.signal.pause(k);
}

/**
 * rt_sigtimedwait(2): takes a signal out of `set`; its details, or -EAGAIN after `timeoutNs`
 * (Infinity: never), or -EINTR.
 */
export function* sigtimedwait(k: Kernel, set: bigint, timeoutNs: number): MaySleep<SignalInfo | number> {
  const { m } = k;
  const task = m.current!;
  const wanted = set & ~UNBLOCKABLE;
  if (m.point(Op.Process, task.process!.pid)) yield SWITCH;
  let info = k.signal.dequeueSignal(k, ~wanted);
  if (info !== null) return info;
  if (timeoutNs === 0) return -Errno.EAGAIN;
  const old = task.blockedSignals;
  task.blockedSignals = old & ~wanted;
  task.thread.awaitedSignals = wanted;
  yield* k.time.sleepUntil(k, m.now() + timeoutNs, "a signal (sigtimedwait)");
  task.blockedSignals = old;
  task.thread.awaitedSignals = 0n;
  info = k.signal.dequeueSignal(k, ~wanted);
  if (info !== null) return info;
  return m.signals.pending(task) ? -Errno.EINTR : -Errno.EAGAIN;
}
