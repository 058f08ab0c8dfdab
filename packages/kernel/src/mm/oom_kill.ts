/**
 * @linux mm/oom_kill.c
 * @omits The OOM reaper: the memory of a victim goes when its threads do.
 * @omits `oom_kill_process()` kills one process: not others that share its memory, and not a whole cgroup
 *   (memory.oom.group).
 * @omits Cpusets, policies of memory and `vm.panic_on_oom`, `vm.oom_kill_allocating_task`, `vm.oom_dump_tasks`: the
 *   log has the two lines about the victim, and no list of tasks.
 */
import { BLOCK, SWITCH, type MaySleep } from "../kernel/coroutine.js";
import { Op } from "../kernel/op.js";
import type { Process } from "../kernel/process.js";
import type { Kernel } from "../kernel.js";
import { Event } from "../trace.js";
import type { Memcg } from "./memcontrol.js";
import { RssKind } from "./mm_types.js";

/**
 * How much killing a process would free, in pages, adjusted by oom_score_adj; -Infinity for one
 * that must not be killed.
 */
export function oomBadness(k: Kernel, process: Process): number {
  const { mm } = process;
  if (mm === null || process.isOperator || process.pid === 1 || process.oomScoreAdj === -1000) return -Infinity;
  const pages = mm.rssPages() + mm.rss[RssKind.swap]! + mm.pageTables;
  const total = k.m.zones.totalPages() + k.m.swap.total;
  return pages + (process.oomScoreAdj * total) / 1000;
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
  // A victim that is still on its way out frees memory soon: wait for it rather than kill another.
  let victim: Process | null = null;
  for (const process of m.processes.values()) {
    if (process.mm === null || (memcg !== null && !inSubtree(process.memcg, memcg))) continue;
    if ([...process.threads].some((t) => t.oomVictim)) {
      if (m.current!.process === process) return false;
      yield BLOCK;
      return true;
    }
    if (victim === null || k.oom.oomBadness(k, process) > k.oom.oomBadness(k, victim)) victim = process;
  }
  if (victim === null || k.oom.oomBadness(k, victim) === -Infinity) return false;
  const { mm } = victim;
  const kb = (kind: RssKind): number => mm!.rss[kind]! * 4;
  if (memcg !== null) memcg.events.oom++;
  m.vmstat.events.oom_kill++;
  victim.memcg.events.oom_kill++;
  m.dmesg.print(`${m.current!.comm} invoked oom-killer: order=0, oom_score_adj=${m.current!.process?.oomScoreAdj ?? 0}`);
  m.dmesg.print(
    `${memcg === null ? "Out of memory" : "Memory cgroup out of memory"}: Killed process ${victim.pid} (${victim.comm}) ` +
      `total-vm:${mm!.totalVm * 4}kB, anon-rss:${kb(RssKind.anon)}kB, file-rss:${kb(RssKind.file)}kB, ` +
      `shmem-rss:${kb(RssKind.shmem)}kB, UID:0 pgtables:${mm!.pageTables * 4}kB oom_score_adj:${victim.oomScoreAdj}`,
  );
  m.sink?.emit(
    Event.MarkVictim,
    victim.pid,
    mm!.totalVm * 4,
    kb(RssKind.anon),
    kb(RssKind.file),
    kb(RssKind.shmem),
    mm!.pageTables * 4,
    victim.oomScoreAdj,
  );
  for (const thread of victim.threads) thread.oomVictim = true;
  m.signals.kill(victim);
  yield BLOCK;
  return true;
}
