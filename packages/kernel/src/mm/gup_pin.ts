/**
 * @linux mm/gup.c
 * @omits `unpin_user_page_range_dirty_lock()` and `unpin_folios()`.
 * @omits Checks of CONFIG_DEBUG_VM (`sanity_check_pinned_pages()`).
 * @own pinUserPageFast, setHasPinned
 */
import { SWITCH, type Atomic, type MaySleep } from "../kernel/coroutine.js";
import { Op } from "../kernel/op.js";
import type { Kernel } from "../kernel.js";
import { FollFlag } from "./gup_flags.js";
import type { Mm } from "./mm_types.js";
import { GUP_PIN_COUNTING_BIAS, PG } from "./page.js";
import { Hold } from "./ref_tracker.js";

/*
 * References and pins. Of a large folio pins are counted apart, and each is a reference besides; of a small one a pin is
 * as many references as make it unlikely to be anything else (Documentation/core-api/pin_user_pages.rst).
 */

function holdOf(gup: number): Hold {
  if ((gup & FollFlag.PIN) === 0) return Hold.Reference;
  return (gup & FollFlag.LONGTERM) !== 0 ? Hold.LongtermPin : Hold.Pin;
}

/** Whether a folio is of zeros for all, of which pins are not counted. */
function isZeroFolio({ m }: Kernel, folio: number): boolean {
  return folio === m.zones.zeroPage || folio === m.thp.hugeZeroFolio;
}

/**
 * One reference, or one pin, of a folio that cannot go away meanwhile, at `site`. False where the count has
 * overflown, which is -ENOMEM.
 */
export function* tryGrabFolio(k: Kernel, folio: number, gup: number, site: string): Atomic<boolean> {
  const { m } = k;
  const { memmap } = m;
  if (m.point(Op.RefGet, folio)) yield SWITCH;
  if (memmap.refcount[folio]! <= 0) return false;
  if ((gup & FollFlag.PIN) === 0) memmap.refcount[folio]!++;
  else {
    if (isZeroFolio(k, folio)) return true;
    if (memmap.isLarge(folio)) {
      memmap.refcount[folio]!++;
      memmap.pincount[folio]!++;
    } else memmap.refcount[folio]! += GUP_PIN_COUNTING_BIAS;
    m.vmstat.events.nr_foll_pin_acquired++;
  }
  m.refs?.get(folio, site, holdOf(gup));
  return true;
}

/** The same for who cannot say whether the folio is free already: false then, and for a long-term pin of what must be able to move. */
export function* tryGrabFolioFast(k: Kernel, folio: number, gup: number, site: string): Atomic<boolean> {
  const { m } = k;
  const { memmap } = m;
  const pins = (gup & FollFlag.PIN) !== 0;
  if (m.point(Op.RefGet, folio)) yield SWITCH;
  if (memmap.refcount[folio]! <= 0) return false;
  memmap.refcount[folio]!++;
  m.refs?.get(folio, site);
  if (!pins) return true;
  if ((gup & FollFlag.LONGTERM) !== 0 && !k.gupLongterm.folioIsLongtermPinnable(k, folio)) {
    yield* k.swap.folioPut(k, folio, site);
    return false;
  }
  // From the first reference on the folio stays what it is, large or small.
  if (m.point(Op.RefGet, folio)) yield SWITCH;
  if (memmap.isLarge(folio)) memmap.pincount[folio]!++;
  else memmap.refcount[folio]! += GUP_PIN_COUNTING_BIAS - 1;
  m.refs?.put(folio, site);
  m.refs?.get(folio, site, holdOf(gup));
  m.vmstat.events.nr_foll_pin_acquired++;
  return true;
}

/** Lets go of what either of them took. */
export function* gupPutFolio(k: Kernel, folio: number, gup: number, site: string): Atomic<void> {
  const { m } = k;
  const { memmap } = m;
  if ((gup & FollFlag.PIN) === 0) return yield* k.swap.folioPut(k, folio, site);
  if (isZeroFolio(k, folio)) return;
  const large = memmap.isLarge(folio);
  if (m.point(Op.RefPut, folio)) yield SWITCH;
  m.vmstat.events.nr_foll_pin_released++;
  if (large) {
    memmap.pincount[folio]!--;
    if (m.point(Op.RefPut, folio)) yield SWITCH;
  }
  m.refs?.putPin(folio, site);
  memmap.refcount[folio]! -= large ? 1 : GUP_PIN_COUNTING_BIAS;
  if (memmap.refcount[folio] === 0) yield* k.swap.freeFolios(k, [folio]);
  else if (memmap.refcount[folio]! < 0) k.swap.missesReference(k, folio);
}

/** Told before the first pin: fork looks at this first. */
export function* setHasPinned(k: Kernel, mm: Mm): Atomic<void> {
  if (k.m.point(Op.MmCounter, mm.id)) yield SWITCH;
  mm.hasPinned = true;
}

/**
 * One page of the current address space for DMA, pinned at `site`; or a negated errno. What is pinned stays the page at
 * its address through fork, reclaim and migration.
 */
export function* pinUserPageFast(k: Kernel, vpn: number, gup: number, site: string): MaySleep<number> {
  const pages: number[] = [];
  const n = yield* k.gupFast.pinUserPagesFast(k, vpn, 1, gup, site, pages);
  return n < 0 ? n : pages[0]!;
}

/** Lets a pinned page go; `dirty` where the device has written to it. */
export function* unpinUserPage(k: Kernel, page: number, dirty: boolean, site: string): MaySleep<void> {
  const { m } = k;
  const folio = m.memmap.folioOf(page);
  if (dirty) {
    if (m.point(Op.PageFlags, folio)) yield SWITCH;
    m.memmap.set(folio, PG.dirty);
  }
  yield* k.gupPin.gupPutFolio(k, folio, FollFlag.PIN, site);
}

export function* unpinUserPages(k: Kernel, pages: readonly number[], site: string): MaySleep<void> {
  for (const page of pages) yield* k.gupPin.gupPutFolio(k, k.m.memmap.folioOf(page), FollFlag.PIN, site);
}
