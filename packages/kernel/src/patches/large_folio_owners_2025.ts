import type { Atomic } from "../kernel/coroutine.js";
import { SWITCH } from "../kernel/coroutine.js";
import { Op } from "../kernel/op.js";
import type { Kernel, KernelModules, Overlay } from "../kernel.js";
import type { Patch } from "./patch.js";

/**
 * Before it, whose mappings a large folio has is guessed by its first page, and by whether there are more mappings than pages; and
 * a large folio that has been shared is copied, page by page, even when only one process is left.
 */
function undo(_base: KernelModules): Overlay {
  return {
    rmap: {
      maybeMappedShared(k: Kernel, folio: number): boolean {
        const { memmap } = k.m;
        if (memmap.folioMapcount(folio) <= 1) return false;
        return memmap.entireMapcount(folio) > 0 || memmap.folioMapcount(folio) > memmap.folioPages(folio) || memmap.mapcount[folio]! > 1;
      },
    },
    memory: {
      *wpCanReuseLargeFolio(k: Kernel, folio: number): Atomic<boolean> {
        if (k.m.point(Op.MapCount, folio)) yield SWITCH;
        return false;
      },
    },
  };
}

export const LARGE_FOLIO_OWNERS_2025: Patch = {
  name: "large-folio-owners",
  title: "mm/rmap: basic MM owner tracking for large folios (!hugetlb)",
  series: "mm: MM owner tracking for large folios (!hugetlb) + CONFIG_NO_PAGE_MAPCOUNT",
  since: "6.15",
  status: "modelled",
  undo,
};
