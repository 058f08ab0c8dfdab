/**
 * @linux mm/memcontrol.c
 * @omits memory.swap.high.
 * @own handleOverHigh, noteOverHigh, setHigh
 */
import { SWITCH, type MaySleep } from "../kernel/coroutine.js";
import { Op } from "../kernel/op.js";
import { TaskState } from "../kernel/sched.js";
import type { Kernel } from "../kernel.js";
import { MEMCG_CHARGE_BATCH, type Memcg } from "./memcontrol.js";

const MAX_RECLAIM_RETRIES = 16;
const SWAP_CLUSTER_MAX = 32;
const NSEC_PER_SEC = 1_000_000_000;
/** Shorter sleeps are not worth it. */
const MIN_DELAY_NS = NSEC_PER_SEC / 100;
const MAX_DELAY_NS = 2 * NSEC_PER_SEC;
/** What a batch of pages costs where twice memory.high is in use. */
const DOUBLE_DELAY_NS = 64 * NSEC_PER_SEC;

/** Pages were charged: where that leads beyond memory.high, the task pays for them before it goes back to its program, or now, if they are many. */
export function* noteOverHigh(k: Kernel, memcg: Memcg, pages: number): MaySleep<void> {
  const task = k.m.current!;
  for (let c: Memcg | null = memcg; c !== null; c = c.parent) {
    if (c.usage <= c.high) continue;
    task.pagesOverHigh += pages;
    break;
  }
  if (task.pagesOverHigh > MEMCG_CHARGE_BATCH) yield* k.memcgHigh.handleOverHigh(k);
}

/** Reclaims for the pages that the current task was charged for beyond memory.high, and sleeps where that does not help. */
export function* handleOverHigh(k: Kernel): MaySleep<void> {
  const { m } = k;
  const task = m.current!;
  const { memcg, pagesOverHigh: pages } = task;
  task.pagesOverHigh = 0;
  let retries = MAX_RECLAIM_RETRIES;
  for (let wanted = pages; !task.oomVictim && !m.signals.fatalPending(task); wanted = SWAP_CLUSTER_MAX) {
    const reclaimed = yield* k.memcgHigh.reclaimHigh(k, memcg, wanted);
    const delay = highDelayNs(memcg, pages);
    if (delay <= MIN_DELAY_NS) return;
    // Reclaim that gets on is worth more than a sleep.
    if (reclaimed > 0 || retries-- > 0) continue;
    yield* k.time.sleepUntil(k, m.now() + delay, "memory.high", TaskState.Killable);
    return;
  }
}

/** Reclaims from a cgroup, and those above it, that have more than memory.high. */
export function* reclaimHigh(k: Kernel, memcg: Memcg, pages: number): MaySleep<number> {
  let reclaimed = 0;
  for (let c: Memcg | null = memcg; c?.parent != null; c = c.parent) {
    if (k.m.point(Op.Memcg, c.id)) yield SWITCH;
    if (c.usage <= c.high) continue;
    c.events.high++;
    reclaimed += yield* k.vmscan.tryToFreeMemCgroupPages(k, c, pages, "direct");
  }
  return reclaimed;
}

/** How long a task sleeps that was charged for pages: it grows with the square of the share of memory.high by which that is exceeded. */
function highDelayNs(memcg: Memcg, pages: number): number {
  let overage = 0;
  for (let c: Memcg | null = memcg; c?.parent != null; c = c.parent) {
    if (c.usage > c.high) overage = Math.max(overage, (c.usage - c.high) / Math.max(c.high, 1));
  }
  return Math.min((DOUBLE_DELAY_NS * overage * overage * pages) / MEMCG_CHARGE_BATCH, MAX_DELAY_NS);
}

/** memory.high: reclaims down to it now, as far as that goes. The limit stands in any case. */
export function* setHigh(k: Kernel, memcg: Memcg, pages: number): MaySleep<number> {
  const { m } = k;
  if (m.point(Op.Memcg, memcg.id)) yield SWITCH;
  memcg.high = pages;
  let retries = MAX_RECLAIM_RETRIES;
  for (let drained = false; memcg.usage > pages && !m.signals.pending(m.current!); drained = true) {
    if (!drained) k.memcg.drainAllStock(k);
    else if ((yield* k.vmscan.tryToFreeMemCgroupPages(k, memcg, memcg.usage - pages, "direct")) === 0 && retries-- === 0) break;
    if (m.point(Op.Memcg, memcg.id)) yield SWITCH;
  }
  return 0;
}
