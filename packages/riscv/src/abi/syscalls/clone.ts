import { Errno, maxThreads, NSIG, Op, SS_DISABLE, SWITCH, Task, TaskState, WaitQueue, type Atomic, type Kernel, type MaySleep, type Mm, type Process } from "@faultline/kernel";
import type { GuestThread } from "../guest_thread.js";
import { REG_A0, REG_SP, REG_TP } from "../registers.js";
import { getU64, readStruct } from "../user.js";
import type { Handler } from "./syscall.js";

enum Clone {
  VM = 0x100,
  FS = 0x200,
  FILES = 0x400,
  SIGHAND = 0x800,
  VFORK = 0x4000,
  THREAD = 0x10000,
  SYSVSEM = 0x40000,
  SETTLS = 0x80000,
  PARENT_SETTID = 0x100000,
  CHILD_CLEARTID = 0x200000,
  DETACHED = 0x400000,
  CHILD_SETTID = 0x1000000,
}
/** What there is, beside the signal of the child's end in the low byte. */
const FLAGS =
  Clone.VM | Clone.FS | Clone.FILES | Clone.SIGHAND | Clone.VFORK | Clone.THREAD | Clone.SYSVSEM | Clone.SETTLS |
  Clone.PARENT_SETTID | Clone.CHILD_CLEARTID | Clone.DETACHED | Clone.CHILD_SETTID;
const SIGNAL_MASK = 255;

interface CloneArgs {
  readonly flags: number;
  /** Stack pointer of the child; 0 keeps the parent's. */
  readonly sp: number;
  readonly tls: number;
  readonly parentTid: number;
  readonly childTid: number;
}

/** A new thread of this process, or of a process of its own: its id, or a negated errno. */
function* cloneTask(t: GuestThread, args: CloneArgs): MaySleep<number> {
  const { k, task } = t;
  const { m } = k;
  const flags = args.flags & ~SIGNAL_MASK;
  if ((flags & Clone.THREAD) !== 0 && (flags & Clone.SIGHAND) === 0) return -Errno.EINVAL;
  if ((flags & Clone.SIGHAND) !== 0 && (flags & Clone.VM) === 0) return -Errno.EINVAL;
  if ((flags & ~FLAGS) !== 0) {
    m.dmesg.printOnce(`${task.comm}[${task.id}]: clone with flags 0x${args.flags.toString(16)} is not implemented`);
    return -Errno.ENOSYS;
  }
  if (m.tasks.size >= maxThreads(m)) return -Errno.EAGAIN;
  const mm = (flags & Clone.VM) !== 0 ? task.mm! : yield* k.fork.dupMm(k, task.mm!);
  if (mm === null) return -Errno.ENOMEM;
  const id = m.sched.allocateTaskId();
  const process = (flags & Clone.THREAD) !== 0 ? task.process! : yield* newProcess(k, id, mm, args.flags);
  if ((flags & Clone.PARENT_SETTID) !== 0) yield* k.uaccess.putUser32(k, args.parentTid, id);
  const created = newTask(t, id, process, mm, args);
  if ((flags & Clone.VM) !== 0) yield* shareMm(k, mm);
  const done = (flags & Clone.VFORK) === 0 ? null : new WaitQueue(m);
  created.thread.vforkDone = done;
  yield* addThread(t, process, created, args.flags);
  // The child has the stack, until it has left.
  while (done !== null && created.thread.vforkDone === done && !m.signals.fatalPending(task)) yield* done.sleep(TaskState.Killable, "vfork");
  return id;
}

function* newProcess(k: Kernel, pid: number, mm: Mm, flags: number): Atomic<Process> {
  const process = yield* k.fork.copyProcess(k, pid, {
    files: (flags & Clone.FILES) !== 0,
    handlers: (flags & Clone.SIGHAND) !== 0,
    exitSignal: flags & SIGNAL_MASK,
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
    // The child writes this itself, in its own time, as in Linux.
    if ((flags & Clone.CHILD_SETTID) !== 0) yield* k.uaccess.putUser32(k, args.childTid, id);
    return true;
  };
  const created = new Task(id, task.comm, m.sched.leastLoadedCpu(task.thread.affinity), child.body(begin), { process, mm, memcg: task.memcg });
  child.task = created;
  created.blockedSignals = task.blockedSignals;
  created.thread.affinity = task.thread.affinity;
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
  return yield* cloneTask(t, { flags: flags!, sp: sp!, parentTid: parentTid!, tls: tls!, childTid: childTid! });
};

export const clone3: Handler = function* (t, [address, size]) {
  if (size! < 64) return -Errno.EINVAL;
  if (size! > 4096) return -Errno.E2BIG;
  const view = yield* readStruct(t.k, address!, Math.min(size!, 88));
  if (view === null) return -Errno.EFAULT;
  const stack = getU64(view, 40);
  const stackSize = getU64(view, 48);
  if ((stack === 0) !== (stackSize === 0)) return -Errno.EINVAL;
  const signal = getU64(view, 32);
  if (signal > NSIG) return -Errno.EINVAL;
  return yield* cloneTask(t, {
    flags: getU64(view, 0) + signal,
    sp: stack + stackSize,
    parentTid: getU64(view, 24),
    childTid: getU64(view, 16),
    tls: getU64(view, 56),
  });
};
