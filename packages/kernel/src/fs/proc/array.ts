import { SWITCH, type MaySleep } from "../../kernel/coroutine.js";
import { Op } from "../../kernel/op.js";
import { ROOT_CREDENTIALS } from "../../kernel/cred.js";
import type { Process } from "../../kernel/process.js";
import { CAP_FULL_SET, FULL_CAPABILITIES } from "../../kernel/capability.js";
import { initialLimits, limitText, Rlimit } from "../../kernel/rlimit.js";
import { TaskState, type Task } from "../../kernel/sched.js";
import { NSIG, SIG_IGN } from "../../kernel/signal.js";
import type { Kernel } from "../../kernel.js";
import { PAGE_SIZE } from "../../mm/frame_memory.js";
import { nodeList } from "../../mm/mempolicy.js";
import { RssKind, ThpDisabled, VM, type Mm, type Vma } from "../../mm/mm_types.js";

/** Whom a /proc/PID or /proc/PID/task/TID directory is about. */
export interface ProcTarget {
  /** The id in the directory's name. */
  readonly id: number;
  /** null for kernel threads. */
  readonly process: Process | null;
  /** The thread of that id; null once a first thread has left before the others, and for zombies. */
  readonly task: Task | null;
}

/** Nanoseconds in a clock tick, the unit of times in /proc/PID/stat. */
const TICK_NS = 10_000_000;
const RLIM_INFINITY = "18446744073709551615";

export function commOf(target: ProcTarget): string {
  return target.task?.comm ?? target.process?.comm ?? "";
}

/** The letter of a task's state. Kernel threads that wait for work sleep, they do not block. */
function stateLetter(target: ProcTarget): string {
  const { task, process } = target;
  if (task === null) return "Z";
  if (process?.zombie === true) return "Z";
  if (task.state === TaskState.Running) return "R";
  if (task.state === TaskState.Interruptible) return "S";
  if (task.state === TaskState.Dead) return "X";
  if (task.state === TaskState.Stopped) return "T";
  return process === null && task.waitingFor === "idle" ? "S" : "D";
}

const STATE_NAMES: Record<string, string> = {
  R: "R (running)",
  S: "S (sleeping)",
  D: "D (disk sleep)",
  T: "T (stopped)",
  Z: "Z (zombie)",
  X: "X (dead)",
};

/** Pages of an address space by what they are for, as Linux's counters split them. */
interface VmSizes {
  data: number;
  stack: number;
  exec: number;
}

function isStack(vma: Vma): boolean {
  return (vma.flags & VM.GROWSDOWN) !== 0;
}

function vmSizes(mm: Mm): VmSizes {
  const sizes = { data: 0, stack: 0, exec: 0 };
  for (const vma of mm.vmas) {
    const { flags } = vma;
    if ((flags & (VM.EXEC | VM.WRITE)) === VM.EXEC && !isStack(vma)) sizes.exec += vma.pages;
    else if (isStack(vma)) sizes.stack += vma.pages;
    else if ((flags & (VM.WRITE | VM.SHARED)) === VM.WRITE) sizes.data += vma.pages;
  }
  return sizes;
}

/** Pages from the start of the program's text to its end. */
function textPages(mm: Mm): number {
  return Math.ceil(mm.endCode / PAGE_SIZE) - Math.floor(mm.startCode / PAGE_SIZE);
}

function totalPages(mm: Mm): number {
  let pages = 0;
  for (const vma of mm.vmas) pages += vma.pages;
  return pages;
}

export function mmOf(target: ProcTarget): Mm | null {
  return target.process?.mm ?? null;
}

/** Numbers of signals as a mask: bit n - 1 for signal n. */
function maskOf(signals: Iterable<number>): bigint {
  let mask = 0n;
  for (const s of signals) mask |= 1n << BigInt(s - 1);
  return mask;
}

function handlerMasks(process: Process | null): { ignored: bigint; caught: bigint } {
  let ignored = 0n;
  let caught = 0n;
  if (process === null) return { ignored: (1n << BigInt(NSIG)) - 1n, caught };
  for (const [signo, { handler }] of process.handlers.actions) {
    if (handler === SIG_IGN) ignored |= 1n << BigInt(signo - 1);
    else if (handler !== 0) caught |= 1n << BigInt(signo - 1);
  }
  return { ignored, caught };
}

/** The first `n` bits set, in hexadecimal, as %*pb prints masks of up to 32 bits. */
function cpuMask(n: number): string {
  return (2 ** Math.min(n, 32) - 1).toString(16);
}

export function cpuList(n: number): string {
  return n === 1 ? "0" : `0-${n - 1}`;
}


/** /proc/PID/status. */
export function* showStatus(k: Kernel, target: ProcTarget): MaySleep<string> {
  const { m } = k;
  if (m.point(Op.Process, target.id)) yield SWITCH;
  const { process, task } = target;
  const hex = (mask: bigint) => mask.toString(16).padStart(16, "0");
  const tgid = process?.pid ?? target.id;
  const ppid = process === null ? kernelParent(target.id) : (process.parent?.pid ?? 0);
  const { uid, euid, suid, fsuid, gid, egid, sgid, fsgid, groups } = process?.cred ?? ROOT_CREDENTIALS;
  const mm = mmOf(target);
  const { ignored, caught } = handlerMasks(process);
  const lines = [
    `Name:\t${commOf(target)}`,
    `Umask:\t${(process?.fs.umask ?? 0o22).toString(8).padStart(4, "0")}`,
    `State:\t${STATE_NAMES[stateLetter(target)]}`,
    `Tgid:\t${tgid}`,
    "Ngid:\t0",
    `Pid:\t${target.id}`,
    `PPid:\t${ppid}`,
    `TracerPid:\t${target.task?.thread.tracee?.tracer.process?.pid ?? 0}`,
    `Uid:\t${uid}\t${euid}\t${suid}\t${fsuid}`,
    `Gid:\t${gid}\t${egid}\t${sgid}\t${fsgid}`,
    `FDSize:\t${process?.zombie === true ? 0 : (process?.files.capacity ?? 64)}`,
    `Groups:\t${groups.map((id) => `${id} `).join("")}${groups.length === 0 ? " " : ""}`,
    `NStgid:\t${tgid}`,
    `NSpid:\t${target.id}`,
    `NSpgid:\t${process?.pgid ?? 0}`,
    `NSsid:\t${process?.sid ?? 0}`,
    `Kthread:\t${process === null ? 1 : 0}`,
  ];
  if (mm !== null && process?.zombie !== true) lines.push(...memoryLines(mm));
  const pending = task === null ? [] : task.pendingSignals;
  const shared = process?.sharedPending ?? [];
  const capabilities = process?.capabilities ?? FULL_CAPABILITIES;
  const limits = process?.limits ?? initialLimits(k.m);
  const queued = process === null ? 0 : k.m.signals.queuedBy(process.cred.uid);
  lines.push(
    `Threads:\t${Math.max(1, process?.threads.size ?? 1)}`,
    `SigQ:\t${queued}/${limitText(limits[Rlimit.SIGPENDING]!.current)}`,
    `SigPnd:\t${hex(maskOf(pending))}`,
    `ShdPnd:\t${hex(maskOf(shared))}`,
    `SigBlk:\t${hex(task?.blockedSignals ?? 0n)}`,
    `SigIgn:\t${hex(ignored)}`,
    `SigCgt:\t${hex(caught)}`,
    `CapInh:\t${hex(capabilities.inheritable)}`,
    `CapPrm:\t${hex(capabilities.permitted)}`,
    `CapEff:\t${hex(capabilities.effective)}`,
    `CapBnd:\t${hex(CAP_FULL_SET)}`,
    "CapAmb:\t0000000000000000",
    `NoNewPrivs:\t${process?.noNewPrivs === true ? 1 : 0}`,
    `Seccomp:\t${task?.thread.seccompStrict === true ? 1 : 0}`,
    "Seccomp_filters:\t0",
    "Speculation_Store_Bypass:\tunknown",
    "SpeculationIndirectBranch:\tunsupported",
    `Cpus_allowed:\t${cpuMask(m.config.cpus)}`,
    `Cpus_allowed_list:\t${cpuList(m.config.cpus)}`,
    `Mems_allowed:\t${m.nodes.mask.toString(16)}`,
    `Mems_allowed_list:\t${nodeList(m.nodes.mask)}`,
    "voluntary_ctxt_switches:\t0",
    "nonvoluntary_ctxt_switches:\t0",
  );
  return `${lines.join("\n")}\n`;
}

/** kthreadd is process 2 where there is one; the engine starts its kernel threads itself. */
function kernelParent(id: number): number {
  return id === 2 ? 0 : 2;
}

function memoryLines(mm: Mm): string[] {
  const kb = (name: string, pages: number) => `${name}:\t${String(pages * 4).padStart(8)} kB`;
  const { data, stack, exec } = vmSizes(mm);
  const total = totalPages(mm);
  const rss = mm.rssPages();
  const text = Math.min(textPages(mm), exec);
  return [
    kb("VmPeak", Math.max(mm.highVm, total)),
    kb("VmSize", total),
    kb("VmLck", mm.lockedVm),
    kb("VmPin", 0),
    kb("VmHWM", Math.max(mm.highRss, rss)),
    kb("VmRSS", rss),
    kb("RssAnon", mm.rss[RssKind.anon]!),
    kb("RssFile", mm.rss[RssKind.file]!),
    kb("RssShmem", mm.rss[RssKind.shmem]!),
    kb("VmData", data),
    kb("VmStk", stack),
    kb("VmExe", text),
    kb("VmLib", exec - text),
    kb("VmPTE", mm.pageTables),
    kb("VmSwap", mm.rss[RssKind.swap]!),
    kb("HugetlbPages", mm.hugetlbPages),
    "CoreDumping:\t0",
    `THP_enabled:\t${mm.thpDisabled === ThpDisabled.Completely ? 0 : 1}`,
    "untag_mask:\t0xffffffffffffffff",
  ];
}

/** /proc/PID/statm: sizes in pages. */
export function* showStatm(k: Kernel, target: ProcTarget): MaySleep<string> {
  if (k.m.point(Op.Process, target.id)) yield SWITCH;
  const mm = mmOf(target);
  if (mm === null) return "0 0 0 0 0 0 0\n";
  const { data, stack } = vmSizes(mm);
  const shared = mm.rss[RssKind.file]! + mm.rss[RssKind.shmem]!;
  return `${totalPages(mm)} ${mm.rssPages()} ${shared} ${textPages(mm)} 0 ${data + stack} 0\n`;
}

/** What the threads of a process (or one of them) have used up. */
function usage(target: ProcTarget, group: boolean): { user: number; system: number; minor: number; major: number } {
  const { process, task } = target;
  const sum = { user: 0, system: 0, minor: 0, major: 0 };
  const tasks = group && process !== null ? [...process.threads] : task !== null ? [task] : [];
  for (const t of tasks) {
    sum.user += t.thread.userTimeNs;
    sum.system += t.thread.systemTimeNs;
    sum.minor += t.minorFaults;
    sum.major += t.majorFaults;
  }
  if (group && process !== null) {
    sum.user += process.gone.userTimeNs;
    sum.system += process.gone.systemTimeNs;
    sum.minor += process.gone.minorFaults;
    sum.major += process.gone.majorFaults;
  }
  return sum;
}

/** /proc/PID/stat (of the whole group) and /proc/PID/task/TID/stat. */
export function* showStat(k: Kernel, target: ProcTarget, group: boolean): MaySleep<string> {
  if (k.m.point(Op.Process, target.id)) yield SWITCH;
  const { process, task } = target;
  const mm = mmOf(target);
  const used = usage(target, group);
  const ticks = (ns: number) => Math.floor(ns / TICK_NS);
  const { ignored, caught } = handlerMasks(process);
  // Only the first 31 signals have room here.
  const low = (mask: bigint) => Number(mask & 0x7fff_ffffn);
  const PF_KTHREAD = 0x0020_0000;
  const PF_RANDOMIZE = 0x0040_0000;
  const state = stateLetter(target);
  const ppid = process === null ? kernelParent(target.id) : (process.parent?.pid ?? 0);
  const fields: (number | string)[] = [
    target.id,
    `(${commOf(target)})`,
    state,
    ppid,
    process?.pgid ?? 0,
    process?.sid ?? 0,
    0, // controlling terminal
    -1,
    process === null ? PF_KTHREAD : PF_RANDOMIZE,
    used.minor,
    0,
    used.major,
    0,
    ticks(used.user),
    ticks(used.system),
    0,
    0,
    20 + (process?.nice ?? 0),
    process?.nice ?? 0,
    Math.max(1, process?.threads.size ?? 1),
    0,
    ticks(process?.startTimeNs ?? 0),
    mm === null ? 0 : totalPages(mm) * PAGE_SIZE,
    mm?.rssPages() ?? 0,
    RLIM_INFINITY,
    mm?.startCode ?? 0,
    mm?.endCode ?? 0,
    mm?.startStack ?? 0,
    0,
    0,
    low(maskOf(task?.pendingSignals ?? [])),
    low(task?.blockedSignals ?? 0n),
    low(ignored),
    low(caught),
    process === null || state === "S" || state === "D" ? 1 : 0,
    0,
    0,
    process === null ? 0 : 17,
    task?.executor.id ?? 0,
    0,
    0,
    0,
    0,
    0,
    mm?.startData ?? 0,
    mm?.endData ?? 0,
    mm?.startBrk ?? 0,
    mm?.argStart ?? 0,
    mm?.argEnd ?? 0,
    mm?.envStart ?? 0,
    mm?.envEnd ?? 0,
    process?.exitStatus ?? 0,
  ];
  return `${fields.join(" ")}\n`;
}

const LIMIT_ROWS: readonly (readonly [Rlimit, name: string, unit: string])[] = [
  [Rlimit.CPU, "Max cpu time", "seconds"],
  [Rlimit.FSIZE, "Max file size", "bytes"],
  [Rlimit.DATA, "Max data size", "bytes"],
  [Rlimit.STACK, "Max stack size", "bytes"],
  [Rlimit.CORE, "Max core file size", "bytes"],
  [Rlimit.RSS, "Max resident set", "bytes"],
  [Rlimit.NPROC, "Max processes", "processes"],
  [Rlimit.NOFILE, "Max open files", "files"],
  [Rlimit.MEMLOCK, "Max locked memory", "bytes"],
  [Rlimit.AS, "Max address space", "bytes"],
  [Rlimit.LOCKS, "Max file locks", "locks"],
  [Rlimit.SIGPENDING, "Max pending signals", "signals"],
  [Rlimit.MSGQUEUE, "Max msgqueue size", "bytes"],
  [Rlimit.NICE, "Max nice priority", ""],
  [Rlimit.RTPRIO, "Max realtime priority", ""],
  [Rlimit.RTTIME, "Max realtime timeout", "us"],
];

/** /proc/PID/limits; a kernel thread has those that init started with. */
export function* showLimits(k: Kernel, target: ProcTarget): MaySleep<string> {
  if (k.m.point(Op.Process, target.id)) yield SWITCH;
  const limits = target.process?.limits ?? initialLimits(k.m);
  let text = "Limit                     Soft Limit           Hard Limit           Units     \n";
  for (const [limit, name, unit] of LIMIT_ROWS) {
    const { current, maximum } = limits[limit]!;
    text += `${name.padEnd(25)} ${limitText(current).padEnd(20)} ${limitText(maximum).padEnd(20)} `;
    text += unit === "" ? "\n" : `${unit.padEnd(10)}\n`;
  }
  return text;
}
