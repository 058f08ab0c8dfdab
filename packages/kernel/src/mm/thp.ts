import { HPAGE_PMD_ORDER } from "../arch/pgtable.js";
import { NO_PAGE } from "./page.js";

/** Where transparent huge pages are used: everywhere, where MADV_HUGEPAGE asks for them, nowhere. */
export type ThpEnabled = "always" | "madvise" | "never";
/** A size's own setting; "inherit" takes the one for all sizes. */
export type ThpSizeEnabled = ThpEnabled | "inherit";
/** How hard a fault tries to get a huge page before it takes a small one. */
export type ThpDefrag = "always" | "defer" | "defer+madvise" | "madvise" | "never";

/** Anonymous folios have one page or at least four: the smallest large order. */
export const THP_MIN_ORDER = 2;

/**
 * Settings and state of transparent huge pages (Documentation/admin-guide/mm/transhuge). As Linux
 * starts without parameters, except that "madvise" is the default for all sizes, as most
 * distributions and the tests of device memory have it.
 */
export class TransparentHugePages {
  enabled: ThpEnabled = "madvise";
  defrag: ThpDefrag = "madvise";
  /** Whether a read fault maps the huge page of zeros. */
  useZeroPage = true;
  /** The 512 pages of zeros; NO_PAGE until somebody reads where a huge page could be. */
  hugeZeroFolio = NO_PAGE;
  /** Address spaces that may map the huge page of zeros. */
  hugeZeroUsers = 0;
  /** Folios of which some pages are mapped no more: split when memory is short. In order of arrival. */
  readonly deferredSplit = new Set<number>();
  private readonly sizes: ThpSizeEnabled[] = [];
  /** Whether any order below a whole PMD is in use: spares faults the look at each. */
  anySmallOrder = false;

  constructor() {
    for (let order = THP_MIN_ORDER; order <= HPAGE_PMD_ORDER; order++) {
      this.sizes[order] = order === HPAGE_PMD_ORDER ? "inherit" : "never";
    }
  }

  sizeEnabled(order: number): ThpSizeEnabled {
    return this.sizes[order]!;
  }

  setSizeEnabled(order: number, enabled: ThpSizeEnabled): void {
    this.sizes[order] = enabled;
    this.anySmallOrder = this.sizes.some((size, o) => o < HPAGE_PMD_ORDER && size !== "never");
  }

  /** Whether folios of this order may be used; `advised`: MADV_HUGEPAGE asked for them. */
  orderEnabled(order: number, advised: boolean): boolean {
    const own = this.sizes[order]!;
    const enabled = own === "inherit" ? this.enabled : own;
    return enabled === "always" || (enabled === "madvise" && advised);
  }
}
