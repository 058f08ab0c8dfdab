/**
 * @linux mm/memory.c
 * @omits `page_mkwrite()`, DAX, and file systems other than tmpfs, hugetlbfs and the read-only files of the host.
 * @omits fault_around_bytes is 64 KiB and cannot be changed.
 * @own finishCow, mapAround, mapFilePage, pageOf, prepareTable, rangeToMap, releasePage, useTable
 */
import { SWITCH, type Atomic, type MaySleep } from "../kernel/coroutine.js";
import { Op, tableObject } from "../kernel/op.js";
import type { Kernel } from "../kernel.js";
import { HPAGE_PMD_NR, PTE, PTRS_PER_TABLE, tableIndex } from "../arch/pgtable.js";
import { FaultFlag, VmFault } from "./fault_flags.js";
import type { Vmf } from "./memory.js";
import { VM, VM_UFFD_PROTECTS, type Vma } from "./mm_types.js";
import { NO_PAGE, PG } from "./page.js";
import { shmemInode } from "./shmem_inode.js";
import { maybeMkwrite, vmPageProt } from "./vm_prot.js";
import { GFP_ANON_FOLIO } from "./gfp.js";

/** What `VmOps.fault` says when it gives no page. */
const NO_PAGE_FOUND = VmFault.ERROR | VmFault.RETRY | VmFault.NOPAGE;
/** fault_around_bytes: 64 KiB, in pages. */
const FAULT_AROUND_PAGES = 16;

/** A fault where a mapping of a file has no entry yet, or no table for one: `vmf.ptep` is -1 then. */
export function* doFault(k: Kernel, vmf: Vmf): MaySleep<number> {
  let result: number;
  if ((vmf.flags & FaultFlag.WRITE) === 0) result = yield* k.fileFault.doReadFault(k, vmf);
  else if ((vmf.vma.flags & VM.SHARED) === 0) result = yield* k.fileFault.doCowFault(k, vmf);
  else result = yield* k.fileFault.doSharedFault(k, vmf);
  if (vmf.spareTable !== NO_PAGE) yield* k.pageAlloc.freeTable(k, vmf.spareTable);
  return result;
}

/** Gets a table where there is none; false without memory for it. */
export function* prepareTable(k: Kernel, vmf: Vmf): MaySleep<boolean> {
  if (vmf.ptep < 0 && vmf.spareTable === NO_PAGE) vmf.spareTable = yield* k.pageAlloc.allocTable(k);
  return vmf.ptep >= 0 || vmf.spareTable !== NO_PAGE;
}

/** There is something to map: the table that has been got is used, unless somebody was faster. False where 2 MiB are mapped as one by now. */
export function* useTable(k: Kernel, vmf: Vmf): Atomic<boolean> {
  const { m } = k;
  const { vpn } = vmf;
  const { mm } = vmf.vma;
  if (vmf.ptep >= 0) return true;
  const pmd = m.pt.pmd(mm.pgd, vpn);
  const node = yield* k.memory.installAllocated(k, mm, pmd, 0, m.pt.lockOf(pmd), tableObject(mm.id, vpn), vmf.spareTable);
  vmf.spareTable = NO_PAGE;
  if (node < 0) return false;
  vmf.ptep = node * PTRS_PER_TABLE + tableIndex(vpn, 0);
  return true;
}

/** The file's page, locked, in `vmf.page`; none that is broken. */
export function* pageOf(k: Kernel, vmf: Vmf): MaySleep<number> {
  if (!(yield* k.fileFault.prepareTable(k, vmf))) return VmFault.OOM;
  const result = yield* vmf.vma.ops!.fault(k, vmf);
  if ((result & NO_PAGE_FOUND) !== 0 || !k.m.memmap.has(vmf.page, PG.hwpoison)) return result;
  yield* k.fileFault.releasePage(k, vmf.page);
  return VmFault.HWPOISON;
}

/** Maps the file's own page; and what is in memory around it. */
export function* doReadFault(k: Kernel, vmf: Vmf): MaySleep<number> {
  // Nothing may come by the way of what a userfaultfd wants to hear of, or has protected.
  const around = vmf.vma.ops!.mapsAround && (vmf.vma.flags & (VM_UFFD_PROTECTS | VM.UFFD_MINOR)) === 0;
  if (around && !(yield* k.fileFault.prepareTable(k, vmf))) return VmFault.OOM;
  if (around && (yield* k.fileFault.doFaultAround(k, vmf))) return 0;
  const result = yield* k.fileFault.pageOf(k, vmf);
  if ((result & NO_PAGE_FOUND) !== 0) return result;
  return result | (yield* k.fileFault.finishFault(k, vmf, vmf.page));
}

/** A write to private memory: a copy of the file's page, which this address space alone has. */
export function* doCowFault(k: Kernel, vmf: Vmf): MaySleep<number> {
  const { m } = k;
  const { vma } = vmf;
  if (vma.anonVma === null) {
    const prepared = yield* k.memory.vmfAnonPrepare(k, vmf);
    if (prepared !== 0) return prepared;
  }
  const copy = yield* k.memory.allocAnonFolio(k, m.memcgs.ofMm(vma.mm), GFP_ANON_FOLIO, k.mempolicy.vmaNodes(k, vma, vmf.vpn));
  if (copy === NO_PAGE) return VmFault.OOM;
  let result = yield* k.fileFault.pageOf(k, vmf);
  if ((result & NO_PAGE_FOUND) === 0) {
    if (m.point(Op.FrameRead, vmf.page)) yield SWITCH;
    m.ram.copy(copy, vmf.page);
    result |= yield* k.fileFault.finishCow(k, vmf, copy);
    yield* k.fileFault.releasePage(k, vmf.page);
  }
  yield* k.swap.folioPut(k, copy, "alloc");
  return result;
}

/** Maps the copy that `doCowFault` has made, unless somebody was faster. */
export function* finishCow(k: Kernel, vmf: Vmf, copy: number): Atomic<number> {
  const { m } = k;
  const { vma, vpn } = vmf;
  if (!(yield* k.fileFault.useTable(k, vmf)) || !(yield* k.memory.pteLockUnchanged(k, vmf))) return 0;
  k.rmap.folioAddNewAnonRmap(k, copy, vma, vpn);
  yield* k.mlockFolio.folioAddLruVma(k, copy, vma);
  if (m.point(Op.RefGet, copy)) yield SWITCH;
  m.memmap.refcount[copy]!++;
  vma.mm.addRss(k.rmap.rssKind(k, copy), 1);
  const flags = maybeMkwrite(vmPageProt(vma.flags), vma.flags) | PTE.D | PTE.SOFT_DIRTY;
  yield* k.memory.setPteAt(k, vma.mm, vpn, vmf.ptep, vmf.origFlags === 0 ? flags : protect(flags), m.memmap.pageToPfn(copy));
  const ptl = m.pt.lockOf(vmf.ptep);
  if (!ptl.tryUnlock()) yield* ptl.unlock();
  return 0;
}

/** A write to shared memory: the file's page is dirty from here on. */
export function* doSharedFault(k: Kernel, vmf: Vmf): MaySleep<number> {
  const result = yield* k.fileFault.pageOf(k, vmf);
  if ((result & NO_PAGE_FOUND) !== 0) return result;
  const folio = k.m.memmap.folioOf(vmf.page);
  if (k.m.point(Op.PageFlags, folio)) yield SWITCH;
  k.m.memmap.set(folio, PG.dirty);
  k.fileFault.fileUpdateTime(k, vmf.vma);
  return result | (yield* k.fileFault.finishFault(k, vmf, vmf.page));
}

/** A shared file has been written to by way of a mapping. */
export function fileUpdateTime(k: Kernel, vma: Vma): void {
  const { inode } = vma.file!;
  inode.mtimeNs = inode.ctimeNs = k.m.now();
}

/** Maps a locked page of the file, unless somebody was faster; then unlocks it, and drops the reference of the fault. */
export function* finishFault(k: Kernel, vmf: Vmf, page: number): Atomic<number> {
  const { m } = k;
  if ((yield* k.fileFault.useTable(k, vmf)) && (yield* k.memory.pteLockUnchanged(k, vmf))) {
    const write = (vmf.flags & FaultFlag.WRITE) !== 0;
    const [first, pages] = k.fileFault.rangeToMap(k, vmf, page);
    for (let i = 0; i < pages; i++) {
      // What took the place of a marker is protected as that said.
      yield* k.fileFault.mapFilePage(k, vmf.vma, vmf.vpn + first + i, vmf.ptep + first + i, page + first + i, write, vmf.origFlags !== 0);
    }
    const ptl = m.pt.lockOf(vmf.ptep);
    if (!ptl.tryUnlock()) yield* ptl.unlock();
  }
  yield* k.fileFault.releasePage(k, page);
  return 0;
}

/**
 * Which pages a fault maps, from where relative to its own, and how many: all of a large folio in memory where the VMA
 * and the table have room for it, and nothing is mapped there yet (since 6.11); else its own.
 */
export function rangeToMap(k: Kernel, { vma, vpn, ptep }: Vmf, page: number): [first: number, pages: number] {
  const { memmap } = k.m;
  const folio = memmap.folioOf(page);
  const pages = memmap.folioPages(folio);
  const first = folio - page;
  const start = vpn + first;
  const fits = start >= vma.startVpn && start + pages <= vma.endVpn && (vpn & -HPAGE_PMD_NR) <= start && (vpn | (HPAGE_PMD_NR - 1)) + 1 >= start + pages;
  if (pages === 1 || !fits || shmemInode(vma.file) === null || vma.uffd !== null) return [0, 1];
  return k.memory.pteRangeNone(k, ptep + first, pages) ? [first, pages] : [0, 1];
}

/** An entry that userfaultfd protects from the beginning. */
function protect(flags: number): number {
  return (flags & ~PTE.W) | PTE.UFFD_WP;
}

/** Under the page-table lock: the entry maps a page of the file, and has a reference to it. */
export function* mapFilePage(k: Kernel, vma: Vma, vpn: number, ptep: number, page: number, write: boolean, wp = false, dirty = write): Atomic<void> {
  const { m } = k;
  const folio = m.memmap.folioOf(page);
  yield* k.swap.folioGetUnowned(k, folio);
  yield* k.rmap.folioAddFileRmapPte(k, folio, page, vma);
  if ((vma.flags & VM.LOCKED) !== 0) yield* k.mlockFolio.mlockVmaFolio(k, folio, vma);
  vma.mm.addRss(k.rmap.rssKind(k, folio), 1);
  let flags = vmPageProt(vma.flags);
  if (write) flags = maybeMkwrite(flags, vma.flags);
  if (dirty) flags |= PTE.D | PTE.SOFT_DIRTY;
  yield* k.memory.setPteAt(k, vma.mm, vpn, ptep, wp ? protect(flags) : flags, m.memmap.pageToPfn(page));
}

export function* releasePage(k: Kernel, page: number, site = "fault"): Atomic<void> {
  const folio = k.m.memmap.folioOf(page);
  yield* k.folioLock.folioUnlock(k, folio);
  yield* k.swap.folioPut(k, folio, site);
}

/**
 * Maps what the page cache has of the 64 KiB around a read fault, in the same mapping and under the same table,
 * where nothing is mapped and nobody has the folio locked. True where the page of the fault itself was among it, or 2 MiB
 * are mapped as one by now.
 */
export function* doFaultAround(k: Kernel, vmf: Vmf): Atomic<boolean> {
  const { m } = k;
  const { vma, vpn } = vmf;
  const mapping = vma.mapping!;
  // As many pages from where the mapping begins, if it begins within the 64 KiB: then it is more than those.
  const start = Math.max(vpn & -FAULT_AROUND_PAGES, vma.startVpn);
  const end = Math.min(start + FAULT_AROUND_PAGES, vma.endVpn, (vpn | (HPAGE_PMD_NR - 1)) + 1);
  let present = false;
  for (let at = start; at < end; at++) {
    const index = vma.linearIndex(at);
    const page = yield* k.filemap.filemapGetEntry(k, mapping, index, "fault_around");
    if (page < 0) continue;
    const folio = m.memmap.folioOf(page);
    // A large folio is mapped as a whole (since 6.18) where VMA and table have room for all of it.
    const [folioStart, folioEnd] = [at - (page - folio), at - (page - folio) + m.memmap.folioPages(folio)];
    const tableStart = vpn & -HPAGE_PMD_NR;
    const whole = folioStart >= Math.max(vma.startVpn, tableStart) && folioEnd <= Math.min(vma.endVpn, tableStart + HPAGE_PMD_NR);
    const first = whole ? folioStart : at;
    const last = whole ? folioEnd : Math.min(folioEnd, end);
    if (yield* k.folioLock.folioTrylock(k, folio)) {
      m.touches(Op.PageCacheRead, mapping.object(index));
      m.touches(Op.Inode, mapping.host.ino);
      const usable = mapping.at(index) === page && m.memmap.has(folio, PG.uptodate) && !m.memmap.has(page, PG.hwpoison) && index < Math.ceil(mapping.host.size / 4096);
      // From here on there is a table, if there is to be one.
      if (usable && !(yield* k.fileFault.useTable(k, vmf))) present = true;
      for (let i = first; i < last && usable && vmf.ptep >= 0; i++) if (yield* k.fileFault.mapAround(k, vmf, i, page + (i - at))) present ||= i === vpn;
      yield* k.folioLock.folioUnlock(k, folio);
    }
    yield* k.swap.folioPut(k, folio, "fault_around");
    if (present && vmf.ptep < 0) break;
    at = last - 1;
  }
  return present;
}

/** Maps one page of the neighbourhood; false where there is an entry already, or no table any more. */
export function* mapAround(k: Kernel, vmf: Vmf, at: number, page: number): Atomic<boolean> {
  const { m } = k;
  const { vma } = vmf;
  const ptep = vmf.ptep + (at - vmf.vpn);
  const ptl = m.pt.lockOf(ptep);
  if (!ptl.tryLock()) yield* ptl.lock();
  if (m.point(Op.PteRead, ptep)) yield SWITCH;
  m.touches(Op.TableRead, tableObject(vma.mm.id, at));
  const empty = m.pt.isNone(ptep) && m.pt.lookup(vma.mm.pgd, at) === ptep;
  if (empty) yield* k.fileFault.mapFilePage(k, vma, at, ptep, page, false);
  if (!ptl.tryUnlock()) yield* ptl.unlock();
  return empty;
}

/**
 * A write to a read-only entry of a shared mapping, its page-table lock held: the entry may be
 * written from here on, and the page is dirty.
 */
export function* wpPageShared(k: Kernel, vmf: Vmf): Atomic<void> {
  const { m } = k;
  const { vma } = vmf;
  const folio = m.memmap.folioOf(m.memmap.pfnToPage(vmf.origPfn));
  const flags = maybeMkwrite(vmf.origFlags, vma.flags) | PTE.A | PTE.D | PTE.SOFT_DIRTY;
  yield* k.memory.setPteAt(k, vma.mm, vmf.vpn, vmf.ptep, flags, vmf.origPfn);
  k.tlbflush.localFlushPage(k, vmf.vpn);
  m.vmstat.events.pgreuse++;
  if (m.point(Op.PageFlags, folio)) yield SWITCH;
  m.memmap.set(folio, PG.dirty);
  k.fileFault.fileUpdateTime(k, vma);
}
