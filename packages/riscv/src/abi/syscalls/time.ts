import { BLOCK, Errno, NSEC_PER_SEC, REALTIME_AT_BOOT_S, Restart, type CpuTimerKind, type MaySleep } from "@faultline/kernel";
import type { GuestThread } from "../guest_thread.js";
import { getI64, readStruct, readTimespec, setI64, structBytes } from "../user.js";
import * as F from "./format.js";
import { processTimes } from "./process.js";
import { call, int, type Handler, type Syscall } from "./syscall.js";

enum Clock {
  REALTIME = 0,
  MONOTONIC,
  PROCESS_CPUTIME,
  THREAD_CPUTIME,
  MONOTONIC_RAW,
  REALTIME_COARSE,
  MONOTONIC_COARSE,
  BOOTTIME,
  TAI = 11,
}

/** What a clock shows, in nanoseconds since its own epoch as seconds and the rest; null: no such clock. */
function clockNow(t: GuestThread, clock: number): { seconds: number; ns: number } | null {
  const now = t.k.m.now();
  switch (clock) {
    case Clock.REALTIME:
    case Clock.REALTIME_COARSE:
    case Clock.TAI:
      return { seconds: REALTIME_AT_BOOT_S + Math.floor(now / NSEC_PER_SEC), ns: Math.floor(now % NSEC_PER_SEC) };
    case Clock.MONOTONIC:
    case Clock.MONOTONIC_RAW:
    case Clock.MONOTONIC_COARSE:
    case Clock.BOOTTIME:
      return split(now);
    case Clock.PROCESS_CPUTIME: {
      const { userNs, systemNs } = processTimes(t.task.process!);
      return split(userNs + systemNs);
    }
    case Clock.THREAD_CPUTIME:
      return split(t.task.thread.userTimeNs + t.task.thread.systemTimeNs);
    default:
      return null;
  }
}

function split(ns: number): { seconds: number; ns: number } {
  return { seconds: Math.floor(ns / NSEC_PER_SEC), ns: Math.floor(ns % NSEC_PER_SEC) };
}

function* writePair(t: GuestThread, address: number, seconds: number, rest: number): MaySleep<number> {
  const view = new DataView(new ArrayBuffer(16));
  setI64(view, 0, seconds);
  setI64(view, 8, rest);
  return yield* t.k.uaccess.copyToUser(t.k, address, structBytes(view));
}

const clockGettime: Handler = function* (t, [clock, ts]) {
  const time = clockNow(t, int(clock!));
  return time === null ? -Errno.EINVAL : yield* writePair(t, ts!, time.seconds, time.ns);
};

const clockGetres: Handler = function* (t, [clock, ts]) {
  if (clockNow(t, int(clock!)) === null) return -Errno.EINVAL;
  const coarse = int(clock!) === Clock.REALTIME_COARSE || int(clock!) === Clock.MONOTONIC_COARSE;
  return ts === 0 ? 0 : yield* writePair(t, ts!, 0, coarse ? 4_000_000 : 1);
};

const gettimeofday: Handler = function* (t, [tv, tz]) {
  const now = clockNow(t, Clock.REALTIME)!;
  if (tv !== 0) {
    const error = yield* writePair(t, tv!, now.seconds, Math.floor(now.ns / 1000));
    if (error < 0) return error;
  }
  return tz === 0 ? 0 : yield* t.k.uaccess.putUser64(t.k, tz!, 0n);
};

/** times(2): clock ticks of 10 ms. */
const times: Handler = function* (t, [buf]) {
  const TICK_NS = 10_000_000;
  if (buf !== 0) {
    const { userNs, systemNs } = processTimes(t.task.process!);
    const view = new DataView(new ArrayBuffer(32));
    setI64(view, 0, Math.floor(userNs / TICK_NS));
    setI64(view, 8, Math.floor(systemNs / TICK_NS));
    const error = yield* t.k.uaccess.copyToUser(t.k, buf!, structBytes(view));
    if (error < 0) return error;
  }
  return Math.floor(t.k.m.now() / TICK_NS);
};

function* sleep(t: GuestThread, ns: number, remaining: number): MaySleep<number> {
  const { k } = t;
  const deadline = t.resumes ?? k.m.now() + ns;
  if (yield* k.time.sleepUntil(k, deadline, "a timer (nanosleep)")) return 0;
  if (remaining !== 0) {
    const left = split(Math.max(deadline - k.m.now(), 0));
    const error = yield* writePair(t, remaining, left.seconds, left.ns);
    if (error < 0) return error;
  }
  t.resumes = deadline;
  return -Restart.ERESTART_RESTARTBLOCK;
}

const nanosleep: Handler = function* (t, [request, remaining]) {
  const ns = yield* readTimespec(t.k, request!);
  return ns < 0 ? ns : yield* sleep(t, ns, remaining!);
};

const TIMER_ABSTIME = 1;

/** Clocks that nobody can sleep by, though they can be read. */
const NO_SLEEP: readonly number[] = [Clock.THREAD_CPUTIME, Clock.MONOTONIC_RAW, Clock.REALTIME_COARSE, Clock.MONOTONIC_COARSE];

const clockNanosleep: Handler = function* (t, [clock, flags, request, remaining]) {
  const { k } = t;
  const id = int(clock!);
  if (NO_SLEEP.includes(id)) return -Errno.EOPNOTSUPP;
  if (id !== Clock.REALTIME && id !== Clock.MONOTONIC && id !== Clock.BOOTTIME) return -Errno.EINVAL;
  const ns = yield* readTimespec(t.k, request!);
  if (ns < 0) return ns;
  if ((flags! & TIMER_ABSTIME) === 0) return yield* sleep(t, ns, remaining!);
  const deadline = id === Clock.REALTIME ? ns - REALTIME_AT_BOOT_S * NSEC_PER_SEC : ns;
  return (yield* k.time.sleepUntil(k, deadline, "a timer (nanosleep)")) ? 0 : -Restart.ERESTARTNOHAND;
};

enum Itimer {
  REAL,
  VIRTUAL,
  PROF,
}

function* writeTimer(t: GuestThread, address: number, timer: { left: number; interval: number }): MaySleep<number> {
  const view = new DataView(new ArrayBuffer(32));
  [timer.interval, timer.left].forEach((ns, i) => {
    setI64(view, i * 16, Math.floor(ns / NSEC_PER_SEC));
    setI64(view, i * 16 + 8, Math.floor((ns % NSEC_PER_SEC) / 1000));
  });
  return yield* t.k.uaccess.copyToUser(t.k, address, structBytes(view));
}

const getitimer: Handler = function* (t, [which, value]) {
  const { k } = t;
  const process = t.task.process!;
  if (int(which!) < Itimer.REAL || int(which!) > Itimer.PROF) return -Errno.EINVAL;
  const timer = int(which!) === (Itimer.REAL as number) ? k.time.getRealTimer(k, process) : k.cpuTimers.getCpuTimer(k, process, kindOf(which!));
  return yield* writeTimer(t, value!, timer);
};

function kindOf(which: number): CpuTimerKind {
  return int(which) === (Itimer.VIRTUAL as number) ? "virtual" : "prof";
}

const setitimer: Handler = function* (t, [which, value, old]) {
  const { k } = t;
  let interval = 0;
  let first = 0;
  if (value !== 0) {
    const view = yield* readStruct(k, value!, 32);
    if (view === null) return -Errno.EFAULT;
    for (const at of [8, 24]) if (getI64(view, at) < 0 || getI64(view, at) >= 1_000_000) return -Errno.EINVAL;
    interval = getI64(view, 0) * NSEC_PER_SEC + getI64(view, 8) * 1000;
    first = getI64(view, 16) * NSEC_PER_SEC + getI64(view, 24) * 1000;
    if (interval < 0 || first < 0) return -Errno.EINVAL;
  }
  if (int(which!) < Itimer.REAL || int(which!) > Itimer.PROF) return -Errno.EINVAL;
  const process = t.task.process!;
  const before =
    int(which!) === (Itimer.REAL as number)
      ? yield* k.time.setRealTimer(k, process, first, interval)
      : yield* k.cpuTimers.setCpuTimer(k, process, kindOf(which!), first, interval);
  return old === 0 ? 0 : yield* writeTimer(t, old!, before);
};

const schedYield: Handler = function* (t) {
  const { executor } = t.k.m;
  if (executor!.queue.length > 0) yield BLOCK;
  return 0;
};

const CPUMASK_BYTES = 8;

function onlineMask(t: GuestThread): number {
  return 2 ** t.k.m.config.cpus - 1;
}

const getaffinity: Handler = function* (t, [tid, size, mask]) {
  const { k } = t;
  if (size! < CPUMASK_BYTES || size! % 8 !== 0) return -Errno.EINVAL;
  const task = int(tid!) === 0 ? t.task : k.m.tasks.get(int(tid!));
  if (task === undefined) return -Errno.ESRCH;
  const bits = (task.thread.affinity & onlineMask(t)) >>> 0;
  const error = yield* k.uaccess.putUser64(k, mask!, BigInt(bits));
  return error < 0 ? error : CPUMASK_BYTES;
};

const setaffinity: Handler = function* (t, [tid, size, mask]) {
  const { k } = t;
  const view = yield* readStruct(k, mask!, Math.min(Math.max(size!, 0), CPUMASK_BYTES));
  if (view === null) return -Errno.EFAULT;
  const task = int(tid!) === 0 ? t.task : k.m.tasks.get(int(tid!));
  if (task === undefined) return -Errno.ESRCH;
  let bits = 0;
  for (let i = 0; i < view.byteLength && i < 4; i++) bits |= view.getUint8(i) << (8 * i);
  bits &= onlineMask(t);
  if (bits === 0) return -Errno.EINVAL;
  task.thread.affinity = bits;
  // A task that runs elsewhere moves when it is next put on a queue; the current one at once.
  if (task === t.task && (bits & (1 << k.m.executor!.id)) === 0) yield BLOCK;
  return 0;
};

const getcpu: Handler = function* (t, [cpu, node]) {
  const { k } = t;
  if (cpu !== 0 && (yield* k.uaccess.putUser32(k, cpu!, k.m.executor!.id)) < 0) return -Errno.EFAULT;
  return node === 0 ? 0 : yield* k.uaccess.putUser32(k, node!, k.m.nodes.ofCpu(k.m.executor!.id));
};

export const TIME: readonly (readonly [number, Syscall])[] = [
  [101, call("nanosleep", [F.TIMESPEC, F.OUT], nanosleep)],
  [102, call("getitimer", [F.INT, F.OUT], getitimer)],
  [103, call("setitimer", [F.INT, F.POINTER, F.OUT], setitimer)],
  [113, call("clock_gettime", [F.CLOCK, F.TIMESPEC_OUT], clockGettime)],
  [114, call("clock_getres", [F.CLOCK, F.TIMESPEC_OUT], clockGetres)],
  [115, call("clock_nanosleep", [F.CLOCK, F.TIMER_FLAGS, F.TIMESPEC, F.OUT], clockNanosleep)],
  [122, call("sched_setaffinity", [F.INT, F.SIZE, F.POINTER], setaffinity)],
  [123, call("sched_getaffinity", [F.INT, F.SIZE, F.OUT], getaffinity)],
  [124, call("sched_yield", [], schedYield)],
  [153, call("times", [F.OUT], times)],
  [168, call("getcpu", [F.OUT, F.OUT, F.POINTER], getcpu)],
  [169, call("gettimeofday", [F.OUT, F.POINTER], gettimeofday)],
];
