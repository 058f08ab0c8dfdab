import { Errno, makePidfd, maySignal, NSIG, O, Op, pidfdOpen, pidfdTarget, ptraceMayAccess, SI, SWITCH, type MaySleep, type OpenFile, type PidfdTarget, type SignalInfo } from "@faultline/kernel";
import type { GuestThread } from "../guest_thread.js";
import { readStruct } from "../user.js";
import * as F from "./format.js";
import { installOrPut } from "./fs.js";
import { readInfo } from "./signal.js";
import { call, int, type Handler, type Syscall } from "./syscall.js";

/** Descriptors of pidfd_send_signal(2) and process_madvise(2) that stand for the caller (since 6.14). */
const PIDFD_SELF_THREAD = -10_000;
const PIDFD_SELF_THREAD_GROUP = -10_001;

/** Whom a signal is for. */
enum Scope {
  THREAD = 1,
  THREAD_GROUP = 2,
  PROCESS_GROUP = 4,
}

function targetOf(t: GuestThread, fd: number): PidfdTarget | null {
  const file = t.task.process!.files.get(int(fd));
  return file === null ? null : pidfdTarget(file);
}

/** Whether it has not been waited for yet. */
export function isThere(t: GuestThread, { process, thread }: PidfdTarget): boolean {
  return t.k.m.processes.get(process.pid) === process && (thread === null || process.threads.has(thread));
}

const pidfd_open: Handler = function* (t, [pid, flags]) {
  const file = yield* pidfdOpen(t.k, int(pid!), int(flags!));
  return typeof file === "number" ? file : yield* installOrPut(t, file, true, 0);
};

/** As pidfd_open(2), for what clone(2) makes. */
export function* installPidfd(t: GuestThread, target: PidfdTarget): MaySleep<number> {
  return yield* installOrPut(t, makePidfd(t.k, target.process, target.thread, target.thread === null ? 0 : O.EXCL), true, 0);
}

/** Whom a descriptor is for, of those that may stand for the caller; null for one that is no pidfd. */
export function targetOrSelf(t: GuestThread, fd: number): PidfdTarget | null {
  const process = t.task.process!;
  if (fd === PIDFD_SELF_THREAD) return { process, thread: t.task };
  if (fd === PIDFD_SELF_THREAD_GROUP) return { process, thread: null };
  return targetOf(t, fd);
}

const pidfd_send_signal: Handler = function* (t, [fd, signo, uinfo, flags]) {
  const { k, task } = t;
  const { m } = k;
  const scopes = int(flags!);
  const signal = int(signo!);
  // One scope at most.
  if ((scopes & ~7) !== 0 || (scopes & (scopes - 1)) !== 0) return -Errno.EINVAL;
  const target = targetOrSelf(t, int(fd!));
  if (target === null) return -Errno.EBADF;
  let info: SignalInfo = { signo: signal, code: SI.USER, addr: 0, pid: task.process!.pid };
  const scope = scopes !== 0 ? scopes : target.thread === null ? Scope.THREAD_GROUP : Scope.THREAD;
  if (uinfo !== 0) {
    const view = yield* readStruct(k, uinfo!, 4);
    const given = view === null ? null : yield* readInfo(t, signal, uinfo!);
    if (view === null || given === null) return -Errno.EFAULT;
    if (view.getInt32(0, true) !== signal) return -Errno.EINVAL;
    if (target.process !== task.process && (given.code >= 0 || given.code === SI.TKILL)) return -Errno.EPERM;
    info = given;
  } else if (scope === Scope.THREAD) info = { ...info, code: SI.TKILL };
  if (signal < 0 || signal > NSIG) return -Errno.EINVAL;
  if (m.point(Op.Process, target.process.pid)) yield SWITCH;
  if (!isThere(t, target)) return -Errno.ESRCH;
  if (scope === Scope.PROCESS_GROUP) {
    const members = [...m.processes.values()].filter(({ pgid }) => pgid === target.process.pid);
    for (const process of members) if (signal !== 0) yield* k.signal.sendToProcess(k, process, info);
    return members.length === 0 ? -Errno.ESRCH : 0;
  }
  if (!maySignal(task.process!, target.process)) return -Errno.EPERM;
  if (signal === 0) return 0;
  if (scope === Scope.THREAD_GROUP) return yield* k.signal.sendToProcess(k, target.process, info);
  const thread = target.thread ?? [...target.process.threads].find(({ id }) => id === target.process.pid);
  return thread === undefined ? 0 : yield* k.signal.sendToThread(k, thread, info);
};

const pidfd_getfd: Handler = function* (t, [fd, wanted, flags]) {
  const { k } = t;
  if (int(flags!) !== 0) return -Errno.EINVAL;
  const target = targetOf(t, fd!);
  if (target === null) return -Errno.EBADF;
  if (k.m.point(Op.Process, target.process.pid)) yield SWITCH;
  if (!isThere(t, target) || target.process.zombie) return -Errno.ESRCH;
  if (!ptraceMayAccess(k, target.process, "real")) return -Errno.EPERM;
  const file: OpenFile | null = target.process.files.get(int(wanted!));
  return file === null ? -Errno.EBADF : yield* installOrPut(t, k.m.vfs.get(file), true, 0);
};

const process_mrelease: Handler = function* (t, [fd, flags]) {
  if (int(flags!) !== 0) return -Errno.EINVAL;
  const target = targetOf(t, fd!);
  if (target === null) return -Errno.EBADF;
  return yield* t.k.mrelease.processMrelease(t.k, target.process);
};

const PIDFD_FLAGS = F.flags([[O.NONBLOCK, "PIDFD_NONBLOCK"], [O.EXCL, "PIDFD_THREAD"]]);
const SCOPES = F.flags([[1, "PIDFD_SIGNAL_THREAD"], [2, "PIDFD_SIGNAL_THREAD_GROUP"], [4, "PIDFD_SIGNAL_PROCESS_GROUP"]]);

export const PIDFD: readonly (readonly [number, Syscall])[] = [
  [424, call("pidfd_send_signal", [F.INT, F.SIGNAL, F.POINTER, SCOPES], pidfd_send_signal)],
  [434, call("pidfd_open", [F.INT, PIDFD_FLAGS], pidfd_open)],
  [438, call("pidfd_getfd", [F.INT, F.INT, F.HEX], pidfd_getfd)],
  [448, call("process_mrelease", [F.INT, F.HEX], process_mrelease)],
];
