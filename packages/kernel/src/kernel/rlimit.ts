import type { Machine } from "../machine.js";

/** RLIMIT_*: the numbers of the ABI. */
export enum Rlimit {
  CPU,
  FSIZE,
  DATA,
  STACK,
  CORE,
  RSS,
  NPROC,
  NOFILE,
  MEMLOCK,
  AS,
  LOCKS,
  SIGPENDING,
  MSGQUEUE,
  NICE,
  RTPRIO,
  RTTIME,
}

export const RLIM_NLIMITS = 16;
export const RLIM_INFINITY = 0xffff_ffff_ffff_ffffn;

/** Soft and hard limit; unsigned 64 bits each, all of them set for none. */
export interface ResourceLimit {
  readonly current: bigint;
  readonly maximum: bigint;
}

/** RLIMIT_STACK at the start of a program, in bytes. */
export const STACK_LIMIT = 8 * 1024 * 1024;

/** Of RAM, kernel stacks take an eighth at most; one is 16 KiB. */
const PAGES_PER_THREAD = 8 * 4;
const MIN_THREADS = 20;

/** kernel.threads-max: how many threads the machine can have, those of the kernel included. */
export function maxThreads(m: Machine): number {
  return Math.max(MIN_THREADS, Math.floor(m.zones.totalPages() / PAGES_PER_THREAD));
}

/** What init starts with, and hands down. */
export function initialLimits(m: Machine): ResourceLimit[] {
  const limits: ResourceLimit[] = Array.from({ length: RLIM_NLIMITS }, () => ({ current: RLIM_INFINITY, maximum: RLIM_INFINITY }));
  const set = (limit: Rlimit, current: number, maximum = current): void => {
    limits[limit] = { current: BigInt(current), maximum: BigInt(maximum) };
  };
  const threads = maxThreads(m) >> 1;
  limits[Rlimit.STACK] = { current: BigInt(STACK_LIMIT), maximum: RLIM_INFINITY };
  limits[Rlimit.CORE] = { current: 0n, maximum: RLIM_INFINITY };
  set(Rlimit.NPROC, threads);
  set(Rlimit.NOFILE, 1024, 524288);
  set(Rlimit.MEMLOCK, 8 * 1024 * 1024);
  set(Rlimit.SIGPENDING, threads);
  set(Rlimit.MSGQUEUE, 819200);
  set(Rlimit.NICE, 0);
  set(Rlimit.RTPRIO, 0);
  return limits;
}

/** The soft limit of the current process; none for a thread of the kernel's (rlimit()). */
export function rlimit(m: Machine, which: Rlimit): bigint {
  return m.current?.process?.limits[which]?.current ?? RLIM_INFINITY;
}

/** The same of bytes, in pages; Infinity for none. */
export function rlimitPages(m: Machine, which: Rlimit): number {
  const limit = rlimit(m, which);
  return limit > 2n ** 62n ? Infinity : Number(limit >> 12n);
}

/** A limit as /proc/PID/limits shows it. */
export function limitText(limit: bigint): string {
  return limit === RLIM_INFINITY ? "unlimited" : String(limit);
}
