import { Cap, capable, Errno, FileTable, maxThreads, NSIG, Op, SS_DISABLE, SWITCH, Task, TaskState, WaitQueue, type Atomic, type Kernel, type MaySleep, type Mm, type PidfdTarget, type Process, rlimit, Rlimit, shareSemUndo } from "@faultline/kernel";
import type { GuestThread } from "../guest_thread.js";
import { REG_A0, REG_SP, REG_TP } from "../registers.js";
import { getU64, readStruct } from "../user.js";
import { installPidfd } from "./pidfd.js";
import { SCHED_RESET_ON_FORK } from "./sched.js";
import type { Handler } from "./syscall.js";

enum Clone {
  VM = 0x100,
  FS = 0x200,
  FILES = 0x400,
  SIGHAND = 0x800,
  PIDFD = 0x1000,
  PTRACE = 0x2000,
  VFORK = 0x4000,
  PARENT = 0x8000,
  THREAD = 0x10000,
  NEWNS = 0x20000,
  SYSVSEM = 0x40000,
  SETTLS = 0x80000,
  PARENT_SETTID = 0x100000,
  CHILD_CLEARTID = 0x200000,
  DETACHED = 0x400000,
  UNTRACED = 0x800000,
  CHILD_SETTID = 0x1000000,
  /** NEWCGROUP, NEWUTS, NEWIPC, NEWUSER, NEWPID, NEWNET. */
  NAMESPACES = 0x7e000000,
  IO = 0x80000000,
}
/** Of clone3(2) alone. */
const CLONE_CLEAR_SIGHAND = 2 ** 32;
const CLONE_INTO_CGROUP = 2 ** 33;
const SIGNAL_MASK = 255;

interface CloneArgs {
  /** Without the signal of the child's end. */
  readonly flags: number;
  readonly exitSignal: number;
  /** Every handler of the child's is the default one. */
  readonly clearSighand: boolean;
  /** Stack pointer of the child; 0 keeps the parent's. */
  readonly sp: number;
  readonly tls: number;
  /** Where a pidfd goes; the same as `parentTid` for clone(2). */
  readonly pidfd: number;
  readonly parentTid: number;
  readonly childTid: number;
}

/** What cannot be together, or is not there; 0 where nothing is wrong. */
function checkFlags({ flags, clearSighand, pidfd, parentTid }: CloneArgs): number {
  const has = (flag: Clone): boolean => (flags & flag) !== 0;
  if (has(Clone.NEWNS) && has(Clone.FS)) return -Errno.EINVAL;
  if (has(Clone.THREAD) && !has(Clone.SIGHAND)) return -Errno.EINVAL;
  if (has(Clone.SIGHAND) && !has(Clone.VM)) return -Errno.EINVAL;
  if (has(Clone.SIGHAND) && clearSighand) return -Errno.EINVAL;
  if (has(Clone.PIDFD) && has(Clone.DETACHED)) return -Errno.EINVAL;
  if (has(Clone.PIDFD) && has(Clone.PARENT_SETTID) && pidfd === parentTid) return -Errno.EINVAL;
  return has(Clone.NAMESPACES) ? -Errno.EINVAL : 0;
}

/** A new thread of this process, or of a process of its own: its id, or a negated errno. */
function* cloneTask(t: GuestThread, args: CloneArgs): MaySleep<number> {
  const { k, task } = t;
  const { m } = k;
  const { flags } = args;
  const wrong = checkFlags(args);
  if (wrong < 0) return wrong;
  // Init's children are not to have brothers that init did not make.
  if ((flags & Clone.PARENT) !== 0 && task.process!.pid === 1) return -Errno.EINVAL;
  if (m.tasks.size >= maxThreads(m) || tooManyProcesses(t)) return -Errno.EAGAIN;
  const files = copyFiles(task.process!.files, flags);
  const mm = (flags & Clone.VM) !== 0 ? task.mm! : yield* k.fork.dupMm(k, task.mm!);
  if (mm === null) {
    if (files !== null) yield* k.exit.exitFiles(k, { files });
    return -Errno.ENOMEM;
  }
  const id = m.sched.allocateTaskId();
  const process = files === null ? task.process! : yield* newProcess(k, id, mm, files, args);
  const created = newTask(t, id, process, mm, args);
  yield* k.uprobeHit.uprobeCopyProcess(k, created, (flags & Clone.VM) !== 0, (flags & Clone.VFORK) !== 0);
  if (m.perfEvents.open.length > 0) k.perfEvent.perfEventInitTask(k, created, (flags & Clone.THREAD) !== 0);
  if ((flags & Clone.PIDFD) !== 0) yield* givePidfd(t, args.pidfd, { process, thread: (flags & Clone.THREAD) !== 0 ? created : null });
  if ((flags & Clone.PARENT_SETTID) !== 0) yield* k.uaccess.putUser32(k, args.parentTid, id);
  if ((flags & Clone.VM) !== 0) yield* shareMm(k, mm);
  const done = (flags & Clone.VFORK) === 0 ? null : new WaitQueue(m);
  created.thread.vforkDone = done;
  yield* addThread(t, process, created, flags | args.exitSignal);
  // The child has the stack, until it has left.
  while (done !== null && created.thread.vforkDone === done && !m.signals.fatalPending(task)) yield* done.sleep(TaskState.Killable, "vfork");
  return id;
}

/** Whether RLIMIT_NPROC keeps the caller's user from one task more; whoever may go beyond limits, and root, is not counted. */
function tooManyProcesses({ k, task }: GuestThread): boolean {
  const { uid } = task.process!.cred;
  const limit = rlimit(k.m, Rlimit.NPROC);
  if (uid === 0 || BigInt(k.m.tasks.size) < limit || capable(k, Cap.SYS_RESOURCE) || capable(k, Cap.SYS_ADMIN)) return false;
  let count = 0n;
  for (const { process } of k.m.tasks.values()) if (process?.cred.uid === uid) count++;
  return count >= limit;
}

/** Where there is no descriptor for it, or no memory, the child goes without. */
function* givePidfd(t: GuestThread, address: number, target: PidfdTarget): MaySleep<void> {
  const fd = yield* installPidfd(t, target);
  if (fd >= 0) yield* t.k.uaccess.putUser32(t.k, address, fd);
}

/** The files of a new process; null for a thread. */
function copyFiles(files: FileTable, flags: number): FileTable | null {
  if ((flags & Clone.THREAD) !== 0) return null;
  return (flags & Clone.FILES) !== 0 ? files.share() : new FileTable(files);
}

function* newProcess(k: Kernel, pid: number, mm: Mm, files: FileTable, { flags, exitSignal, clearSighand }: CloneArgs): Atomic<Process> {
  const process = yield* k.fork.copyProcess(k, pid, {
    files,
    handlers: (flags & Clone.SIGHAND) !== 0,
    fs: (flags & Clone.FS) !== 0,
    clearHandlers: clearSighand,
    sibling: (flags & Clone.PARENT) !== 0,
    exitSignal,
  });
  process.mm = mm;
  return process;
}

function* shareMm(k: Kernel, mm: Mm): Atomic<void> {
  if (k.m.point(Op.MmCounter, mm.id)) yield SWITCH;
  mm.users++;
}

/** A task that goes on where this one is, with 0 for the result. */
function newTask(t: GuestThread, id: number, process: Process, mm: Mm, args: CloneArgs): Task {
  const { k, task, linux } = t;
  const { m } = k;
  const { flags } = args;
  const child = linux.newThread();
  const { registers } = child;
  registers.saveFrom(t.load());
  registers.instret = 0;
  const setX = (register: number, value: number): void => {
    registers.xlo[register] = value | 0;
    registers.xhi[register] = Math.floor(value / 2 ** 32) | 0;
  };
  setX(REG_A0, 0);
  if (args.sp !== 0) setX(REG_SP, args.sp);
  if ((flags & Clone.SETTLS) !== 0) setX(REG_TP, args.tls);
  const begin = function* (): MaySleep<boolean> {
    yield* k.uprobeHit.dupXolWork(k);
    // The child writes this itself, in its own time, as in Linux.
    if ((flags & Clone.CHILD_SETTID) !== 0) yield* k.uaccess.putUser32(k, args.childTid, id);
    return true;
  };
  const created = new Task(id, task.comm, m.sched.leastLoadedCpu(task.thread.affinity), child.body(begin), { process, mm, memcg: task.memcg });
  child.task = created;
  created.blockedSignals = task.blockedSignals;
  if ((flags & Clone.SYSVSEM) !== 0) created.thread.semUndo = shareSemUndo(k, task);
  created.thread.affinity = task.thread.affinity;
  created.thread.timerSlackNs = task.thread.timerSlackNs;
  created.thread.mempolicy = task.thread.mempolicy;
  if ((task.thread.policy & SCHED_RESET_ON_FORK) === 0) {
    created.thread.policy = task.thread.policy;
    created.thread.rtPriority = task.thread.rtPriority;
  }
  // A stack for signals is no use to a thread on another stack of the same memory.
  const keepsStack = (flags & (Clone.VM | Clone.VFORK)) !== Clone.VM;
  created.thread.altStack = keepsStack ? { ...task.thread.altStack } : { sp: 0, size: 0, flags: SS_DISABLE };
  if ((flags & Clone.CHILD_CLEARTID) !== 0) created.clearChildTid = args.childTid;
  return created;
}

/** Makes a new thread visible and runnable; one that joins a group which is exiting exits at once. */
function* addThread(t: GuestThread, process: Process, created: Task, cloneFlags: number): Atomic<void> {
  const { m } = t.k;
  if (m.point(Op.Process, process.pid)) yield SWITCH;
  process.threads.add(created);
  m.tasks.set(created.id, created);
  if (process.exitStatus !== null) created.pendingSignals.add(9);
  m.sched.start(created, cloneFlags);
}

export const clone: Handler = function* (t, [flags, sp, parentTid, tls, childTid]) {
  const bits = flags! >>> 0;
  return yield* cloneTask(t, {
    flags: (bits & ~SIGNAL_MASK) >>> 0,
    exitSignal: bits & SIGNAL_MASK,
    clearSighand: false,
    sp: sp!,
    pidfd: parentTid!,
    parentTid: parentTid!,
    tls: tls!,
    childTid: childTid!,
  });
};

/** What each version of struct clone_args is long, in bytes. */
const CLONE_ARGS_SIZE_MIN = 64;
const CLONE_ARGS_SIZE = 88;

export const clone3: Handler = function* (t, [address, size]) {
  if (size! > 4096) return -Errno.E2BIG;
  if (size! < CLONE_ARGS_SIZE_MIN) return -Errno.EINVAL;
  const given = yield* readStruct(t.k, address!, size!);
  if (given === null) return -Errno.EFAULT;
  const bytes = new Uint8Array(given.buffer);
  // What is not known yet must not be asked for.
  if (bytes.subarray(CLONE_ARGS_SIZE).some((byte) => byte !== 0)) return -Errno.E2BIG;
  const whole = new Uint8Array(CLONE_ARGS_SIZE);
  whole.set(bytes.subarray(0, CLONE_ARGS_SIZE));
  const view = new DataView(whole.buffer);
  const flags = getU64(view, 0);
  const exitSignal = getU64(view, 32);
  const stack = getU64(view, 40);
  const stackSize = getU64(view, 48);
  const setTid = getU64(view, 64);
  const setTidSize = getU64(view, 72);
  const low = flags % 2 ** 32;
  if (flags >= 2 * CLONE_INTO_CGROUP || (low & (SIGNAL_MASK | Clone.DETACHED)) !== 0) return -Errno.EINVAL;
  if ((setTid === 0) !== (setTidSize === 0) || setTidSize > 1) return -Errno.EINVAL;
  if (exitSignal > NSIG || (exitSignal !== 0 && (low & (Clone.THREAD | Clone.PARENT)) !== 0)) return -Errno.EINVAL;
  if ((stack === 0) !== (stackSize === 0)) return -Errno.EINVAL;
  if (setTidSize !== 0 || flags >= CLONE_INTO_CGROUP) {
    const { m } = t.k;
    m.dmesg.printOnce(`${t.task.comm}[${t.task.id}]: clone3 with a chosen id, or into a cgroup, is not implemented`);
    return -Errno.ENOSYS;
  }
  return yield* cloneTask(t, {
    flags: low,
    exitSignal,
    clearSighand: (Math.floor(flags / CLONE_CLEAR_SIGHAND) & 1) !== 0,
    sp: stack + stackSize,
    pidfd: getU64(view, 8),
    parentTid: getU64(view, 24),
    childTid: getU64(view, 16),
    tls: getU64(view, 56),
  });
};
