import { SWITCH, type MaySleep } from "../kernel/coroutine.js";
import { Errno } from "../kernel/errno.js";
import { Op } from "../kernel/op.js";
import type { Process } from "../kernel/process.js";
import type { Task } from "../kernel/sched.js";
import type { Kernel } from "../kernel.js";
import { anonFile } from "./anon_inode.js";
import { O, Poll, POLL_READABLE, type OpenFile } from "./vfs.js";

/** Flags of pidfd_open(2). */
export enum PidfdFlag {
  NONBLOCK = O.NONBLOCK,
  /** Of one thread (since 6.9). */
  THREAD = O.EXCL,
}

/** Whom a pidfd stands for; a thread that is not the first of its group has one only with PIDFD_THREAD. */
export interface PidfdTarget {
  readonly process: Process;
  readonly thread: Task | null;
}

/** Null for a file that is no pidfd. */
export function pidfdTarget(file: OpenFile): PidfdTarget | null {
  return file.data instanceof Target ? file.data : null;
}

class Target implements PidfdTarget {
  constructor(
    readonly process: Process,
    readonly thread: Task | null,
  ) {}
}

/** A file that stands for a process, or with PIDFD_THREAD for a thread. It can be polled for its end. */
export function makePidfd(k: Kernel, process: Process, thread: Task | null, flags: number): OpenFile {
  const { m } = k;
  const poll = (): number => {
    if (m.processes.get(process.pid) !== process) return POLL_READABLE | Poll.HUP;
    return process.zombie || (thread !== null && !process.threads.has(thread)) ? POLL_READABLE : 0;
  };
  const showFdinfo = (): string => {
    const gone = m.processes.get(process.pid) !== process;
    const id = gone ? -1 : (thread?.id ?? process.pid);
    return `Pid:\t${id}\nNSpid:\t${id}\n`;
  };
  const file = anonFile(k, "[pidfd]", { poll, showFdinfo }, O.RDWR | (flags & (O.NONBLOCK | O.EXCL)), 0o700);
  file.data = new Target(process, thread);
  return file;
}

/** pidfd_open(2) short of its descriptor: a file, or a negated errno. */
export function* pidfdOpen(k: Kernel, pid: number, flags: number): MaySleep<OpenFile | number> {
  const { m } = k;
  if (pid <= 0 || (flags & ~(PidfdFlag.NONBLOCK | PidfdFlag.THREAD)) !== 0) return -Errno.EINVAL;
  if (m.point(Op.Process, pid)) yield SWITCH;
  const task = m.tasks.get(pid) ?? null;
  const process = m.processes.get(pid) ?? task?.process ?? null;
  if (process === null) return -Errno.ESRCH;
  if ((flags & PidfdFlag.THREAD) !== 0) return makePidfd(k, process, task, flags);
  return process.pid === pid ? makePidfd(k, process, null, flags) : -Errno.ENOENT;
}
