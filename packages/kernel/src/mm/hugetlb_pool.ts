/**
 * @linux mm/hugetlb.c
 * @omits Freeing the memmap of huge pages (`hugetlb_vmemmap`), CMA, and huge pages reserved on the command line.
 * @omits Limits by cgroup (`hugetlb_cgroup`).
 * @omits Policies of who writes nr_hugepages_mempolicy; nodes take turns.
 * @own acctMemory, allocFresh, allocGigantic, allocSurplus, available, demote, dequeue, enqueue, freeAround,
 *   gatherSurplus, remove, returnUnusedSurplus, takeFolio, takeRange, updateAndFree
 */
import { SWITCH, type Atomic, type MaySleep } from "../kernel/coroutine.js";
import { Errno } from "../kernel/errno.js";
import { Op } from "../kernel/op.js";
import type { Kernel } from "../kernel.js";
import { GFP_HIGHUSER_MOVABLE, Gfp } from "./gfp.js";
import { HPG, type Hstate } from "./hstate.js";
import type { AllocNodes } from "./mempolicy.js";
import { NO_PAGE, PG } from "./page.js";
import { PAGEBLOCK_PAGES } from "./pageblock.js";
import { ZoneId, type Zone } from "./zone.js";

/** For a page of the pool: it can be migrated, and so may be movable memory. */
const GFP_HUGETLB = GFP_HIGHUSER_MOVABLE | Gfp.COMP | Gfp.NOWARN;

/* Between the buddy allocator and hugetlb. */

/** Nodes take turns in giving pages to a pool. */
export function nextNode(k: Kernel, h: Hstate): AllocNodes | null {
  const { count } = k.m.nodes;
  if (count === 1) return null;
  const node = h.nextNode;
  h.nextNode = (node + 1) % count;
  return { node, mask: -1, strict: false, interleaved: false };
}

/** A hugetlb folio from the buddy allocator that nobody has a reference to, and no pool counts yet; NO_PAGE when there is none. */
export function* allocFresh(k: Kernel, h: Hstate): MaySleep<number> {
  const { m } = k;
  const { memmap, vmstat } = m;
  const folio = h.isGigantic ? yield* k.hugetlbPool.allocGigantic(k, h) : yield* k.pageAlloc.allocFolio(k, GFP_HUGETLB | Gfp.RETRY_MAYFAIL, h.order, k.hugetlbPool.nextNode(k, h));
  if (!h.isGigantic) vmstat.events[folio === NO_PAGE ? "htlb_buddy_alloc_fail" : "htlb_buddy_alloc_success"]++;
  if (folio === NO_PAGE) return NO_PAGE;
  if (m.point(Op.RefPut, folio)) yield SWITCH;
  m.touches(Op.PageFlags, folio);
  m.refs?.put(folio, "alloc");
  memmap.refcount[folio] = 0;
  memmap.private[folio] = 0;
  memmap.set(folio, PG.hugetlb);
  return folio;
}

/**
 * A gigantic folio with one reference: a range of memory that is aligned to its size and of which
 * everything is free, or can be moved elsewhere (alloc_contig_pages()). NO_PAGE where there is none.
 */
export function* allocGigantic(k: Kernel, h: Hstate): MaySleep<number> {
  for (const zone of k.m.zones.list) {
    if (k.m.current!.memallocPin && zone.id === ZoneId.Movable) continue;
    const first = Math.ceil(zone.startPage / h.pages) * h.pages;
    for (let from = first; from + h.pages <= zone.endPage; from += h.pages) {
      if (yield* k.hugetlbPool.takeRange(k, zone, from, from + h.pages)) {
        k.pageAlloc.prepareNewPage(k, from, h.order, GFP_HUGETLB);
        return from;
      }
    }
  }
  return NO_PAGE;
}

/** Empties a range of whole pageblocks of one zone, and takes it from the allocator; false when something there has to stay. */
export function* takeRange(k: Kernel, zone: Zone, from: number, end: number): MaySleep<boolean> {
  const { m } = k;
  for (let page = from; page < end; page++) if (!m.zones.isOnline(page) || m.zones.zoneOf(page) !== zone || m.memmap.has(page, PG.reserved | PG.hugetlb)) return false;
  yield* k.pageAlloc.zonePcpDisable(k, zone);
  yield* k.swap.lruCacheDisable(k);
  let taken = false;
  if ((yield* k.pageIsolation.hasUnmovablePages(k, from, end)) === NO_PAGE && (yield* k.pageIsolation.startIsolatePageRange(k, from, end)) === 0) {
    yield* k.memoryHotplug.doMigrateRange(k, from, end);
    yield* k.pageAlloc.drainAllPages(k, zone);
    taken = yield* k.pageIsolation.testPagesIsolated(k, from, end);
    if (taken) {
      if (!zone.lock.tryLock()) yield* zone.lock.lock();
      zone.removeIsolated(from, end);
      if (!zone.lock.tryUnlock()) yield* zone.lock.unlock();
    }
    yield* k.pageIsolation.undoIsolatePageRange(k, from, end);
  }
  yield* k.swap.lruCacheEnable(k);
  yield* k.pageAlloc.zonePcpEnable(k, zone);
  return taken;
}

/** A folio that no pool counts any more goes back to the buddy allocator. */
export function* updateAndFree(k: Kernel, folio: number): Atomic<void> {
  const { m } = k;
  if (m.point(Op.PageFlags, folio)) yield SWITCH;
  const { memmap } = m;
  memmap.private[folio] = 0;
  memmap.clear(folio, PG.hugetlb);
  const pages = memmap.folioPages(folio);
  const bad: number[] = [];
  for (let page = folio; page < folio + pages; page++) if (memmap.has(page, PG.hwpoison)) bad.push(page);
  if (bad.length === 0) yield* k.pageAlloc.freeLargeFolio(k, folio);
  else yield* k.hugetlbPool.freeAround(k, folio, bad);
}

/** Frees the pages of a folio but those that are poisoned, each of which keeps a reference that nobody has. */
export function* freeAround(k: Kernel, folio: number, bad: readonly number[]): Atomic<void> {
  const { m } = k;
  const end = folio + m.memmap.folioPages(folio);
  for (let page = folio; page < end; page++) m.touches(Op.PageFlags, page);
  m.memmap.dissolveCompound(folio);
  m.memmap.mapping[folio] = 0;
  const zone = m.zones.zoneOf(folio);
  if (!zone.lock.tryLock()) yield* zone.lock.lock();
  for (let page = folio; page < end; page++) {
    if (bad.includes(page)) k.memoryFailure.retain(k, page);
    else {
      m.memmap.flags[page] = 0;
      zone.freeBlock(page, 0);
    }
  }
  if (!zone.lock.tryUnlock()) yield* zone.lock.unlock();
}

/* Under the lock. */

/** Puts a folio without references on the free list. */
export function enqueue(k: Kernel, h: Hstate, folio: number): void {
  const { memmap } = k.m;
  k.m.touches(Op.PageFlags, folio);
  // What it was last used for may have made it dirty: that stays, as in Linux.
  memmap.flags[folio]! &= PG.hugetlb | PG.uptodate | PG.dirty | PG.hwpoison;
  memmap.private[folio]! |= HPG.freed;
  h.free.addHead(folio);
  h.freeHugePages++;
}

/** Takes a folio out of the pool for good; its owner gives it to the allocator once the lock is dropped. */
export function remove(k: Kernel, h: Hstate, folio: number, surplus: boolean): void {
  const { memmap } = k.m;
  if ((memmap.private[folio]! & HPG.freed) !== 0) {
    h.free.remove(folio);
    h.freeHugePages--;
    memmap.private[folio]! &= ~HPG.freed;
  }
  if (surplus) h.surplusHugePages--;
  h.nrHugePages--;
}

/**
 * A folio from the free list with one reference of this task's, at site "alloc"; NO_PAGE when there is
 * none. What is about to go offline, or partly broken, stays where it is; and what must be able to move, if it is to be pinned.
 */
export function dequeue(k: Kernel, h: Hstate): number {
  const { current, memmap, zones } = k.m;
  const pins = current!.memallocPin;
  const stays = (folio: number): boolean =>
    zones.blocks.isIsolated(folio) || hasPoison(k, folio) || (pins && !k.gupLongterm.folioIsLongtermPinnable(k, folio));
  let folio = h.free.head;
  while (folio !== NO_PAGE && stays(folio)) folio = memmap.lruNext[folio]!;
  if (folio === NO_PAGE) return NO_PAGE;
  h.free.remove(folio);
  h.freeHugePages--;
  claim(k, folio);
  return folio;
}

function claim(k: Kernel, folio: number): void {
  const { m } = k;
  m.touches(Op.RefGet, folio);
  m.memmap.private[folio]! &= ~HPG.freed;
  m.memmap.refcount[folio] = 1;
  m.refs?.get(folio, "alloc");
}

function hasPoison(k: Kernel, folio: number): boolean {
  const { memmap, vmstat } = k.m;
  if (vmstat.pages.hwpoison === 0) return false;
  for (let page = folio; page < folio + memmap.folioPages(folio); page++) if (memmap.has(page, PG.hwpoison)) return true;
  return false;
}

/* Pages for mappings and files. */

/** What nobody has been promised can be had. */
export function available(_k: Kernel, h: Hstate): number {
  return h.freeHugePages - h.resvHugePages;
}

/**
 * A folio of the pool with one reference at site "alloc": one that was promised, where `reserved`
 * says so, else one that nobody was promised, or a surplus one. NO_PAGE when there is none.
 */
export function* takeFolio(k: Kernel, h: Hstate, reserved: boolean): MaySleep<number> {
  const { hugetlb, memmap } = k.m;
  if (!hugetlb.lock.tryLock()) yield* hugetlb.lock.lock();
  let folio = reserved || k.hugetlbPool.available(k, h) > 0 ? k.hugetlbPool.dequeue(k, h) : NO_PAGE;
  if (folio === NO_PAGE) {
    if (!hugetlb.lock.tryUnlock()) yield* hugetlb.lock.unlock();
    folio = yield* k.hugetlbPool.allocSurplus(k, h);
    if (folio === NO_PAGE) return NO_PAGE;
    if (!hugetlb.lock.tryLock()) yield* hugetlb.lock.lock();
    claim(k, folio);
  }
  if (reserved) {
    memmap.private[folio]! |= HPG.restoreReserve;
    h.resvHugePages--;
  }
  if (!hugetlb.lock.tryUnlock()) yield* hugetlb.lock.unlock();
  return folio;
}

/** A surplus folio without references, as far as nr_overcommit_hugepages allows one; NO_PAGE else. */
export function* allocSurplus(k: Kernel, h: Hstate): MaySleep<number> {
  const { hugetlb } = k.m;
  if (h.isGigantic) return NO_PAGE;
  if (!hugetlb.lock.tryLock()) yield* hugetlb.lock.lock();
  const allowed = h.surplusHugePages < h.nrOvercommitHugePages;
  if (!hugetlb.lock.tryUnlock()) yield* hugetlb.lock.unlock();
  if (!allowed) return NO_PAGE;
  const folio = yield* k.hugetlbPool.allocFresh(k, h);
  if (folio === NO_PAGE) return NO_PAGE;
  if (!hugetlb.lock.tryLock()) yield* hugetlb.lock.lock();
  const still = h.surplusHugePages < h.nrOvercommitHugePages;
  if (still) {
    h.nrHugePages++;
    h.surplusHugePages++;
  }
  if (!hugetlb.lock.tryUnlock()) yield* hugetlb.lock.unlock();
  if (still) return folio;
  // Somebody was faster.
  yield* k.hugetlbPool.updateAndFree(k, folio);
  return NO_PAGE;
}

/** The last reference to a folio is gone: back to the pool, or, where there are too many, to the allocator. */
export function* freeHugeFolio(k: Kernel, folio: number): Atomic<void> {
  const { m } = k;
  const { hugetlb, memmap } = m;
  const h = hugetlb.ofOrder(memmap.order[folio]!)!;
  if (m.point(Op.PageFlags, folio)) yield SWITCH;
  let restore = (memmap.private[folio]! & HPG.restoreReserve) !== 0;
  const temporary = (memmap.private[folio]! & HPG.temporary) !== 0;
  const spool = hugetlb.subpools.get(folio) ?? null;
  hugetlb.subpools.delete(folio);
  memmap.private[folio] = 0;
  memmap.mapping[folio] = 0;
  for (let page = folio; page < folio + h.pages; page++) memmap.flags[page]! &= PG.tail | PG.hugetlb | PG.uptodate | PG.dirty | PG.hwpoison;
  // What a mount has kept for itself stays promised to it.
  if (!restore && spool !== null) restore = (yield* k.hugetlbReserve.subpoolPut(k, spool, 1)) === 0;
  if (!hugetlb.lock.tryLock()) yield* hugetlb.lock.lock();
  if (restore) h.resvHugePages++;
  const surplus = !temporary && h.surplusHugePages > 0;
  const gone = temporary || surplus;
  if (gone) k.hugetlbPool.remove(k, h, folio, surplus);
  else k.hugetlbPool.enqueue(k, h, folio);
  if (!hugetlb.lock.tryUnlock()) yield* hugetlb.lock.unlock();
  if (gone) yield* k.hugetlbPool.updateAndFree(k, folio);
}

/* Promises. */

/** Promises so many pages more, or (negative) fewer: 0 or -ENOMEM. Surplus pages are made, and given back, as needed. */
export function* acctMemory(k: Kernel, h: Hstate, delta: number): MaySleep<number> {
  const { hugetlb } = k.m;
  if (delta === 0) return 0;
  if (!hugetlb.lock.tryLock()) yield* hugetlb.lock.lock();
  let unused: number[] = [];
  let error = 0;
  if (delta < 0) unused = k.hugetlbPool.returnUnusedSurplus(k, h, -delta);
  else if (h.resvHugePages + delta <= h.freeHugePages) h.resvHugePages += delta;
  else {
    if (!hugetlb.lock.tryUnlock()) yield* hugetlb.lock.unlock();
    error = yield* k.hugetlbPool.gatherSurplus(k, h, delta);
    if (!hugetlb.lock.tryLock()) yield* hugetlb.lock.lock();
  }
  if (delta > 0 && error === 0 && delta > h.freeHugePages) {
    // More than there are free where this task may have them: so it is when others have been promised fewer than none.
    unused = k.hugetlbPool.returnUnusedSurplus(k, h, delta);
    error = -Errno.ENOMEM;
  }
  if (!hugetlb.lock.tryUnlock()) yield* hugetlb.lock.unlock();
  for (const folio of unused) yield* k.hugetlbPool.updateAndFree(k, folio);
  return error;
}

/** Promises pages that have to be made first: 0, or -ENOMEM with nothing changed. */
export function* gatherSurplus(k: Kernel, h: Hstate, delta: number): MaySleep<number> {
  const { hugetlb } = k.m;
  const made: number[] = [];
  let failed = false;
  for (;;) {
    if (!hugetlb.lock.tryLock()) yield* hugetlb.lock.lock();
    // Others may have freed pages, or taken some, while these were made.
    const needed = h.resvHugePages + delta - (h.freeHugePages + made.length);
    const ready = needed <= 0;
    if (ready) {
      const used = made.splice(0, Math.max(0, made.length + needed));
      h.resvHugePages += delta;
      for (const folio of used) k.hugetlbPool.enqueue(k, h, folio);
    }
    const give = ready || failed;
    if (give) for (const folio of made) k.hugetlbPool.remove(k, h, folio, true);
    if (!hugetlb.lock.tryUnlock()) yield* hugetlb.lock.unlock();
    if (give) {
      for (const folio of made) yield* k.hugetlbPool.updateAndFree(k, folio);
      return ready ? 0 : -Errno.ENOMEM;
    }
    for (let i = 0; i < needed && !failed; i++) {
      const folio = yield* k.hugetlbPool.allocSurplus(k, h);
      if (folio === NO_PAGE) failed = true;
      else made.push(folio);
      yield* k.m.sched.condResched();
    }
  }
}

/** Under the lock: so many pages are promised no more. Free surplus ones, which were for that, leave the pool: those are returned. */
export function returnUnusedSurplus(k: Kernel, h: Hstate, unused: number): number[] {
  const gone: number[] = [];
  h.resvHugePages -= unused;
  for (let n = Math.min(unused, h.surplusHugePages); n > 0 && h.free.head !== NO_PAGE; n--) {
    const folio = h.free.head;
    k.hugetlbPool.remove(k, h, folio, true);
    gone.push(folio);
  }
  return gone;
}

/* The size of the pool. */

/**
 * Makes a pool have so many persistent pages, or as many as there can be (writes to nr_hugepages).
 * What is in use, or promised, is not taken away: it becomes surplus, and goes when it is freed.
 */
export function* setMaxHugePages(k: Kernel, h: Hstate, count: number): MaySleep<void> {
  const { hugetlb, signals } = k.m;
  if (!h.resizeLock.tryLock()) yield* h.resizeLock.lock();
  if (!hugetlb.lock.tryLock()) yield* hugetlb.lock.lock();
  while (h.surplusHugePages > 0 && count > h.persistentHugePages) h.surplusHugePages--;
  let enough = true;
  while (enough && count > h.persistentHugePages) {
    if (!hugetlb.lock.tryUnlock()) yield* hugetlb.lock.unlock();
    yield* k.m.sched.condResched();
    const folio = yield* k.hugetlbPool.allocFresh(k, h);
    if (!hugetlb.lock.tryLock()) yield* hugetlb.lock.lock();
    enough = folio !== NO_PAGE;
    if (!enough) break;
    h.nrHugePages++;
    k.hugetlbPool.enqueue(k, h, folio);
    enough = !signals.pending(k.m.current!);
  }
  const gone: number[] = [];
  if (enough) {
    const least = Math.max(count, h.resvHugePages + h.nrHugePages - h.freeHugePages);
    while (h.persistentHugePages > least && h.free.head !== NO_PAGE) {
      const folio = h.free.head;
      k.hugetlbPool.remove(k, h, folio, false);
      gone.push(folio);
    }
    while (count < h.persistentHugePages) h.surplusHugePages++;
  }
  h.maxHugePages = h.persistentHugePages;
  if (!hugetlb.lock.tryUnlock()) yield* hugetlb.lock.unlock();
  for (const folio of gone) {
    yield* k.hugetlbPool.updateAndFree(k, folio);
    yield* k.m.sched.condResched();
  }
  if (!h.resizeLock.tryUnlock()) yield* h.resizeLock.unlock();
}

/** Takes a free folio out of its pool, so that its memory can be used, or taken offline: 0, or -EBUSY where it is promised, or in use. */
export function* dissolveFreeHugetlbFolio(k: Kernel, folio: number): MaySleep<number> {
  const { hugetlb, memmap } = k.m;
  if (!hugetlb.lock.tryLock()) yield* hugetlb.lock.lock();
  let error = 0;
  const isHugetlb = memmap.has(folio, PG.hugetlb);
  if (isHugetlb) {
    const h = hugetlb.ofOrder(memmap.order[folio]!)!;
    if ((memmap.private[folio]! & HPG.freed) === 0 || k.hugetlbPool.available(k, h) === 0) error = -Errno.EBUSY;
    else {
      k.hugetlbPool.remove(k, h, folio, h.surplusHugePages > 0);
      h.maxHugePages--;
    }
  }
  if (!hugetlb.lock.tryUnlock()) yield* hugetlb.lock.unlock();
  if (isHugetlb && error === 0) yield* k.hugetlbPool.updateAndFree(k, folio);
  return error;
}

/** Free folios of a range leave their pools, so that it can be taken offline: 0, or -EBUSY where one is promised. */
export function* dissolveFreeHugetlbFolios(k: Kernel, from: number, end: number): MaySleep<number> {
  const { memmap } = k.m;
  for (let page = from; page < end; page += PAGEBLOCK_PAGES) {
    if (k.m.point(Op.PageFlags, page)) yield SWITCH;
    const folio = memmap.folioOf(page);
    if (!memmap.has(folio, PG.hugetlb)) continue;
    const error = yield* k.hugetlbPool.dissolveFreeHugetlbFolio(k, folio);
    if (error !== 0) return error;
  }
  return 0;
}

/** Makes pages of the next smaller size of free ones: how many, up to `count`. */
export function* demote(k: Kernel, h: Hstate, count: number): MaySleep<number> {
  const { hugetlb, memmap } = k.m;
  const target = hugetlb.ofOrder(h.demoteOrder)!;
  if (!h.resizeLock.tryLock()) yield* h.resizeLock.lock();
  if (!hugetlb.lock.tryLock()) yield* hugetlb.lock.lock();
  let done = 0;
  for (; done < count && k.hugetlbPool.available(k, h) > 0; done++) {
    const folio = h.free.head;
    k.hugetlbPool.remove(k, h, folio, false);
    h.maxHugePages--;
    memmap.dissolveCompound(folio);
    for (let at = folio; at < folio + h.pages; at += target.pages) {
      memmap.prepareCompound(at, target.order);
      memmap.private[at] = 0;
      target.nrHugePages++;
      target.maxHugePages++;
      k.hugetlbPool.enqueue(k, target, at);
    }
  }
  if (!hugetlb.lock.tryUnlock()) yield* hugetlb.lock.unlock();
  if (!h.resizeLock.tryUnlock()) yield* h.resizeLock.unlock();
  return done;
}

