/**
 * @linux mm/page_idle.c
 * @own bitmapRead, bitmapWrite, clearYoungPte, isIdle
 */
import { SWITCH, type Atomic, type MaySleep } from "../kernel/coroutine.js";
import { Errno } from "../kernel/errno.js";
import { Op } from "../kernel/op.js";
import type { Kernel } from "../kernel.js";
import { HPAGE_PMD_NR, PTE, ptePresent } from "../arch/pgtable.js";
import type { Vma } from "./mm_types.js";
import { NO_PAGE, PG, RAM_BASE_PFN } from "./page.js";
import { startWalk } from "./page_vma_mapped.js";

/*
 * Idle page tracking (Documentation/admin-guide/mm/idle_page_tracking.rst): a bitmap of all page frames. Writing a 1 marks a page
 * as idle, and reading tells whether it still is. Only pages on LRU lists count, and a large folio by its first page.
 */

/** Reads and writes begin and end at whole 64-bit words. */
const BITMAP_CHUNK = 8;

/** The folio that begins at a page frame, if it is on an LRU list, with a reference at site "page_idle"; NO_PAGE for what is not tracked. */
export function* pageIdleGetFolio(k: Kernel, pfn: number): Atomic<number> {
  const { m } = k;
  const { memmap } = m;
  const page = memmap.pfnToPage(pfn);
  if (page === NO_PAGE || page >= memmap.ramPages || !m.zones.isOnline(page)) return NO_PAGE;
  if (m.point(Op.PageFlags, memmap.folioOf(page))) yield SWITCH;
  if (memmap.folioOf(page) !== page || !memmap.has(page, PG.lru)) return NO_PAGE;
  if (!(yield* k.swap.folioTryGet(k, page, "page_idle"))) return NO_PAGE;
  if (m.point(Op.PageFlags, page)) yield SWITCH;
  if (memmap.folioOf(page) === page && memmap.has(page, PG.lru)) return page;
  yield* k.swap.folioPut(k, memmap.folioOf(page), "page_idle");
  return NO_PAGE;
}

/** Forgets in all mappings of a folio that it was used; if it was, it is idle no more, and reclaim is told as well. */
export function* pageIdleClearPteRefs(k: Kernel, folio: number): MaySleep<void> {
  const { m } = k;
  const { memmap } = m;
  if (m.point(Op.MapCount, folio)) yield SWITCH;
  if (memmap.folioMapcount(folio) === 0 || memmap.mapping[folio] === 0) return;
  // What belongs to a file must not leave it meanwhile.
  const locks = !memmap.isAnon(folio);
  if (locks && !(yield* k.folioLock.folioTrylock(k, folio))) return;
  if (m.point(Op.PageFlags, folio)) yield SWITCH;
  yield* k.rmap.rmapWalk(k, folio, k.pageIdle.pageIdleClearPteRefsOne);
  if (locks) yield* k.folioLock.folioUnlock(k, folio);
}

/**
 * One VMA's share. Entries that are not present and map a page all the same, as device-exclusive ones, are old as far as CPUs are
 * concerned; whether a device has used the page, its notifier knows.
 */
export function* pageIdleClearPteRefsOne(k: Kernel, folio: number, vma: Vma, vpn: number): MaySleep<boolean> {
  const { m } = k;
  const walk = startWalk(k, folio, vma, vpn);
  let referenced = false;
  while (yield* k.pageVmaMapped.pageVmaMappedWalk(k, walk)) {
    if (yield* k.pageIdle.clearYoungPte(k, vma, walk.vpn, walk.entry)) referenced = true;
    const end = walk.huge ? walk.vpn + HPAGE_PMD_NR : walk.vpn + 1;
    if (yield* k.mmuNotifier.mmuNotifierClearYoung(k, vma.mm, walk.vpn, end)) referenced = true;
  }
  if (!referenced) return true;
  if (m.point(Op.PageFlags, folio)) yield SWITCH;
  m.memmap.clear(folio, PG.idle);
  m.memmap.set(folio, PG.young);
  return true;
}

/** Whether an entry says that it was used; it says so no more. No TLB is flushed: what is cached sets no bit, and counts as idle. */
export function* clearYoungPte(k: Kernel, vma: Vma, vpn: number, entry: number): Atomic<boolean> {
  if (!ptePresent(k.m.pt.flags(entry))) return false;
  const old = yield* k.memory.ptepModify(k, vma.mm, vpn, entry, (flags) => flags & ~PTE.A);
  return (old & PTE.A) !== 0;
}

/** A read of the bitmap at a position in bytes: bytes read, 0 behind the last frame, or -EINVAL. */
export function* bitmapRead(k: Kernel, into: Uint8Array, pos: number): MaySleep<number> {
  const { memmap } = k.m;
  if (pos % BITMAP_CHUNK !== 0 || into.length % BITMAP_CHUNK !== 0) return -Errno.EINVAL;
  const end = Math.min(pos * 8 + into.length * 8, RAM_BASE_PFN + memmap.ramPages);
  if (pos * 8 >= end) return 0;
  const bytes = Math.ceil((end - pos * 8) / 64) * 8;
  into.fill(0, 0, bytes);
  for (let pfn = firstOnline(pos * 8); pfn < end; pfn++) {
    const folio = yield* k.pageIdle.pageIdleGetFolio(k, pfn);
    if (folio !== NO_PAGE) {
      if (yield* k.pageIdle.isIdle(k, folio)) into[(pfn >>> 3) - pos]! |= 1 << (pfn & 7);
      yield* k.swap.folioPut(k, folio, "page_idle");
    }
    yield* k.m.sched.condResched();
  }
  return bytes;
}

/** Whether a folio that was marked has not been used since. */
export function* isIdle(k: Kernel, folio: number): MaySleep<boolean> {
  const { m } = k;
  if (m.point(Op.PageFlags, folio)) yield SWITCH;
  if (!m.memmap.has(folio, PG.idle)) return false;
  // It may have been used by way of an entry, and nobody has looked yet.
  yield* k.pageIdle.pageIdleClearPteRefs(k, folio);
  if (m.point(Op.PageFlags, folio)) yield SWITCH;
  return m.memmap.has(folio, PG.idle);
}

/** A write of the bitmap: bytes written, -EINVAL, or -ENXIO behind the last frame. Zeros change nothing. */
export function* bitmapWrite(k: Kernel, from: Uint8Array, pos: number): MaySleep<number> {
  const { m } = k;
  if (pos % BITMAP_CHUNK !== 0 || from.length % BITMAP_CHUNK !== 0) return -Errno.EINVAL;
  const last = RAM_BASE_PFN + m.memmap.ramPages;
  if (pos * 8 >= last) return -Errno.ENXIO;
  const end = Math.min(pos * 8 + from.length * 8, last);
  for (let pfn = firstOnline(pos * 8); pfn < end; pfn++) {
    if ((from[(pfn >>> 3) - pos]! & (1 << (pfn & 7))) === 0) continue;
    const folio = yield* k.pageIdle.pageIdleGetFolio(k, pfn);
    if (folio !== NO_PAGE) {
      yield* k.pageIdle.pageIdleClearPteRefs(k, folio);
      if (m.point(Op.PageFlags, folio)) yield SWITCH;
      m.memmap.set(folio, PG.idle);
      yield* k.swap.folioPut(k, folio, "page_idle");
    }
    yield* m.sched.condResched();
  }
  return Math.ceil((end - pos * 8) / 64) * 8;
}

/** Below RAM there is nothing to look at. */
function firstOnline(pfn: number): number {
  return Math.max(pfn, RAM_BASE_PFN);
}
