import { Cap, capable, Errno, Op, RLIM_NLIMITS, Rlimit, SWITCH, type Process } from "@faultline/kernel";
import type { GuestThread } from "../guest_thread.js";
import { encodeText, readStruct, setI64, structBytes } from "../user.js";
import * as F from "./format.js";
import { execve, execveat } from "./exec.js";
import { prctl } from "./prctl.js";
import { clone, clone3 } from "./clone.js";
import { rusageBytes, type Usage } from "./rusage.js";
import { call, int, type Handler, type Syscall } from "./syscall.js";
import { wait4, waitid } from "./wait.js";

const exit: Handler = function* (t, [code]) {
  t.exiting = (code! & 255) << 8;
  return 0;
};

const exitGroup: Handler = function* (t, [code]) {
  yield* t.k.exit.startGroupExit(t.k, (code! & 255) << 8);
  t.exiting = t.task.process!.exitStatus;
  return 0;
};

const setTidAddress: Handler = function* (t, [address]) {
  t.task.clearChildTid = address!;
  return t.task.id;
};

const ROBUST_HEAD_SIZE = 24;

const setRobustList: Handler = function* (t, [head, size]) {
  if (size !== ROBUST_HEAD_SIZE) return -Errno.EINVAL;
  t.task.thread.robustList = head!;
  return 0;
};

const getRobustList: Handler = function* (t, [tid, head, size]) {
  const { k } = t;
  const task = int(tid!) === 0 ? t.task : k.m.tasks.get(int(tid!));
  if (task === undefined || task.process === null) return -Errno.ESRCH;
  const error = yield* k.uaccess.putUser64(k, size!, BigInt(ROBUST_HEAD_SIZE));
  return error < 0 ? error : yield* k.uaccess.putUser64(k, head!, BigInt(task.thread.robustList));
};

const getpid: Handler = function* (t) {
  return t.task.process!.pid;
};
const gettid: Handler = function* (t) {
  return t.task.id;
};
const getppid: Handler = function* (t) {
  return t.task.process!.parent?.pid ?? 0;
};

function processOf(t: GuestThread, pid: number): Process | null {
  return int(pid) === 0 ? t.task.process! : (t.k.m.processes.get(int(pid)) ?? null);
}

const getpgid: Handler = function* (t, [pid]) {
  return processOf(t, pid!)?.pgid ?? -Errno.ESRCH;
};
const getsid: Handler = function* (t, [pid]) {
  return processOf(t, pid!)?.sid ?? -Errno.ESRCH;
};
const setpgid: Handler = function* (t, [pid, pgid]) {
  const { m } = t.k;
  const process = t.task.process!;
  if (int(pgid!) < 0) return -Errno.EINVAL;
  const target = processOf(t, pid!);
  if (m.point(Op.Process, target?.pid ?? 0)) yield SWITCH;
  if (target === null || (target !== process && target.parent !== process)) return -Errno.ESRCH;
  if (target.sid !== process.sid || target.sid === target.pid) return -Errno.EPERM;
  if (target !== process && target.hasExeced) return -Errno.EACCES;
  const group = int(pgid!) === 0 ? target.pid : int(pgid!);
  const there = [...m.processes.values()].some((other) => other.pgid === group && other.sid === process.sid);
  if (group !== target.pid && !there) return -Errno.EPERM;
  target.pgid = group;
  return 0;
};
const setsid: Handler = function* (t) {
  const { m } = t.k;
  const process = t.task.process!;
  if (m.point(Op.Process, process.pid)) yield SWITCH;
  if ([...m.processes.values()].some(({ pgid }) => pgid === process.pid)) return -Errno.EPERM;
  process.sid = process.pgid = process.pid;
  return process.pid;
};

const uname: Handler = function* (t, [buf]) {
  const { uts } = t.k.m.vfs;
  const bytes = new Uint8Array(6 * 65);
  [uts.sysname, uts.nodename, uts.release, uts.version, uts.machine, "(none)"].forEach((text, i) => {
    bytes.set(encodeText(text).subarray(0, 64), i * 65);
  });
  return yield* t.k.uaccess.copyToUser(t.k, buf!, bytes);
};

const sysinfo: Handler = function* (t, [buf]) {
  const { m } = t.k;
  const view = new DataView(new ArrayBuffer(112));
  setI64(view, 0, Math.floor(m.now() / 1e9));
  setI64(view, 32, m.zones.totalPages() * 4096);
  setI64(view, 40, m.zones.freePages() * 4096);
  setI64(view, 64, m.swap.total * 4096);
  setI64(view, 72, m.swap.free * 4096);
  view.setUint16(80, m.tasks.size, true);
  view.setUint32(104, 1, true);
  return yield* t.k.uaccess.copyToUser(t.k, buf!, structBytes(view));
};

/** Machine time of a whole process, in nanoseconds. */
export function processTimes(process: Process): { userNs: number; systemNs: number; minor: number; major: number } {
  const { gone } = process;
  const sum = { userNs: gone.userTimeNs, systemNs: gone.systemTimeNs, minor: gone.minorFaults, major: gone.majorFaults };
  for (const { thread, minorFaults, majorFaults } of process.threads) {
    sum.userNs += thread.userTimeNs;
    sum.systemNs += thread.systemTimeNs;
    sum.minor += minorFaults;
    sum.major += majorFaults;
  }
  return sum;
}

const RUSAGE_CHILDREN = -1;
const RUSAGE_SELF = 0;
const RUSAGE_THREAD = 1;

const getrusage: Handler = function* (t, [who, buf]) {
  const process = t.task.process!;
  const { thread, minorFaults, majorFaults, mm } = t.task;
  const own = Math.max(process.maxRssPages, mm!.highRss, mm!.rssPages());
  let usage: Usage;
  if (int(who!) === RUSAGE_SELF) usage = { ...processTimes(process), maxRssPages: own };
  else if (int(who!) === RUSAGE_THREAD) {
    usage = { userNs: thread.userTimeNs, systemNs: thread.systemTimeNs, minor: minorFaults, major: majorFaults, maxRssPages: own };
  } else if (int(who!) === RUSAGE_CHILDREN) {
    const { userTimeNs: userNs, systemTimeNs: systemNs, minorFaults: minor, majorFaults: major } = process.reaped;
    usage = { userNs, systemNs, minor, major, maxRssPages: process.reapedMaxRssPages };
  } else return -Errno.EINVAL;
  return yield* t.k.uaccess.copyToUser(t.k, buf!, rusageBytes(usage));
};

/** fs.nr_open: no process may have more descriptors. */
const NR_OPEN = 1_048_576n;

/** Whether a process's limits are this one's to ask for and to set. */
function mayLimit({ k, task }: GuestThread, process: Process): boolean {
  if (process === task.process || capable(k, Cap.SYS_RESOURCE)) return true;
  const { uid, gid } = task.process!.cred;
  const { cred } = process;
  return [cred.uid, cred.euid, cred.suid].every((id) => id === uid) && [cred.gid, cred.egid, cred.sgid].every((id) => id === gid);
}

const prlimit64: Handler = function* (t, [pid, resource, newLimit, oldLimit]) {
  const { k } = t;
  const which = int(resource!);
  if (which < 0 || which >= RLIM_NLIMITS) return -Errno.EINVAL;
  const process = processOf(t, pid!);
  if (process === null) return -Errno.ESRCH;
  if (!mayLimit(t, process)) return -Errno.EPERM;
  const old = process.limits[which]!;
  if (newLimit !== 0) {
    const view = yield* readStruct(k, newLimit!, 16);
    if (view === null) return -Errno.EFAULT;
    const limit = { current: view.getBigUint64(0, true), maximum: view.getBigUint64(8, true) };
    if (limit.current > limit.maximum) return -Errno.EINVAL;
    if (which === (Rlimit.NOFILE as number) && limit.maximum > NR_OPEN) return -Errno.EPERM;
    if (limit.maximum > old.maximum && !capable(k, Cap.SYS_RESOURCE)) return -Errno.EPERM;
    process.limits[which] = limit;
    if (which === (Rlimit.STACK as number) && process.mm !== null) process.mm.stackLimitPages = Number(limit.current >> 12n);
  }
  if (oldLimit === 0) return 0;
  const view = new DataView(new ArrayBuffer(16));
  view.setBigUint64(0, old.current, true);
  view.setBigUint64(8, old.maximum, true);
  return yield* k.uaccess.copyToUser(k, oldLimit!, structBytes(view));
};

const getrlimit: Handler = function* (t, [resource, limit]) {
  return yield* prlimit64(t, [0, resource!, 0, limit!]);
};
const setrlimit: Handler = function* (t, [resource, limit]) {
  return yield* prlimit64(t, [0, resource!, limit!, 0]);
};

const GRND_RANDOM = 2;
const GRND_INSECURE = 4;
const GRND_KNOWN = 7;
const GRND_MAX_BYTES = 0x1ff_ffff;

const getrandom: Handler = function* (t, [buf, length, flags]) {
  if ((int(flags!) & ~GRND_KNOWN) !== 0) return -Errno.EINVAL;
  if ((flags! & GRND_RANDOM) !== 0 && (flags! & GRND_INSECURE) !== 0) return -Errno.EINVAL;
  const n = length! < 0 ? GRND_MAX_BYTES : Math.min(length!, GRND_MAX_BYTES);
  for (let done = 0; done < n; ) {
    const bytes = Uint8Array.from({ length: Math.min(n - done, 4096) }, () => t.k.m.choices.pick("getrandom", 256));
    const error = yield* t.k.uaccess.copyToUser(t.k, buf! + done, bytes);
    if (error < 0) return done > 0 ? done : error;
    done += bytes.length;
  }
  return n;
};

/** riscv_hwprobe(2): what this CPU is, key by key. A key that is not known becomes -1. */
const HWPROBE: Readonly<Record<number, bigint>> = {
  0: 0n, // mvendorid
  1: 0n, // marchid
  2: 0n, // mimpid
  3: 1n, // base behaviour: IMA
  4: 3n, // extensions: F and D, C
  5: 3n, // misaligned accesses are fast
};

const hwprobe: Handler = function* (t, [pairs, count, cpuBytes, , flags]) {
  const { k } = t;
  if (int(flags!) !== 0 || count! < 0 || count! > 4096 || cpuBytes! < 0) return -Errno.EINVAL;
  const view = yield* readStruct(k, pairs!, count! * 16);
  if (view === null) return -Errno.EFAULT;
  for (let i = 0; i < count!; i++) {
    const value = HWPROBE[Number(view.getBigInt64(i * 16, true))];
    if (value === undefined) view.setBigInt64(i * 16, -1n, true);
    view.setBigUint64(i * 16 + 8, value ?? 0n, true);
  }
  return yield* k.uaccess.copyToUser(k, pairs!, structBytes(view));
};

/** What asks only. */
const PERSONALITY_QUERY = 0xffff_ffff;

const personality: Handler = function* ({ task }, [value]) {
  const process = task.process!;
  const old = process.personality;
  if (value! >>> 0 !== PERSONALITY_QUERY) process.personality = value! >>> 0;
  return old;
};

const SECCOMP_SET_MODE_STRICT = 0;

/** seccomp(2): strict mode alone. */
const seccomp: Handler = function* ({ task }, [operation, flags, args]) {
  if (int(operation!) !== SECCOMP_SET_MODE_STRICT || int(flags!) !== 0 || args !== 0) return -Errno.EINVAL;
  task.thread.seccompStrict = true;
  return 0;
};

export const PROCESS: readonly (readonly [number, Syscall])[] = [
  [92, call("personality", [F.HEX], personality, "kept, and without effect")],
  [277, call("seccomp", [F.INT, F.HEX, F.POINTER], seccomp, "no filters")],
  [93, call("exit", [F.INT], exit, "", "none")],
  [94, call("exit_group", [F.INT], exitGroup, "", "none")],
  [95, call("waitid", [F.ID_TYPE, F.INT, F.OUT, F.WAIT_OPTIONS, F.OUT], waitid)],
  [96, call("set_tid_address", [F.POINTER], setTidAddress)],
  [99, call("set_robust_list", [F.POINTER, F.SIZE], setRobustList)],
  [100, call("get_robust_list", [F.INT, F.OUT, F.OUT], getRobustList)],
  [154, call("setpgid", [F.INT, F.INT], setpgid)],
  [155, call("getpgid", [F.INT], getpgid)],
  [156, call("getsid", [F.INT], getsid)],
  [157, call("setsid", [], setsid)],
  [160, call("uname", [F.OUT], uname)],
  [163, call("getrlimit", [F.RESOURCE, F.rlimit(true)], getrlimit, "enforced are the limits on memory, descriptors, the size of files and processes; not those on CPU time and pending signals")],
  [164, call("setrlimit", [F.RESOURCE, F.rlimit(false)], setrlimit, "enforced are the limits on memory, descriptors, the size of files and processes; not those on CPU time and pending signals")],
  [165, call("getrusage", [F.RUSAGE_WHO, F.OUT], getrusage, "no I/O and no context switches")],
  [167, call("prctl", [F.PRCTL_OPTION, F.HEX, F.HEX, F.HEX, F.HEX], prctl, "no speculation control, no filters of seccomp, no ambient capabilities; PR_SET_MM_EXE_FILE answers EBUSY, as while the text of the program is mapped")],
  [172, call("getpid", [], getpid)],
  [173, call("getppid", [], getppid)],
  [178, call("gettid", [], gettid)],
  [179, call("sysinfo", [F.OUT], sysinfo)],
  [220, call("clone", [F.named("flags", F.CLONE_FLAGS), F.named("child_stack", F.POINTER), F.named("parent_tid", F.TID_OUT), F.named("tls", F.HEX), F.named("child_tidptr", F.POINTER)], clone, "no namespaces")],
  [221, call("execve", [F.PATH, F.STRINGS, F.STRING_COUNT], execve)],
  [258, call("riscv_hwprobe", [F.POINTER, F.SIZE, F.SIZE, F.POINTER, F.HEX], hwprobe)],
  [260, call("wait4", [F.INT, F.WAIT_STATUS, F.WAIT_OPTIONS, F.OUT], wait4)],
  [261, call("prlimit64", [F.INT, F.RESOURCE, F.rlimit(false), F.rlimit(true)], prlimit64, "enforced are the limits on memory, descriptors, the size of files and processes; not those on CPU time and pending signals")],
  [278, call("getrandom", [F.READ_BUFFER, F.SIZE, F.RANDOM_FLAGS], getrandom)],
  [281, call("execveat", [F.DIRFD, F.PATH, F.STRINGS, F.STRING_COUNT, F.AT_FLAGS], execveat)],
  [293, call("rseq", [F.POINTER, F.SIZE, F.HEX, F.HEX], null)],
  [435, call("clone3", [F.POINTER, F.SIZE], clone3, "no namespaces")],
];
