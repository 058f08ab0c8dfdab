/**
 * @linux mm/memory.c
 * @omits Linux tries for the locks of both levels, and whoever has found the table looks again; here others are kept
 *   out by mmap_lock and the lock of the VMA, and the table stays where that would mean to wait.
 * @own reclaimPageTables
 */
import { SWITCH, type MaySleep } from "../kernel/coroutine.js";
import { Op, tableObject } from "../kernel/op.js";
import type { Kernel } from "../kernel.js";
import { HPAGE_PMD_NR } from "../arch/pgtable.js";
import type { Mm, Vma } from "./mm_types.js";

/**
 * Frees the page tables of a range that MADV_DONTNEED has emptied, each of a whole 2 MiB, so that
 * the next fault there can map a huge page (PT_RECLAIM, since 6.14; on riscv since 7.0). Linux does it under
 * the locks of both levels, and whoever has found a table looks again when he has locked it. Here those
 * are kept out: where that would mean to wait, the table stays, as it does in Linux where a lock is not to be had.
 */
export function* reclaimPageTables(k: Kernel, mm: Mm, start: number, end: number): MaySleep<void> {
  const first = Math.ceil(start / HPAGE_PMD_NR) * HPAGE_PMD_NR;
  if (first + HPAGE_PMD_NR > end || !(yield* mm.mmapLock.trylockWrite())) return;
  for (let vpn = first; vpn + HPAGE_PMD_NR <= end; vpn += HPAGE_PMD_NR) {
    const vma = mm.vmaAt(vpn);
    if (vma !== null && !vma.isHugetlb && vma.endVpn >= vpn + HPAGE_PMD_NR) yield* reclaimTable(k, vma, vpn);
  }
  yield* k.memory.mmapWriteUnlock(k, mm);
}

function* reclaimTable(k: Kernel, vma: Vma, vpn: number): MaySleep<void> {
  const { m } = k;
  if (m.point(Op.TableRead, tableObject(vma.mm.id, vpn))) yield SWITCH;
  const pmd = m.pt.pmd(vma.mm.pgd, vpn);
  const node = pmd < 0 ? -1 : m.pt.child(pmd);
  if (node < 0 || !k.fileHuge.tableIsEmpty(k, vma, vpn, node)) return;
  if (!(yield* k.collapseFile.tryVmaStartWrite(k, vma))) return;
  yield* k.mmap.lockRmap(k, vma);
  if (k.fileHuge.tableIsEmpty(k, vma, vpn, node)) yield* k.fileHuge.freeDetachedTable(k, vma, yield* k.collapse.pmdpCollapseFlush(k, vma, vpn, pmd));
  yield* k.mmap.unlockRmap(k, vma);
}
