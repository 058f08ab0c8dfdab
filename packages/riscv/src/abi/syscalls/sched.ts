import { Cap, capable, Errno, Op, rlimit, Rlimit, SWITCH, type MaySleep, type Process, type Task } from "@faultline/kernel";
import type { GuestThread } from "../guest_thread.js";
import * as F from "./format.js";
import { call, int, type Handler, type Syscall } from "./syscall.js";

/** SCHED_*. */
enum Policy {
  OTHER = 0,
  FIFO = 1,
  RR = 2,
  BATCH = 3,
  IDLE = 5,
  DEADLINE = 6,
  EXT = 7,
}
/** Children begin with the default policy. */
export const SCHED_RESET_ON_FORK = 0x4000_0000;
const RT_PRIORITY_MAX = 99;

function isRealtime(policy: number): boolean {
  return policy === (Policy.FIFO as number) || policy === (Policy.RR as number);
}

/** The thread of that id, 0 for the caller; a negated errno. */
function taskOf(t: GuestThread, id: number): Task | number {
  if (int(id) < 0) return -Errno.EINVAL;
  return int(id) === 0 ? t.task : (t.k.m.tasks.get(int(id)) ?? -Errno.ESRCH);
}

/** Whether a thread is of the caller's user, or that does not matter. */
function maySchedule({ k, task: { process } }: GuestThread, task: Task): boolean {
  const { euid } = process!.cred;
  const cred = task.process?.cred;
  return cred === undefined || euid === cred.euid || euid === cred.uid || capable(k, Cap.SYS_NICE);
}

/** Gives a thread a policy, or keeps its own (null). */
function* setPolicy(t: GuestThread, id: number, policy: number | null, param: number): MaySleep<number> {
  if (int(id) < 0 || param === 0) return -Errno.EINVAL;
  const priority = yield* t.k.uaccess.getUser32(t.k, param);
  if (priority === null) return -Errno.EFAULT;
  const task = taskOf(t, id);
  if (typeof task === "number") return task;
  const wanted = policy ?? task.thread.policy;
  const kind = wanted & ~SCHED_RESET_ON_FORK;
  const known = kind === (Policy.OTHER as number) || isRealtime(kind) || kind === (Policy.BATCH as number) || kind === (Policy.IDLE as number);
  if (!known || priority > RT_PRIORITY_MAX || isRealtime(kind) !== priority > 0) return -Errno.EINVAL;
  if (!maySchedule(t, task)) return -Errno.EPERM;
  if (isRealtime(kind) && !capable(t.k, Cap.SYS_NICE) && BigInt(priority) > rlimit(t.k.m, Rlimit.RTPRIO)) return -Errno.EPERM;
  if (t.k.m.point(Op.Wake, task.id)) yield SWITCH;
  task.thread.policy = wanted;
  task.thread.rtPriority = priority;
  return 0;
}

const sched_setscheduler: Handler = function* (t, [id, policy, param]) {
  return int(policy!) < 0 ? -Errno.EINVAL : yield* setPolicy(t, id!, int(policy!), param!);
};

const sched_setparam: Handler = function* (t, [id, param]) {
  return yield* setPolicy(t, id!, null, param!);
};

const sched_getscheduler: Handler = function* (t, [id]) {
  const task = taskOf(t, id!);
  return typeof task === "number" ? task : task.thread.policy;
};

const sched_getparam: Handler = function* (t, [id, param]) {
  if (param === 0) return -Errno.EINVAL;
  const task = taskOf(t, id!);
  return typeof task === "number" ? task : yield* t.k.uaccess.putUser32(t.k, param!, task.thread.rtPriority);
};

/** The limits of a policy's priorities. */
function limit(realtime: number): Handler {
  return function* (_t, [policy]) {
    if (isRealtime(int(policy!))) return realtime;
    return [Policy.OTHER, Policy.BATCH, Policy.IDLE, Policy.DEADLINE, Policy.EXT].includes(int(policy!)) ? 0 : -Errno.EINVAL;
  };
}

enum Prio {
  PROCESS,
  PGRP,
  USER,
}

/** The processes that are meant; a negated errno. */
function meant(t: GuestThread, which: number, who: number): Process[] | number {
  const { m } = t.k;
  const self = t.task.process!;
  if (int(which) < Prio.PROCESS || int(which) > Prio.USER) return -Errno.EINVAL;
  const all = [...m.processes.values()];
  const id = int(who);
  let found: Process[];
  if (int(which) === (Prio.PROCESS as number)) {
    const process = id === 0 ? self : (m.processes.get(id) ?? m.tasks.get(id)?.process);
    found = process == null ? [] : [process];
  } else if (int(which) === (Prio.PGRP as number)) found = all.filter(({ pgid }) => pgid === (id === 0 ? self.pgid : id));
  else found = all.filter(({ cred }) => cred.uid === (id === 0 ? self.cred.uid : id));
  return found.length === 0 ? -Errno.ESRCH : found;
}

const setpriority: Handler = function* (t, [which, who, value]) {
  const processes = meant(t, which!, who!);
  if (typeof processes === "number") return processes;
  const { euid } = t.task.process!.cred;
  const mayAll = capable(t.k, Cap.SYS_NICE);
  const nice = Math.min(Math.max(int(value!), -20), 19);
  let result = 0;
  for (const process of processes) {
    if (t.k.m.point(Op.Process, process.pid)) yield SWITCH;
    const own = process.cred.uid === euid || process.cred.euid === euid;
    // RLIMIT_NICE counts from the least favoured up.
    if (!own && !mayAll) result = -Errno.EPERM;
    else if (nice < process.nice && !mayAll && BigInt(20 - nice) > rlimit(t.k.m, Rlimit.NICE)) result = -Errno.EACCES;
    else process.nice = nice;
  }
  return result;
};

/** Twenty less the nice value, so that it is no errno: of the most favoured. */
const getpriority: Handler = function* (t, [which, who]) {
  const processes = meant(t, which!, who!);
  return typeof processes === "number" ? processes : Math.max(...processes.map(({ nice }) => 20 - nice));
};

/** What a thread runs for before it is another's turn, in nanoseconds: none of SCHED_FIFO, 100 ms of SCHED_RR, else what is usual. */
const RR_INTERVAL_NS = 100_000_000;
const FAIR_SLICE_NS = 2_800_000;

const sched_rr_get_interval: Handler = function* (t, [id, interval]) {
  const task = taskOf(t, id!);
  if (typeof task === "number") return task;
  const policy = task.thread.policy & ~SCHED_RESET_ON_FORK;
  const ns = policy === (Policy.FIFO as number) ? 0 : policy === (Policy.RR as number) ? RR_INTERVAL_NS : FAIR_SLICE_NS;
  const error = yield* t.k.uaccess.putUser64(t.k, interval!, 0n);
  return error < 0 ? error : yield* t.k.uaccess.putUser64(t.k, interval! + 8, BigInt(ns));
};

const POLICY = F.oneOf({ 0: "SCHED_OTHER", 1: "SCHED_FIFO", 2: "SCHED_RR", 3: "SCHED_BATCH", 5: "SCHED_IDLE", 6: "SCHED_DEADLINE", 7: "SCHED_EXT" });
const WITHOUT_EFFECT = "kept, and without effect: everybody has his turn";

export const SCHED: readonly (readonly [number, Syscall])[] = [
  [118, call("sched_setparam", [F.INT, F.POINTER], sched_setparam, WITHOUT_EFFECT)],
  [119, call("sched_setscheduler", [F.INT, POLICY, F.POINTER], sched_setscheduler, WITHOUT_EFFECT)],
  [120, call("sched_getscheduler", [F.INT], sched_getscheduler)],
  [121, call("sched_getparam", [F.INT, F.OUT], sched_getparam)],
  [125, call("sched_get_priority_max", [POLICY], limit(RT_PRIORITY_MAX))],
  [126, call("sched_get_priority_min", [POLICY], limit(1))],
  [127, call("sched_rr_get_interval", [F.INT, F.OUT], sched_rr_get_interval)],
  [140, call("setpriority", [F.INT, F.INT, F.INT], setpriority, WITHOUT_EFFECT)],
  [141, call("getpriority", [F.INT, F.INT], getpriority)],
];
