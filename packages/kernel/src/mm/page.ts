/**
 * The memmap: what Linux keeps in struct page, as a structure of arrays. A "page" throughout the
 * engine is an index into these arrays; a "folio" is the index of its first page. Page tables and
 * devices hold pfns; `pageToPfn` and `pfnToPage` convert, section by section, so that RAM and the
 * memory of several devices can lie far apart in the physical address space.
 */
import { FolioOwners } from "./folio_owners.js";

/** Page flags, per page or on a folio's first page as in Linux. */
export enum PG {
  locked = 1 << 0,
  referenced = 1 << 1,
  uptodate = 1 << 2,
  dirty = 1 << 3,
  lru = 1 << 4,
  active = 1 << 5,
  workingset = 1 << 6,
  swapcache = 1 << 7,
  swapbacked = 1 << 8,
  reclaim = 1 << 9,
  writeback = 1 << 10,
  unevictable = 1 << 11,
  mlocked = 1 << 12,
  anonExclusive = 1 << 13,
  readahead = 1 << 14,
  reserved = 1 << 15,
  /** Page types: in the buddy allocator, a page table. */
  buddy = 1 << 16,
  table = 1 << 17,
  /** Tail of a compound page; `head` says of which. */
  tail = 1 << 18,
  waiters = 1 << 19,
  young = 1 << 20,
  idle = 1 << 21,
  /** Broken, or taken to be: see memory_failure.ts. */
  hwpoison = 1 << 22,
  /** Page type: of hugetlb, in use or free in a pool. `private` then has bits of HPG. */
  hugetlb = 1 << 24,
}

/** First pfn of RAM: riscv64 boards have it at 2 GiB. */
export const RAM_BASE_PFN = 0x80000;
/** No page: list ends, missing links. */
export const NO_PAGE = -1;
/** As how many references a pin counts on a folio of one page. */
export const GUP_PIN_COUNTING_BIAS = 1024;
/** Bit 0 of `mapping`: an anon_vma id stands above it. 0: no mapping. */
export const MAPPING_ANON = 1;

const SECTION_SHIFT = 15;
const SECTION_PAGES = 1 << SECTION_SHIFT;
/** Memory that CPUs cannot address has its pfns from here down, as high as physical addresses go here. */
const DEVICE_PRIVATE_END_PFN = 1 << 30;

/** Room for memory of devices, in pages: `memremapPages` gives it to them. */
export interface DeviceMemory {
  /** CPUs can address it, too; it lies behind RAM. */
  readonly coherent: number;
  /** Only the device can. */
  readonly private: number;
  /** How much a test device takes at a time, and one of device-coherent memory at all. */
  readonly chunk: number;
}

export class Memmap {
  /** References, on the first page of a folio. */
  readonly refcount: Int32Array;
  /** How many of the references to a large folio are pins (FOLL_PIN). */
  readonly pincount: Int32Array;
  /** Mappings of this very page by last-level entries. */
  readonly mapcount: Int32Array;
  readonly flags: Int32Array;
  /**
   * Twice the id of an anon_vma, with MAPPING_ANON, or of a file's address space; or 0. Negative: of a KSM page, anonymous as well, the
   * complement (~) of twice the number of its stable node.
   */
  readonly mapping: Int32Array;
  /**
   * Of its first page: the index in its file, or, of an anonymous folio, the virtual page number at which it was
   * first mapped (linear index).
   */
  readonly index: Float64Array;
  readonly lruNext: Int32Array;
  readonly lruPrev: Int32Array;
  /** Swap offset while PG_swapcache (a folio's first page has the first of its slots); order while PG_buddy. */
  readonly private: Int32Array;
  readonly memcg: Uint16Array;
  readonly order: Uint8Array;
  /** For tails: the folio's first page. Kept apart, since most folios have none. */
  readonly head: Int32Array;
  /** While a folio is on the unevictable list: by how many locked VMAs it is known to be mapped. */
  readonly mlockCount: Int32Array;
  /** Whose the mappings of large folios are, but for hugetlb's. */
  readonly owners: FolioOwners;
  /** Who was the last to meet a hinting fault on a folio (`mm/numa_fault`); null on machines of one node. */
  lastCpuPid: Int32Array | null = null;
  /** All pages: of RAM, then device-coherent ones, then device-private ones. */
  readonly nrPages: number;
  /** Where pages of devices begin, and where among them those that no CPU can address. */
  readonly ramPages: number;
  readonly privateStart: number;
  /** Told of each folio whose flags change: for who follows what steps touch (`EventSink.touches`). */
  flagsWritten: ((folio: number) => void) | null = null;
  private readonly coherentBasePfn: number;
  private readonly privateBasePfn: number;

  constructor(ramPages: number, devices: Pick<DeviceMemory, "coherent" | "private">) {
    const frames = ramPages + devices.coherent + devices.private;
    this.nrPages = frames;
    this.ramPages = ramPages;
    this.privateStart = ramPages + devices.coherent;
    // Both begin with a section of their own.
    this.coherentBasePfn = RAM_BASE_PFN + Math.ceil(ramPages / SECTION_PAGES) * SECTION_PAGES;
    this.privateBasePfn = DEVICE_PRIVATE_END_PFN - Math.ceil(devices.private / SECTION_PAGES) * SECTION_PAGES;
    this.refcount = new Int32Array(frames);
    this.pincount = new Int32Array(frames);
    this.mapcount = new Int32Array(frames);
    this.flags = new Int32Array(frames);
    this.mapping = new Int32Array(frames);
    this.index = new Float64Array(frames);
    // Memory of devices is on no list.
    this.lruNext = new Int32Array(frames).fill(NO_PAGE, 0, ramPages);
    this.lruPrev = new Int32Array(frames).fill(NO_PAGE, 0, ramPages);
    this.private = new Int32Array(frames);
    this.memcg = new Uint16Array(frames);
    this.order = new Uint8Array(frames);
    this.head = new Int32Array(frames);
    this.mlockCount = new Int32Array(frames);
    this.owners = new FolioOwners(frames);
  }

  /** The page of a pfn, or NO_PAGE where there is no memory. */
  pfnToPage(pfn: number): number {
    const page = pfn - RAM_BASE_PFN;
    return page >= 0 && page < this.ramPages ? page : this.devicePfnToPage(pfn);
  }

  private devicePfnToPage(pfn: number): number {
    const coherent = this.ramPages + (pfn - this.coherentBasePfn);
    if (coherent >= this.ramPages && coherent < this.privateStart) return coherent;
    const unaddressable = this.privateStart + (pfn - this.privateBasePfn);
    return unaddressable >= this.privateStart && unaddressable < this.nrPages ? unaddressable : NO_PAGE;
  }

  pageToPfn(page: number): number {
    return page < this.ramPages ? RAM_BASE_PFN + page : this.devicePageToPfn(page);
  }

  private devicePageToPfn(page: number): number {
    if (page < this.privateStart) return this.coherentBasePfn + (page - this.ramPages);
    return this.privateBasePfn + (page - this.privateStart);
  }

  /** Whether a page is memory of a device (ZONE_DEVICE), of either type. */
  isZoneDevice(page: number): boolean {
    return page >= this.ramPages;
  }

  /** Whether a page is memory that no CPU can address. */
  isDevicePrivate(page: number): boolean {
    return page >= this.privateStart;
  }

  isDeviceCoherent(page: number): boolean {
    return page >= this.ramPages && page < this.privateStart;
  }

  folioOf(page: number): number {
    return (this.flags[page]! & PG.tail) !== 0 ? this.head[page]! : page;
  }

  folioPages(folio: number): number {
    return 1 << this.order[folio]!;
  }

  isLarge(folio: number): boolean {
    return this.order[folio] !== 0;
  }

  /** Makes one folio of 2^order pages, the order being at least 1; nobody maps it yet. */
  prepareCompound(folio: number, order: number): void {
    this.order[folio] = order;
    for (let page = folio + 1; page < folio + (1 << order); page++) {
      this.flags[page] = PG.tail;
      this.head[page] = folio;
      this.mapcount[page] = 0;
    }
    this.private[folio + 1] = 0;
    this.index[folio + 1] = 0;
    this.owners.reset(folio);
  }

  /** Makes every page of a folio one of its own. */
  dissolveCompound(folio: number): void {
    const end = folio + this.folioPages(folio);
    this.order[folio] = 0;
    this.private[folio + 1] = 0;
    this.index[folio + 1] = 0;
    for (let page = folio + 1; page < end; page++) this.flags[page]! &= ~PG.tail;
  }

  /** The references that the swap cache, or the page cache of a file, has to a folio: one for each of its pages. */
  cacheRefs(folio: number): number {
    return this.has(folio, PG.swapcache) || this.isFile(folio) ? 1 << this.order[folio]! : 0;
  }

  /* Of a large folio, the first tail page's otherwise unused fields count mappings, as in Linux. */

  /** How many PMD entries map the whole folio. */
  entireMapcount(folio: number): number {
    return this.order[folio] === 0 ? 0 : this.private[folio + 1]!;
  }

  /** Adds to the mappings of a large folio as a whole. */
  addEntireMapcount(folio: number, n: number): void {
    this.private[folio + 1]! += n;
    this.index[folio + 1]! += n;
  }

  /** The address space with the id `mm` maps a large folio as a whole, once more or (n = -1) less. */
  addPmdMapping(folio: number, mm: number, n: 1 | -1): void {
    this.addEntireMapcount(folio, n);
    this.owned(folio, mm, n);
  }

  /** It maps one page by a last-level entry, once more or less. */
  addPteMapping(folio: number, page: number, mm: number, n: 1 | -1): void {
    this.mapcount[page]! += n;
    if (this.order[folio] === 0) return;
    this.index[folio + 1]! += n;
    this.owned(folio, mm, n);
  }

  private owned(folio: number, mm: number, n: 1 | -1): void {
    const total = this.index[folio + 1]!;
    if (n > 0) this.owners.add(folio, mm, total);
    else this.owners.remove(folio, mm, total);
  }

  /** Mappings of one page: by its own entries, and by those of the whole folio. */
  pageMapcount(page: number): number {
    return this.mapcount[page]! + this.entireMapcount(this.folioOf(page));
  }

  has(page: number, flag: PG): boolean {
    return (this.flags[page]! & flag) !== 0;
  }

  set(page: number, flag: PG): void {
    this.flags[page]! |= flag;
    this.flagsWritten?.(this.folioOf(page));
  }

  clear(page: number, flag: PG): void {
    this.flags[page]! &= ~flag;
    this.flagsWritten?.(this.folioOf(page));
  }

  isAnon(folio: number): boolean {
    return (this.mapping[folio]! & MAPPING_ANON) !== 0;
  }

  /** Whether KSM has made a page: others may map it who have nothing else in common, write-protected. */
  isKsm(folio: number): boolean {
    return this.mapping[folio]! < 0;
  }

  /** The number of a KSM page's stable node; 0 while it is in no tree. */
  ksmNode(folio: number): number {
    return ~this.mapping[folio]! >> 1;
  }

  setKsm(folio: number, node: number): void {
    this.mapping[folio] = ~(node << 1);
    this.flagsWritten?.(folio);
  }

  /** Whether a folio is in the page cache of a file. */
  isFile(folio: number): boolean {
    return this.mapping[folio]! > 1 && !this.isAnon(folio);
  }

  /** Whether one process has an anonymous page for itself: of hugetlb the first page says it for all. */
  isAnonExclusive(page: number): boolean {
    const folio = this.folioOf(page);
    return this.has(this.has(folio, PG.hugetlb) ? folio : page, PG.anonExclusive);
  }

  /** Whether a device may read or write the folio at any time; a small one that very many refer to looks as if (folio_maybe_dma_pinned()). */
  isPinned(folio: number): boolean {
    return this.order[folio] !== 0 ? this.pincount[folio] !== 0 : this.refcount[folio]! >= GUP_PIN_COUNTING_BIAS;
  }

  /** Mappings of the folio: of any of its pages, and of the whole. */
  folioMapcount(folio: number): number {
    return this.order[folio] === 0 ? this.mapcount[folio]! : this.index[folio + 1]!;
  }
}
