/**
 * @linux kernel/time/posix-cpu-timers.c
 * @omits ITIMER_VIRTUAL and ITIMER_PROF count what the simulation charges, not what a processor would need.
 * @own getCpuTimer, runCpuTimers, setCpuTimer, usedNs
 */
import type { Kernel } from "../kernel.js";
import { SWITCH, type Atomic } from "./coroutine.js";
import { Op } from "./op.js";
import type { Process } from "./process.js";
import { SI, Sig } from "./signal.js";

/** ITIMER_VIRTUAL and ITIMER_PROF: by what a process has used, in nanoseconds. */
export interface CpuTimer {
  readonly expires: number;
  readonly interval: number;
}

export type CpuTimerKind = "virtual" | "prof";

/** What is left where a timer's time has come, and nobody has looked yet: a tick. */
const TICK_NS = 4_000_000;

/** Machine time that the process has used: in user mode, or with PROF in the kernel as well. */
export function usedNs(process: Process, kind: CpuTimerKind): number {
  let user = process.gone.userTimeNs;
  let system = process.gone.systemTimeNs;
  for (const { thread } of process.threads) {
    user += thread.userTimeNs;
    system += thread.systemTimeNs;
  }
  return kind === "virtual" ? user : user + system;
}

/** What is left, and the interval, in nanoseconds. */
export function getCpuTimer(_k: Kernel, process: Process, kind: CpuTimerKind): { left: number; interval: number } {
  const timer = process.cpuTimers?.[kind] ?? null;
  if (timer === null) return { left: 0, interval: 0 };
  const left = timer.expires - usedNs(process, kind);
  return { left: left > 0 ? left : TICK_NS, interval: timer.interval };
}

/** SIGVTALRM or SIGPROF after `value` nanoseconds of use (0: never), then each `interval`. What was left before. */
export function* setCpuTimer(k: Kernel, process: Process, kind: CpuTimerKind, value: number, interval: number): Atomic<{ left: number; interval: number }> {
  if (k.m.point(Op.Process, process.pid)) yield SWITCH;
  const before = k.cpuTimers.getCpuTimer(k, process, kind);
  const timers = process.cpuTimers ?? { virtual: null, prof: null };
  const next = { ...timers, [kind]: value === 0 ? null : { expires: usedNs(process, kind) + value, interval } };
  process.cpuTimers = next.virtual === null && next.prof === null ? null : next;
  return before;
}

/** Looks whether the current process has used what its timers wait for: in one step with what was used last. */
export function runCpuTimers(k: Kernel): void {
  const process = k.m.current!.process!;
  for (const kind of ["virtual", "prof"] as const) {
    const timer = process.cpuTimers?.[kind] ?? null;
    const used = timer === null ? 0 : usedNs(process, kind);
    if (timer === null || used < timer.expires) continue;
    const next = timer.interval === 0 ? null : { expires: timer.expires + timer.interval, interval: timer.interval };
    const timers = { ...process.cpuTimers!, [kind]: next };
    process.cpuTimers = timers.virtual === null && timers.prof === null ? null : timers;
    k.m.signals.send(process, null, { signo: kind === "virtual" ? Sig.SIGVTALRM : Sig.SIGPROF, code: SI.KERNEL, addr: 0 });
  }
}
