import { SpinLock } from "../kernel/locks.js";
import type { Machine } from "../machine.js";
import { CompactScanners } from "./compact_scanners.js";
import { FolioList } from "./lruvec.js";
import { NO_PAGE, PG, RAM_BASE_PFN, type Memmap } from "./page.js";
import { MAX_NODES, type Nodes } from "./nodes.js";
import { FALLBACKS, MIGRATE_PCPTYPES, MIGRATE_TYPES, MigrateType, PAGEBLOCK_ORDER, PAGEBLOCK_PAGES, Pageblocks } from "./pageblock.js";

/** Largest buddy block: 2^10 pages, 4 MiB. */
export const MAX_PAGE_ORDER = 10;
/** riscv64's ZONE_DMA32 ends at 4 GiB. */
const DMA32_END_PFN = 1 << 20;

export enum ZoneId {
  DMA32,
  Normal,
  Movable,
}

export const NR_ZONES = 3;

/** The number of Linux's ZONE_DEVICE, which is no zone here: its pages have `MemMap.isZoneDevice`. */
export const ZONE_DEVICE = 3;

/** RAM goes offline and comes online in blocks of 128 MiB: a section of the memmap each. */
export const MEMORY_BLOCK_ORDER = 15;
export const MEMORY_BLOCK_PAGES = 1 << MEMORY_BLOCK_ORDER;

/** What allocations from a zone were (Documentation/admin-guide/numastat.rst). */
export interface NumaStats {
  /** On the node that was wanted. */
  hit: number;
  /** Another was wanted. */
  miss: number;
  /** This was wanted, and another was given. */
  foreign: number;
  /** On the node whose turn it was, by a policy that takes turns. */
  interleave: number;
  /** For a CPU of this node, and of another. */
  local: number;
  other: number;
}

/** A range of RAM of one node with its buddy free lists and watermarks. */
export class Zone {
  readonly lock: SpinLock;
  /** By type, then by order; made when first used. */
  private readonly freeLists: (readonly FolioList[] | undefined)[] = [];
  /** Free pages in the buddy lists; those of isolated pageblocks and on per-CPU lists do not count, as in Linux. */
  free = 0;
  /** Pages that the allocator has, free or not. */
  managed = 0;
  /** Pages that exist and are online, reserved ones among them. */
  present = 0;
  /** The range that the zone's pages lie in; others may lie there too. */
  startPage = 0;
  endPage = 0;
  /** What its node has. */
  readonly nodeStart: number;
  readonly nodeEnd: number;
  /* Watermarks, in pages. */
  min = 0;
  low = 0;
  high = 0;
  promo = 0;
  /** By the highest zone that an allocation could have had: what it must leave in this one. */
  readonly lowmemReserve = new Array<number>(NR_ZONES).fill(0);
  /** How many want pages to go to the buddy lists at once, and not to per-CPU lists. */
  pcpDisabled = 0;
  isolatedPageblocks = 0;
  readonly compact = new CompactScanners();
  readonly numaStats: NumaStats = { hit: 0, miss: 0, foreign: 0, interleave: 0, local: 0, other: 0 };

  constructor(
    m: Machine,
    readonly id: ZoneId,
    readonly node: number,
    private readonly memmap: Memmap,
    private readonly blocks: Pageblocks,
  ) {
    this.lock = new SpinLock(m.locks, "zone");
    this.nodeStart = m.nodes.startPage(node);
    this.nodeEnd = m.nodes.endPage(node);
  }

  get name(): string {
    return ZoneId[this.id];
  }

  /** Its place in `Zones.list`. */
  get index(): number {
    return this.node * NR_ZONES + this.id;
  }

  freeList(type: MigrateType, order: number): FolioList {
    const lists = (this.freeLists[type] ??= Array.from({ length: MAX_PAGE_ORDER + 1 }, () => new FolioList(this.memmap)));
    return lists[order]!;
  }

  /** Free blocks of an order, of one type or of all. */
  freeBlocks(order: number, type?: MigrateType): number {
    if (type !== undefined) return this.freeLists[type]?.[order]!.length ?? 0;
    let n = 0;
    for (const lists of this.freeLists) n += lists?.[order]!.length ?? 0;
    return n;
  }

  /** The first pages of all free blocks, list by list. */
  *freePagesInOrder(): Generator<number, void, void> {
    for (const lists of this.freeLists) {
      for (const list of lists ?? []) for (let page = list.head; page !== NO_PAGE; page = this.memmap.lruNext[page]!) yield page;
    }
  }

  /** Puts a block back and merges it with its buddies. */
  freeBlock(page: number, order: number): void {
    const { memmap, blocks } = this;
    const type = blocks.listOf(page);
    if (type !== MigrateType.Isolate) this.free += 1 << order;
    while (order < MAX_PAGE_ORDER) {
      const buddy = page ^ (1 << order);
      // Where nodes are smaller than the largest block, the neighbour may be another's.
      if (buddy < this.nodeStart || buddy >= this.nodeEnd) break;
      if (!memmap.has(buddy, PG.buddy) || memmap.private[buddy] !== order) break;
      if (order >= PAGEBLOCK_ORDER && blocks.listOf(buddy) !== type) break;
      this.removeFree(buddy, order, type);
      page = Math.min(page, buddy);
      order++;
    }
    this.addFree(page, order, type);
  }

  /**
   * Takes a block for a use of that type, splitting a larger one where needed: from pageblocks of
   * the type, else from one that is taken over, else from any other. NO_PAGE when there is none.
   */
  takeBlock(order: number, type: MigrateType): number {
    const { blocks } = this;
    if (!blocks.grouping) type = MigrateType.Unmovable;
    let page = this.takeFrom(order, type);
    if (page === NO_PAGE) page = this.claimBlock(order, type);
    if (page === NO_PAGE) page = this.stealBlock(order, type);
    if (page !== NO_PAGE) this.free -= 1 << order;
    return page;
  }

  private takeFrom(order: number, type: MigrateType): number {
    const lists = this.freeLists[type];
    if (lists === undefined) return NO_PAGE;
    for (let o = order; o <= MAX_PAGE_ORDER; o++) {
      const page = lists[o]!.head;
      if (page !== NO_PAGE) return this.split(page, o, order, type);
    }
    return NO_PAGE;
  }

  /** Takes the first part of a free block; the rest stays on the lists of the type. */
  private split(page: number, from: number, order: number, type: MigrateType): number {
    this.removeFree(page, from, type);
    for (let half = from - 1; half >= order; half--) this.addFree(page + (1 << half), half, type);
    this.memmap.private[page] = 0;
    return page;
  }

  /** Makes a pageblock of another type one of this type: the one with the largest free block, if that is worth it. */
  private claimBlock(order: number, type: MigrateType): number {
    const { blocks } = this;
    for (let o = MAX_PAGE_ORDER; o >= order; o--) {
      const from = FALLBACKS[type]?.find((other) => this.freeBlocks(o, other) > 0);
      if (from === undefined) continue;
      // Small movable allocations in between fragment nothing for good.
      if (o < PAGEBLOCK_ORDER >> 1 && type === MigrateType.Movable) return NO_PAGE;
      const page = this.freeList(from, o).head;
      if (o >= PAGEBLOCK_ORDER) {
        this.removeFree(page, o, from);
        for (let at = page; at < page + (1 << o); at += PAGEBLOCK_PAGES) blocks.setType(at, type);
        this.addFree(page, o, type);
      } else if (!this.takeOver(page & ~(PAGEBLOCK_PAGES - 1), from, type)) continue;
      return this.takeFrom(order, type);
    }
    return NO_PAGE;
  }

  /** Changes the type of a pageblock of which at least half is free, or in a use like the new type's. */
  private takeOver(block: number, from: MigrateType, type: MigrateType): boolean {
    const { memmap } = this;
    let free = 0;
    let movable = 0;
    for (let page = block; page < block + PAGEBLOCK_PAGES; ) {
      if (memmap.has(page, PG.buddy)) {
        free += 1 << memmap.private[page]!;
        page += 1 << memmap.private[page]!;
        continue;
      }
      if (memmap.has(page, PG.lru)) movable++;
      page++;
    }
    const unmovable = from === MigrateType.Movable ? PAGEBLOCK_PAGES - free - movable : 0;
    if (free + (type === MigrateType.Movable ? movable : unmovable) < PAGEBLOCK_PAGES >> 1) return false;
    this.moveFree(block, from, type);
    this.blocks.setType(block, type);
    return true;
  }

  /** The smallest block of another type that is large enough. */
  private stealBlock(order: number, type: MigrateType): number {
    for (let o = order; o <= MAX_PAGE_ORDER; o++) {
      const from = FALLBACKS[type]?.find((other) => this.freeBlocks(o, other) > 0);
      if (from !== undefined) return this.split(this.freeList(from, o).head, o, order, from);
    }
    return NO_PAGE;
  }

  /** Moves the free pages of a pageblock from one list to another; how many. */
  private moveFree(block: number, from: MigrateType, to: MigrateType): number {
    const { memmap } = this;
    let moved = 0;
    for (let page = block; page < block + PAGEBLOCK_PAGES; ) {
      if (!memmap.has(page, PG.buddy)) {
        page++;
        continue;
      }
      const order = memmap.private[page]!;
      this.removeFree(page, order, from);
      this.addFree(page, order, to);
      moved += 1 << order;
      page += 1 << order;
    }
    return moved;
  }

  /**
   * Isolates a range of whole memory blocks, or ends that: what is free there is not handed out,
   * and what becomes free stays. The caller holds the lock.
   */
  setIsolated(from: number, end: number, isolated: boolean): void {
    const { blocks } = this;
    for (let block = from; block < end; block += PAGEBLOCK_PAGES) {
      if (blocks.isIsolated(block) === isolated) continue;
      const type = blocks.typeOf(block);
      if (isolated) {
        this.free -= this.moveFree(block, type, MigrateType.Isolate);
        this.isolatedPageblocks++;
      } else {
        this.free += this.moveFree(block, MigrateType.Isolate, type);
        this.isolatedPageblocks--;
      }
      blocks.setIsolated(block, isolated);
    }
  }

  /** Takes the free pages of an isolated range off the lists for good; how many. */
  removeIsolated(from: number, end: number): number {
    const { memmap } = this;
    let removed = 0;
    for (let page = from; page < end; ) {
      if (!memmap.has(page, PG.buddy)) {
        page++;
        continue;
      }
      const order = memmap.private[page]!;
      this.removeFree(page, order, MigrateType.Isolate);
      removed += 1 << order;
      page += 1 << order;
    }
    return removed;
  }

  /** Takes what is free in a pageblock off the lists, as single pages, which are the caller's; no larger block begins there. */
  takeFree(block: number): number[] {
    const { memmap } = this;
    const taken: number[] = [];
    const type = this.blocks.listOf(block);
    for (let page = block; page < block + PAGEBLOCK_PAGES; ) {
      if (!memmap.has(page, PG.buddy)) {
        page++;
        continue;
      }
      const pages = 1 << memmap.private[page]!;
      this.removeFree(page, memmap.private[page]!, type);
      memmap.private[page] = 0;
      for (let i = 0; i < pages; i++) taken.push(page + i);
      page += pages;
    }
    this.free -= taken.length;
    return taken;
  }

  private addFree(page: number, order: number, type: MigrateType): void {
    this.memmap.set(page, PG.buddy);
    this.memmap.private[page] = order;
    this.freeList(type, order).addHead(page);
  }

  private removeFree(page: number, order: number, type: MigrateType): void {
    this.freeList(type, order).remove(page);
    this.memmap.clear(page, PG.buddy);
  }
}

/** Room on a CPU's list for what devices' drivers, which share CPU 0's, free while it is being drained. */
const PCP_SLACK = 64;

/** Pages of one zone and type kept by one CPU, so that most allocations touch nothing shared. */
export interface PerCpuPages {
  readonly pages: Int32Array;
  count: number;
}

/** A memory block that belongs to no zone. */
const OFFLINE = 255;

/** All zones, lowest first, those of one node after those of another. */
export class Zones {
  readonly list: readonly Zone[];
  private readonly nodes: Nodes;
  readonly blocks: Pageblocks;
  /** By CPU, zone and type; made when first used. */
  private readonly pcps: (PerCpuPages | undefined)[] = [];
  /** How many pages move between a CPU's list and the buddy lists at once. */
  readonly batch: number;
  minFreeKbytes = 0;
  /** vm.lowmem_reserve_ratio, by zone; that of device memory behind those that there are. */
  lowmemReserveRatio: readonly number[] = [256, 32, 0, 0];
  /** vm.min_free_kbytes as somebody has set it; null while it follows from the size of memory. */
  private userMinFreeKbytes: number | null = null;
  /** vm.watermark_scale_factor: between two watermarks lie so many 10,000ths of a zone. */
  watermarkScaleFactor = 10;
  /** The page of zeros that reads of untouched anonymous memory map. */
  readonly zeroPage: number;
  /** By node: zones with pages in them, nearest node first and of each the highest, for what can be moved, and (without Movable) for what cannot. */
  private movable: readonly (readonly Zone[])[] = [];
  private unmovable: readonly (readonly Zone[])[] = [];
  /** By memory block. */
  private readonly zoneOfBlock: Uint8Array;

  constructor(
    m: Machine,
    /** Frames from the first one on that the kernel image and the memmap occupy. */
    readonly reservedPages = m.config.reservedFrames,
  ) {
    const { frames } = m.config;
    const dma32End = Math.min(frames, Math.max(0, DMA32_END_PFN - RAM_BASE_PFN));
    this.blocks = new Pageblocks(frames, frames - reservedPages > PAGEBLOCK_PAGES * (MIGRATE_TYPES + 1));
    this.nodes = m.nodes;
    this.list = Array.from({ length: this.nodes.count }, (_, node) =>
      [ZoneId.DMA32, ZoneId.Normal, ZoneId.Movable].map((id) => new Zone(m, id, node, m.memmap, this.blocks)),
    ).flat();
    this.zoneOfBlock = new Uint8Array(Math.ceil(frames / MEMORY_BLOCK_PAGES));
    for (let page = 0; page <= reservedPages; page++) {
      m.memmap.flags[page] = PG.reserved;
      m.memmap.refcount[page] = 1;
    }
    this.zeroPage = reservedPages;
    for (let page = 0; page < frames; page += MEMORY_BLOCK_PAGES) {
      this.zoneOfBlock[page >>> MEMORY_BLOCK_ORDER] = page < dma32End ? ZoneId.DMA32 : ZoneId.Normal;
    }
    for (const zone of this.list) {
      const { nodeStart, nodeEnd } = zone;
      const [start, end] = zone.id === ZoneId.DMA32 ? [nodeStart, Math.min(dma32End, nodeEnd)] : zone.id === ZoneId.Normal ? [Math.max(dma32End, nodeStart), nodeEnd] : [0, 0];
      zone.present = Math.max(0, end - start);
      this.release(zone, Math.max(start, reservedPages + 1), end);
    }
    this.batch = Math.max(1, Math.min(63, this.totalPages() >> 12));
    this.update();
  }

  /** Gives a range of pages to a zone's allocator. */
  private release(zone: Zone, from: number, end: number): void {
    zone.managed += Math.max(0, end - from);
    for (let page = from; page < end; ) {
      let order = Math.min(MAX_PAGE_ORDER, page === 0 ? MAX_PAGE_ORDER : 31 - Math.clz32(page & -page));
      while (page + (1 << order) > end) order--;
      zone.freeBlock(page, order);
      page += 1 << order;
    }
  }

  /** What follows from how large zones are: spans, zonelists, reserves and watermarks. */
  private update(): void {
    for (const zone of this.list) this.updateSpan(zone);
    const populated = this.list.filter((zone) => zone.managed > 0).reverse();
    this.movable = Array.from({ length: this.nodes.count }, (_, node) =>
      this.nodes.byDistance(node).flatMap((each) => populated.filter((zone) => zone.node === each)),
    );
    this.within.clear();
    this.unmovable = this.movable.map((list) => list.filter((zone) => zone.id !== ZoneId.Movable));
    this.updateLowmemReserve();
    this.updateWatermarks();
  }

  private updateSpan(zone: Zone): void {
    let [start, end] = [0, 0];
    for (let page = zone.nodeStart; page < zone.nodeEnd; page = (page | (MEMORY_BLOCK_PAGES - 1)) + 1) {
      if (this.zoneOfBlock[page >>> MEMORY_BLOCK_ORDER] !== zone.id) continue;
      if (end === 0) start = page;
      end = Math.min((page | (MEMORY_BLOCK_PAGES - 1)) + 1, zone.nodeEnd);
    }
    zone.startPage = start;
    zone.endPage = end;
  }

  private updateLowmemReserve(): void {
    for (const zone of this.list) {
      const ratio = this.lowmemReserveRatio[zone.id]!;
      let above = 0;
      for (let id = zone.id + 1; id < NR_ZONES; id++) {
        above += this.list[zone.node * NR_ZONES + id]!.managed;
        zone.lowmemReserve[id] = ratio === 0 || zone.managed === 0 ? 0 : Math.floor(above / ratio);
      }
    }
  }

  /** Documentation/admin-guide/sysctl/vm.rst: min_free_kbytes, watermark_scale_factor. */
  private updateWatermarks(): void {
    // sqrt(16 * lowmem kB), between 128 kB and 256 MiB. What lies below high watermarks does not count.
    let lowmem = this.lowmemPages();
    for (const zone of this.list) if (zone.id !== ZoneId.Movable) lowmem -= zone.high;
    const natural = Math.min(262_144, Math.max(128, Math.floor(Math.sqrt(lowmem * 4 * 16))));
    // What was set stays, unless it is less.
    this.minFreeKbytes = Math.max(natural, this.userMinFreeKbytes ?? 0);
    this.updateZoneWatermarks();
  }

  private updateZoneWatermarks(): void {
    const total = this.totalPages();
    // Tiny machines (scenarios) would be below their minimum from the start.
    const minPages = Math.min(this.minFreeKbytes >> 2, total >> 4);
    const tiny = minPages < this.minFreeKbytes >> 2;
    for (const zone of this.list) {
      const share = total === 0 ? 0 : Math.floor((minPages * zone.managed) / this.lowmemPages());
      zone.min = zone.id === ZoneId.Movable ? Math.min(128, Math.max(32, zone.managed >> 10)) : share;
      const scaled = tiny ? 0 : Math.floor((zone.managed * this.watermarkScaleFactor) / 10_000);
      const gap = Math.max(share >> 2, scaled);
      zone.low = zone.min + gap;
      zone.high = zone.low + gap;
      zone.promo = zone.high + gap;
    }
  }

  setLowmemReserveRatio(ratios: readonly number[]): void {
    this.lowmemReserveRatio = ratios;
    this.updateLowmemReserve();
  }

  setMinFreeKbytes(kbytes: number): void {
    this.userMinFreeKbytes = this.minFreeKbytes = kbytes;
    this.updateZoneWatermarks();
  }

  setWatermarkScaleFactor(factor: number): void {
    this.watermarkScaleFactor = factor;
    this.updateZoneWatermarks();
  }

  private lowmemPages(): number {
    let n = 0;
    for (const zone of this.list) if (zone.id !== ZoneId.Movable) n += zone.managed;
    return n;
  }

  /** Where an allocation looks that is to be on a node, in order. */
  zonelist(type: MigrateType, node: number): readonly Zone[] {
    return type === MigrateType.Movable ? this.movable[node]! : this.unmovable[node]!;
  }

  private readonly within = new Map<number, readonly Zone[]>();

  /** The same where nodes of a mask come first, or (`strict`) are the only ones. */
  zonelistWithin(type: MigrateType, node: number, mask: number, strict: boolean): readonly Zone[] {
    const key = ((mask * MAX_NODES + node) * 2 + (strict ? 1 : 0)) * 2 + (type === MigrateType.Movable ? 1 : 0);
    let list = this.within.get(key);
    if (list === undefined) {
      const all = this.zonelist(type, node);
      const wanted = all.filter((zone) => (mask & (1 << zone.node)) !== 0);
      list = strict ? wanted : [...wanted, ...all.filter((zone) => !wanted.includes(zone))];
      this.within.set(key, list);
    }
    return list;
  }

  /** Pages that the allocator manages: what MemTotal says, in pages. */
  totalPages(list = this.list): number {
    let n = 0;
    for (const zone of list) n += zone.managed;
    return n;
  }

  freePages(list = this.list): number {
    let n = 0;
    for (const zone of list) n += zone.free;
    return n;
  }

  /** Pages that no allocation for programs may count on: the high watermarks and what lower zones keep back. */
  reservePages(): number {
    let n = 0;
    for (const zone of this.list) n += Math.min(zone.managed, zone.high + Math.max(...zone.lowmemReserve));
    return n;
  }

  /** A CPU's list of pages of a zone and type. */
  pcp(cpu: number, zone: Zone, type: MigrateType): PerCpuPages {
    const i = (cpu * this.list.length + zone.index) * MIGRATE_PCPTYPES + type;
    return (this.pcps[i] ??= { pages: new Int32Array(this.batch * 6 + PCP_SLACK), count: 0 });
  }

  /** The list of this CPU that a page which is freed goes to. */
  pcpFor(cpu: number, page: number): PerCpuPages {
    const type = this.blocks.typeOf(page);
    return this.pcp(cpu, this.zoneOf(page), type);
  }

  /** Pages on per-CPU lists: of one CPU and zone, or of all. */
  pcpPages(cpu?: number, zone?: Zone): number {
    let n = 0;
    const perCpu = this.list.length * MIGRATE_PCPTYPES;
    for (let i = 0; i < this.pcps.length; i++) {
      const pcp = this.pcps[i];
      if (pcp === undefined || (cpu !== undefined && Math.floor(i / perCpu) !== cpu)) continue;
      if (zone === undefined || Math.floor((i % perCpu) / MIGRATE_PCPTYPES) === zone.index) n += pcp.count;
    }
    return n;
  }

  /** The pages on a CPU's lists, in the order in which they were put there. */
  *pcpPagesInOrder(cpu: number): Iterable<number> {
    const perCpu = this.list.length * MIGRATE_PCPTYPES;
    for (let i = cpu * perCpu; i < (cpu + 1) * perCpu; i++) {
      const pcp = this.pcps[i];
      if (pcp !== undefined) for (let j = 0; j < pcp.count; j++) yield pcp.pages[j]!;
    }
  }

  /** The zone of a page that is online. */
  zoneOf(page: number): Zone {
    return this.list[this.nodes.of(page) * NR_ZONES + this.zoneOfBlock[page >>> MEMORY_BLOCK_ORDER]!]!;
  }

  /** The zones of a node, lowest first. */
  ofNode(node: number): readonly Zone[] {
    return this.list.slice(node * NR_ZONES, (node + 1) * NR_ZONES);
  }

  isOnline(page: number): boolean {
    // Memory of devices has pages, and is nobody's to be allocated.
    return (this.zoneOfBlock[page >>> MEMORY_BLOCK_ORDER] ?? OFFLINE) !== OFFLINE;
  }

  /** An isolated memory block all of whose pages are free leaves its zone. The caller holds the zone's lock. */
  removeBlock(from: number): void {
    const zone = this.zoneOf(from);
    const end = from + MEMORY_BLOCK_PAGES;
    zone.managed -= zone.removeIsolated(from, end);
    zone.present -= MEMORY_BLOCK_PAGES;
    zone.setIsolated(from, end, false);
    this.zoneOfBlock[from >>> MEMORY_BLOCK_ORDER] = OFFLINE;
    this.update();
  }

  /** A memory block that is offline becomes free memory of a zone. The caller holds the zone's lock. */
  addBlock(from: number, zone: Zone): void {
    const end = from + MEMORY_BLOCK_PAGES;
    this.zoneOfBlock[from >>> MEMORY_BLOCK_ORDER] = zone.id;
    for (let page = from; page < end; page += PAGEBLOCK_PAGES) this.blocks.setType(page, MigrateType.Movable);
    zone.present += MEMORY_BLOCK_PAGES;
    this.release(zone, from, end);
    this.update();
  }
}
