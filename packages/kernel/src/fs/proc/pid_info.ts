import { Cap, capable } from "../../kernel/capability.js";
import { SWITCH, type MaySleep } from "../../kernel/coroutine.js";
import { Errno } from "../../kernel/errno.js";
import { Op } from "../../kernel/op.js";
import type { Process } from "../../kernel/process.js";
import { TaskState } from "../../kernel/sched.js";
import type { Kernel } from "../../kernel.js";
import { VM } from "../../mm/mm_types.js";
import { parseInteger, textOf } from "../pseudo.js";
import { mmOf, type ProcTarget } from "./array.js";

/** What oom_adj, the old scale, has for oom_score_adj's 1000, and for its own "never". */
const OOM_ADJUST_MAX = 15;
const OOM_DISABLE = -17;
const OOM_SCORE_ADJ_MAX = 1000;

/** /proc/PID/io: what read(2), write(2) and their kin have moved. Nothing here is on a disk but swap. */
export function* showIo(k: Kernel, target: ProcTarget): MaySleep<string> {
  if (k.m.point(Op.Process, target.id)) yield SWITCH;
  const io = target.process?.io ?? { rchar: 0, wchar: 0, syscr: 0, syscw: 0 };
  return (
    `rchar: ${io.rchar}\nwchar: ${io.wchar}\nsyscr: ${io.syscr}\nsyscw: ${io.syscw}\n` +
    "read_bytes: 0\nwrite_bytes: 0\ncancelled_write_bytes: 0\n"
  );
}

/** /proc/PID/wchan: the function that a task sleeps in, without a newline; 0 for one that runs. */
export function* showWchan(k: Kernel, { id, task }: ProcTarget): MaySleep<string> {
  if (k.m.point(Op.Process, id)) yield SWITCH;
  const sleeps = task !== null && task.state !== TaskState.Running && task.state !== TaskState.Dead;
  return sleeps && task.waitingFor !== "" ? task.waitingFor : "0";
}

/** /proc/PID/auxv: what the kernel told the program at its start, as it stands on its stack. */
export function* showAuxv(k: Kernel, target: ProcTarget): MaySleep<string> {
  if (k.m.point(Op.Process, target.id)) yield SWITCH;
  const words = mmOf(target)?.savedAuxv ?? [];
  return textOf(new Uint8Array(BigUint64Array.from(words, BigInt).buffer));
}

export function* showOomAdj(k: Kernel, target: ProcTarget): MaySleep<string> {
  if (k.m.point(Op.Process, target.id)) yield SWITCH;
  const adj = target.process?.oomScoreAdj ?? 0;
  const old = adj === OOM_SCORE_ADJ_MAX ? OOM_ADJUST_MAX : Math.trunc((adj * -OOM_DISABLE) / OOM_SCORE_ADJ_MAX);
  return `${old}\n`;
}

export function* storeOomAdj(k: Kernel, written: string, target: ProcTarget): MaySleep<number> {
  if (k.m.point(Op.Process, target.id)) yield SWITCH;
  const value = parseInteger(written);
  if (value === null || value < OOM_DISABLE || value > OOM_ADJUST_MAX || target.process === null) return -Errno.EINVAL;
  const { process } = target;
  const adj = value === OOM_ADJUST_MAX ? OOM_SCORE_ADJ_MAX : Math.trunc((value * OOM_SCORE_ADJ_MAX) / -OOM_DISABLE);
  if (adj < process.oomScoreAdj && !capable(k, Cap.SYS_RESOURCE)) return -Errno.EACCES;
  for (const each of withSameMemory(k, process)) each.oomScoreAdj = adj;
  return 0;
}

/** A process, and those to which what is set for the OOM killer applies as well: who has the same memory, but for children that vfork() has made. */
export function withSameMemory({ m }: Kernel, process: Process): Process[] {
  if (process.mm === null || process.isVforkChild) return [process];
  const all = [...m.processes.values()].filter((other) => other === process || (other.mm === process.mm && other.pid !== 1 && !other.isVforkChild));
  for (const { pid } of all) m.touches(Op.Process, pid);
  return all;
}

/** /proc/PID/coredump_filter: kinds of memory that a core dump would have, which nobody makes. */
export function* showCoredumpFilter(k: Kernel, target: ProcTarget): MaySleep<string> {
  if (k.m.point(Op.Process, target.id)) yield SWITCH;
  const mm = mmOf(target);
  return mm === null ? "" : `${mm.coredumpFilter.toString(16).padStart(8, "0")}\n`;
}

export function* storeCoredumpFilter(k: Kernel, written: string, target: ProcTarget): MaySleep<number> {
  if (k.m.point(Op.Process, target.id)) yield SWITCH;
  const value = parseInteger(written);
  if (value === null || value < 0) return -Errno.EINVAL;
  if (value > 2 ** 32 - 1) return -Errno.ERANGE;
  const mm = mmOf(target);
  // There are nine kinds; other bits are passed over.
  if (mm !== null) mm.coredumpFilter = value & 0x1ff;
  return 0;
}

/** /proc/PID/ksm_stat. */
export function* showKsmStat(k: Kernel, target: ProcTarget): MaySleep<string> {
  if (k.m.point(Op.Process, target.id)) yield SWITCH;
  const mm = mmOf(target);
  if (mm === null || !(yield* k.fork.mmgetNotZero(k, mm))) return "";
  if (!mm.mmapLock.tryRead()) yield* mm.mmapLock.read();
  if (k.m.point(Op.Ksm, 0)) yield SWITCH;
  const text =
    `ksm_rmap_items ${mm.ksmRmapItems}\nksm_zero_pages ${mm.ksmZeroPages}\nksm_merging_pages ${mm.ksmMergingPages}\n` +
    `ksm_process_profit ${k.ksm.profit(k, mm.ksmMergingPages + mm.ksmZeroPages, mm.ksmRmapItems)}\n` +
    `ksm_merge_any: ${yesNo(mm.mergeAny)}\nksm_mergeable: ${yesNo(mm.vmas.some(({ flags }) => (flags & VM.MERGEABLE) !== 0))}\n`;
  if (!mm.mmapLock.tryUnlock()) yield* mm.mmapLock.unlock();
  yield* k.fork.mmput(k, mm);
  return text;
}

function yesNo(value: boolean): string {
  return value ? "yes" : "no";
}

export function* showKsmMergingPages(k: Kernel, target: ProcTarget): MaySleep<string> {
  if (k.m.point(Op.Process, target.id)) yield SWITCH;
  k.m.touches(Op.Ksm, 0);
  const mm = mmOf(target);
  return mm === null ? "" : `${mm.ksmMergingPages}\n`;
}

/** /proc/PID/schedstat: nanoseconds on a CPU and in wait for one, and how often it had one. Only the first is kept. */
export function* showSchedstat(k: Kernel, { id, task }: ProcTarget): MaySleep<string> {
  if (k.m.point(Op.Process, id)) yield SWITCH;
  const ran = task === null ? 0 : task.thread.userTimeNs + task.thread.systemTimeNs;
  return `${Math.floor(ran)} 0 0\n`;
}

/** /proc/PID/personality: eight hexadecimal digits. */
export function* personality(k: Kernel, { id, task }: ProcTarget): MaySleep<string> {
  if (k.m.point(Op.Process, id)) yield SWITCH;
  return `${(task?.process?.personality ?? 0).toString(16).padStart(8, "0")}\n`;
}

/** A file whose text is the same for every process. */
export function same(text: string): (k: Kernel, target: ProcTarget) => MaySleep<string> {
  return function* (k, target): MaySleep<string> {
    if (k.m.point(Op.Process, target.id)) yield SWITCH;
    return text;
  };
}
