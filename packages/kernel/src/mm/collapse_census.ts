import { HPAGE_PMD_NR, HPAGE_PMD_ORDER, PTE } from "../arch/pgtable.js";
import { Op } from "../kernel/op.js";
import type { Kernel } from "../kernel.js";
import type { Memcg } from "./memcontrol.js";
import type { AllocNodes } from "./mempolicy.js";
import { VM, type Vma } from "./mm_types.js";
import { PG } from "./page.js";
import type { MthpStat } from "./thp.js";

/** What came of looking at 2 MiB, or of making them one folio; by the names that tracepoints have for it. */
export enum Scan {
  Fail,
  Succeed,
  NoPteTable,
  PmdMapped,
  ExceedNonePte,
  ExceedSwapPte,
  ExceedSharedPte,
  PteNonPresent,
  PteUffdWp,
  PageNull,
  PageAnon,
  PageCount,
  PageLru,
  PageLock,
  LackReferencedPage,
  DelPageLru,
  AnyProcess,
  VmaNull,
  VmaCheck,
  AddressRange,
  AllocHugePageFail,
  CgroupChargeFail,
  PteMappedHugepage,
  Truncated,
  PageFilled,
  PageLazyfree,
}

/** One who collapses: khugepaged, or MADV_COLLAPSE, which heeds no limits. */
export interface CollapseControl {
  readonly isKhugepaged: boolean;
  /** Charged with the folio. */
  readonly memcg: Memcg;
  /** mmap_lock is still held for reading, as it was at the call. */
  mmapLocked: boolean;
  /** How many of the pages that were looked at lie on each node; absent on machines of one. */
  nodeLoad?: number[];
}

/** Another range is looked at. */
export function forgetNodes(k: Kernel, cc: CollapseControl): void {
  if (k.m.nodes.count > 1) cc.nodeLoad = new Array<number>(k.m.nodes.count).fill(0);
}

/** A page of the range that is looked at. */
export function countNode(k: Kernel, { nodeLoad }: CollapseControl, page: number): void {
  if (nodeLoad !== undefined) nodeLoad[k.m.nodes.of(page)]!++;
}

/** Where the folio for a range is to be: on the nodes that most of its pages are on, and no other; null for anywhere. */
export function targetNodes({ nodeLoad }: CollapseControl): AllocNodes | null {
  if (nodeLoad === undefined) return null;
  const most = Math.max(...nodeLoad);
  const mask = nodeLoad.reduce((nodes, load, node) => (load === most ? nodes | (1 << node) : nodes), 0);
  return { node: nodeLoad.indexOf(most), mask, strict: true, interleaved: false };
}

/** `max_ptes_none` that sets no limit but that something must be there. */
const MAX_PTES_LIMIT = HPAGE_PMD_NR - 1;

/**
 * How many of the entries may be empty, or for the page of zeros, where a folio of `order` is made of them. For less than
 * 2 MiB khugepaged knows all or nothing (Documentation/admin-guide/mm/transhuge). `armed`: a userfaultfd is told of faults,
 * which nothing may keep from it.
 */
export function maxPtesNone(k: Kernel, cc: CollapseControl, armed: boolean, order: number): number {
  const { maxPtesNone: limit } = k.m.thp.khugepaged;
  if (armed) return 0;
  if (!cc.isKhugepaged) return HPAGE_PMD_NR;
  if (order === HPAGE_PMD_ORDER) return limit;
  return limit === MAX_PTES_LIMIT ? (1 << order) - 1 : 0;
}

/** Entries that are to become one folio, counted as somebody goes over them. */
export class Census {
  none = 0;
  swap = 0;
  shared = 0;
  referenced = 0;
  /** Which of the entries have a page of their own. */
  readonly occupied = new Uint8Array(HPAGE_PMD_NR);
  private readonly swapMax: number;
  private readonly sharedMax: number;

  constructor(
    private readonly k: Kernel,
    readonly cc: CollapseControl,
    private readonly vma: Vma,
    private readonly order: number,
    private readonly noneMax = maxPtesNone(k, cc, vma.uffd !== null, order),
  ) {
    const { maxPtesSwap, maxPtesShared } = k.m.thp.khugepaged;
    // What is read back, or copied from others, could make the next larger size fit as well, and so on.
    const limit = (whole: number): number => (!cc.isKhugepaged ? HPAGE_PMD_NR : order === HPAGE_PMD_ORDER ? whole : 0);
    this.swapMax = limit(maxPtesSwap);
    this.sharedMax = limit(maxPtesShared);
  }

  /** An entry is empty, or for the page of zeros: what forbids it, or null. */
  countNone(): Scan | null {
    return ++this.none <= this.noneMax ? null : this.exceeds(Scan.ExceedNonePte, "thp_scan_exceed_none_pte", "collapse_exceed_none_pte");
  }

  countSwap(): Scan | null {
    return ++this.swap <= this.swapMax ? null : this.exceeds(Scan.ExceedSwapPte, "thp_scan_exceed_swap_pte", "collapse_exceed_swap_pte");
  }

  countShared(folio: number): Scan | null {
    this.k.m.touches(Op.MapCount, folio);
    if (!this.k.rmap.maybeMappedShared(this.k, folio) || ++this.shared <= this.sharedMax) return null;
    return this.exceeds(Scan.ExceedSharedPte, "thp_scan_exceed_share_pte", "collapse_exceed_shared_pte");
  }

  countReferenced(folio: number, flags: number): void {
    if (this.cc.isKhugepaged && ((flags & PTE.A) !== 0 || this.k.m.memmap.has(folio, PG.young | PG.referenced))) this.referenced++;
  }

  /** Reclaim may drop a page that nobody has written since MADV_FREE; as a part of a larger folio it could not. */
  isLazyfree(folio: number, flags: number): boolean {
    const { memmap } = this.k.m;
    if (!this.cc.isKhugepaged || (this.vma.flags & VM.DROPPABLE) !== 0 || !this.k.khugepaged.skipsLazyfree(this.k)) return false;
    return memmap.isAnon(folio) && !memmap.has(folio, PG.swapbacked) && (flags & PTE.D) === 0;
  }

  private exceeds(result: Scan, whole: "thp_scan_exceed_none_pte" | "thp_scan_exceed_swap_pte" | "thp_scan_exceed_share_pte", stat: MthpStat): Scan {
    const { vmstat, thp } = this.k.m;
    if (this.order === HPAGE_PMD_ORDER) vmstat.events[whole]++;
    thp.stats(this.order)[stat]++;
    return result;
  }
}
