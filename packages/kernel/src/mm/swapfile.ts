/**
 * @linux mm/swapfile.c
 * @omits One swap device, there from boot to the end: no swapon(), no swapoff(), no priorities, no files, no
 *   discard.
 * @omits Clusters: the first free slots side by side are taken; nothing is kept per CPU or per order.
 * @omits Counts of a slot do not overflow into tables of their own.
 * @omits Taking back the slots of folios in the swap cache when swap is full (`swap_reclaim_full_clusters()`):
 *   reclaim does it, folio by folio.
 * @own deleteFromSwapCache, freeSwapAndCache, swapFree
 */
import { SWITCH, type Atomic } from "../kernel/coroutine.js";
import { Op } from "../kernel/op.js";
import type { Kernel } from "../kernel.js";
import { NO_PAGE, PG } from "./page.js";

/**
 * Gives each page of a locked folio a swap slot, side by side, and puts it into the swap cache,
 * which takes a reference for each. False when there is no such room or the cgroup may not use
 * more. The folio is dirty from here on.
 */
export function* folioAllocSwap(k: Kernel, folio: number): Atomic<boolean> {
  const { m } = k;
  const { swap, memmap } = m;
  const pages = memmap.folioPages(folio);
  m.touches(Op.GuardedRead, swap.lock.id);
  if (swap.free < pages) return false;
  const memcg = m.memcgs.get(memmap.memcg[folio]!);
  if (m.point(Op.Memcg, memcg.id)) yield SWITCH;
  if (!m.memcgs.tryChargeSwap(memcg, pages)) return false;
  if (!swap.lock.tryLock()) yield* swap.lock.lock();
  const offset = pages === 1 ? swap.allocate() : swap.allocateCluster(memmap.order[folio]!);
  if (offset >= 0) {
    for (let i = 0; i < pages; i++) {
      if (m.point(Op.SwapCache, offset + i)) yield SWITCH;
      swap.memcg[offset + i] = memcg.id;
      swap.cache[offset + i] = folio;
    }
    memmap.private[folio] = offset;
    memmap.set(folio, PG.swapcache | PG.dirty);
    m.touches(Op.RefGet, folio);
    m.touches(Op.PageFlags, folio);
    memmap.refcount[folio]! += pages;
    m.vmstat.pages.swapcached += pages;
    memcg.counters.swapcached += pages;
  }
  if (!swap.lock.tryUnlock()) yield* swap.lock.unlock();
  if (offset < 0) {
    m.touches(Op.Memcg, memcg.id);
    m.memcgs.unchargeSwap(memcg, pages);
  }
  return offset >= 0;
}

/** Frees a slot that neither entries nor the cache use; under the swap lock. */
function releaseSlot(k: Kernel, offset: number): void {
  const { m } = k;
  const memcg = m.memcgs.get(m.swap.memcg[offset]!);
  m.touches(Op.Memcg, memcg.id);
  m.memcgs.unchargeSwap(memcg, 1);
  m.swap.release(offset);
}

/** Takes a locked folio out of the swap cache. The cache's references become the caller's to drop. */
export function* deleteFromSwapCache(k: Kernel, folio: number): Atomic<void> {
  const { m } = k;
  const { swap, memmap } = m;
  const offset = memmap.private[folio]!;
  const pages = memmap.folioPages(folio);
  if (!swap.lock.tryLock()) yield* swap.lock.lock();
  for (let i = 0; i < pages; i++) {
    if (m.point(Op.SwapCache, offset + i)) yield SWITCH;
    swap.cache[offset + i] = NO_PAGE;
    if (swap.count[offset + i] === 0) releaseSlot(k, offset + i);
  }
  memmap.clear(folio, PG.swapcache);
  memmap.private[folio] = 0;
  m.vmstat.pages.swapcached -= pages;
  m.memcgs.get(memmap.memcg[folio]!).counters.swapcached -= pages;
  if (!swap.lock.tryUnlock()) yield* swap.lock.unlock();
}

/** Drops the swap copy of a locked folio that no entry refers to any more. True when it did. */
export function* folioFreeSwap(k: Kernel, folio: number): Atomic<boolean> {
  const { m } = k;
  const { memmap } = m;
  if (m.point(Op.SwapCache, memmap.private[folio]!)) yield SWITCH;
  if (!memmap.has(folio, PG.swapcache) || memmap.has(folio, PG.writeback)) return false;
  const slot = memmap.private[folio]!;
  const pages = memmap.folioPages(folio);
  for (let i = 0; i < pages; i++) if (m.swap.count[slot + i] !== 0) return false;
  yield* k.swapfile.deleteFromSwapCache(k, folio);
  memmap.set(folio, PG.dirty);
  for (let i = 0; i < pages; i++) yield* k.swap.folioPutUnowned(k, folio);
  return true;
}

/** The same for a folio that may be locked by somebody else: then it is left alone. */
export function* freeSwapCache(k: Kernel, folio: number): Atomic<void> {
  const { memmap } = k.m;
  if (memmap.folioMapcount(folio) !== 0 || !(yield* k.folioLock.folioTrylock(k, folio))) return;
  if (memmap.has(folio, PG.swapcache)) yield* k.swapfile.folioFreeSwap(k, folio);
  yield* k.folioLock.folioUnlock(k, folio);
}

/** An entry no longer refers to the slot. */
export function* swapFree(k: Kernel, offset: number): Atomic<void> {
  const { swap } = k.m;
  if (!swap.lock.tryLock()) yield* swap.lock.lock();
  if (k.m.point(Op.SwapMap, offset)) yield SWITCH;
  swap.count[offset]!--;
  if (swap.count[offset] === 0 && swap.cache[offset] === NO_PAGE) releaseSlot(k, offset);
  if (!swap.lock.tryUnlock()) yield* swap.lock.unlock();
}

/** The same, and the cached folio goes too if nobody else wants it. */
export function* freeSwapAndCache(k: Kernel, offset: number): Atomic<void> {
  const { m } = k;
  yield* k.swapfile.swapFree(k, offset);
  if (m.point(Op.SwapCache, offset)) yield SWITCH;
  const folio = m.swap.cache[offset]!;
  if (folio === NO_PAGE || m.swap.count[offset] !== 0) return;
  // Reclaim may be freeing it, or have freed it: then somebody else may have it by now.
  if (!(yield* k.swap.folioTryGet(k, folio, "free_swap"))) return;
  if (m.swap.cache[offset] === folio) yield* k.swapfile.freeSwapCache(k, folio);
  yield* k.swap.folioPut(k, folio, "free_swap");
}
