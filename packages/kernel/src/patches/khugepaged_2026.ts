import type { Kernel, Overlay } from "../kernel.js";
import { HPAGE_PMD_ORDER } from "../arch/pgtable.js";
import type { Mm } from "../mm/mm_types.js";
import type { Patch } from "./patch.js";

/** Before it, khugepaged made folios of 2 MiB, or none. */
export const KHUGEPAGED_MTHP_2026: Patch = {
  name: "khugepaged-mthp",
  title: "khugepaged: anonymous memory is collapsed to folios of any size that is enabled",
  series: "khugepaged: add mTHP collapse support",
  since: "7.3",
  status: "modelled",
  undo: (): Overlay => ({ collapseMthp: { khugepagedOrders: (_k: Kernel) => [HPAGE_PMD_ORDER] } }),
};

/** Before it, MADV_COLLAPSE ended at the first 2 MiB of which nothing was mapped, unless there was no level-1 table either. */
export const KHUGEPAGED_PMD_NONE_2025: Patch = {
  name: "collapse-pmd-none",
  title: "mm/khugepaged: continue to collapse on SCAN_PMD_NONE",
  series: "mm/khugepaged: continue to collapse on SCAN_PMD_NONE",
  since: "6.19",
  status: "modelled",
  undo: (): Overlay => ({ khugepaged: { passesOverEmpty: (k: Kernel, mm: Mm, vpn: number) => k.m.pt.pmd(mm.pgd, vpn) < 0 } }),
};

/** Before it, a page that nobody had written since MADV_FREE became a part of a folio that is kept. */
export const KHUGEPAGED_LAZYFREE_2026: Patch = {
  name: "khugepaged-lazyfree",
  title: "khugepaged: pages that MADV_FREE has given up are left to reclaim",
  series: "mm/khugepaged: skip lazyfree folios",
  since: "7.3",
  status: "modelled",
  undo: (): Overlay => ({ khugepaged: { skipsLazyfree: () => false } }),
};
