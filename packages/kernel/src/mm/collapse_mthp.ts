/**
 * @linux mm/khugepaged.c
 * @own collapseParts, khugepagedOrders, possibleOrders
 */
import { HPAGE_PMD_NR, HPAGE_PMD_ORDER } from "../arch/pgtable.js";
import type { MaySleep } from "../kernel/coroutine.js";
import type { Kernel } from "../kernel.js";
import { maxPtesNone, Scan, type Census, type CollapseControl } from "./collapse_census.js";
import { Tva } from "./huge_memory.js";
import type { Mm, Vma } from "./mm_types.js";
import { THP_MIN_ORDER } from "./thp.js";

/** The sizes that khugepaged makes of anonymous memory, largest first; of files it only makes 2 MiB, and so does MADV_COLLAPSE. */
export function khugepagedOrders(_k: Kernel): readonly number[] {
  return Array.from({ length: HPAGE_PMD_ORDER - THP_MIN_ORDER + 1 }, (_, i) => HPAGE_PMD_ORDER - i);
}

/** Those that the settings allow in a VMA. */
export function possibleOrders(k: Kernel, vma: Vma, { isKhugepaged }: Pick<CollapseControl, "isKhugepaged">): readonly number[] {
  const why = isKhugepaged ? Tva.Khugepaged : Tva.ForcedCollapse;
  const orders = isKhugepaged && vma.ops === null ? k.collapseMthp.khugepagedOrders(k) : [HPAGE_PMD_ORDER];
  return orders.filter((order) => k.hugeMemory.thpVmaAllowable(k, vma, (vma.endVpn - (1 << order)) & -(1 << order), order, why));
}

/** What came of one size, where a smaller one may still do. */
const SMALLER_MAY_DO: ReadonlySet<Scan> = new Set([
  Scan.AllocHugePageFail,
  Scan.LackReferencedPage,
  Scan.ExceedNonePte,
  Scan.ExceedSwapPte,
  Scan.ExceedSharedPte,
  Scan.PageLock,
  Scan.PageCount,
  Scan.PageNull,
  Scan.DelPageLru,
  Scan.PteNonPresent,
  Scan.PteUffdWp,
  Scan.PageLazyfree,
]);

/** The largest size that is aligned at a place within 2 MiB. */
function largestAt(offset: number): number {
  return offset === 0 ? HPAGE_PMD_ORDER : Math.min(31 - Math.clz32(offset & -offset), HPAGE_PMD_ORDER);
}

/**
 * Makes folios of what one table maps: from the left, at each place the largest of `orders` for which enough is there. No lock is
 * held. `Scan.Succeed` when any of them was made.
 */
export function* collapseParts(
  k: Kernel,
  mm: Mm,
  tableStart: number,
  cc: CollapseControl,
  orders: readonly number[],
  census: Census,
): MaySleep<Scan> {
  const smallest = orders.at(-1) ?? HPAGE_PMD_ORDER;
  let last = Scan.Fail;
  let collapsed = false;
  let noMemory = false;
  let order = HPAGE_PMD_ORDER;
  for (let offset = 0; offset < HPAGE_PMD_NR; ) {
    let next = order > smallest;
    if (orders.includes(order) && enough(k, cc, census, offset, order)) {
      const result = yield* k.collapse.collapseHugePage(k, { mm, start: tableStart + offset, tableStart, order }, cc, census.swap > 0);
      if (result === Scan.Succeed) collapsed = true;
      else if (result !== Scan.PteMappedHugepage) last = result;
      noMemory ||= result === Scan.AllocHugePageFail;
      if (result === Scan.Succeed || result === Scan.PteMappedHugepage) next = false;
      else if (!SMALLER_MAY_DO.has(result)) break;
    }
    if (next) {
      order--;
      continue;
    }
    offset += 1 << order;
    order = largestAt(offset);
  }
  if (collapsed) return Scan.Succeed;
  return noMemory ? Scan.AllocHugePageFail : last;
}

/** Whether enough entries have a page. What is in swap counts for all 2 MiB alone, which read it. */
function enough(k: Kernel, cc: CollapseControl, { occupied, swap }: Census, offset: number, order: number): boolean {
  const pages = 1 << order;
  let there = order === HPAGE_PMD_ORDER ? swap : 0;
  for (let i = offset; i < offset + pages; i++) there += occupied[i]!;
  return there >= pages - maxPtesNone(k, cc, false, order);
}
