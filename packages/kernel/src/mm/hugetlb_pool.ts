/**
 * @linux mm/hugetlb.c
 * @omits Freeing the memmap of huge pages (`hugetlb_vmemmap`), CMA, and huge pages reserved on the command line.
 * @omits Limits by cgroup (`hugetlb_cgroup`).
 * @own acctMemory, allocFresh, allocGigantic, allocPoolFolio, allocSurplus, available, demote, dequeue, enqueue, freeAround,
 *   gatherSurplus, remove, returnUnusedSurplus, takeFolio, takeRange, updateAndFree
 */
import { SWITCH, type Atomic, type MaySleep } from "../kernel/coroutine.js";
import { Errno } from "../kernel/errno.js";
import { Op } from "../kernel/op.js";
import type { Kernel } from "../kernel.js";
import { GFP_HIGHUSER_MOVABLE, Gfp } from "./gfp.js";
import { HPG, type Hstate } from "./hstate.js";
import { thisNode, type AllocNodes } from "./mempolicy.js";
import { NUMA_NO_NODE } from "./nodes.js";
import { NO_PAGE, PG } from "./page.js";
import { PAGEBLOCK_PAGES } from "./pageblock.js";
import { ZoneId, type Zone } from "./zone.js";

/** For a page of the pool: it can be migrated, and so may be movable memory. */
const GFP_HUGETLB = GFP_HIGHUSER_MOVABLE | Gfp.COMP | Gfp.NOWARN;

/* Between the buddy allocator and hugetlb. */

/** Nodes of a mask in the order in which it is their turn, beginning with one. */
function turns(k: Kernel, first: number, mask: number): number[] {
  return k.m.nodes.byDistance(first).filter((node) => (mask & (1 << node)) !== 0);
}

/** A fresh folio for a pool, from the nodes of a mask: they take turns, and who has none is passed over. NO_PAGE when none has. */
export function* allocPoolFolio(k: Kernel, h: Hstate, mask: number): MaySleep<number> {
  const { count } = k.m.nodes;
  if (count === 1) return yield* k.hugetlbPool.allocFresh(k, h, null);
  for (const node of turns(k, h.nextToAlloc, mask)) {
    h.nextToAlloc = (node + 1) % count;
    const folio = yield* k.hugetlbPool.allocFresh(k, h, thisNode(node));
    if (folio !== NO_PAGE) return folio;
  }
  return NO_PAGE;
}

/** A hugetlb folio from the buddy allocator that nobody has a reference to, and no pool counts yet; NO_PAGE when there is none. */
export function* allocFresh(k: Kernel, h: Hstate, nodes: AllocNodes | null): MaySleep<number> {
  const { m } = k;
  const { memmap, vmstat } = m;
  const folio = h.isGigantic ? yield* k.hugetlbPool.allocGigantic(k, h, nodes) : yield* k.pageAlloc.allocFolio(k, GFP_HUGETLB | Gfp.RETRY_MAYFAIL, h.order, nodes);
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
export function* allocGigantic(k: Kernel, h: Hstate, nodes: AllocNodes | null): MaySleep<number> {
  for (const zone of k.m.zones.list) {
    if (nodes?.strict === true && (nodes.mask & (1 << zone.node)) === 0) continue;
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
  if (surplus) h.surplus[k.m.nodes.of(folio)]!--;
  h.nrHugePages--;
}

/**
 * A folio from the free list with one reference of this task's, at site "alloc", from the nearest node that may be had; NO_PAGE when
 * there is none. What is about to go offline, or partly broken, stays where it is; and what must be able to move, if it is to be pinned.
 */
export function dequeue(k: Kernel, h: Hstate, wanted: AllocNodes | null): number {
  const { current, memmap, nodes, zones } = k.m;
  const pins = current!.memallocPin;
  const stays = (folio: number): boolean =>
    zones.blocks.isIsolated(folio) || hasPoison(k, folio) || (pins && !k.gupLongterm.folioIsLongtermPinnable(k, folio));
  const near = nodes.byDistance(wanted?.node ?? nodes.ofCpu(k.m.cpu));
  const within = near.filter((node) => wanted === null || (wanted.mask & (1 << node)) !== 0);
  const order = wanted === null || wanted.strict ? within : [...within, ...near.filter((node) => !within.includes(node))];
  let folio = NO_PAGE;
  for (const node of order) {
    folio = h.free.head;
    while (folio !== NO_PAGE && (stays(folio) || (nodes.count > 1 && nodes.of(folio) !== node))) folio = memmap.lruNext[folio]!;
    if (folio !== NO_PAGE) break;
  }
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
export function* takeFolio(k: Kernel, h: Hstate, reserved: boolean, nodes: AllocNodes | null): MaySleep<number> {
  const { hugetlb, memmap } = k.m;
  if (!hugetlb.lock.tryLock()) yield* hugetlb.lock.lock();
  let folio = reserved || k.hugetlbPool.available(k, h) > 0 ? k.hugetlbPool.dequeue(k, h, nodes) : NO_PAGE;
  if (folio === NO_PAGE) {
    if (!hugetlb.lock.tryUnlock()) yield* hugetlb.lock.unlock();
    folio = yield* k.hugetlbPool.allocSurplus(k, h, nodes);
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
export function* allocSurplus(k: Kernel, h: Hstate, nodes: AllocNodes | null): MaySleep<number> {
  const { hugetlb } = k.m;
  if (h.isGigantic) return NO_PAGE;
  if (!hugetlb.lock.tryLock()) yield* hugetlb.lock.lock();
  const allowed = h.surplusHugePages < h.nrOvercommitHugePages;
  if (!hugetlb.lock.tryUnlock()) yield* hugetlb.lock.unlock();
  if (!allowed) return NO_PAGE;
  const folio = yield* k.hugetlbPool.allocFresh(k, h, nodes);
  if (folio === NO_PAGE) return NO_PAGE;
  if (!hugetlb.lock.tryLock()) yield* hugetlb.lock.lock();
  const still = h.surplusHugePages < h.nrOvercommitHugePages;
  if (still) {
    h.nrHugePages++;
    h.surplus[k.m.nodes.of(folio)]!++;
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
  const surplus = !temporary && h.surplus[m.nodes.of(folio)]! > 0;
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
      const folio = yield* k.hugetlbPool.allocSurplus(k, h, null);
      if (folio === NO_PAGE) failed = true;
      else made.push(folio);
      yield* k.m.sched.condResched();
    }
  }
}

/** Under the lock: a free folio of the node whose turn it is to give one, of those of a mask (and that have surplus ones); NO_PAGE for none. */
function nextFree(k: Kernel, h: Hstate, mask: number, surplus: boolean): number {
  const { memmap, nodes } = k.m;
  for (const node of turns(k, h.nextToFree, mask)) {
    h.nextToFree = (node + 1) % nodes.count;
    if (surplus && h.surplus[node] === 0) continue;
    let folio = h.free.head;
    while (folio !== NO_PAGE && nodes.count > 1 && nodes.of(folio) !== node) folio = memmap.lruNext[folio]!;
    if (folio !== NO_PAGE) return folio;
  }
  return NO_PAGE;
}

/** Under the lock: one surplus page more, or (-1) fewer, on a node of a mask that can have that; false where there is none. */
function adjustSurplus(k: Kernel, h: Hstate, mask: number, by: 1 | -1): boolean {
  const { count } = k.m.nodes;
  const first = by < 0 ? h.nextToAlloc : h.nextToFree;
  const node = turns(k, first, mask).find((each) => (by < 0 ? h.surplus[each]! > 0 : h.surplus[each]! < h.ofNode(each).nrHugePages));
  if (node === undefined) return false;
  if (by < 0) h.nextToAlloc = (node + 1) % count;
  else h.nextToFree = (node + 1) % count;
  h.surplus[node]! += by;
  return true;
}

/** Under the lock: so many pages are promised no more. Free surplus ones, which were for that, leave the pool: those are returned. */
export function returnUnusedSurplus(k: Kernel, h: Hstate, unused: number): number[] {
  const gone: number[] = [];
  h.resvHugePages -= unused;
  for (let n = Math.min(unused, h.surplusHugePages); n > 0; n--) {
    const folio = nextFree(k, h, -1, true);
    if (folio === NO_PAGE) break;
    k.hugetlbPool.remove(k, h, folio, true);
    gone.push(folio);
  }
  return gone;
}

/* The size of the pool. */

/**
 * Makes a pool have so many persistent pages, or as many as there can be (writes to nr_hugepages).
 * What is in use, or promised, is not taken away: it becomes surplus, and goes when it is freed. Where pages come from, and go, are the
 * nodes of a mask (those of a policy); `node` has the pool have so many there, and leaves what others have.
 */
export function* setMaxHugePages(k: Kernel, h: Hstate, wanted: number, mask = -1, node = NUMA_NO_NODE): MaySleep<void> {
  const { hugetlb, signals } = k.m;
  if (!h.resizeLock.tryLock()) yield* h.resizeLock.lock();
  if (!hugetlb.lock.tryLock()) yield* hugetlb.lock.lock();
  let count = wanted;
  if (node !== NUMA_NO_NODE) {
    const there = h.ofNode(node);
    count += h.persistentHugePages - (there.nrHugePages - there.surplusHugePages);
  }
  const allowed = node === NUMA_NO_NODE ? mask : 1 << node;
  while (count > h.persistentHugePages && adjustSurplus(k, h, allowed, -1));
  let enough = true;
  while (enough && count > h.persistentHugePages) {
    if (!hugetlb.lock.tryUnlock()) yield* hugetlb.lock.unlock();
    yield* k.m.sched.condResched();
    const folio = yield* k.hugetlbPool.allocPoolFolio(k, h, allowed);
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
    while (h.persistentHugePages > least) {
      const folio = nextFree(k, h, allowed, false);
      if (folio === NO_PAGE) break;
      k.hugetlbPool.remove(k, h, folio, false);
      gone.push(folio);
    }
    while (count < h.persistentHugePages && adjustSurplus(k, h, allowed, 1));
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
      k.hugetlbPool.remove(k, h, folio, h.surplus[k.m.nodes.of(folio)]! > 0);
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

/** Makes pages of the next smaller size of free ones on the nodes of a mask: how many, up to `count`. */
export function* demote(k: Kernel, h: Hstate, count: number, mask = -1): MaySleep<number> {
  const { hugetlb, memmap } = k.m;
  const target = hugetlb.ofOrder(h.demoteOrder)!;
  if (!h.resizeLock.tryLock()) yield* h.resizeLock.lock();
  if (!hugetlb.lock.tryLock()) yield* hugetlb.lock.lock();
  let done = 0;
  for (; done < count && k.hugetlbPool.available(k, h) > 0; done++) {
    const folio = nextFree(k, h, mask, false);
    if (folio === NO_PAGE) break;
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

