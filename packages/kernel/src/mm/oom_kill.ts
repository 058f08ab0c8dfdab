/**
 * @linux mm/oom_kill.c
 * @omits The OOM reaper: the memory of a victim goes when its threads do.
 * @omits Cpusets, policies of memory and `vm.panic_on_oom`, `vm.oom_dump_tasks`: the log has the two lines about the victim,
 *   and no list of tasks.
 * @own oomTotalPages
 */
import { BLOCK, SWITCH, type MaySleep } from "../kernel/coroutine.js";
import { Op } from "../kernel/op.js";
import type { Process } from "../kernel/process.js";
import type { Kernel } from "../kernel.js";
import { Event } from "../trace.js";
import type { Memcg } from "./memcontrol.js";
import { RssKind } from "./mm_types.js";

/** oom_score_adj of a process that is never killed. */
const OOM_SCORE_ADJ_MIN = -1000;

/** What a score of 1000 stands for: all memory that the machine has, or that a cgroup may have. */
export function oomTotalPages({ m: { zones, swap } }: Kernel, memcg: Memcg | null): number {
  if (memcg === null) return zones.totalPages() + swap.total;
  return memcg.max + Math.min(memcg.swapMax, swap.total);
}

function isUnkillable(process: Process): boolean {
  return process.isOperator || process.pid === 1;
}

/** A child that has its parent's memory until it executes a program: killing it would free nothing. */
function inVfork(process: Process): boolean {
  return process.isVforkChild && process.parent?.mm === process.mm;
}

/**
 * How much killing a process would free, in pages, adjusted by oom_score_adj in thousandths of `total`; -Infinity for one
 * that must not be killed.
 */
export function oomBadness(_k: Kernel, process: Process, total: number): number {
  const { mm, oomScoreAdj } = process;
  if (mm === null || isUnkillable(process) || oomScoreAdj === OOM_SCORE_ADJ_MIN || inVfork(process)) return -Infinity;
  return mm.rssPages() + mm.rss[RssKind.swap]! + mm.pageTables + oomScoreAdj * Math.trunc(total / 1000);
}

function inSubtree(memcg: Memcg, root: Memcg): boolean {
  for (let c: Memcg | null = memcg; c !== null; c = c.parent) if (c === root) return true;
  return false;
}

/**
 * Kills the worst process (of a cgroup, or of the machine) and gives it time to go. False when
 * there is nobody to kill.
 */
export function* outOfMemory(k: Kernel, memcg: Memcg | null): MaySleep<boolean> {
  const { m } = k;
  if (m.point(Op.Process, 0)) yield SWITCH;
  const current = m.current!;
  // Who is on its way out frees memory as soon as it is through.
  if (m.signals.fatalPending(current) && current.process?.mm !== null) {
    current.oomVictim = true;
    return true;
  }
  const total = k.oom.oomTotalPages(k, memcg);
  const message = memcg === null ? "Out of memory" : "Memory cgroup out of memory";
  if (memcg === null && m.vmSysctl.oomKillAllocatingTask !== 0 && current.process !== null && k.oom.oomBadness(k, current.process, total) > -Infinity) {
    yield* k.oom.oomKillProcess(k, current.process, null, `${message} (oom_kill_allocating_task)`);
    return true;
  }
  let worst: Process | null = null;
  let points = -Infinity;
  for (const process of m.processes.values()) {
    if (process.mm === null || (memcg !== null && !inSubtree(process.memcg, memcg))) continue;
    // A victim that is still on its way out frees memory soon: wait for it rather than kill another.
    if ([...process.threads].some((thread) => thread.oomVictim)) {
      yield BLOCK;
      return true;
    }
    const badness = k.oom.oomBadness(k, process, total);
    // Of those that are equally bad it is the youngest.
    if (badness === -Infinity || badness < points) continue;
    worst = process;
    points = badness;
  }
  if (worst === null) {
    m.dmesg.printOnce("Out of memory and no killable processes...");
    return false;
  }
  yield* k.oom.oomKillProcess(k, worst, memcg, message);
  return true;
}

/** Kills a process, and with it all of its cgroup where that wants to go as a whole (memory.oom.group). */
export function* oomKillProcess(k: Kernel, victim: Process, domain: Memcg | null, message: string): MaySleep<void> {
  const { m } = k;
  m.dmesg.print(`${m.current!.comm} invoked oom-killer: order=0, oom_score_adj=${m.current!.process?.oomScoreAdj ?? 0}`);
  const group = oomGroup(victim, domain ?? m.memcgs.root);
  killVictim(k, victim, message);
  if (group !== null) {
    group.events.oom_group_kill++;
    m.dmesg.print(`Tasks in ${group.path} are going to be killed due to memory.oom.group set`);
    for (const process of m.processes.values()) {
      if (!inSubtree(process.memcg, group) || process.oomScoreAdj === OOM_SCORE_ADJ_MIN || isUnkillable(process)) continue;
      killVictim(k, process, message);
    }
  }
  yield BLOCK;
}

/** The outermost cgroup of a process, up to where memory is short, that is killed as a whole. */
function oomGroup({ memcg }: Process, domain: Memcg): Memcg | null {
  let group: Memcg | null = null;
  if (!inSubtree(memcg, domain)) return null;
  for (let c: Memcg | null = memcg; c !== null; c = c.parent) {
    if (c.oomGroup) group = c;
    if (c === domain) break;
  }
  return group;
}

/** Kills a process, and whoever else has its memory, which would not go otherwise. */
function killVictim(k: Kernel, victim: Process, message: string): void {
  const { m } = k;
  const { mm } = victim;
  if (mm === null) return;
  const kb = (kind: RssKind): number => mm.rss[kind]! * 4;
  m.vmstat.events.oom_kill++;
  victim.memcg.events.oom_kill++;
  m.dmesg.print(
    `${message}: Killed process ${victim.pid} (${victim.comm}) ` +
      `total-vm:${mm.totalVm * 4}kB, anon-rss:${kb(RssKind.anon)}kB, file-rss:${kb(RssKind.file)}kB, ` +
      `shmem-rss:${kb(RssKind.shmem)}kB, UID:${victim.cred.uid} pgtables:${mm.pageTables * 4}kB oom_score_adj:${victim.oomScoreAdj}`,
  );
  m.sink?.emit(
    Event.MarkVictim,
    victim.pid,
    mm.totalVm * 4,
    kb(RssKind.anon),
    kb(RssKind.file),
    kb(RssKind.shmem),
    mm.pageTables * 4,
    victim.oomScoreAdj,
  );
  for (const thread of victim.threads) thread.oomVictim = true;
  for (const process of m.processes.values()) if (process.mm === mm && !isUnkillable(process)) m.signals.kill(process);
}
