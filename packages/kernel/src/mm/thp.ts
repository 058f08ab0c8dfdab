import { HPAGE_PMD_NR, HPAGE_PMD_ORDER } from "../arch/pgtable.js";
import { WaitQueue } from "../kernel/sched.js";
import type { Machine } from "../machine.js";
import type { Mm } from "./mm_types.js";
import { NO_PAGE } from "./page.js";

/** Where transparent huge pages are used: everywhere, where MADV_HUGEPAGE asks for them, nowhere. */
export type ThpEnabled = "always" | "madvise" | "never";
/** A size's own setting; "inherit" takes the one for all sizes. */
export type ThpSizeEnabled = ThpEnabled | "inherit";
/** Where shared memory may have huge pages: besides, on mounts that ask for it, within the file's size or with MADV_HUGEPAGE; or nowhere or everywhere, to test it. */
export type ShmemEnabled = "always" | "within_size" | "advise" | "never" | "deny" | "force";
export type ShmemSizeEnabled = "always" | "inherit" | "within_size" | "advise" | "never";
/** How hard a fault tries to get a huge page before it takes a small one. */
export type ThpDefrag = "always" | "defer" | "defer+madvise" | "madvise" | "never";

/** Anonymous folios have one page or at least four: the smallest large order. */
export const THP_MIN_ORDER = 2;
export const SHMEM_MIN_ORDER = 1;

const MTHP_STATS = [
  "anon_fault_alloc",
  "anon_fault_fallback",
  "anon_fault_fallback_charge",
  "shmem_alloc",
  "shmem_fallback",
  "shmem_fallback_charge",
  "split",
  "split_failed",
  "split_deferred",
  "swpin",
  "swpin_fallback",
  "swpin_fallback_charge",
  "swpout",
  "swpout_fallback",
  "zswpout",
  "collapse_alloc",
  "collapse_alloc_failed",
  "collapse_exceed_none_pte",
  "collapse_exceed_swap_pte",
  "collapse_exceed_shared_pte",
  "nr_anon",
  "nr_anon_partially_mapped",
] as const;
/** What is counted for each size: folios, or attempts to get one. The last two are how many there are now. */
export type MthpStat = (typeof MTHP_STATS)[number];
type MthpStats = Record<MthpStat, number>;

function noStats(): MthpStats {
  return Object.fromEntries(MTHP_STATS.map((stat) => [stat, 0])) as MthpStats;
}

/** khugepaged: its settings, under their names in sysfs, and how far it has come. */
export class Khugepaged {
  pagesToScan = 8 * HPAGE_PMD_NR;
  scanSleepMs = 10_000;
  /** How long it does not try again when there was no huge page to be had. */
  allocSleepMs = 60_000;
  /** How many of the 512 entries of what it collapses may be empty, in swap, or for pages that others map too. */
  maxPtesNone = HPAGE_PMD_NR - 1;
  maxPtesSwap = HPAGE_PMD_NR / 8;
  maxPtesShared = HPAGE_PMD_NR / 2;
  /** Whether it reclaims to get a huge page. */
  defrag = true;
  pagesCollapsed = 0;
  fullScans = 0;
  /** Address spaces to look through, in the order in which they came. */
  readonly mms: Mm[] = [];
  /** Where it is: the next page to look at in an address space; null between two rounds. */
  cursor: { readonly mm: Mm; vpn: number } | null = null;
  /** Machine time in nanoseconds until which it sleeps, unless somebody changes how long that is to be. */
  sleepUntil = 0;
  readonly wait: WaitQueue;
  /** Set at boot, on a machine with kernel threads; cleared once the thread runs. */
  start: (() => void) | null = null;

  constructor(m: Machine) {
    this.wait = new WaitQueue(m);
  }
}

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
  readonly khugepaged: Khugepaged;
  shmemEnabled: ShmemEnabled = "never";
  /** Whether folios of which most pages have nothing but zeros are split when memory is short. */
  shrinkUnderused = true;
  private readonly shmemSizes: ShmemSizeEnabled[] = [];
  /** By order, made when one is first counted: an exploration goes through all state once an execution. */
  private readonly counters: (MthpStats | undefined)[] = [];
  private readonly sizes: ThpSizeEnabled[] = [];
  /** Whether any order below a whole PMD is in use: spares faults the look at each. */
  anySmallOrder = false;

  constructor(m: Machine) {
    this.khugepaged = new Khugepaged(m);
    for (let order = 0; order <= HPAGE_PMD_ORDER; order++) {
      this.counters[order] = undefined;
      this.shmemSizes[order] = order === HPAGE_PMD_ORDER ? "inherit" : "never";
    }
    for (let order = THP_MIN_ORDER; order <= HPAGE_PMD_ORDER; order++) {
      this.sizes[order] = order === HPAGE_PMD_ORDER ? "inherit" : "never";
    }
  }

  sizeEnabled(order: number): ThpSizeEnabled {
    return this.sizes[order]!;
  }

  shmemSizeEnabled(order: number): ShmemSizeEnabled {
    return this.shmemSizes[order]!;
  }

  setShmemSizeEnabled(order: number, enabled: ShmemSizeEnabled): void {
    this.shmemSizes[order] = enabled;
  }

  /** Whether the setting for all sizes is that of 2 MiB alone. */
  get onlyPmdShmemInherits(): boolean {
    return this.shmemSizes.every((size, order) => (size === "inherit") === (order === HPAGE_PMD_ORDER));
  }

  /** A folio waits no more to be split when memory is short. */
  unqueueDeferredSplit(folio: number, order: number): void {
    if (this.deferredSplit.delete(folio)) this.stats(order).nr_anon_partially_mapped--;
  }

  /** Counters of an order. */
  stats(order: number): MthpStats {
    return (this.counters[order] ??= noStats());
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
