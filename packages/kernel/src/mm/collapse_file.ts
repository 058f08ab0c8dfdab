/**
 * @linux mm/khugepaged.c
 * @omits Files that are not in memory: read-only text of a file system (CONFIG_READ_ONLY_THP_FOR_FS).
 * @own collapsePteMapped, tryVmaStartWrite
 */
import { SWITCH, type Atomic, type MaySleep } from "../kernel/coroutine.js";
import { Op, tableObject } from "../kernel/op.js";
import type { Kernel } from "../kernel.js";
import { fput } from "../fs/vfs.js";
import { HPAGE_PMD_NR, HPAGE_PMD_ORDER, PTE, PTRS_PER_TABLE, ptePresent } from "../arch/pgtable.js";
import { xaIsValue } from "./address_space.js";
import { countNode, forgetNodes, Scan, type CollapseControl } from "./collapse_census.js";
import { Tva } from "./huge_memory.js";
import { VM, VM_UFFD_PROTECTS, type Mm, type Vma } from "./mm_types.js";
import { NotifyEvent, type NotifierRange } from "./mmu_notifier.js";
import { NO_PAGE, PG } from "./page.js";
import { Sgp } from "./shmem.js";
import { shmemInode, type ShmemInode } from "./shmem_inode.js";

/**
 * Looks whether 2 MiB of a file in memory can be one folio, and makes them one. mmap_lock is dropped:
 * the file's pages are collapsed, whoever maps them. PteMappedHugepage: they are one folio, which
 * this VMA may map page by page.
 */
export function* collapseScanFile(k: Kernel, vma: Vma, start: number, cc: CollapseControl): MaySleep<Scan> {
  const { m } = k;
  const { mm } = vma;
  const inode = shmemInode(vma.file)!;
  const index = vma.linearIndex(start);
  const file = vma.file!;
  if (m.point(Op.Inode, inode.ino)) yield SWITCH;
  file.references++;
  if (!mm.mmapLock.tryUnlock()) yield* mm.mmapLock.unlock();
  cc.mmapLocked = false;
  let result = yield* scanEntries(k, inode, index, cc);
  if (result === Scan.Succeed) result = yield* k.collapseFile.collapseFile(k, inode, index, cc);
  yield* fput(k, file);
  return result;
}

function* scanEntries(k: Kernel, inode: ShmemInode, index: number, cc: CollapseControl): Atomic<Scan> {
  const { m } = k;
  const { memmap } = m;
  const { khugepaged } = m.thp;
  let [present, swap] = [0, 0];
  forgetNodes(k, cc);
  for (let i = 0; i < HPAGE_PMD_NR; i++) {
    const page = yield* k.filemap.filemapGetEntry(k, inode.mapping, index + i, "collapse");
    if (page === NO_PAGE) continue;
    if (xaIsValue(page)) {
      swap++;
      if (!cc.isKhugepaged || swap <= khugepaged.maxPtesSwap) continue;
      m.vmstat.events.thp_scan_exceed_swap_pte++;
      return Scan.ExceedSwapPte;
    }
    const folio = memmap.folioOf(page);
    const huge = memmap.order[folio] === HPAGE_PMD_ORDER;
    if (m.point(Op.RefCompare, folio)) yield SWITCH;
    const alone = memmap.refcount[folio] === k.rmap.expectedRefs(k, folio);
    const onList = memmap.has(folio, PG.lru);
    yield* k.swap.folioPut(k, folio, "collapse");
    if (huge) return Scan.PteMappedHugepage;
    if (!onList) return Scan.PageLru;
    if (!alone) return Scan.PageCount;
    countNode(k, cc, folio);
    present++;
  }
  if (!cc.isKhugepaged || present >= HPAGE_PMD_NR - khugepaged.maxPtesNone) return Scan.Succeed;
  m.vmstat.events.thp_scan_exceed_none_pte++;
  return Scan.ExceedNonePte;
}

/** The folios that are to be one, each locked, off its list, unmapped, and referenced twice: at sites "collapse" and "isolate". */
interface Gathered {
  readonly folios: number[];
  /** By index in the 2 MiB: the page, or NO_PAGE for a hole. */
  readonly pages: number[];
}

/** Puts one folio of 2 MiB in place of what a file has from an index on. */
export function* collapseFile(k: Kernel, inode: ShmemInode, index: number, cc: CollapseControl): MaySleep<Scan> {
  const { m } = k;
  const { memmap } = m;
  const folio = yield* k.collapse.allocChargeFolio(k, cc);
  if (folio < 0) return -folio;
  k.folioLock.lockNewFolio(k, folio);
  memmap.set(folio, PG.swapbacked);
  const gathered: Gathered = { folios: [], pages: [] };
  let result = yield* gather(k, inode, index, gathered);
  yield* k.tlbBatch.tryToUnmapFlush(k);
  const holes = gathered.pages.filter((page) => page === NO_PAGE).length;
  if (result === Scan.Succeed && holes > 0) {
    if (m.point(Op.Inode, inode.ino)) yield SWITCH;
    if (yield* wantsMissing(k, inode, index)) result = Scan.ExceedNonePte;
    else if (!inode.sb.acctBlocks(holes)) result = Scan.Fail;
  }
  if (result === Scan.Succeed) {
    yield* copyPages(k, gathered, folio);
    result = yield* replacePages(k, inode, index, gathered, folio);
    if (result !== Scan.Succeed) inode.sb.unacctBlocks(holes);
  }
  if (result !== Scan.Succeed) {
    yield* letGo(k, gathered.folios, false);
    yield* k.folioLock.folioUnlock(k, folio);
    yield* k.swap.folioPut(k, folio, "alloc");
    return result;
  }
  yield* k.swap.folioAddLru(k, folio);
  yield* k.collapseFile.retractPageTables(k, inode, index);
  yield* k.folioLock.folioUnlock(k, folio);
  yield* k.swap.folioPut(k, folio, "alloc");
  yield* letGo(k, gathered.folios, true);
  // khugepaged leaves it to faults to map it.
  return cc.isKhugepaged ? Scan.Succeed : Scan.PteMappedHugepage;
}

/** Whether a userfaultfd is to be told of what is missing of the 2 MiB, so that nothing may fill it. */
function* wantsMissing(_k: Kernel, inode: ShmemInode, index: number): MaySleep<boolean> {
  const { lock, vmas } = inode.mapping;
  if (!lock.tryRead()) yield* lock.read();
  const wants = [...vmas].some(({ flags, pgoff, pages }) => (flags & VM.UFFD_MISSING) !== 0 && pgoff < index + HPAGE_PMD_NR && index < pgoff + pages);
  if (!lock.tryUnlock()) yield* lock.unlock();
  return wants;
}

/** Locks, isolates and unmaps what the file has. */
function* gather(k: Kernel, inode: ShmemInode, index: number, { folios, pages }: Gathered): MaySleep<Scan> {
  const { m } = k;
  const { memmap } = m;
  while (pages.length < HPAGE_PMD_NR) {
    const at = index + pages.length;
    let page = yield* k.filemap.filemapGetEntry(k, inode.mapping, at, "collapse");
    if (page === NO_PAGE) {
      // Somebody may have truncated the file, or punched a hole, until nothing is left.
      if (pages.length === 0 && inode.mapping.indexesIn(index, index + HPAGE_PMD_NR).length === 0) return Scan.Truncated;
      pages.push(NO_PAGE);
      continue;
    }
    const ready = page >= 0 && memmap.has(memmap.folioOf(page), PG.uptodate);
    if (ready) {
      if (!(yield* k.folioLock.folioTrylock(k, memmap.folioOf(page)))) {
        yield* k.swap.folioPut(k, memmap.folioOf(page), "collapse");
        return Scan.PageLock;
      }
    } else {
      if (page >= 0) yield* k.swap.folioPut(k, memmap.folioOf(page), "collapse");
      const found = yield* k.shmem.shmemGetPage(k, inode, at, Sgp.NoAlloc, "collapse");
      if (typeof found === "number") return Scan.Fail;
      ({ page } = found);
      // What was read is in a batch, where it could not be isolated.
      yield* k.swap.lruAddDrain(k);
    }
    const folio = memmap.folioOf(page);
    const refused = yield* gatherLocked(k, inode, at, page, folio);
    if (refused !== null) {
      yield* k.folioLock.folioUnlock(k, folio);
      yield* k.swap.folioPut(k, folio, "collapse");
      return refused;
    }
    folios.push(folio);
    for (let p = page; p < folio + memmap.folioPages(folio) && pages.length < HPAGE_PMD_NR; p++) pages.push(p);
  }
  return Scan.Succeed;
}

/** What is against a locked folio, or null: then it is isolated and unmapped. */
function* gatherLocked(k: Kernel, inode: ShmemInode, at: number, page: number, folio: number): MaySleep<Scan | null> {
  const { m } = k;
  const { memmap } = m;
  if (memmap.order[folio] === HPAGE_PMD_ORDER) return Scan.PteMappedHugepage;
  m.touches(Op.PageCacheRead, inode.mapping.object(at));
  if (inode.mapping.at(at) !== page) return Scan.Truncated;
  if (!(yield* k.swap.folioIsolateLru(k, folio))) return Scan.DelPageLru;
  if (memmap.folioMapcount(folio) > 0) yield* k.rmap.tryToUnmap(k, folio, true);
  if (m.point(Op.RefCompare, folio)) yield SWITCH;
  if (memmap.folioMapcount(folio) === 0 && memmap.refcount[folio] === k.rmap.expectedRefs(k, folio) + 1) return null;
  yield* k.vmscan.putbackFolios(k, [folio]);
  return Scan.PageCount;
}

function* copyPages(k: Kernel, { pages }: Gathered, folio: number): MaySleep<void> {
  const { m } = k;
  for (let i = 0; i < HPAGE_PMD_NR; i++) {
    const page = pages[i]!;
    if (page === NO_PAGE) m.ram.clear(folio + i);
    else {
      if (m.point(Op.FrameRead, page)) yield SWITCH;
      m.ram.copy(folio + i, page);
    }
    if ((i & 31) === 31) yield* m.sched.condResched();
  }
}

/** In one step, unless a hole has been filled meanwhile. */
function* replacePages(k: Kernel, inode: ShmemInode, index: number, { folios, pages }: Gathered, folio: number): Atomic<Scan> {
  const { m } = k;
  const { memmap } = m;
  const { mapping } = inode;
  if (m.point(Op.PageCacheWrite, mapping.object(index))) yield SWITCH;
  for (let i = 0; i < HPAGE_PMD_NR; i++) {
    m.touches(Op.PageCacheWrite, mapping.object(index + i));
    if (mapping.at(index + i) !== pages[i]) return Scan.PageFilled;
  }
  for (const old of folios) k.filemap.dropFolio(k, mapping, old);
  k.filemap.addFolio(k, mapping, folio, index);
  memmap.set(folio, PG.uptodate | PG.dirty);
  return Scan.Succeed;
}

/** Unlocks what was gathered; it goes back to its list, or, where it is the file's no more, is freed. */
function* letGo(k: Kernel, folios: readonly number[], replaced: boolean): Atomic<void> {
  const { m } = k;
  for (const folio of folios) {
    if (m.point(Op.PageFlags, folio)) yield SWITCH;
    if (replaced) m.memmap.clear(folio, PG.active | PG.unevictable | PG.dirty);
    yield* k.folioLock.folioUnlock(k, folio);
    if (!replaced) yield* k.vmscan.putbackFolios(k, [folio]);
    else {
      for (let i = 0; i < m.memmap.folioPages(folio); i++) yield* k.swap.folioPutUnowned(k, folio);
      yield* k.swap.folioPut(k, folio, "isolate");
    }
    yield* k.swap.folioPut(k, folio, "collapse");
  }
}

/**
 * Frees the empty tables of those who map the 2 MiB page by page, so that their next fault maps them as one. Whoever
 * cannot be kept out of his address space at once is passed over. The folio is locked: nobody maps it meanwhile.
 */
export function* retractPageTables(k: Kernel, inode: ShmemInode, index: number): MaySleep<void> {
  const { lock, vmas } = inode.mapping;
  if (!lock.tryWrite()) yield* lock.write();
  for (const vma of vmas) {
    const start = vma.startVpn + (index - vma.pgoff);
    if (vma.anonVma !== null || vma.uffd !== null || start % HPAGE_PMD_NR !== 0) continue;
    if (start < vma.startVpn || start + HPAGE_PMD_NR > vma.endVpn) continue;
    const { mm } = vma;
    if (!(yield* mm.mmapLock.trylockWrite())) continue;
    if (yield* k.collapseFile.tryVmaStartWrite(k, vma)) yield* retractOne(k, vma, start);
    yield* k.memory.mmapWriteUnlock(k, mm);
  }
  if (!lock.tryUnlock()) yield* lock.unlock();
}

/** Locks a VMA as `vmaStartWrite` does where that need not wait for its readers. */
export function* tryVmaStartWrite(k: Kernel, vma: Vma): Atomic<boolean> {
  const { m } = k;
  if (m.point(Op.VmaWrite, vma.id)) yield SWITCH;
  m.touches(Op.VmaSeqRead, vma.mm.id);
  if (vma.readers > 0 || vma.detached) return false;
  vma.lockSeq = vma.mm.lockSeq;
  return true;
}

function* retractOne(k: Kernel, vma: Vma, start: number): MaySleep<void> {
  const { m } = k;
  const { mm } = vma;
  if (k.collapse.collapseTestExit(k, mm)) return;
  if (m.point(Op.TableRead, tableObject(mm.id, start))) yield SWITCH;
  const pmd = m.pt.pmd(mm.pgd, start);
  const node = pmd < 0 ? -1 : m.pt.child(pmd);
  if (node < 0 || !k.fileHuge.tableIsEmpty(k, vma, start, node)) return;
  yield* k.fileHuge.freeDetachedTable(k, vma, yield* k.collapse.pmdpCollapseFlush(k, vma, start, pmd));
}

/**
 * 2 MiB of a file are one folio, which a VMA maps page by page, or not at all: its table goes, and with
 * `install` one entry maps the folio. PmdMapped where one does; Succeed where faults will do that.
 */
export function* collapsePteMapped(k: Kernel, mm: Mm, start: number, install: boolean): MaySleep<Scan> {
  if (!mm.mmapLock.tryWrite()) yield* mm.mmapLock.write();
  const result = yield* collapseMapped(k, mm, start, install);
  yield* k.memory.mmapWriteUnlock(k, mm);
  return result;
}

function* collapseMapped(k: Kernel, mm: Mm, start: number, install: boolean): MaySleep<Scan> {
  const { m } = k;
  const { memmap } = m;
  const vma = k.collapse.collapseTestExit(k, mm) ? null : mm.vmaAt(start);
  const inode = shmemInode(vma?.file ?? null);
  if (vma === null || inode === null || !k.hugeMemory.thpVmaAllowable(k, vma, start, HPAGE_PMD_ORDER, Tva.ForcedCollapse)) return Scan.VmaCheck;
  const pmd = yield* k.memory.pmdAlloc(k, mm, start);
  if (pmd < 0) return Scan.Fail;
  if (m.point(Op.PteRead, pmd)) yield SWITCH;
  if (m.pt.isLeaf(pmd)) return Scan.PmdMapped;
  if ((vma.flags & VM_UFFD_PROTECTS) !== 0) return Scan.PteUffdWp;
  const index = vma.linearIndex(start);
  // Faults that are inside may wait for the folio.
  yield* k.memory.vmaStartWrite(k, vma);
  const page = yield* k.filemap.filemapLockEntry(k, inode.mapping, index, "collapse");
  if (page < 0) return Scan.PageNull;
  const folio = memmap.folioOf(page);
  let result = memmap.order[folio] === HPAGE_PMD_ORDER && folio === page ? Scan.Succeed : Scan.PageNull;
  if (result === Scan.Succeed && m.pt.child(pmd) >= 0) {
    result = yield* takeTableOut(k, vma, start, pmd, folio);
  }
  if (result === Scan.Succeed && install && (yield* k.fileHuge.setFilePmd(k, vma, start, pmd, folio, false))) result = Scan.PmdMapped;
  yield* k.folioLock.folioUnlock(k, folio);
  yield* k.swap.folioPut(k, folio, "collapse");
  return result;
}

/** Unmaps a locked folio, page by page, and frees the table; nothing happens where something else is mapped there. */
function* takeTableOut(k: Kernel, vma: Vma, start: number, pmd: number, folio: number): MaySleep<Scan> {
  const { m } = k;
  const { memmap } = m;
  const { lock } = vma.mapping!;
  const first = m.pt.child(pmd) * PTRS_PER_TABLE;
  const range: NotifierRange = { mm: vma.mm, startVpn: start, endVpn: start + HPAGE_PMD_NR, event: NotifyEvent.CLEAR, owner: null };
  if (!lock.tryWrite()) yield* lock.write();
  yield* k.mmuNotifier.invalidateRangeStart(k, range);
  const ptl = m.pt.lockOf(first);
  if (!ptl.tryLock()) yield* ptl.lock();
  let wrong: Scan | null = null;
  for (let i = 0; i < HPAGE_PMD_NR && wrong === null; i++) {
    if (m.pt.isNone(first + i)) continue;
    if (m.point(Op.PteRead, first + i)) yield SWITCH;
    const flags = m.pt.flags(first + i);
    if (!ptePresent(flags)) wrong = Scan.PteNonPresent;
    else if (memmap.pfnToPage(m.pt.pfn(first + i)) !== folio + i) wrong = Scan.PageNull;
  }
  for (let i = 0; i < HPAGE_PMD_NR && wrong === null; i++) {
    if (m.pt.isNone(first + i)) continue;
    const [flags] = yield* k.memory.ptepGetAndClear(k, start + i, first + i);
    if (m.point(Op.PageFlags, folio)) yield SWITCH;
    if ((flags & PTE.D) !== 0) memmap.set(folio, PG.dirty);
    vma.mm.addRss(k.rmap.rssKind(k, folio), -1);
    yield* k.rmap.folioRemoveRmapPte(k, folio, folio + i, vma);
    yield* k.swap.folioPutUnowned(k, folio);
  }
  if (!ptl.tryUnlock()) yield* ptl.unlock();
  if (wrong === null) yield* k.fileHuge.freeDetachedTable(k, vma, yield* k.collapse.pmdpCollapseFlush(k, vma, start, pmd));
  yield* k.mmuNotifier.invalidateRangeEnd(k, range);
  if (!lock.tryUnlock()) yield* lock.unlock();
  return wrong ?? Scan.Succeed;
}
