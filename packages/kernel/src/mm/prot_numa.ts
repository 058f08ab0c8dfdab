/**
 * @linux mm/mprotect.c, mm/mempolicy.c
 * @own changePtes, flushHinted, hintedPte, isHinting, mayHint
 */
import { SWITCH, type Atomic, type MaySleep } from "../kernel/coroutine.js";
import { Op, tableObject } from "../kernel/op.js";
import type { Kernel } from "../kernel.js";
import { HPAGE_PMD_NR, PTE, PTRS_PER_TABLE, ptePresent } from "../arch/pgtable.js";
import { VM, VM_ACCESS, type Vma } from "./mm_types.js";
import { NotifyEvent, type NotifierRange } from "./mmu_notifier.js";
import { NUMA_NO_NODE } from "./nodes.js";
import { NumaBalancing } from "./numa.js";
import { PG } from "./page.js";
import { isUffdRwp } from "./uffd_rwp.js";

/*
 * NUMA hinting: entries of memory that may be accessed are made to grant nothing, as if it were PROT_NONE, so that the next
 * access says who uses the page and from where. No kernel code is in the way of such an entry otherwise: the page is mapped.
 */

/** Whether a present entry waits for a hinting fault: it grants nothing, and its VMA says otherwise. */
export function isHinting(vma: Vma, flags: number): boolean {
  return (flags & PTE.PROT_NONE) !== 0 && (vma.flags & VM_ACCESS) !== 0 && !isUffdRwp(vma, flags);
}

/**
 * Protects a range of a VMA for hinting (change_prot_numa()), with mmap_lock held for reading: how many entries are others now.
 * Notifiers are told as of any change of permissions. Faults go on meanwhile.
 */
export function* changeProtNuma(k: Kernel, vma: Vma, start: number, end: number): MaySleep<number> {
  const { m } = k;
  const { mm } = vma;
  const range: NotifierRange = { mm, startVpn: start, endVpn: end, event: NotifyEvent.PROTECTION_VMA, owner: null };
  let updates = 0;
  yield* k.mmuNotifier.invalidateRangeStart(k, range);
  for (let vpn = start; vpn < end; ) {
    const tableEnd = Math.min(end, (vpn | (PTRS_PER_TABLE - 1)) + 1);
    if (m.point(Op.TableRead, tableObject(mm.id, vpn))) yield SWITCH;
    const pmd = m.pt.pmd(mm.pgd, vpn);
    if (pmd >= 0 && m.pt.isLeaf(pmd)) {
      if (tableEnd - vpn < HPAGE_PMD_NR) yield* k.hugeMemory.splitHugePmd(k, vma, vpn);
      else {
        const changed = yield* k.protNuma.changeHugePmd(k, vma, vpn, pmd);
        if (changed >= 0) {
          updates += changed;
          vpn = tableEnd;
          continue;
        }
      }
      if (m.point(Op.TableRead, tableObject(mm.id, vpn))) yield SWITCH;
    }
    const first = m.pt.lookup(mm.pgd, vpn);
    if (first >= 0) updates += yield* k.protNuma.changePtes(k, vma, vpn, tableEnd, first);
    vpn = tableEnd;
    yield* m.sched.condResched();
  }
  if (updates > 0) {
    yield* k.protNuma.flushHinted(k, vma, start, end);
    m.vmstat.events.numa_pte_updates += updates;
  }
  yield* k.mmuNotifier.invalidateRangeEnd(k, range);
  return updates;
}

/** CPUs that have the old permissions in their TLBs lose them. */
export function* flushHinted(k: Kernel, vma: Vma, start: number, end: number): Atomic<void> {
  yield* k.tlbflush.flushTlbRange(k, vma.mm, start, end);
}

/** The entries of one table; how many are others now. */
export function* changePtes(k: Kernel, vma: Vma, start: number, end: number, first: number): Atomic<number> {
  const { m } = k;
  const { mm } = vma;
  // What a program of one thread has on the node that it runs on is where it should be.
  const here = (vma.flags & VM.SHARED) === 0 && mm.users === 1 ? m.nodes.ofCpu(m.cpu) : NUMA_NO_NODE;
  let updates = 0;
  const ptl = m.pt.lockOf(first);
  if (!ptl.tryLock()) yield* ptl.lock();
  if (k.tlbBatch.isFlushPending(k, mm)) yield* k.tlbBatch.flushTlbBatchedPending(k, mm);
  for (let i = 0; start + i < end; i++) {
    const ptep = first + i;
    if (m.point(Op.PteRead, ptep)) yield SWITCH;
    const flags = m.pt.flags(ptep);
    if (flags === 0 || k.pteMarker.pteMarker(flags, m.pt.pfn(ptep)) !== 0) continue;
    if (ptePresent(flags) && !(yield* k.protNuma.mayHint(k, vma, flags, m.pt.pfn(ptep), here))) continue;
    const old = yield* k.memory.ptepModify(k, mm, start + i, ptep, (now) => k.protNuma.hintedPte(k, vma, now));
    if (old !== m.pt.flags(ptep)) updates++;
  }
  if (!ptl.tryUnlock()) yield* ptl.unlock();
  return updates;
}

/**
 * An entry as balancing leaves it: a present one grants nothing, and keeps its marks. Of those that are not, migration and
 * device-private entries lose their permission to write, as with any change of permissions.
 */
export function hintedPte(k: Kernel, vma: Vma, flags: number): number {
  if (!ptePresent(flags)) return k.mprotect.changedSwapPte(k, vma, flags);
  return (flags & (PTE.A | PTE.D | PTE.SPECIAL | PTE.SOFT_DIRTY | PTE.UFFD_WP)) | PTE.PROT_NONE | PTE.U;
}

/** Whether an access to what a present entry maps is worth a fault; under its lock. `here`: pages of that node are left alone. */
export function* mayHint(k: Kernel, vma: Vma, flags: number, pfn: number, here: number): Atomic<boolean> {
  const { m } = k;
  const { memmap } = m;
  if ((flags & (PTE.PROT_NONE | PTE.SPECIAL)) !== 0) return false;
  const folio = memmap.folioOf(memmap.pfnToPage(pfn));
  if (memmap.isZoneDevice(folio) || memmap.isKsm(folio)) return false;
  // Pages that are shared until somebody writes stay where they are, and so do pinned ones.
  if (vma.isCow && (memmap.isPinned(folio) || (yield* k.rmap.folioMaybeMappedShared(k, folio)))) return false;
  if (m.point(Op.PageFlags, folio)) yield SWITCH;
  // Not all that is dirty can be moved without waiting.
  if (memmap.isFile(folio) && !memmap.has(folio, PG.swapbacked) && memmap.has(folio, PG.dirty)) return false;
  if (m.nodes.of(folio) === here) return false;
  // All nodes are of the top tier: pages that are to be promoted there are none.
  return !m.numa.enabled || (m.numa.balancing & NumaBalancing.NORMAL) !== 0;
}

/** 2 MiB that are mapped as one; how many entries that counts for, -1 where they are so no more. */
export function* changeHugePmd(k: Kernel, vma: Vma, vpn: number, pmd: number): Atomic<number> {
  const { m } = k;
  const { memmap } = m;
  const ptl = m.pt.lockOf(pmd);
  if (!ptl.tryLock()) yield* ptl.lock();
  if (m.point(Op.PteRead, pmd)) yield SWITCH;
  let result = -1;
  if (m.pt.isLeaf(pmd)) {
    const flags = m.pt.flags(pmd);
    const idle = ptePresent(flags) && ((flags & (PTE.PROT_NONE | PTE.SPECIAL)) !== 0 || memmap.isZoneDevice(memmap.pfnToPage(m.pt.pfn(pmd))));
    result = 0;
    if (!idle && (!m.numa.enabled || (m.numa.balancing & NumaBalancing.NORMAL) !== 0)) {
      const old = yield* k.memory.ptepModify(k, vma.mm, vpn, pmd, (now) => k.protNuma.hintedPte(k, vma, now));
      if (old !== m.pt.flags(pmd)) result = HPAGE_PMD_NR;
    }
  }
  if (!ptl.tryUnlock()) yield* ptl.unlock();
  if (result > 0) m.vmstat.events.numa_huge_pte_updates++;
  return result;
}
