/**
 * @linux mm/damon/ops-common.c, mm/damon/paddr.c
 * @own damonPtePfn, pteYoung
 */
import { SWITCH, type Atomic, type MaySleep } from "../kernel/coroutine.js";
import { Op } from "../kernel/op.js";
import type { Kernel } from "../kernel.js";
import { HPAGE_PMD_NR, PTE, ptePresent } from "../arch/pgtable.js";
import type { Vma } from "./mm_types.js";
import { NO_PAGE, PG } from "./page.js";
import { releaseWalk, startWalk } from "./page_vma_mapped.js";

/*
 * DAMON (Documentation/admin-guide/mm/damon) watches which pages are used by making them old, and looking later whether they still
 * are. In physical memory it goes from a page frame to its mappings.
 */

/** The folio that a page frame belongs to, if it is on an LRU list, with a reference at site "damon"; else NO_PAGE. */
export function* damonGetFolio(k: Kernel, pfn: number): Atomic<number> {
  const { m } = k;
  const { memmap } = m;
  const page = memmap.pfnToPage(pfn);
  if (page === NO_PAGE || page >= memmap.ramPages || !m.zones.isOnline(page)) return NO_PAGE;
  if (m.point(Op.PageFlags, memmap.folioOf(page))) yield SWITCH;
  const folio = memmap.folioOf(page);
  if (!memmap.has(folio, PG.lru) || !(yield* k.swap.folioTryGet(k, folio, "damon"))) return NO_PAGE;
  if (m.point(Op.PageFlags, folio)) yield SWITCH;
  if (memmap.folioOf(page) === folio && memmap.has(folio, PG.lru)) return folio;
  yield* k.swap.folioPut(k, folio, "damon");
  return NO_PAGE;
}

/** The folio of a page frame is to be old: nobody has used it since. */
export function* damonPaMkold(k: Kernel, pfn: number): MaySleep<void> {
  const folio = yield* k.damon.damonGetFolio(k, pfn);
  if (folio === NO_PAGE) return;
  yield* k.damon.damonFolioMkold(k, folio);
  yield* k.swap.folioPut(k, folio, "damon");
}

/** Whether the folio of a page frame has been used since it was made old; false for what is not watched. */
export function* damonPaYoung(k: Kernel, pfn: number): MaySleep<boolean> {
  const folio = yield* k.damon.damonGetFolio(k, pfn);
  if (folio === NO_PAGE) return false;
  const young = yield* k.damon.damonFolioYoung(k, folio);
  yield* k.swap.folioPut(k, folio, "damon");
  return young;
}

/** Makes all mappings of a folio old, and marks it as idle. */
export function* damonFolioMkold(k: Kernel, folio: number): MaySleep<void> {
  const { m } = k;
  const { memmap } = m;
  if (m.point(Op.MapCount, folio)) yield SWITCH;
  if (memmap.folioMapcount(folio) === 0 || memmap.mapping[folio] === 0) {
    if (m.point(Op.PageFlags, folio)) yield SWITCH;
    memmap.set(folio, PG.idle);
    return;
  }
  // What belongs to a file must not leave it meanwhile.
  const locks = !memmap.isAnon(folio);
  if (locks && !(yield* k.folioLock.folioTrylock(k, folio))) return;
  yield* k.rmap.rmapWalk(k, folio, k.damon.damonFolioMkoldOne);
  if (locks) yield* k.folioLock.folioUnlock(k, folio);
}

/** One VMA's share of `damonFolioMkold`. */
export function* damonFolioMkoldOne(k: Kernel, folio: number, vma: Vma, vpn: number): MaySleep<boolean> {
  const walk = startWalk(k, folio, vma, vpn);
  while (yield* k.pageVmaMapped.pageVmaMappedWalk(k, walk)) yield* k.damon.damonPtepMkold(k, vma, walk.vpn, walk.entry, walk.huge);
  return true;
}

/**
 * Makes one entry old, under its lock. Entries that are not present and map a page all the same, as device-exclusive ones, are old
 * as far as CPUs are concerned; whether a device has used the page, its notifier knows, and forgets.
 */
export function* damonPtepMkold(k: Kernel, vma: Vma, vpn: number, entry: number, huge: boolean): Atomic<void> {
  const { m } = k;
  const folio = yield* k.damon.damonGetFolio(k, k.damon.damonPtePfn(k, entry));
  if (folio === NO_PAGE) return;
  m.touches(Op.PteRead, entry);
  let young = yield* k.pageIdle.clearYoungPte(k, vma, vpn, entry);
  if (yield* k.mmuNotifier.mmuNotifierClearYoung(k, vma.mm, vpn, huge ? vpn + HPAGE_PMD_NR : vpn + 1)) young = true;
  if (m.point(Op.PageFlags, folio)) yield SWITCH;
  if (young) m.memmap.set(folio, PG.young);
  m.memmap.set(folio, PG.idle);
  yield* k.swap.folioPut(k, folio, "damon");
}

/** The page frame that an entry names, present or not. */
export function damonPtePfn(k: Kernel, entry: number): number {
  return k.m.pt.pfn(entry);
}

/** Whether a folio has been used since `damonFolioMkold`, by CPUs or by devices; nothing is forgotten. */
export function* damonFolioYoung(k: Kernel, folio: number): MaySleep<boolean> {
  const { m } = k;
  const { memmap } = m;
  if (m.point(Op.MapCount, folio)) yield SWITCH;
  if (memmap.folioMapcount(folio) === 0 || memmap.mapping[folio] === 0) {
    if (m.point(Op.PageFlags, folio)) yield SWITCH;
    return !memmap.has(folio, PG.idle);
  }
  const locks = !memmap.isAnon(folio);
  if (locks && !(yield* k.folioLock.folioTrylock(k, folio))) return false;
  const found = { accessed: false };
  yield* k.rmap.rmapWalk(k, folio, (_k, _folio, vma, vpn) => k.damon.damonFolioYoungOne(k, folio, vma, vpn, found));
  if (locks) yield* k.folioLock.folioUnlock(k, folio);
  return found.accessed;
}

/** One VMA's share of `damonFolioYoung`; false, which ends the walk, once it is known. */
export function* damonFolioYoungOne(k: Kernel, folio: number, vma: Vma, vpn: number, found: { accessed: boolean }): MaySleep<boolean> {
  const { m } = k;
  const walk = startWalk(k, folio, vma, vpn);
  while (yield* k.pageVmaMapped.pageVmaMappedWalk(k, walk)) {
    m.touches(Op.PageFlags, folio);
    const used = k.damon.pteYoung(m.pt.flags(walk.entry)) || !m.memmap.has(folio, PG.idle);
    found.accessed = used || (yield* k.mmuNotifier.mmuNotifierTestYoung(k, vma.mm, walk.vpn));
    if (!found.accessed) continue;
    yield* releaseWalk(walk);
    return false;
  }
  return true;
}

/** Whether an entry says that a CPU has used the page: one that is not present says nothing. */
export function pteYoung(flags: number): boolean {
  return ptePresent(flags) && (flags & PTE.A) !== 0;
}
