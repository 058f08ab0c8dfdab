/**
 * @linux mm/huge_memory.c
 * @omits Huge entries of files have no table deposited, as on all but powerpc; DAX and file systems that are not
 *   tmpfs.
 * @own clearFilePmd, doFilePmdFault, freeDetachedTable, setFilePmd, tableIsEmpty, unmapFilePmd
 */
import { SWITCH, type Atomic, type MaySleep } from "../kernel/coroutine.js";
import { Op, tableObject } from "../kernel/op.js";
import type { Kernel } from "../kernel.js";
import { HPAGE_PMD_NR, HPAGE_PMD_ORDER, PTE, PTRS_PER_TABLE } from "../arch/pgtable.js";
import { FaultFlag, VmFault } from "./fault_flags.js";
import { pmdStart } from "./huge_memory.js";
import type { Vmf } from "./memory.js";
import { VM, type Vma } from "./mm_types.js";
import { NO_PAGE, PG } from "./page.js";
import { maybeMkwrite, vmPageProt } from "./vm_prot.js";

/*
 * Mappings of 2 MiB of a file by one entry. No table is set aside for those: where they are to be mapped
 * page by page, the entry goes, and faults find the pages again.
 */

/** A fault where nothing is mapped in a PMD's range: maps 2 MiB of the file, or says FALLBACK. */
export function* doFilePmdFault(k: Kernel, vma: Vma, vpn: number, flags: number, addr: number, pmd: number): MaySleep<number> {
  const { m } = k;
  const write = (flags & FaultFlag.WRITE) !== 0;
  // A private copy is of one page.
  if (write && (vma.flags & VM.SHARED) === 0) return VmFault.FALLBACK;
  const vmf: Vmf = { vma, vpn, addr, flags, ptep: -1, origFlags: 0, origPfn: 0, page: NO_PAGE, spareTable: NO_PAGE };
  let result = yield* vma.ops!.fault(k, vmf);
  if ((result & (VmFault.ERROR | VmFault.RETRY)) !== 0) return result;
  const folio = m.memmap.folioOf(vmf.page);
  if (m.point(Op.PageFlags, folio)) yield SWITCH;
  if (m.memmap.order[folio] !== HPAGE_PMD_ORDER) result |= VmFault.FALLBACK;
  else {
    if (write) {
      m.memmap.set(folio, PG.dirty);
      k.fileFault.fileUpdateTime(k, vma);
    }
    if (!(yield* k.fileHuge.setFilePmd(k, vma, vpn, pmd, folio, write))) result |= VmFault.FALLBACK;
  }
  yield* k.fileFault.releasePage(k, vmf.page);
  return result;
}

/** Maps a locked folio where the entry is empty; false where it is not. */
export function* setFilePmd(k: Kernel, vma: Vma, vpn: number, pmd: number, folio: number, write: boolean): Atomic<boolean> {
  const { m } = k;
  const { mm } = vma;
  const ptl = m.pt.lockOf(pmd);
  if (!ptl.tryLock()) yield* ptl.lock();
  if (m.point(Op.PteRead, pmd)) yield SWITCH;
  const empty = m.pt.isNone(pmd);
  if (empty) {
    yield* k.swap.folioGetUnowned(k, folio);
    yield* k.rmap.folioAddFileRmapPmd(k, folio, vma);
    mm.addRss(k.rmap.rssKind(k, folio), HPAGE_PMD_NR);
    let flags = vmPageProt(vma.flags);
    if (write) flags = maybeMkwrite(flags, vma.flags) | PTE.D | PTE.SOFT_DIRTY;
    yield* k.memory.setPteAt(k, mm, pmdStart(vpn), pmd, flags, m.memmap.pageToPfn(folio));
    m.vmstat.events.thp_file_mapped++;
  }
  if (!ptl.tryUnlock()) yield* ptl.unlock();
  return empty;
}

/** Takes an entry for 2 MiB of a file out, its lock held, and flushes it; the caller notifies. */
export function* clearFilePmd(k: Kernel, vma: Vma, start: number, pmd: number): Atomic<void> {
  const { m } = k;
  const [flags, pfn] = yield* k.hugeMemory.pmdClearFlush(k, vma, start, pmd);
  const folio = m.memmap.pfnToPage(pfn);
  if ((flags & PTE.A) !== 0) m.memmap.set(folio, PG.referenced);
  yield* k.fileHuge.unmapFilePmd(k, vma, folio, flags);
  yield* k.swap.folioPutUnowned(k, folio);
}

/** An entry that has been cleared maps the folio no more; its reference is still there. */
export function* unmapFilePmd(k: Kernel, vma: Vma, folio: number, flags: number): Atomic<void> {
  const { m } = k;
  if (m.point(Op.MapCount, folio)) yield SWITCH;
  vma.mm.addRss(k.rmap.rssKind(k, folio), -HPAGE_PMD_NR);
  if ((flags & PTE.D) !== 0) m.memmap.set(folio, PG.dirty);
  k.rmap.dropPmdMapping(k, folio, vma);
  if ((vma.flags & VM.LOCKED) !== 0) yield* k.mlockFolio.munlockVmaFolio(k, folio, vma);
}

/** Frees a table that has nothing in it and that nothing points to any more. */
export function* freeDetachedTable(k: Kernel, vma: Vma, node: number): Atomic<void> {
  vma.mm.pageTables--;
  yield* k.mmGather.tlbTableFlush(k, [node]);
}

/** Whether a table has no entry. */
export function tableIsEmpty(k: Kernel, vma: Vma, start: number, node: number): boolean {
  k.m.touches(Op.TableRead, tableObject(vma.mm.id, start));
  return k.m.pt.nextUsed(node, 0) === PTRS_PER_TABLE;
}
