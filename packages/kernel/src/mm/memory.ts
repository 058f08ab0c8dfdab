/**
 * @linux mm/memory.c
 * @omits Three levels of tables (Sv39): no P4D and no PUD entries.
 * @omits `page_mkwrite()` and `pfn_mkwrite()`: a write to a file's page needs no permission of a file system.
 * @omits Raw page frames in entries (`vmf_insert_pfn()`, `remap_pfn_range()`) but for /dev/mem.
 * @omits `print_bad_pte()`, and perf's count of faults.
 * @omits `process_huge_page()`: 2 MiB are cleared and copied in one step, from the first page to the last.
 * @own allocAnonFolioFast, devicePrivateLocked, devicePrivateStayed, doDevicePrivate, exclusivePteWritability,
 *   handlePmdFault, handlePresentPte, installAllocated, installTable, mapLargeAnonFolio, pteLockUnchanged, ptepModify,
 *   wpCanReuseLargeFolio
 */
import { SWITCH, type Atomic, type MaySleep } from "../kernel/coroutine.js";
import { Errno } from "../kernel/errno.js";
import type { SpinLock } from "../kernel/locks.js";
import { Op, tableObject } from "../kernel/op.js";
import { TaskState } from "../kernel/sched.js";
import type { Kernel } from "../kernel.js";
import { HPAGE_PMD_ORDER, PTE, PTRS_PER_TABLE, ptePresent, tableIndex } from "../arch/pgtable.js";
import { Event } from "../trace.js";
import { FaultFlag, VmFault } from "./fault_flags.js";
import { BatchKind } from "./folio_batch.js";
import type { Memcg } from "./memcontrol.js";
import type { AllocNodes } from "./mempolicy.js";
import { RssKind, VM, type Mm, type Vma } from "./mm_types.js";
import { NotifyEvent, type NotifierRange } from "./mmu_notifier.js";
import { GFP_ANON_FOLIO, GFP_ZEROED_FOLIO } from "./gfp.js";
import { NO_PAGE, PG } from "./page.js";
import { isHinting } from "./prot_numa.js";
import { restoredBits } from "./swapops.js";
import { THP_MIN_ORDER } from "./thp.js";
import { asksFirst, trapped } from "./uffd_rwp.js";
import { isUffdWp, isWpAsync } from "./uffd_wp.js";
import { maybeMkwrite, vmPageProt } from "./vm_prot.js";

/** One fault on its way: where, why, and the entry as it was read without a lock. */
export interface Vmf {
  readonly vma: Vma;
  readonly vpn: number;
  /** In bytes: the access itself where that is known, else the page. */
  readonly addr: number;
  flags: number;
  ptep: number;
  origFlags: number;
  origPfn: number;
  /** What `VmOps.fault` has found. */
  page: number;
  /** A table that a file's page may need, got before its lock is taken; NO_PAGE where there is none (prealloc_pte). */
  spareTable: number;
}

/* Finding the VMA under its own lock. */

/**
 * Read-locks the VMA of a page without mmap_lock. Null when there is none, when a writer has it,
 * or when it changed while we looked: the caller then takes mmap_lock.
 */
export function* lockVmaUnderRcu(k: Kernel, mm: Mm, vpn: number): Atomic<Vma | null> {
  const { m } = k;
  k.rcu.rcuReadLock(k);
  if (m.point(Op.VmaFind, mm.id)) yield SWITCH;
  let vma = mm.vmaAt(vpn);
  if (vma !== null) {
    // Inside the section a VMA that leaves meanwhile stays what it was, and says that it has left.
    if (m.point(Op.VmaRead, vma.id)) yield SWITCH;
    m.touches(Op.VmaSeqRead, mm.id);
    m.sink?.emit(Event.VmaReach, vma.id, 0, 0, 0);
    if (vma.lockSeq === mm.lockSeq) vma = null;
    else {
      vma.beginRead();
      if (vma.detached || vpn < vma.startVpn || vpn >= vma.endVpn) {
        yield* k.memory.vmaEndRead(k, vma);
        vma = null;
      }
    }
  }
  if (!k.rcu.tryRcuReadUnlock(k)) yield* k.rcu.rcuReadUnlock(k);
  return vma;
}

export function* vmaEndRead(k: Kernel, vma: Vma): Atomic<void> {
  if (k.m.point(Op.VmaRelease, vma.id)) yield SWITCH;
  vma.endRead();
}

/** Write-locks a VMA until the writer drops mmap_lock; waits for its readers. Nobody ever waits for the writer. */
export function* vmaStartWrite(k: Kernel, vma: Vma): MaySleep<void> {
  const { m } = k;
  if (m.point(Op.VmaWrite, vma.id)) yield SWITCH;
  m.touches(Op.VmaSeqRead, vma.mm.id);
  m.locks.observer?.mayWait(m.current!, "vma_lock", vma.id);
  if (vma.lockSeq === vma.mm.lockSeq) return;
  // From here on new readers are turned away; those inside finish first.
  vma.lockSeq = vma.mm.lockSeq;
  while (vma.readers > 0) yield* vma.lockWait.sleep(TaskState.Uninterruptible, "vma_start_write", vma.id);
}

/** Drops mmap_lock after writing, and with it every VMA lock that was taken for it. */
export function* mmapWriteUnlock(k: Kernel, mm: Mm): Atomic<void> {
  if (k.m.point(Op.VmaSeqAdvance, mm.id)) yield SWITCH;
  mm.lockSeq++;
  if (!mm.mmapLock.tryUnlock()) yield* mm.mmapLock.unlock();
}

/** Drops whichever lock the fault runs under. */
export function* releaseFaultLock(k: Kernel, vmf: Pick<Vmf, "vma" | "flags">): Atomic<void> {
  const { mm } = vmf.vma;
  if ((vmf.flags & FaultFlag.VMA_LOCK) !== 0) yield* k.memory.vmaEndRead(k, vmf.vma);
  else if (!mm.mmapLock.tryUnlock()) yield* mm.mmapLock.unlock();
}

/* Page tables. */

/** The level-1 entry for a page, its table allocated where needed; -1 when memory is out. */
export function* pmdAlloc(k: Kernel, mm: Mm, vpn: number): MaySleep<number> {
  const { m } = k;
  if (m.point(Op.TableRead, tableObject(mm.id, vpn))) yield SWITCH;
  const known = m.pt.pmd(mm.pgd, vpn);
  if (known >= 0) return known;
  const entry = mm.pgd * PTRS_PER_TABLE + tableIndex(vpn, 2);
  const node = yield* k.memory.installTable(k, mm, entry, 1, mm.pageTableLock, tableObject(mm.id, vpn, 2));
  return node < 0 ? -1 : node * PTRS_PER_TABLE + tableIndex(vpn, 1);
}

/**
 * The last-level entry for a page below its level-1 entry; -1 when memory is out, or where 2 MiB
 * are mapped as one: look at the level-1 entry again.
 */
export function* pteAlloc(k: Kernel, mm: Mm, vpn: number, pmd: number): MaySleep<number> {
  const node = yield* k.memory.installTable(k, mm, pmd, 0, k.m.pt.lockOf(pmd), tableObject(mm.id, vpn));
  return node < 0 ? -1 : node * PTRS_PER_TABLE + tableIndex(vpn, 0);
}

/** Makes an empty entry point to a new table, unless somebody else is faster; the table, or -1. `object`: of the entry's accesses. */
export function* installTable(
  k: Kernel,
  mm: Mm,
  entry: number,
  level: number,
  lock: SpinLock,
  object: number,
): MaySleep<number> {
  const page = yield* k.pageAlloc.allocTable(k);
  return page === NO_PAGE ? -1 : yield* k.memory.installAllocated(k, mm, entry, level, lock, object, page);
}

/** The same with a page for the table that is there already; it is freed where it is not needed. */
export function* installAllocated(
  k: Kernel,
  mm: Mm,
  entry: number,
  level: number,
  lock: SpinLock,
  object: number,
  page: number,
): Atomic<number> {
  const { m } = k;
  if (!lock.tryLock()) yield* lock.lock();
  if (m.point(Op.TableWrite, object)) yield SWITCH;
  if (m.pt.isNone(entry)) {
    const node = m.pt.allocateNode(page, level);
    m.pt.setChild(entry, node);
    mm.pageTables++;
    if (!lock.tryUnlock()) yield* lock.unlock();
    return node;
  }
  const child = m.pt.child(entry);
  if (!lock.tryUnlock()) yield* lock.unlock();
  yield* k.pageAlloc.freeTable(k, page);
  return child;
}

/** Maps a page of a driver's in a mapping of its own, with a reference of the mapping; 0, -ENOMEM, or -EBUSY where something is mapped. */
export function* vmInsertPage(k: Kernel, vma: Vma, vpn: number, page: number): MaySleep<number> {
  const { m } = k;
  const pmd = yield* k.memory.pmdAlloc(k, vma.mm, vpn);
  const ptep = pmd < 0 ? -1 : yield* k.memory.pteAlloc(k, vma.mm, vpn, pmd);
  if (ptep < 0) return -Errno.ENOMEM;
  const ptl = m.pt.lockOf(ptep);
  if (!ptl.tryLock()) yield* ptl.lock();
  if (m.point(Op.PteRead, ptep)) yield SWITCH;
  const free = m.pt.isNone(ptep);
  if (free) {
    yield* k.swap.folioGetUnowned(k, page);
    vma.mm.addRss(k.rmap.rssKind(k, page), 1);
    yield* k.rmap.folioAddFileRmapPte(k, page, page, vma);
    yield* k.memory.setPteAt(k, vma.mm, vpn, ptep, vmPageProt(vma.flags), m.memmap.pageToPfn(page));
  }
  if (!ptl.tryUnlock()) yield* ptl.unlock();
  return free ? 0 : -Errno.EBUSY;
}

/** Writes an entry under its page-table lock. */
export function* setPteAt(k: Kernel, mm: Mm, vpn: number, ptep: number, flags: number, pfn: number): Atomic<void> {
  if (k.m.point(Op.PteWrite, ptep)) yield SWITCH;
  k.memory.setPte(k, mm, vpn, ptep, flags, pfn);
}

/** The write of `setPteAt` itself, for callers that have passed its point. */
export function setPte(k: Kernel, mm: Mm, vpn: number, ptep: number, flags: number, pfn: number): void {
  const { m } = k;
  m.pt.set(ptep, flags, pfn);
  m.sink?.emit(Event.SetPte, ptep, flags, pfn, vpn);
  if (!m.config.checking) return;
  // A leaf of level 1 is what lookups read on their way, too.
  if (m.pt.isHuge(ptep)) m.touches(Op.TableWrite, tableObject(mm.id, vpn));
  k.tlbflush.prefetch(k, mm, vpn, ptep);
}

/**
 * Changes the flags of a present entry in one step, so that no accessed or dirty bit that a table
 * walk sets meanwhile is lost. Returns the old flags.
 */
export function* ptepModify(
  k: Kernel,
  mm: Mm,
  vpn: number,
  ptep: number,
  change: (flags: number) => number,
): Atomic<number> {
  const { m } = k;
  if (m.point(Op.PteWrite, ptep)) yield SWITCH;
  const old = m.pt.flags(ptep);
  const flags = change(old);
  if (flags !== old) k.memory.setPte(k, mm, vpn, ptep, flags, m.pt.pfn(ptep));
  return old;
}

/** Clears an entry; what it was is returned as [flags, pfn]. */
export function* ptepGetAndClear(k: Kernel, vpn: number, ptep: number): Atomic<[number, number]> {
  const { m } = k;
  if (m.point(Op.PteWrite, ptep)) yield SWITCH;
  const flags = m.pt.flags(ptep);
  const pfn = m.pt.pfn(ptep);
  m.pt.clear(ptep);
  m.sink?.emit(Event.SetPte, ptep, 0, 0, vpn);
  return [flags, pfn];
}

/** Clears an entry and flushes it from the TLBs; what it was is returned as [flags, pfn]. */
export function* ptepClearFlush(k: Kernel, vma: Vma, vpn: number, ptep: number): Atomic<[number, number]> {
  const [flags, pfn] = yield* k.memory.ptepGetAndClear(k, vpn, ptep);
  // PROT_NONE too: mprotect() may have written it and not flushed yet.
  if (ptePresent(flags)) yield* k.tlbflush.flushTlbRange(k, vma.mm, vpn, vpn + 1);
  return [flags, pfn];
}

/* Faults. */

/** Resolves a fault in a VMA whose lock (or mmap_lock) the caller holds. VmFault bits. */
export function* handleMmFault(k: Kernel, vma: Vma, vpn: number, flags: number, addr = vpn * 4096): MaySleep<number> {
  const { m } = k;
  if (vma.isHugetlb) return yield* k.hugetlb.hugetlbFault(k, vma, vpn, flags, addr);
  if (m.point(Op.TableRead, tableObject(vma.mm.id, vpn))) yield SWITCH;
  let ptep = m.pt.lookup(vma.mm.pgd, vpn);
  if (ptep < 0) {
    ptep = yield* k.memory.handlePmdFault(k, vma, vpn, flags, addr);
    if (ptep < 0) return ~ptep;
  }
  k.rcu.rcuReadLock(k);
  if (m.point(Op.PteRead, ptep)) yield SWITCH;
  const vmf: Vmf = { vma, vpn, addr, flags, ptep, origFlags: m.pt.flags(ptep), origPfn: m.pt.pfn(ptep), page: NO_PAGE, spareTable: NO_PAGE };
  if (!k.rcu.tryRcuReadUnlock(k)) yield* k.rcu.rcuReadUnlock(k);
  if (vmf.origFlags === 0) return yield* k.memory.doPteMissing(k, vmf);
  if (!ptePresent(vmf.origFlags)) return yield* k.memory.doSwapPage(k, vmf);
  if (asksFirst(vma, vmf.origFlags)) return yield* k.uffdRwp.doUffdRwp(k, vmf);
  if (isHinting(vma, vmf.origFlags)) return yield* k.numaFault.doNumaPage(k, vmf);
  return yield* k.memory.handlePresentPte(k, vmf);
}

/** No page is there: nothing at all, or a marker. */
export function* doPteMissing(k: Kernel, vmf: Vmf): MaySleep<number> {
  return vmf.vma.ops === null ? yield* k.memory.doAnonymousPage(k, vmf) : yield* k.fileFault.doFault(k, vmf);
}

/**
 * There is no last-level table: 2 MiB are mapped as one, or can be, a page of a file is found before there is one, or
 * it is allocated. The entry to go on with; or, where there is nothing to go on with, the complement (~) of the
 * fault's result.
 */
export function* handlePmdFault(k: Kernel, vma: Vma, vpn: number, flags: number, addr: number): MaySleep<number> {
  const { m } = k;
  const pmd = yield* k.memory.pmdAlloc(k, vma.mm, vpn);
  if (pmd < 0) return ~VmFault.OOM;
  if (m.point(Op.PteRead, pmd)) yield SWITCH;
  if (m.pt.isNone(pmd) && k.hugeMemory.thpVmaAllowable(k, vma, vpn, HPAGE_PMD_ORDER)) {
    const result = yield* k.hugeMemory.doHugePmdAnonymousPage(k, vma, vpn, flags, pmd, addr);
    if ((result & VmFault.FALLBACK) === 0) return ~result;
  } else if (m.pt.isLeaf(pmd)) {
    const result = yield* k.hugeMemory.handleHugePmd(k, vma, vpn, flags, pmd, addr);
    if ((result & VmFault.FALLBACK) === 0) return ~result;
  }
  if (vma.ops !== null && m.pt.isNone(pmd) && k.shmemHuge.mayMapPmd(k, vma, vpn)) {
    const result = yield* k.fileHuge.doFilePmdFault(k, vma, vpn, flags, addr, pmd);
    if ((result & VmFault.FALLBACK) === 0) return ~result;
  }
  const child = m.pt.child(pmd);
  if (child >= 0) return child * PTRS_PER_TABLE + tableIndex(vpn, 0);
  // What finds no page of a file leaves no table.
  if (vma.ops !== null && m.pt.isNone(pmd)) {
    return ~(yield* k.fileFault.doFault(k, { vma, vpn, addr, flags, ptep: -1, origFlags: 0, origPfn: 0, page: NO_PAGE, spareTable: NO_PAGE }));
  }
  const ptep = yield* k.memory.pteAlloc(k, vma.mm, vpn, pmd);
  if (ptep >= 0) return ptep;
  // Somebody mapped all of it meanwhile: the access finds it there, or faults again.
  if (m.point(Op.PteRead, pmd)) yield SWITCH;
  return m.pt.isNone(pmd) ? ~VmFault.OOM : ~0;
}

/** The entry is present: a write to a read-only one, or an access that somebody resolved already. */
export function* handlePresentPte(k: Kernel, vmf: Vmf): MaySleep<number> {
  const { m } = k;
  const ptl = m.pt.lockOf(vmf.ptep);
  if (!ptl.tryLock()) yield* ptl.lock();
  if (m.point(Op.PteRead, vmf.ptep)) yield SWITCH;
  if (!m.pt.same(vmf.ptep, vmf.origFlags, vmf.origPfn)) {
    if (!ptl.tryUnlock()) yield* ptl.unlock();
    return 0;
  }
  const write = (vmf.flags & FaultFlag.WRITE) !== 0;
  if ((write || (vmf.flags & FaultFlag.UNSHARE) !== 0) && (vmf.origFlags & PTE.W) === 0) {
    return yield* k.memory.doWpPage(k, vmf);
  }
  const used = write ? PTE.A | PTE.D : PTE.A;
  const marks = write ? used | PTE.SOFT_DIRTY : used;
  const old = yield* k.memory.ptepModify(k, vmf.vma.mm, vmf.vpn, vmf.ptep, (flags) => flags | marks);
  // The table was right already: a stale translation made this fault.
  if (write && (old & used) === used) k.tlbflush.localFlushPage(k, vmf.vpn);
  if (!ptl.tryUnlock()) yield* ptl.unlock();
  return 0;
}

/** Locks the entry of a fault; false (and unlocked) when it is no longer what it was. */
export function* pteLockUnchanged(k: Kernel, vmf: Vmf): Atomic<boolean> {
  const { m } = k;
  const ptl = m.pt.lockOf(vmf.ptep);
  if (!ptl.tryLock()) yield* ptl.lock();
  if (m.point(Op.PteRead, vmf.ptep)) yield SWITCH;
  if (m.pt.same(vmf.ptep, vmf.origFlags, vmf.origPfn)) return true;
  if (!ptl.tryUnlock()) yield* ptl.unlock();
  return false;
}

/** A page of a VMA that has none yet: the zero page for reads, a fresh one for writes. */
export function* doAnonymousPage(k: Kernel, vmf: Vmf): MaySleep<number> {
  const { m } = k;
  const { vma, vpn } = vmf;
  if ((vma.flags & VM.SHARED) !== 0) return VmFault.SIGBUS;
  const ptl = m.pt.lockOf(vmf.ptep);
  if ((vma.flags & VM.UFFD_MISSING) !== 0) {
    // A write has got this far before it is told of.
    if ((vmf.flags & FaultFlag.WRITE) !== 0 && vma.anonVma === null) {
      const prepared = yield* k.memory.vmfAnonPrepare(k, vmf);
      if (prepared !== 0) return prepared;
    }
    if (!(yield* k.memory.pteLockUnchanged(k, vmf))) return 0;
    if (!ptl.tryUnlock()) yield* ptl.unlock();
    return yield* k.userfaultfd.handleUserfault(k, vmf, VM.UFFD_MISSING);
  }
  // The marker of a protection, which goes over to what is mapped now.
  const protection = vmf.origFlags !== 0 ? PTE.UFFD_WP : 0;
  if ((vmf.flags & FaultFlag.WRITE) === 0) {
    if (!(yield* k.memory.pteLockUnchanged(k, vmf))) return 0;
    const flags = vmPageProt(vma.flags) | PTE.SPECIAL | protection;
    yield* k.memory.setPteAt(k, vma.mm, vpn, vmf.ptep, flags, m.memmap.pageToPfn(m.zones.zeroPage));
    if (!ptl.tryUnlock()) yield* ptl.unlock();
    return 0;
  }
  if (vma.anonVma === null) {
    const prepared = yield* k.memory.vmfAnonPrepare(k, vmf);
    if (prepared !== 0) return prepared;
  }
  if (m.thp.anySmallOrder && vma.uffd === null) {
    const result = yield* k.memory.mapLargeAnonFolio(k, vmf);
    if ((result & VmFault.FALLBACK) === 0) return result;
  }
  // From here on this is the hottest path of all: what is usual is done without a generator.
  const memcg = m.memcgs.ofMm(vma.mm);
  const nodes = k.mempolicy.vmaNodes(k, vma, vpn);
  let folio = k.memory.allocAnonFolioFast(k, memcg, nodes);
  if (folio === NO_PAGE) folio = yield* k.memory.allocAnonFolio(k, memcg, GFP_ZEROED_FOLIO, nodes);
  // Where memory may be dropped, it is no reason to kill: the access is tried again.
  if (folio === NO_PAGE) return (vma.flags & VM.DROPPABLE) !== 0 ? 0 : VmFault.OOM;
  m.ram.clear(folio);
  if (!ptl.tryLock()) yield* ptl.lock();
  if (m.point(Op.PteRead, vmf.ptep)) yield SWITCH;
  if (protection !== 0 ? !m.pt.same(vmf.ptep, vmf.origFlags, vmf.origPfn) : !k.memory.pteRangeNone(k, vmf.ptep, 1)) {
    if (!ptl.tryUnlock()) yield* ptl.unlock();
    yield* k.swap.folioPut(k, folio, "alloc");
    return 0;
  }
  vma.mm.addRss(RssKind.anon, 1);
  k.rmap.folioAddNewAnonRmap(k, folio, vma, vpn);
  const locked = (vma.flags & VM.LOCKED) !== 0;
  const full = !locked && k.swap.batchNewFolio(k, folio);
  if (locked) yield* k.mlockFolio.folioAddLruVma(k, folio, vma);
  const prot = protection !== 0 ? vmPageProt(vma.flags) | protection : maybeMkwrite(vmPageProt(vma.flags), vma.flags);
  const flags = prot | PTE.D | PTE.SOFT_DIRTY;
  if (m.point(Op.PteWrite, vmf.ptep)) yield SWITCH;
  k.memory.setPte(k, vma.mm, vpn, vmf.ptep, flags, m.memmap.pageToPfn(folio));
  m.refs?.put(folio, "alloc");
  if (!ptl.tryUnlock()) yield* ptl.unlock();
  if (full) yield* k.swap.drainBatch(k, m.cpu, BatchKind.lruAdd);
  return 0;
}

/**
 * Maps a folio of the largest order that the settings allow and that fits around the page, entry
 * by entry; FALLBACK where one page must do.
 */
export function* mapLargeAnonFolio(k: Kernel, vmf: Vmf): MaySleep<number> {
  const { m } = k;
  const { memmap } = m;
  const { vma, vpn } = vmf;
  const ptl = m.pt.lockOf(vmf.ptep);
  for (let order = HPAGE_PMD_ORDER - 1; order >= THP_MIN_ORDER; order--) {
    if (!k.hugeMemory.thpVmaAllowable(k, vma, vpn, order)) continue;
    const pages = 1 << order;
    const first = vmf.ptep - (vpn & (pages - 1));
    const start = vpn & -pages;
    if (m.point(Op.PteRead, vmf.ptep)) yield SWITCH;
    if (!k.memory.pteRangeNone(k, first, pages)) continue;
    const folio = yield* k.pageAlloc.allocFolio(k, k.hugeMemory.thpGfp(k, vma), order, k.mempolicy.vmaNodes(k, vma, vpn, order));
    if (folio === NO_PAGE) {
      m.thp.stats(order).anon_fault_fallback++;
      continue;
    }
    if (!(yield* k.memcg.chargeLargeFolio(k, folio, m.memcgs.ofMm(vma.mm)))) {
      yield* k.swap.folioPut(k, folio, "alloc");
      m.thp.stats(order).anon_fault_fallback_charge++;
      m.thp.stats(order).anon_fault_fallback++;
      continue;
    }
    for (let i = 0; i < pages; i++) m.ram.clear(folio + i);
    if (!ptl.tryLock()) yield* ptl.lock();
    if (m.point(Op.PteRead, vmf.ptep)) yield SWITCH;
    if (!k.memory.pteRangeNone(k, first, pages)) {
      if (!ptl.tryUnlock()) yield* ptl.unlock();
      yield* k.swap.folioPut(k, folio, "alloc");
      return 0;
    }
    memmap.refcount[folio]! += pages - 1;
    m.thp.stats(order).anon_fault_alloc++;
    vma.mm.addRss(RssKind.anon, pages);
    k.rmap.folioAddNewAnonRmap(k, folio, vma, start);
    yield* k.mlockFolio.folioAddLruVma(k, folio, vma);
    const flags = maybeMkwrite(vmPageProt(vma.flags), vma.flags) | PTE.D | PTE.SOFT_DIRTY;
    for (let i = 0; i < pages; i++) {
      yield* k.memory.setPteAt(k, vma.mm, start + i, first + i, flags, memmap.pageToPfn(folio + i));
    }
    m.refs?.put(folio, "alloc");
    if (!ptl.tryUnlock()) yield* ptl.unlock();
    return 0;
  }
  return VmFault.FALLBACK;
}

/** Whether entries are all empty; the caller has announced the look. */
export function pteRangeNone(k: Kernel, first: number, n: number): boolean {
  for (let i = 0; i < n; i++) if (!k.m.pt.isNone(first + i)) return false;
  return true;
}

/** A charged folio, to be cleared, from what this CPU has at hand, or NO_PAGE: touches nothing shared. */
export function allocAnonFolioFast(k: Kernel, memcg: Memcg, nodes: AllocNodes | null): number {
  const folio = k.pageAlloc.allocFast(k, GFP_ZEROED_FOLIO, nodes);
  if (folio === NO_PAGE || k.memcg.chargeFast(k, folio, memcg)) return folio;
  k.pageAlloc.returnFast(k, folio);
  return NO_PAGE;
}

/** A charged folio for anonymous memory, its contents not cleared (whatever `gfp` says); NO_PAGE when out of memory. */
export function* allocAnonFolio(k: Kernel, memcg: Memcg, gfp = GFP_ANON_FOLIO, nodes: AllocNodes | null = null): MaySleep<number> {
  let folio = k.pageAlloc.allocFast(k, gfp, nodes);
  if (folio === NO_PAGE) folio = yield* k.pageAlloc.allocSlow(k, gfp, nodes);
  if (folio === NO_PAGE) return NO_PAGE;
  if (!k.memcg.chargeFast(k, folio, memcg) && !(yield* k.memcg.chargePage(k, folio, memcg))) {
    yield* k.swap.folioPut(k, folio, "alloc");
    return NO_PAGE;
  }
  return folio;
}

/** Gives the VMA an anon_vma; needs mmap_lock, so a fault under the VMA lock retries with it. */
export function* vmfAnonPrepare(k: Kernel, vmf: Pick<Vmf, "vma" | "flags">): MaySleep<number> {
  if ((vmf.flags & FaultFlag.VMA_LOCK) !== 0) {
    yield* k.memory.vmaEndRead(k, vmf.vma);
    return VmFault.RETRY;
  }
  yield* k.rmap.anonVmaPrepare(k, vmf.vma);
  return 0;
}

/** A write to a read-only entry, its page-table lock held: reuse the page or copy it. */
export function* doWpPage(k: Kernel, vmf: Vmf): MaySleep<number> {
  const { m } = k;
  const { memmap } = m;
  const ptl = m.pt.lockOf(vmf.ptep);
  if ((vmf.flags & FaultFlag.UNSHARE) === 0 && isUffdWp(vmf.vma, vmf.origFlags)) {
    if (!isWpAsync(vmf.vma)) {
      if (!ptl.tryUnlock()) yield* ptl.unlock();
      return yield* k.userfaultfd.handleUserfault(k, vmf, VM.UFFD_WP);
    }
    vmf.origFlags &= ~PTE.UFFD_WP;
    yield* k.memory.ptepModify(k, vmf.vma.mm, vmf.vpn, vmf.ptep, (flags) => flags & ~PTE.UFFD_WP);
  }
  if ((vmf.origFlags & PTE.SPECIAL) === 0) {
    const page = memmap.pfnToPage(vmf.origPfn);
    const folio = memmap.folioOf(page);
    if ((vmf.vma.flags & (VM.SHARED | VM.MAYSHARE)) !== 0) {
      yield* k.fileFault.wpPageShared(k, vmf);
      if (!ptl.tryUnlock()) yield* ptl.unlock();
      return 0;
    }
    const exclusive = memmap.has(page, PG.anonExclusive);
    if (exclusive || (memmap.isAnon(folio) && (yield* k.memory.wpCanReuseAnonFolio(k, folio)))) {
      if (!exclusive) memmap.set(page, PG.anonExclusive);
      if ((vmf.flags & FaultFlag.UNSHARE) === 0) {
        const flags = maybeMkwrite(vmf.origFlags, vmf.vma.flags) | PTE.A | PTE.D | PTE.SOFT_DIRTY;
        yield* k.memory.setPteAt(k, vmf.vma.mm, vmf.vpn, vmf.ptep, flags, vmf.origPfn);
        // Others may still have it cached read-only; they fault once and find it writable.
        k.tlbflush.localFlushPage(k, vmf.vpn);
        m.vmstat.events.pgreuse++;
      }
      if (!ptl.tryUnlock()) yield* ptl.unlock();
      return 0;
    }
    yield* k.swap.folioGet(k, folio, "wp");
    if (memmap.isKsm(folio)) m.vmstat.events.cow_ksm++;
  } else if ((vmf.vma.flags & VM.MAYSHARE) !== 0) {
    // A driver's page, whose writes were tracked until now.
    const flags = maybeMkwrite(vmf.origFlags, vmf.vma.flags) | PTE.A | PTE.D | PTE.SOFT_DIRTY;
    yield* k.memory.setPteAt(k, vmf.vma.mm, vmf.vpn, vmf.ptep, flags, vmf.origPfn);
    k.tlbflush.localFlushPage(k, vmf.vpn);
    if (!ptl.tryUnlock()) yield* ptl.unlock();
    return 0;
  }
  if (!ptl.tryUnlock()) yield* ptl.unlock();
  return yield* k.memory.wpPageCopy(k, vmf);
}

/** Whether nobody but this mapping refers to the folio, so that it need not be copied. */
export function* wpCanReuseAnonFolio(k: Kernel, folio: number): Atomic<boolean> {
  const { m } = k;
  const { memmap } = m;
  if (m.point(Op.RefCompare, folio)) yield SWITCH;
  if (memmap.isLarge(folio)) return yield* k.memory.wpCanReuseLargeFolio(k, folio);
  // A reference for the swap cache, one for a batch that has not been drained: worth a closer look.
  if (memmap.isKsm(folio) || memmap.refcount[folio]! > 3) return false;
  if (!memmap.has(folio, PG.lru)) yield* k.swap.lruAddDrain(k);
  const swapcache = memmap.has(folio, PG.swapcache) ? 1 : 0;
  if (memmap.refcount[folio]! > 1 + swapcache) return false;
  if (!(yield* k.folioLock.folioTrylock(k, folio))) return false;
  if (memmap.has(folio, PG.swapcache)) yield* k.swapfile.folioFreeSwap(k, folio);
  const alone = !memmap.isKsm(folio) && memmap.refcount[folio] === 1 && memmap.folioMapcount(folio) === 1;
  yield* k.folioLock.folioUnlock(k, folio);
  return alone;
}

/** The same for a large folio (since 6.15): not while it is in the swap cache, or anybody holds it besides this address space. */
export function* wpCanReuseLargeFolio(k: Kernel, folio: number): Atomic<boolean> {
  const { m } = k;
  const { memmap } = m;
  if (m.point(Op.MapCount, folio)) yield SWITCH;
  if (memmap.has(folio, PG.swapcache) || memmap.refcount[folio] !== memmap.folioMapcount(folio)) return false;
  return !memmap.owners.maybeShared(folio);
}

/** Copies the page (or maps a zeroed one in place of the zero page) and maps the copy. A driver's page has no folio to let go. */
export function* wpPageCopy(k: Kernel, vmf: Vmf): MaySleep<number> {
  const { m } = k;
  const { memmap } = m;
  const { vma, vpn } = vmf;
  const old = (vmf.origFlags & PTE.SPECIAL) !== 0 ? NO_PAGE : memmap.folioOf(memmap.pfnToPage(vmf.origPfn));
  if (vma.anonVma === null) {
    const prepared = yield* k.memory.vmfAnonPrepare(k, vmf);
    if (prepared !== 0) {
      if (old !== NO_PAGE) yield* k.swap.folioPut(k, old, "wp");
      return prepared;
    }
  }
  const folio = yield* k.memory.allocAnonFolio(k, m.memcgs.ofMm(vma.mm), GFP_ANON_FOLIO, k.mempolicy.vmaNodes(k, vma, vpn));
  if (folio === NO_PAGE) {
    if (old !== NO_PAGE) yield* k.swap.folioPut(k, old, "wp");
    return VmFault.OOM;
  }
  const page = memmap.pfnToPage(vmf.origPfn);
  if (page === m.zones.zeroPage) m.ram.clear(folio);
  else {
    if (m.point(Op.FrameRead, page)) yield SWITCH;
    m.ram.copy(folio, page);
  }
  const range: NotifierRange = { mm: vma.mm, startVpn: vpn, endVpn: vpn + 1, event: NotifyEvent.CLEAR, owner: null };
  yield* k.mmuNotifier.invalidateRangeStart(k, range);
  const ptl = m.pt.lockOf(vmf.ptep);
  if (yield* k.memory.pteLockUnchanged(k, vmf)) {
    // Cleared and flushed before the new page shows, so that no two CPUs see different pages.
    yield* k.memory.ptepClearFlush(k, vma, vpn, vmf.ptep);
    k.rmap.folioAddNewAnonRmap(k, folio, vma, vpn);
    yield* k.mlockFolio.folioAddLruVma(k, folio, vma);
    let flags = vmPageProt(vma.flags) | (vmf.origFlags & PTE.SOFT_DIRTY);
    if ((vmf.flags & FaultFlag.UNSHARE) === 0) flags = maybeMkwrite(flags, vma.flags) | PTE.D | PTE.SOFT_DIRTY;
    else flags |= vmf.origFlags & PTE.UFFD_WP;
    yield* k.memory.setPteAt(k, vma.mm, vpn, vmf.ptep, flags, memmap.pageToPfn(folio));
    m.refs?.put(folio, "alloc");
    if (old === NO_PAGE) {
      k.ksm.ksmMightUnmapZeroPage(k, vma.mm, vmf.origFlags, vmf.origPfn);
      vma.mm.addRss(RssKind.anon, 1);
    } else if (!memmap.isAnon(old)) {
      vma.mm.addRss(k.rmap.rssKind(k, old), -1);
      vma.mm.addRss(RssKind.anon, 1);
    }
    if (old !== NO_PAGE) yield* k.rmap.folioRemoveRmapPte(k, old, memmap.pfnToPage(vmf.origPfn), vma);
    if (!ptl.tryUnlock()) yield* ptl.unlock();
    if (old !== NO_PAGE) {
      // Nobody may want what swap has of it any more.
      if (memmap.has(old, PG.swapcache)) yield* k.swapfile.freeSwapCache(k, old);
      // The mapping's reference to the old page goes with it.
      yield* k.swap.folioPutUnowned(k, old);
    }
  } else {
    yield* k.swap.folioPut(k, folio, "alloc");
  }
  yield* k.mmuNotifier.invalidateRangeEnd(k, range);
  if (old !== NO_PAGE) yield* k.swap.folioPut(k, old, "wp");
  return 0;
}

/** A non-present entry: a page in swap, one on its way to another frame, or one that a device has exclusively. */
export function* doSwapPage(k: Kernel, vmf: Vmf): MaySleep<number> {
  if (k.swapops.isHwpoison(k, vmf.origFlags)) return VmFault.HWPOISON;
  if (k.swapops.isMigration(k, vmf.origFlags)) {
    yield* k.migrate.migrationEntryWait(k, vmf.ptep);
    return 0;
  }
  if (k.swapops.isDevicePrivate(k, vmf.origFlags)) return yield* k.memory.doDevicePrivate(k, vmf);
  if (k.swapops.isDeviceExclusive(k, vmf.origFlags)) return yield* k.memory.removeDeviceExclusiveEntry(k, vmf);
  if (k.pteMarker.pteMarker(vmf.origFlags, vmf.origPfn) !== 0) return yield* k.pteMarker.handlePteMarker(k, vmf);
  if (!k.swapops.isSwapEntry(k, vmf.origFlags)) return VmFault.SIGBUS;
  return yield* k.swapState.swapInFault(k, vmf);
}

/* Device-private entries. */

/**
 * A CPU wants a page that is in memory of a device which no CPU can address: the driver brings it back. The folio's
 * lock is only tried for: who has it moves the page already, and the fault waits for that without a reference, which
 * would be in the way.
 */
export function* doDevicePrivate(k: Kernel, vmf: Vmf): MaySleep<number> {
  const { m } = k;
  if ((vmf.flags & FaultFlag.VMA_LOCK) !== 0) {
    // migrate_vma_setup() wants mmap_lock.
    yield* k.memory.vmaEndRead(k, vmf.vma);
    return VmFault.RETRY;
  }
  if (!(yield* k.memory.pteLockUnchanged(k, vmf))) return 0;
  vmf.page = m.memmap.pfnToPage(vmf.origPfn);
  const folio = m.memmap.folioOf(vmf.page);
  if (!(yield* k.folioLock.folioTrylock(k, folio))) {
    yield* k.memory.devicePrivateLocked(k, vmf, folio);
    return 0;
  }
  yield* k.swap.folioGet(k, folio, "migrate_to_ram");
  const ptl = m.pt.lockOf(vmf.ptep);
  if (!ptl.tryUnlock()) yield* ptl.unlock();
  const mark = m.retries.mark();
  const result = yield* m.pgmaps.of(folio)!.ops.migrateToRam!(k, vmf);
  // It may have been split meanwhile: then these are those of the page's own folio.
  const now = m.memmap.folioOf(vmf.page);
  yield* k.folioLock.folioUnlock(k, now);
  yield* k.swap.folioPut(k, now, "migrate_to_ram");
  if (result === 0) yield* k.memory.devicePrivateStayed(k, vmf, () => m.retries.mark() !== mark);
  return result;
}

/**
 * Where the page has not come back, since somebody had a reference to it, the access faults again until it does.
 * `othersRan` says whether anybody has run since the attempt began.
 */
export function* devicePrivateStayed(k: Kernel, vmf: Vmf, othersRan: () => boolean): Atomic<void> {
  const { m } = k;
  if (m.point(Op.PteRead, vmf.ptep)) yield SWITCH;
  if (!m.pt.same(vmf.ptep, vmf.origFlags, vmf.origPfn)) return;
  if (m.retries.again("migrate_to_ram", () => othersRan() || !m.pt.same(vmf.ptep, vmf.origFlags, vmf.origPfn))) yield SWITCH;
}

/** Under the page-table lock, which it drops: somebody else has the folio locked (softleaf_entry_wait_on_locked()). */
export function* devicePrivateLocked(k: Kernel, vmf: Vmf, folio: number): MaySleep<void> {
  const queue = k.m.folioWaitQueue(folio);
  queue.prepare(TaskState.Uninterruptible, "migration_entry_wait", folio);
  const ptl = k.m.pt.lockOf(vmf.ptep);
  if (!ptl.tryUnlock()) yield* ptl.unlock();
  yield* queue.sleepPrepared();
}

/* Device-exclusive entries. */

/**
 * A CPU wants a page back that a device has exclusively: the device's translation is invalidated,
 * then the entry becomes an ordinary one. The reference keeps the folio alive while its lock is
 * waited for: the entry, which held one, may be zapped meanwhile.
 */
export function* removeDeviceExclusiveEntry(k: Kernel, vmf: Vmf): MaySleep<number> {
  const { m } = k;
  const { vma, vpn } = vmf;
  const page = m.memmap.pfnToPage(vmf.origPfn);
  const folio = m.memmap.folioOf(page);
  // Freed already: then the entry has changed too, and the access is tried again.
  if (!(yield* k.swap.folioTryGet(k, folio, "exclusive_fault"))) return 0;
  const result = yield* k.folioLock.folioLockOrRetry(k, folio, vmf);
  if (result !== 0) {
    yield* k.swap.folioPut(k, folio, "exclusive_fault");
    return result;
  }
  const range: NotifierRange = { mm: vma.mm, startVpn: vpn, endVpn: vpn + 1, event: NotifyEvent.CLEAR, owner: null };
  yield* k.mmuNotifier.invalidateRangeStart(k, range);
  const ptl = m.pt.lockOf(vmf.ptep);
  if (yield* k.memory.pteLockUnchanged(k, vmf)) {
    yield* k.memory.restoreExclusivePte(k, vma, folio, page, vpn, vmf.ptep, vmf.origFlags);
    if (!ptl.tryUnlock()) yield* ptl.unlock();
  }
  yield* k.folioLock.folioUnlock(k, folio);
  yield* k.swap.folioPut(k, folio, "exclusive_fault");
  yield* k.mmuNotifier.invalidateRangeEnd(k, range);
  return 0;
}

/**
 * Puts an ordinary entry in place of a device-exclusive one, under folio lock and page-table lock.
 * The entry kept the page's map count and reference, so neither changes.
 */
export function* restoreExclusivePte(
  k: Kernel,
  vma: Vma,
  folio: number,
  page: number,
  vpn: number,
  ptep: number,
  exclusiveFlags: number,
): Atomic<void> {
  const { m } = k;
  // Old, so that a restored page does not look used; the access that wants it marks it at once.
  let flags = (vmPageProt(vma.flags) & ~PTE.A) | restoredBits(exclusiveFlags);
  flags = trapped(vma, k.memory.exclusivePteWritability(k, vma, folio, page, exclusiveFlags, flags));
  yield* k.memory.setPteAt(k, vma.mm, vpn, ptep, flags, m.memmap.pageToPfn(page));
}

/** Whether a restored entry may be written: as mprotect would decide for an entry it changes. */
export function exclusivePteWritability(
  k: Kernel,
  vma: Vma,
  folio: number,
  page: number,
  _exclusiveFlags: number,
  flags: number,
): number {
  if (!k.mprotect.canChangePteWritable(k, vma, page, flags)) return flags;
  return flags | PTE.W | (k.m.memmap.has(folio, PG.dirty) ? PTE.D | PTE.SOFT_DIRTY : 0);
}

