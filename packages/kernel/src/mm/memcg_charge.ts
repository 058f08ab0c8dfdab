/**
 * @linux mm/memcontrol.c
 * @omits Kernel memory, sockets and slab objects: page tables are charged, nothing else of the kernel's.
 * @omits memory.high throttles nobody; memory.low and memory.min protect nothing.
 * @omits Statistics are exact at once: there is no rstat, and nothing to flush.
 * @omits Cgroup v1, memory.oom.group, memory.zswap, writeback by cgroup, and objects that outlive their cgroup
 *   (`obj_cgroup`).
 * @own chargeFast, chargeLargeFolio, chargePage, setMax, uncharge, unchargePage
 */
import { SWITCH, type Atomic, type MaySleep } from "../kernel/coroutine.js";
import { Op } from "../kernel/op.js";
import type { Kernel } from "../kernel.js";
import { MEMCG_CHARGE_BATCH, type Memcg } from "./memcontrol.js";

const MAX_RECLAIM_RETRIES = 16;

/**
 * Charges one page to a cgroup and says so on the page; false when the limit forbids it even
 * after reclaim and after the OOM killer had its turn.
 */
export function* chargePage(k: Kernel, page: number, memcg: Memcg): MaySleep<boolean> {
  const { m } = k;
  const { cpu } = m;
  if (!m.memcgs.consumeStock(cpu, memcg, 1) && !(yield* k.memcg.tryCharge(k, memcg, cpu))) return false;
  m.memmap.memcg[page] = memcg.id;
  return true;
}

/**
 * Charges all pages of a large folio. It reclaims once where the limit is in the way, and rather
 * fails than kills: small pages may still do.
 */
export function* chargeLargeFolio(k: Kernel, folio: number, memcg: Memcg): MaySleep<boolean> {
  const { m } = k;
  const pages = m.memmap.folioPages(folio);
  for (let tries = 0; ; tries++) {
    if (m.point(Op.Memcg, memcg.id)) yield SWITCH;
    const over = m.memcgs.tryCharge(memcg, pages);
    if (over === null) break;
    over.events.max++;
    if (tries > 0) return false;
    yield* k.vmscan.tryToFreeMemCgroupPages(k, over, pages, "direct");
  }
  m.memmap.memcg[folio] = memcg.id;
  return true;
}

/** The fast half of `chargePage`: from this CPU's stock, which nobody else touches. */
export function chargeFast(k: Kernel, page: number, memcg: Memcg): boolean {
  const { m } = k;
  m.touches(Op.Pcp, m.cpu);
  if (!m.memcgs.consumeStock(m.cpu, memcg, 1)) return false;
  m.memmap.memcg[page] = memcg.id;
  return true;
}

/** Gives back what the CPUs have in stock. */
function drainAllStock(k: Kernel): void {
  const { m } = k;
  for (let cpu = 0; cpu < m.config.cpus; cpu++) m.touches(Op.Pcp, cpu);
  m.memcgs.drainAllStock();
}

export function* tryCharge(k: Kernel, memcg: Memcg, cpu: number): MaySleep<boolean> {
  const { m } = k;
  let batch = MEMCG_CHARGE_BATCH;
  for (let retries = 0; ; ) {
    if (m.point(Op.Memcg, memcg.id)) yield SWITCH;
    const over = m.memcgs.tryCharge(memcg, batch);
    if (over === null) {
      m.touches(Op.Pcp, cpu);
      if (batch > 1) m.memcgs.refillStock(cpu, memcg, batch - 1);
      return true;
    }
    if (batch > 1) {
      batch = 1;
      continue;
    }
    over.events.max++;
    if (m.signals.fatalPending(m.current!) || m.current!.oomVictim) {
      // A dying task is let through, so that it can die.
      m.memcgs.forceCharge(memcg, 1);
      return true;
    }
    const reclaimed = yield* k.vmscan.tryToFreeMemCgroupPages(k, over, 32, "direct");
    if (reclaimed > 0) continue;
    if (retries === 0) drainAllStock(k);
    if (++retries < MAX_RECLAIM_RETRIES) continue;
    if (!(yield* k.oom.outOfMemory(k, over))) return false;
    retries = 0;
  }
}

/** Takes the charge of a folio back into this CPU's stock; announced as a point by the caller. */
export function uncharge(k: Kernel, folio: number): void {
  const { m } = k;
  if (m.memmap.memcg[folio] === 0) return;
  m.touches(Op.Pcp, m.cpu);
  m.memcgs.refillStock(m.cpu, m.memcgs.get(m.memmap.memcg[folio]!), m.memmap.folioPages(folio));
  m.memmap.memcg[folio] = 0;
}

export function* unchargePage(k: Kernel, page: number): Atomic<void> {
  if (k.m.point(Op.Memcg, k.m.memmap.memcg[page]!)) yield SWITCH;
  k.memcg.uncharge(k, page);
}

/** memory.max: lowers the limit, reclaims down to it, and kills when that is not enough. */
export function* setMax(k: Kernel, memcg: Memcg, pages: number): MaySleep<number> {
  const { m } = k;
  memcg.max = pages;
  let retries = MAX_RECLAIM_RETRIES;
  let drained = false;
  for (;;) {
    if (m.point(Op.Memcg, memcg.id)) yield SWITCH;
    // A signal ends the effort, not the write: the limit stands.
    if (memcg.usage <= pages || m.signals.pending(m.current!)) return 0;
    if (!drained) {
      drainAllStock(k);
      drained = true;
      continue;
    }
    if (retries > 0) {
      if ((yield* k.vmscan.tryToFreeMemCgroupPages(k, memcg, memcg.usage - pages, "direct")) === 0) retries--;
      continue;
    }
    if (!(yield* k.oom.outOfMemory(k, memcg))) return 0;
  }
}
