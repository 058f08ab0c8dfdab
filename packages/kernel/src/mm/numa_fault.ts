/**
 * @linux mm/memory.c, mm/migrate.c, mm/mempolicy.c
 * @own allocMisplacedDst, cpuPidOf, hasRoom, hintOf, hintUnchanged, moveMisplaced, rebuildMapping, rebuildPte,
 *   rebuiltPte, shouldMigrate
 */
import { SWITCH, type Atomic, type MaySleep } from "../kernel/coroutine.js";
import { Errno } from "../kernel/errno.js";
import { Op } from "../kernel/op.js";
import type { Kernel } from "../kernel.js";
import { HPAGE_PMD_NR, PTE, PTRS_PER_TABLE } from "../arch/pgtable.js";
import { Gfp, GFP_HIGHUSER_MOVABLE, GFP_TRANSHUGE_LIGHT } from "./gfp.js";
import { Mpol, MpolFlag, thisNode } from "./mempolicy.js";
import type { Vmf } from "./memory.js";
import { MigrateMode } from "./migrate_mode.js";
import { VM, type Vma } from "./mm_types.js";
import { NUMA_NO_NODE } from "./nodes.js";
import { PG } from "./page.js";
import { isHinting } from "./prot_numa.js";
import { vmPageProt } from "./vm_prot.js";

/** For a folio that goes to the node that uses it: of that node or not at all, and nobody waits for it. */
const GFP_MISPLACED = (GFP_HIGHUSER_MOVABLE | Gfp.COMP | Gfp.NOMEMALLOC | Gfp.NORETRY | Gfp.NOWARN) & ~(Gfp.DIRECT_RECLAIM | Gfp.KSWAPD_RECLAIM);

/** The last who faulted on a folio, as Linux keeps it with the page: CPU and the low bits of the task's id; NOBODY. */
const PID_BITS = 8;
export const NOBODY = -1;

export function cpuPidOf(cpu: number, pid: number): number {
  return (cpu << PID_BITS) | (pid & ((1 << PID_BITS) - 1));
}

function matchesPid(cpuPid: number, pid: number): boolean {
  return cpuPid !== NOBODY && (cpuPid & ((1 << PID_BITS) - 1)) === (pid & ((1 << PID_BITS) - 1));
}

/** What a hinting fault has found out (TNF_*). */
export interface HintFault {
  /** Where the page is by now, and how many pages that says something of. */
  node: number;
  readonly pages: number;
  readonly lastCpuPid: number;
  /** Of the CPU's own node. */
  readonly local: boolean;
  migrated: boolean;
  failed: boolean;
}

/**
 * An access to an entry that grants nothing in memory that may be accessed: the page moves to the node of the CPU where its policy
 * lets it, or is mapped as before. VmFault bits.
 */
export function* doNumaPage(k: Kernel, vmf: Vmf): MaySleep<number> {
  const { m } = k;
  const { memmap } = m;
  const { vma, vpn, ptep } = vmf;
  if (!(yield* k.numaFault.hintUnchanged(k, vmf))) return 0;
  const ptl = m.pt.lockOf(ptep);
  const page = memmap.pfnToPage(vmf.origPfn);
  const folio = memmap.folioOf(page);
  const usable = (vmf.origFlags & PTE.SPECIAL) === 0 && !memmap.isZoneDevice(folio);
  let hint: HintFault | null = null;
  if (usable) {
    hint = k.numaFault.hintOf(k, vma, folio);
    const target = yield* k.numaFault.mpolMisplaced(k, vma, vpn, folio);
    if (target !== NUMA_NO_NODE) {
      const moved = yield* k.numaFault.moveMisplaced(k, vmf, folio, target, hint);
      // The lock was dropped for it: somebody else may have been here.
      if (moved || !(yield* k.numaFault.hintUnchanged(k, vmf))) {
        if (moved) yield* k.numaBalancing.taskNumaFault(k, hint);
        return 0;
      }
    }
  }
  yield* k.numaFault.rebuildMapping(k, vmf, folio, hint?.failed !== true);
  if (!ptl.tryUnlock()) yield* ptl.unlock();
  if (hint !== null) yield* k.numaBalancing.taskNumaFault(k, hint);
  return 0;
}

/** Locks the entry; false, and unlocked, where somebody has resolved the fault, or taken the page away. */
export function* hintUnchanged(k: Kernel, vmf: Vmf): Atomic<boolean> {
  return yield* k.memory.pteLockUnchanged(k, vmf);
}

/** Counts a fault; what is known of it so far. Under the entry's lock. */
export function hintOf(k: Kernel, vma: Vma, folio: number): HintFault {
  const { m } = k;
  const { events } = m.vmstat;
  const local = m.nodes.of(folio) === m.nodes.ofCpu(m.cpu);
  k.numaBalancing.setAccessPid(k, vma);
  events.numa_hint_faults++;
  if (local) events.numa_hint_faults_local++;
  return { node: m.nodes.of(folio), pages: m.memmap.folioPages(folio), lastCpuPid: m.memmap.lastCpuPid?.[folio] ?? NOBODY, local, migrated: false, failed: false };
}

/**
 * Moves a folio to a node; the entry's lock, which is held, is dropped for that, unless the folio cannot even be isolated. True
 * when it has moved; else `hint.failed`.
 */
export function* moveMisplaced(k: Kernel, vmf: Vmf, folio: number, target: number, hint: HintFault): MaySleep<boolean> {
  const ptl = k.m.pt.lockOf(vmf.ptep);
  const isolated = yield* k.numaFault.migrateMisplacedFolioPrepare(k, folio, vmf.vma, target);
  if (!ptl.tryUnlock()) yield* ptl.unlock();
  hint.migrated = isolated === 0 && (yield* k.numaFault.migrateMisplacedFolio(k, folio, target));
  hint.failed = !hint.migrated;
  if (hint.migrated) hint.node = target;
  return hint.migrated;
}

/** Whether a folio can be moved for somebody who does not wait: isolated then, and 0; or -EACCES, -EAGAIN. */
export function* migrateMisplacedFolioPrepare(k: Kernel, folio: number, vma: Vma, node: number): Atomic<number> {
  const { m } = k;
  const { memmap } = m;
  if (memmap.isFile(folio) && !memmap.has(folio, PG.swapbacked)) {
    // Most likely a shared library, of which each node may have a use.
    if ((vma.flags & VM.EXEC) !== 0 && (yield* k.rmap.folioMaybeMappedShared(k, folio))) return -Errno.EACCES;
    if (m.point(Op.PageFlags, folio)) yield SWITCH;
    if (memmap.has(folio, PG.dirty)) return -Errno.EAGAIN;
  }
  if (!k.numaFault.hasRoom(k, node, memmap.folioPages(folio))) return -Errno.EAGAIN;
  return (yield* k.swap.folioIsolateLru(k, folio)) ? 0 : -Errno.EAGAIN;
}

/** Whether a node can take so many pages without kswapd having to see to it (migrate_balanced_pgdat()). */
export function hasRoom(k: Kernel, node: number, pages: number): boolean {
  return k.m.zones.ofNode(node).some((zone) => {
    k.m.touches(Op.GuardedRead, zone.lock.id);
    return zone.managed > 0 && zone.free - pages > zone.high + zone.lowmemReserve[zone.id]!;
  });
}

/** Moves an isolated folio, or puts it back. */
export function* migrateMisplacedFolio(k: Kernel, folio: number, node: number): MaySleep<boolean> {
  const { m } = k;
  const pages = m.memmap.folioPages(folio);
  const { failed } = yield* k.migrate.migratePages(k, [folio], (_k, src) => k.numaFault.allocMisplacedDst(k, src, node), MigrateMode.ASYNC);
  yield* k.vmscan.putbackFolios(k, failed);
  if (failed.length > 0) return false;
  m.vmstat.events.numa_pages_migrated += pages;
  return true;
}

export function* allocMisplacedDst(k: Kernel, src: number, node: number): MaySleep<number> {
  const order = k.m.memmap.order[src]!;
  return yield* k.pageAlloc.allocFolio(k, order > 0 ? GFP_TRANSHUGE_LIGHT : GFP_MISPLACED, order, thisNode(node));
}

/** The entry, or of a large folio all that wait around it, as the VMA's permissions have it; `upgrade`: writable where it may be. */
export function* rebuildMapping(k: Kernel, vmf: Vmf, folio: number, upgrade: boolean): Atomic<void> {
  const { m } = k;
  const { memmap } = m;
  const { vma, vpn, ptep } = vmf;
  if ((vmf.origFlags & PTE.SPECIAL) !== 0 || !memmap.isLarge(folio)) return yield* k.numaFault.rebuildPte(k, vma, vpn, ptep, upgrade);
  const before = Math.min(memmap.pfnToPage(vmf.origPfn) - folio, ptep % PTRS_PER_TABLE, vpn - vma.startVpn);
  const behind = Math.min(folio + memmap.folioPages(folio) - memmap.pfnToPage(vmf.origPfn), PTRS_PER_TABLE - (ptep % PTRS_PER_TABLE), vma.endVpn - vpn);
  for (let i = -before; i < behind; i++) {
    if (m.point(Op.PteRead, ptep + i)) yield SWITCH;
    if (!isHinting(vma, m.pt.flags(ptep + i)) || memmap.folioOf(memmap.pfnToPage(m.pt.pfn(ptep + i))) !== folio) continue;
    yield* k.numaFault.rebuildPte(k, vma, vpn + i, ptep + i, upgrade);
  }
}

/** One entry: accessible again, and used. Nothing that was cached changes, so that nobody is told and nothing flushed. */
export function* rebuildPte(k: Kernel, vma: Vma, vpn: number, ptep: number, upgrade: boolean): Atomic<void> {
  const pfn = k.m.pt.pfn(ptep);
  yield* k.memory.ptepModify(k, vma.mm, vpn, ptep, (flags) => k.numaFault.rebuiltPte(k, vma, flags, pfn, upgrade) | PTE.A);
}

/** The flags of an entry that has waited for a hinting fault, as its VMA grants them. */
export function rebuiltPte(k: Kernel, vma: Vma, flags: number, pfn: number, upgrade: boolean): number {
  if (upgrade) return k.mprotect.changedPresentPte(k, vma, flags, pfn);
  return vmPageProt(vma.flags) | (flags & (PTE.D | PTE.SPECIAL | PTE.SOFT_DIRTY | PTE.UFFD_WP));
}

/** The same for 2 MiB that are mapped as one, whose lock is held; it is dropped. VmFault bits. */
export function* doHugePmdNumaPage(k: Kernel, vmf: Vmf): MaySleep<number> {
  const { m } = k;
  const { vma, ptep } = vmf;
  const ptl = m.pt.lockOf(ptep);
  const folio = m.memmap.pfnToPage(vmf.origPfn);
  let hint: HintFault | null = null;
  if ((vmf.origFlags & PTE.SPECIAL) === 0 && !m.memmap.isZoneDevice(folio)) {
    hint = k.numaFault.hintOf(k, vma, folio);
    const target = yield* k.numaFault.mpolMisplaced(k, vma, vmf.vpn, folio, true);
    if (target !== NUMA_NO_NODE) {
      const moved = yield* k.numaFault.moveMisplaced(k, vmf, folio, target, hint);
      if (moved || !(yield* k.numaFault.hintUnchanged(k, vmf))) {
        if (moved) yield* k.numaBalancing.taskNumaFault(k, hint);
        return 0;
      }
    }
  }
  yield* k.numaFault.rebuildPte(k, vma, vmf.vpn & ~(HPAGE_PMD_NR - 1), ptep, hint?.failed !== true);
  if (!ptl.tryUnlock()) yield* ptl.unlock();
  if (hint !== null) yield* k.numaBalancing.taskNumaFault(k, hint);
  return 0;
}

/** Where a folio should be that this CPU has just used: a node, or NUMA_NO_NODE where it is right, or may not move. */
export function* mpolMisplaced(k: Kernel, vma: Vma, vpn: number, folio: number, huge = false): Atomic<number> {
  const { m } = k;
  const here = m.nodes.ofCpu(m.cpu);
  const current = m.nodes.of(folio);
  const policy = k.mempolicy.getVmaPolicy(k, vma, vpn);
  if (policy === null) {
    if (current === here) return NUMA_NO_NODE;
    return (yield* k.numaFault.shouldMigrate(k, folio, here)) ? here : NUMA_NO_NODE;
  }
  // Who has said where memory is to be, and not that it may move, is not moved.
  if ((policy.flags & MpolFlag.NUMA_BALANCING) === 0) return NUMA_NO_NODE;
  if (policy.mode !== Mpol.BIND && policy.mode !== Mpol.PREFERRED_MANY) {
    const { node } = k.mempolicy.policyNodes(k, policy, k.mempolicy.interleaveIndex(k, vma, vpn, huge ? 9 : 0));
    return node === current ? NUMA_NO_NODE : node;
  }
  if ((policy.nodes & (1 << here)) === 0 || current === here) return NUMA_NO_NODE;
  return (yield* k.numaFault.shouldMigrate(k, folio, here)) ? here : NUMA_NO_NODE;
}

/**
 * Whether one more use is reason enough to move a folio: the first few are, and those by the task that used it last; else the node
 * must have used it twice in a row (should_numa_migrate_memory(); there are no groups of tasks here).
 */
export function* shouldMigrate(k: Kernel, folio: number, here: number): Atomic<boolean> {
  const { m } = k;
  const task = m.current!;
  const { lastCpuPid } = m.memmap;
  if (lastCpuPid === null) return true;
  if (m.point(Op.PageFlags, folio)) yield SWITCH;
  const last = lastCpuPid[folio]!;
  lastCpuPid[folio] = cpuPidOf(m.cpu, task.id);
  const young = task.numa === null || task.numa.preferredNode === NUMA_NO_NODE || task.numa.scanSeq <= 4;
  if (young && (last === NOBODY || matchesPid(last, task.id))) return true;
  return last === NOBODY || m.nodes.ofCpu(last >> PID_BITS) === here;
}
