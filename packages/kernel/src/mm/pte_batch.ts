/**
 * @linux mm/util.c, mm/internal.h
 * @omits Used by mprotect() alone; other walks take entries one by one.
 * @own modifyPteBatch
 */
import { SWITCH, type Atomic } from "../kernel/coroutine.js";
import { Op } from "../kernel/op.js";
import type { Kernel } from "../kernel.js";
import { PTE } from "../arch/pgtable.js";
import type { Vma } from "./mm_types.js";

/** What the hardware sets by itself: entries that differ in it are a batch all the same. */
const USED = PTE.A | PTE.D;

/**
 * How many of `max` entries, from one of a page on, map the pages that follow it in its folio, and are alike but
 * for their accessed and dirty bits. At least 1. Under the page-table lock; the caller has announced the look.
 */
export function folioPteBatch(k: Kernel, ptep: number, max: number): number {
  const { pt, memmap } = k.m;
  const flags = pt.flags(ptep);
  if ((flags & PTE.SPECIAL) !== 0) return 1;
  const pfn = pt.pfn(ptep);
  const page = memmap.pfnToPage(pfn);
  const folio = memmap.folioOf(page);
  const end = Math.min(max, folio + memmap.folioPages(folio) - page);
  let n = 1;
  while (n < end && pt.pfn(ptep + n) === pfn + n && ((pt.flags(ptep + n) ^ flags) & ~USED) === 0) n++;
  return n;
}

/**
 * Gives the entries of a batch other flags, each by its page frame. What one of them was used for, accessed or
 * dirty, all of them are then: since Linux 6.17 mprotect() takes them out together.
 */
export function* modifyPteBatch(k: Kernel, vma: Vma, vpn: number, first: number, n: number, change: (flags: number, pfn: number) => number): Atomic<boolean> {
  const { m } = k;
  const { mm } = vma;
  if (n === 1) {
    const old = yield* k.memory.ptepModify(k, mm, vpn, first, (flags) => change(flags, m.pt.pfn(first)));
    return old !== m.pt.flags(first);
  }
  const old: number[] = [];
  const pfn = m.pt.pfn(first);
  let used = 0;
  for (let i = 0; i < n; i++) {
    const [flags] = yield* k.memory.ptepGetAndClear(k, vpn + i, first + i);
    old.push(flags);
    used |= flags & USED;
  }
  let changed = false;
  for (let i = 0; i < n; i++) {
    const flags = change(old[i]! | used, pfn + i);
    if (flags !== old[i]) changed = true;
    if (m.point(Op.PteWrite, first + i)) yield SWITCH;
    k.memory.setPte(k, mm, vpn + i, first + i, flags, pfn + i);
  }
  return changed;
}
