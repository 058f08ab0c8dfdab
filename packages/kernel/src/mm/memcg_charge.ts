/**
 * @linux mm/memcontrol.c
 * @omits Kernel memory, sockets and slab objects: page tables are charged, nothing else of the kernel's.
 * @omits memory.low and memory.min protect nothing.
 * @omits Statistics are exact at once: there is no rstat, and nothing to flush.
 * @omits Cgroup v1, memory.zswap, writeback by cgroup, and objects that outlive their cgroup
 *   (`obj_cgroup`).
 * @own chargeFast, chargeLargeFolio, chargePage, setMax, uncharge, unchargePage
 */
import { SWITCH, type Atomic, type MaySleep } from "../kernel/coroutine.js";
import { Op } from "../kernel/op.js";
import type { Kernel } from "../kernel.js";
import { MEMCG_CHARGE_BATCH, type Memcg } from "./memcontrol.js";

const MAX_RECLAIM_RETRIES = 16;
/** Blocks of more pages are rather not had than killed for. */
const COSTLY_PAGES = 8;

/**
 * Charges one page to a cgroup and says so on the page; false when the limit forbids it even
 * after reclaim and after the OOM killer had its turn.
 */
export function* chargePage(k: Kernel, page: number, memcg: Memcg): MaySleep<boolean> {
  if (!(yield* k.memcg.tryCharge(k, memcg, k.m.cpu, 1))) return false;
  k.m.memmap.memcg[page] = memcg.id;
  return true;
}

/** Charges all pages of a large folio. */
export function* chargeLargeFolio(k: Kernel, folio: number, memcg: Memcg): MaySleep<boolean> {
  if (!(yield* k.memcg.tryCharge(k, memcg, k.m.cpu, k.m.memmap.folioPages(folio)))) return false;
  k.m.memmap.memcg[folio] = memcg.id;
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
export function drainAllStock(k: Kernel): void {
  const { m } = k;
  for (let cpu = 0; cpu < m.config.cpus; cpu++) m.touches(Op.Pcp, cpu);
  m.memcgs.drainAllStock();
}

/** Whether the current task is going to end, and memory that it does not get will not be missed. */
function isDying({ m }: Kernel): boolean {
  return m.current!.oomVictim || m.signals.fatalPending(m.current!);
}

/**
 * Charges pages to a cgroup, out of the stock of a CPU or with a batch for that: reclaims as long as that
 * helps, and then has somebody killed. False where neither did.
 */
export function* tryCharge(k: Kernel, memcg: Memcg, cpu: number, pages: number): MaySleep<boolean> {
  const { m } = k;
  let batch = Math.max(MEMCG_CHARGE_BATCH, pages);
  let retries = MAX_RECLAIM_RETRIES;
  let drained = false;
  let killed = false;
  for (;;) {
    m.touches(Op.Pcp, cpu);
    if (m.memcgs.consumeStock(cpu, memcg, pages)) return true;
    if (m.point(Op.Memcg, memcg.id)) yield SWITCH;
    const over = m.memcgs.tryCharge(memcg, batch);
    if (over === null) {
      m.touches(Op.Pcp, cpu);
      if (batch > pages) m.memcgs.refillStock(cpu, memcg, batch - pages);
      yield* k.memcgHigh.noteOverHigh(k, memcg, batch);
      return true;
    }
    if (batch > pages) {
      batch = pages;
      continue;
    }
    over.events.max++;
    const reclaimed = yield* k.vmscan.tryToFreeMemCgroupPages(k, over, pages, "direct");
    if (over.max - over.usage >= pages) continue;
    if (!drained) {
      k.memcg.drainAllStock(k);
      drained = true;
      continue;
    }
    if ((reclaimed > 0 && pages <= COSTLY_PAGES) || retries-- > 0) continue;
    if (killed && isDying(k)) return false;
    if (pages > COSTLY_PAGES || !(yield* memcgOom(k, over))) return false;
    killed = true;
    retries = MAX_RECLAIM_RETRIES;
  }
}

/** A cgroup is out of memory: false when nobody can be killed for it. */
function* memcgOom(k: Kernel, memcg: Memcg): MaySleep<boolean> {
  memcg.events.oom++;
  return yield* k.oom.outOfMemory(k, memcg);
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
      k.memcg.drainAllStock(k);
      drained = true;
      continue;
    }
    if (retries > 0) {
      if ((yield* k.vmscan.tryToFreeMemCgroupPages(k, memcg, memcg.usage - pages, "direct")) === 0) retries--;
      continue;
    }
    if (!(yield* memcgOom(k, memcg))) return 0;
  }
}
