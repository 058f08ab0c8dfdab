/**
 * @linux mm/page_isolation.c
 * @omits Ranges are whole memory blocks: nothing is isolated for `alloc_contig_range()` or CMA.
 */
import { SWITCH, type Atomic, type MaySleep } from "../kernel/coroutine.js";
import { Errno } from "../kernel/errno.js";
import { Op } from "../kernel/op.js";
import type { Kernel } from "../kernel.js";
import { NO_PAGE, PG } from "./page.js";
import { ZoneId } from "./zone.js";

/** A page in a range that can never leave it: reserved, or in the kernel's own use; NO_PAGE when there is none. */
export function* hasUnmovablePages(k: Kernel, from: number, end: number): Atomic<number> {
  const { m } = k;
  const { memmap } = m;
  const movableZone = m.zones.zoneOf(from).id === ZoneId.Movable;
  for (let page = from; page < end; page++) {
    if (memmap.has(page, PG.reserved)) return page;
    // What the kernel keeps for itself is not in there.
    if (movableZone) continue;
    if (m.point(Op.PageFlags, page)) yield SWITCH;
    const folio = memmap.folioOf(page);
    // Of hugetlb what is in use can move, and what is free can leave its pool.
    if (memmap.has(folio, PG.hugetlb)) continue;
    if (memmap.refcount[folio] !== 0 && !memmap.has(folio, PG.lru)) return page;
  }
  return NO_PAGE;
}

/**
 * Isolates whole memory blocks: nothing there is allocated any more, and what becomes free stays
 * free. -EBUSY, and nothing done, where a page can never leave.
 */
export function* startIsolatePageRange(k: Kernel, from: number, end: number): MaySleep<number> {
  const { m } = k;
  const unmovable = yield* k.pageIsolation.hasUnmovablePages(k, from, end);
  if (unmovable !== NO_PAGE) {
    yield* k.debug.dumpPage(k, unmovable, "unmovable page");
    return -Errno.EBUSY;
  }
  const zone = m.zones.zoneOf(from);
  if (!zone.lock.tryLock()) yield* zone.lock.lock();
  zone.setIsolated(from, end, true);
  if (!zone.lock.tryUnlock()) yield* zone.lock.unlock();
  return 0;
}

/** What is free in an isolated range may be allocated again. */
export function* undoIsolatePageRange(k: Kernel, from: number, end: number): MaySleep<void> {
  const zone = k.m.zones.zoneOf(from);
  if (!zone.lock.tryLock()) yield* zone.lock.lock();
  zone.setIsolated(from, end, false);
  if (!zone.lock.tryUnlock()) yield* zone.lock.unlock();
}

/** Whether all pages of an isolated range lie on the buddy lists. */
export function* testPagesIsolated(k: Kernel, from: number, end: number): Atomic<boolean> {
  const { m } = k;
  const { memmap } = m;
  const zone = m.zones.zoneOf(from);
  if (!zone.lock.tryLock()) yield* zone.lock.lock();
  if (m.point(Op.PageFlags, from)) yield SWITCH;
  let page = from;
  while (page < end && memmap.has(page, PG.buddy)) page += 1 << memmap.private[page]!;
  if (!zone.lock.tryUnlock()) yield* zone.lock.unlock();
  return page >= end;
}
