import { SWITCH, type Atomic, type MaySleep } from "../kernel/coroutine.js";
import { Op, tableObject } from "../kernel/op.js";
import { TaskState } from "../kernel/sched.js";
import type { Kernel } from "../kernel.js";
import { PTE, PTRS_PER_TABLE, ptePresent, tableIndex } from "../arch/pgtable.js";
import { Event } from "../trace.js";
import { FaultFlag, VmFault } from "./fault_flags.js";
import { BatchKind } from "./folio_batch.js";
import type { Memcg } from "./memcontrol.js";
import { RssKind, VM, type Mm, type Vma } from "./mm_types.js";
import { NotifyEvent, type NotifierRange } from "./mmu_notifier.js";
import { GFP_HIGHUSER_MOVABLE } from "./page_alloc.js";
import { NO_PAGE, PG } from "./page.js";
import { restoredBits } from "./swapops.js";
import { maybeMkwrite, vmPageProt } from "./vm_prot.js";

/** One fault on its way: where, why, and the entry as it was read without a lock. */
export interface Vmf {
  readonly vma: Vma;
  readonly vpn: number;
  flags: number;
  ptep: number;
  origFlags: number;
  origPfn: number;
}

/* Finding the VMA under its own lock. */

/**
 * Read-locks the VMA of a page without mmap_lock. Null when there is none, when a writer has it,
 * or when it changed while we looked: the caller then takes mmap_lock.
 */
export function* lockVmaUnderRcu(k: Kernel, mm: Mm, vpn: number): Atomic<Vma | null> {
  const { m } = k;
  if (m.point(Op.VmaFind, mm.id)) yield SWITCH;
  const vma = mm.vmaAt(vpn);
  if (vma === null) return null;
  if (m.point(Op.VmaRead, vma.id)) yield SWITCH;
  m.touches(Op.VmaSeqRead, mm.id);
  if (vma.lockSeq === mm.lockSeq) return null;
  vma.readers++;
  if (vma.detached || vpn < vma.startVpn || vpn >= vma.endVpn) {
    yield* k.memory.vmaEndRead(k, vma);
    return null;
  }
  return vma;
}

export function* vmaEndRead(k: Kernel, vma: Vma): Atomic<void> {
  if (k.m.point(Op.VmaRelease, vma.id)) yield SWITCH;
  vma.endRead();
}

/** Write-locks a VMA until the writer drops mmap_lock; waits for its readers. */
export function* vmaStartWrite(k: Kernel, vma: Vma): MaySleep<void> {
  if (k.m.point(Op.VmaWrite, vma.id)) yield SWITCH;
  k.m.touches(Op.VmaSeqRead, vma.mm.id);
  if (vma.lockSeq === vma.mm.lockSeq) return;
  // From here on new readers are turned away; those inside finish first.
  vma.lockSeq = vma.mm.lockSeq;
  while (vma.readers > 0) yield* vma.lockWait.sleep(TaskState.Uninterruptible, "vma_start_write");
}

/** Drops mmap_lock after writing, and with it every VMA lock that was taken for it. */
export function* mmapWriteUnlock(k: Kernel, mm: Mm): Atomic<void> {
  if (k.m.point(Op.VmaSeqAdvance, mm.id)) yield SWITCH;
  mm.lockSeq++;
  if (!mm.mmapLock.tryUnlock()) yield* mm.mmapLock.unlock();
}

/** Drops whichever lock the fault runs under. */
export function* releaseFaultLock(k: Kernel, vmf: Vmf): Atomic<void> {
  const { mm } = vmf.vma;
  if ((vmf.flags & FaultFlag.VMA_LOCK) !== 0) yield* k.memory.vmaEndRead(k, vmf.vma);
  else if (!mm.mmapLock.tryUnlock()) yield* mm.mmapLock.unlock();
}

/* Page tables. */

/** Allocates the tables that a page's last-level entry needs; the entry, or -1 when memory is out. */
export function* pteAlloc(k: Kernel, mm: Mm, vpn: number): MaySleep<number> {
  const { m } = k;
  let node = mm.pgd;
  for (const level of [2, 1] as const) {
    const entry = node * PTRS_PER_TABLE + tableIndex(vpn, level);
    let child = m.pt.child(entry);
    if (child < 0) {
      const page = yield* k.pageAlloc.allocTable(k);
      if (page === NO_PAGE) return -1;
      if (!mm.pageTableLock.tryLock()) yield* mm.pageTableLock.lock();
      if (m.point(Op.TableWrite, tableObject(mm.id, vpn, level))) yield SWITCH;
      child = m.pt.child(entry);
      if (child < 0) {
        child = m.pt.allocateNode(page);
        m.pt.setChild(entry, child);
        mm.pageTables++;
        if (!mm.pageTableLock.tryUnlock()) yield* mm.pageTableLock.unlock();
      } else {
        // Somebody else was faster.
        if (!mm.pageTableLock.tryUnlock()) yield* mm.pageTableLock.unlock();
        yield* k.pageAlloc.freeTable(k, page);
      }
    }
    node = child;
  }
  return node * PTRS_PER_TABLE + tableIndex(vpn, 0);
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
  if (m.config.checking) k.tlbflush.prefetch(k, mm, vpn, ptep);
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

/** Clears an entry and flushes it from the TLBs; what it was is returned as [flags, pfn]. */
export function* ptepClearFlush(k: Kernel, vma: Vma, vpn: number, ptep: number): Atomic<[number, number]> {
  const { m } = k;
  if (m.point(Op.PteWrite, ptep)) yield SWITCH;
  const flags = m.pt.flags(ptep);
  const pfn = m.pt.pfn(ptep);
  m.pt.clear(ptep);
  m.sink?.emit(Event.SetPte, ptep, 0, 0, vpn);
  // PROT_NONE too: mprotect() may have written it and not flushed yet.
  if (ptePresent(flags)) yield* k.tlbflush.flushTlbRange(k, vma.mm, vpn, vpn + 1);
  return [flags, pfn];
}

/* Faults. */

/** Resolves a fault in a VMA whose lock (or mmap_lock) the caller holds. VmFault bits. */
export function* handleMmFault(k: Kernel, vma: Vma, vpn: number, flags: number): MaySleep<number> {
  const { m } = k;
  if (m.point(Op.TableRead, tableObject(vma.mm.id, vpn))) yield SWITCH;
  let ptep = m.pt.lookup(vma.mm.pgd, vpn);
  if (ptep < 0) ptep = yield* k.memory.pteAlloc(k, vma.mm, vpn);
  if (ptep < 0) return VmFault.OOM;
  if (m.point(Op.PteRead, ptep)) yield SWITCH;
  const vmf: Vmf = { vma, vpn, flags, ptep, origFlags: m.pt.flags(ptep), origPfn: m.pt.pfn(ptep) };
  if (vmf.origFlags === 0) return yield* k.memory.doAnonymousPage(k, vmf);
  if (!ptePresent(vmf.origFlags)) return yield* k.memory.doSwapPage(k, vmf);
  return yield* k.memory.handlePresentPte(k, vmf);
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
  const old = yield* k.memory.ptepModify(k, vmf.vma.mm, vmf.vpn, vmf.ptep, (flags) => flags | used);
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
  if ((vmf.flags & FaultFlag.WRITE) === 0) {
    if (!(yield* k.memory.pteLockUnchanged(k, vmf))) return 0;
    const flags = vmPageProt(vma.flags) | PTE.SPECIAL;
    yield* k.memory.setPteAt(k, vma.mm, vpn, vmf.ptep, flags, m.memmap.pageToPfn(m.zones.zeroPage));
    if (!ptl.tryUnlock()) yield* ptl.unlock();
    return 0;
  }
  if (vma.anonVma === null) {
    const prepared = yield* k.memory.vmfAnonPrepare(k, vmf);
    if (prepared !== 0) return prepared;
  }
  // From here on this is the hottest path of all: what is usual is done without a generator.
  let folio = k.memory.allocAnonFolioFast(k);
  if (folio === NO_PAGE) folio = yield* k.memory.allocAnonFolio(k);
  if (folio === NO_PAGE) return VmFault.OOM;
  m.ram.clear(folio);
  if (!ptl.tryLock()) yield* ptl.lock();
  if (m.point(Op.PteRead, vmf.ptep)) yield SWITCH;
  if (!m.pt.isNone(vmf.ptep)) {
    if (!ptl.tryUnlock()) yield* ptl.unlock();
    yield* k.swap.folioPut(k, folio, "alloc");
    return 0;
  }
  vma.mm.rss[RssKind.anon]!++;
  k.rmap.folioAddNewAnonRmap(k, folio, vma, vpn);
  const full = k.swap.batchNewFolio(k, folio);
  const flags = maybeMkwrite(vmPageProt(vma.flags), vma.flags) | PTE.D | PTE.SOFT_DIRTY;
  if (m.point(Op.PteWrite, vmf.ptep)) yield SWITCH;
  k.memory.setPte(k, vma.mm, vpn, vmf.ptep, flags, m.memmap.pageToPfn(folio));
  m.refs?.put(folio, "alloc");
  if (!ptl.tryUnlock()) yield* ptl.unlock();
  if (full) yield* k.swap.drainBatch(k, m.cpu, BatchKind.lruAdd);
  return 0;
}

/** A charged folio from what this CPU has at hand, or NO_PAGE: touches nothing shared. */
export function allocAnonFolioFast(k: Kernel): number {
  const folio = k.pageAlloc.allocFast(k);
  if (folio === NO_PAGE || k.memcg.chargeFast(k, folio, k.m.current!.memcg)) return folio;
  k.pageAlloc.returnFast(k, folio);
  return NO_PAGE;
}

/** A charged folio for anonymous memory, its contents not cleared; NO_PAGE when out of memory. */
export function* allocAnonFolio(k: Kernel, memcg: Memcg = k.m.current!.memcg): MaySleep<number> {
  let folio = k.pageAlloc.allocFast(k);
  if (folio === NO_PAGE) folio = yield* k.pageAlloc.allocSlow(k, GFP_HIGHUSER_MOVABLE);
  if (folio === NO_PAGE) return NO_PAGE;
  if (!k.memcg.chargeFast(k, folio, memcg) && !(yield* k.memcg.chargePage(k, folio, memcg))) {
    yield* k.swap.folioPut(k, folio, "alloc");
    return NO_PAGE;
  }
  return folio;
}

/** Gives the VMA an anon_vma; needs mmap_lock, so a fault under the VMA lock retries with it. */
export function* vmfAnonPrepare(k: Kernel, vmf: Vmf): MaySleep<number> {
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
  if ((vmf.origFlags & PTE.SPECIAL) === 0) {
    const page = memmap.pfnToPage(vmf.origPfn);
    const folio = memmap.folioOf(page);
    const exclusive = memmap.has(page, PG.anonExclusive);
    if (exclusive || (yield* k.memory.wpCanReuseAnonFolio(k, folio))) {
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
  }
  if (!ptl.tryUnlock()) yield* ptl.unlock();
  return yield* k.memory.wpPageCopy(k, vmf);
}

/** Whether nobody but this mapping refers to the folio, so that it need not be copied. */
export function* wpCanReuseAnonFolio(k: Kernel, folio: number): Atomic<boolean> {
  const { m } = k;
  const { memmap } = m;
  if (m.point(Op.RefGet, folio)) yield SWITCH;
  // A reference for the swap cache, one for a batch that has not been drained: worth a closer look.
  if (memmap.refcount[folio]! > 3) return false;
  if (!memmap.has(folio, PG.lru)) yield* k.swap.lruAddDrain(k);
  const swapcache = memmap.has(folio, PG.swapcache) ? 1 : 0;
  if (memmap.refcount[folio]! > 1 + swapcache) return false;
  if (!(yield* k.folioLock.folioTrylock(k, folio))) return false;
  if (memmap.has(folio, PG.swapcache)) yield* k.swapfile.folioFreeSwap(k, folio);
  const alone = memmap.refcount[folio] === 1 && memmap.folioMapcount(folio) === 1;
  yield* k.folioLock.folioUnlock(k, folio);
  return alone;
}

/** Copies the page (or maps a zeroed one in place of the zero page) and maps the copy. */
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
  const folio = yield* k.memory.allocAnonFolio(k);
  if (folio === NO_PAGE) {
    if (old !== NO_PAGE) yield* k.swap.folioPut(k, old, "wp");
    return VmFault.OOM;
  }
  if (old === NO_PAGE) m.ram.clear(folio);
  else {
    if (m.point(Op.FrameRead, old)) yield SWITCH;
    m.ram.copy(folio, old);
  }
  const range: NotifierRange = { mm: vma.mm, startVpn: vpn, endVpn: vpn + 1, event: NotifyEvent.CLEAR, owner: null };
  yield* k.mmuNotifier.invalidateRangeStart(k, range);
  const ptl = m.pt.lockOf(vmf.ptep);
  if (yield* k.memory.pteLockUnchanged(k, vmf)) {
    // Cleared and flushed before the new page shows, so that no two CPUs see different pages.
    yield* k.memory.ptepClearFlush(k, vma, vpn, vmf.ptep);
    k.rmap.folioAddNewAnonRmap(k, folio, vma, vpn);
    yield* k.swap.folioAddLru(k, folio);
    let flags = vmPageProt(vma.flags) | PTE.SOFT_DIRTY;
    if ((vmf.flags & FaultFlag.UNSHARE) === 0) flags = maybeMkwrite(flags, vma.flags) | PTE.D;
    yield* k.memory.setPteAt(k, vma.mm, vpn, vmf.ptep, flags, memmap.pageToPfn(folio));
    m.refs?.put(folio, "alloc");
    if (old === NO_PAGE) vma.mm.rss[RssKind.anon]!++;
    else yield* k.rmap.folioRemoveRmapPte(k, old, memmap.pfnToPage(vmf.origPfn), vma);
    if (!ptl.tryUnlock()) yield* ptl.unlock();
    // The mapping's reference to the old page goes with it.
    if (old !== NO_PAGE) yield* k.swap.folioPutUnowned(k, old);
  } else {
    yield* k.swap.folioPut(k, folio, "alloc");
  }
  yield* k.mmuNotifier.invalidateRangeEnd(k, range);
  if (old !== NO_PAGE) yield* k.swap.folioPut(k, old, "wp");
  return 0;
}

/** A non-present entry: a page in swap, or one that a device has exclusively. */
export function* doSwapPage(k: Kernel, vmf: Vmf): MaySleep<number> {
  if (k.swapops.isDeviceExclusive(k, vmf.origFlags)) return yield* k.memory.removeDeviceExclusiveEntry(k, vmf);
  if (!k.swapops.isSwapEntry(k, vmf.origFlags)) return VmFault.SIGBUS;
  return yield* k.swapState.swapInFault(k, vmf);
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
  flags = k.memory.exclusivePteWritability(k, vma, folio, page, exclusiveFlags, flags);
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
  return flags | PTE.W | (k.m.memmap.has(folio, PG.dirty) ? PTE.D : 0);
}

