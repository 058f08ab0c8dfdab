/**
 * @linux mm/swap_state.c
 * @omits Readahead by the neighbours in the address space (`swap_vma_readahead()`), which Linux prefers on devices
 *   without seeks: slots side by side are read.
 * @omits Reading a large folio at once (`swapin_alloc_folio()` of an order): single pages are read.
 * @omits zswap, zram and devices that are read synchronously.
 * @omits Shadow entries (`swap_cache_get_shadow()`).
 * @own servesSlot, swapInCopy, swapInFault
 */
import { SWITCH, type Atomic, type MaySleep } from "../kernel/coroutine.js";
import { Op } from "../kernel/op.js";
import type { Kernel } from "../kernel.js";
import { PTE } from "../arch/pgtable.js";
import { FaultFlag, VmFault } from "./fault_flags.js";
import type { Vmf } from "./memory.js";
import { RssKind, VM, VM_UFFD_PROTECTS } from "./mm_types.js";
import { NO_PAGE, PG } from "./page.js";
import { restoredBits } from "./swapops.js";
import { trapped } from "./uffd_rwp.js";
import { maybeMkwrite, needsSoftDirtyWp, vmPageProt } from "./vm_prot.js";

/** The cached folio of a slot, with a reference at site "swapin"; NO_PAGE when there is none. */
export function* swapCacheGetFolio(k: Kernel, offset: number): Atomic<number> {
  const { m } = k;
  for (;;) {
    if (m.point(Op.SwapCache, offset)) yield SWITCH;
    const folio = m.swap.cache[offset]!;
    if (folio === NO_PAGE) return NO_PAGE;
    if (yield* k.swap.folioTryGet(k, folio, "swapin")) {
      if (m.swap.cache[offset] === folio) return folio;
      yield* k.swap.folioPut(k, folio, "swapin");
      // It has left the cache meanwhile; and may be back already, for the same slot.
      if (m.retries.again("swap_cache_get_folio")) yield SWITCH;
      continue;
    }
    // Without a reference it is on its way out of the cache: who froze it takes it out.
    if (m.retries.again("swap_cache_get_folio", () => m.swap.cache[offset] !== folio)) yield SWITCH;
  }
}

/** How many slots to read around a fault: as many as recent readahead has been of use. */
export function swapinNrPages(k: Kernel, offset: number): number {
  const { swap, vmSysctl } = k.m;
  if (vmSysctl.pageCluster === 0) return 1;
  const hits = swap.raHits;
  swap.raHits = 0;
  let pages = hits + 2;
  if (pages === 2) {
    // No hits: read ahead only when the faults themselves are adjacent.
    if (Math.abs(offset - swap.raPrevOffset) !== 1) pages = 1;
  } else {
    let rounded = 4;
    while (rounded < pages) rounded *= 2;
    pages = rounded;
  }
  pages = Math.min(pages, 2 ** vmSysctl.pageCluster);
  // Shrink slowly: a window after a useful one is at least half as large.
  pages = Math.max(pages, swap.raPrevWindow >> 1);
  swap.raPrevOffset = offset;
  swap.raPrevWindow = pages;
  return pages;
}

/** Reads a slot and its neighbours; the folio of the slot, referenced, or NO_PAGE. */
export function* swapinReadahead(k: Kernel, offset: number): MaySleep<number> {
  const { m } = k;
  const mask = swapinNrPages(k, offset) - 1;
  let wanted = NO_PAGE;
  const first = Math.max(1, offset & ~mask);
  const last = Math.min(m.swap.slots - 1, offset | mask);
  for (let slot = first; slot <= last; slot++) {
    if (slot === offset || m.swap.count[slot] === 0 || m.swap.cache[slot] !== NO_PAGE) continue;
    const folio = yield* k.swapState.readSwapCacheAsync(k, slot);
    if (folio === NO_PAGE) continue;
    m.memmap.set(folio, PG.readahead);
    m.vmstat.events.swap_ra++;
    yield* k.swap.folioPut(k, folio, "swapin");
  }
  wanted = yield* k.swapState.readSwapCacheAsync(k, offset);
  yield* k.swap.lruAddDrain(k);
  return wanted;
}

/**
 * The folio of a slot from the cache, or a new one into which the slot is being read: locked until
 * the read has finished. NO_PAGE when the slot is unused or memory is out.
 */
export function* readSwapCacheAsync(k: Kernel, offset: number): MaySleep<number> {
  const { m } = k;
  const { swap, memmap } = m;
  for (;;) {
    const cached = yield* k.swapState.swapCacheGetFolio(k, offset);
    if (cached !== NO_PAGE) return cached;
    if (swap.count[offset] === 0) return NO_PAGE;
    // Charged to whom the slot is, whoever reads it: readahead crosses cgroups.
    const memcg = m.memcgs.get(swap.memcg[offset]!);
    const folio = yield* k.memory.allocAnonFolio(k, memcg);
    if (folio === NO_PAGE) return NO_PAGE;
    if (!swap.lock.tryLock()) yield* swap.lock.lock();
    if (m.point(Op.SwapCache, offset)) yield SWITCH;
    const mine = swap.cache[offset] === NO_PAGE && swap.count[offset] !== 0;
    if (mine) {
      memmap.set(folio, PG.locked | PG.swapbacked | PG.swapcache);
      memmap.private[folio] = offset;
      m.touches(Op.RefGet, folio);
      memmap.refcount[folio]!++;
      swap.cache[offset] = folio;
      m.vmstat.pages.swapcached++;
      m.memcgs.get(memmap.memcg[folio]!).counters.swapcached++;
    }
    if (!swap.lock.tryUnlock()) yield* swap.lock.unlock();
    if (!mine) {
      yield* k.swap.folioPut(k, folio, "alloc");
      if (m.retries.again("read_swap_cache_async")) yield SWITCH;
      continue;
    }
    m.refs?.put(folio, "alloc");
    m.refs?.get(folio, "swapin");
    yield* k.swap.folioAddLru(k, folio);
    k.pageIo.submitRead(k, folio, offset);
    m.vmstat.events.pswpin++;
    memcg.counters.pswpin++;
    return folio;
  }
}

/** Whether a locked folio is still the cached one of a slot: it may have left the cache, or serve another slot, since it was found. */
export function servesSlot(k: Kernel, folio: number, offset: number): boolean {
  const { memmap } = k.m;
  const index = offset - memmap.private[folio]!;
  return memmap.has(folio, PG.swapcache) && index >= 0 && index < memmap.folioPages(folio);
}

/**
 * A fault on a swap entry.
 * @omits Mapping all of a large folio that the swap cache has: one page is mapped.
 * @omits Copying at once what a write finds shared: the access faults again.
 */
export function* swapInFault(k: Kernel, vmf: Vmf): MaySleep<number> {
  const { m } = k;
  const { memmap } = m;
  const { vma, vpn } = vmf;
  const offset = vmf.origPfn;
  let result = 0;
  let folio = yield* k.swapState.swapCacheGetFolio(k, offset);
  if (folio === NO_PAGE) {
    folio = yield* k.swapState.swapinReadahead(k, offset);
    if (folio === NO_PAGE) {
      if (!(yield* k.memory.pteLockUnchanged(k, vmf))) return 0;
      const ptl = m.pt.lockOf(vmf.ptep);
      if (!ptl.tryUnlock()) yield* ptl.unlock();
      return VmFault.OOM;
    }
    result = VmFault.MAJOR;
  } else if (memmap.has(folio, PG.readahead)) {
    memmap.clear(folio, PG.readahead);
    m.swap.raHits++;
    m.vmstat.events.swap_ra_hit++;
  }
  const locked = yield* k.folioLock.folioLockOrRetry(k, folio, vmf);
  if (locked !== 0) {
    yield* k.swap.folioPut(k, folio, "swapin");
    return result | locked;
  }
  if (!k.swapState.servesSlot(k, folio, offset)) return yield* giveUp(k, folio, result);
  const page = folio + (offset - memmap.private[folio]!);
  if (!memmap.has(folio, PG.uptodate)) {
    yield* giveUp(k, folio, result);
    return VmFault.SIGBUS;
  }
  if (!memmap.has(folio, PG.lru)) yield* k.swap.lruAddDrain(k);
  if (vma.anonVma === null) {
    const prepared = yield* k.memory.vmfAnonPrepare(k, vmf);
    if (prepared !== 0) {
      yield* giveUp(k, folio, result);
      return result | prepared;
    }
  }
  if (k.ksm.ksmMightNeedToCopy(k, folio, vma, vpn)) return yield* k.swapState.swapInCopy(k, vmf, folio, result);
  const ptl = m.pt.lockOf(vmf.ptep);
  if (!(yield* k.memory.pteLockUnchanged(k, vmf))) return yield* giveUp(k, folio, result);

  // Of a KSM page nobody has any alone.
  const exclusive = (vmf.origFlags & PTE.SWP_EXCLUSIVE) !== 0 && !memmap.isKsm(folio);
  const write = (vmf.flags & FaultFlag.WRITE) !== 0;
  vma.mm.addRss(RssKind.anon, 1);
  vma.mm.addRss(RssKind.swap, -1);
  yield* k.swapfile.swapFree(k, offset);
  let flags = vmPageProt(vma.flags) | restoredBits(vmf.origFlags);
  if ((vma.flags & VM_UFFD_PROTECTS) === 0) flags &= ~PTE.UFFD_WP;
  if (exclusive && (vma.flags & VM.WRITE) !== 0 && (flags & PTE.UFFD_WP) === 0 && !needsSoftDirtyWp(vma.flags, flags)) {
    // Nobody else can have it: writable at once, and if it is written now the swap copy is stale.
    flags = maybeMkwrite(flags, vma.flags);
    if (write) flags |= PTE.D | PTE.SOFT_DIRTY;
  }
  yield* k.rmap.folioAddAnonRmapPte(k, folio, page, vma, vpn, exclusive);
  yield* k.memory.setPteAt(k, vma.mm, vpn, vmf.ptep, trapped(vma, flags), memmap.pageToPfn(page));
  // What was this task's reference is the mapping's now. So the folio lock goes while the entry
  // cannot: MADV_DONTNEED, which takes no folio lock, would free the folio under us.
  m.refs?.put(folio, "swapin");
  if (yield* shouldFreeSwap(k, folio, exclusive && write, (vma.flags & VM.LOCKED) !== 0)) yield* k.swapfile.folioFreeSwap(k, folio);
  yield* k.folioLock.folioUnlock(k, folio);
  if (!ptl.tryUnlock()) yield* ptl.unlock();
  // A write to a page that is shared with somebody copies it on the next attempt.
  return result;
}

/** The same with a copy of a folio, which is locked and lets go of both: who else has the slot goes on with that. */
export function* swapInCopy(k: Kernel, vmf: Vmf, folio: number, result: number): MaySleep<number> {
  const { m } = k;
  const { memmap } = m;
  const { vma, vpn } = vmf;
  if (memmap.has(folio, PG.hwpoison)) {
    yield* giveUp(k, folio, result);
    return VmFault.HWPOISON;
  }
  const copy = yield* k.ksm.copyForSwapin(k, folio, vma, vpn);
  if (copy === NO_PAGE) {
    yield* giveUp(k, folio, result);
    return VmFault.OOM;
  }
  const ptl = m.pt.lockOf(vmf.ptep);
  const same = yield* k.memory.pteLockUnchanged(k, vmf);
  if (same) {
    vma.mm.addRss(RssKind.anon, 1);
    vma.mm.addRss(RssKind.swap, -1);
    yield* k.swapfile.swapFree(k, vmf.origPfn);
    let flags = vmPageProt(vma.flags) | restoredBits(vmf.origFlags);
    if ((vma.flags & VM_UFFD_PROTECTS) === 0) flags &= ~PTE.UFFD_WP;
    if ((vma.flags & VM.WRITE) !== 0 && (flags & PTE.UFFD_WP) === 0 && !needsSoftDirtyWp(vma.flags, flags)) {
      flags = maybeMkwrite(flags, vma.flags);
      if ((vmf.flags & FaultFlag.WRITE) !== 0) flags |= PTE.D | PTE.SOFT_DIRTY;
    }
    k.rmap.folioAddNewAnonRmap(k, copy, vma, vpn);
    yield* k.mlockFolio.folioAddLruVma(k, copy, vma);
    yield* k.memory.setPteAt(k, vma.mm, vpn, vmf.ptep, trapped(vma, flags), memmap.pageToPfn(copy));
    m.refs?.put(copy, "alloc");
    if (!ptl.tryUnlock()) yield* ptl.unlock();
  } else yield* k.swap.folioPut(k, copy, "alloc");
  return yield* giveUp(k, folio, result);
}

function* shouldFreeSwap(k: Kernel, folio: number, dirtied: boolean, locked: boolean): Atomic<boolean> {
  const { m } = k;
  if (m.point(Op.PageFlags, folio)) yield SWITCH;
  // A copy of what stays in memory, or that is out of date, is of no use, and swap that is more than half full is scarce.
  m.touches(Op.GuardedRead, m.swap.lock.id);
  return m.memmap.has(folio, PG.swapcache) && (dirtied || locked || m.memcgs.swapFull(m.memcgs.get(m.memmap.memcg[folio]!)));
}

function* giveUp(k: Kernel, folio: number, result: number): Atomic<number> {
  yield* k.folioLock.folioUnlock(k, folio);
  yield* k.swap.folioPut(k, folio, "swapin");
  return result;
}

