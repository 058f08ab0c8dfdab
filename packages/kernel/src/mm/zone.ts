import { SpinLock } from "../kernel/locks.js";
import type { Machine } from "../machine.js";
import { FolioList } from "./lruvec.js";
import { NO_PAGE, PG, RAM_BASE_PFN, type Memmap } from "./page.js";

/** Largest buddy block: 2^10 pages, 4 MiB. */
export const MAX_PAGE_ORDER = 10;
/** riscv64's ZONE_DMA32 ends at 4 GiB. */
const DMA32_END_PFN = 1 << 20;

/** A range of RAM with its buddy free lists and watermarks. */
export class Zone {
  readonly lock: SpinLock;
  readonly freeLists: FolioList[];
  /** Free pages in the buddy lists; those on per-CPU lists do not count, as in Linux. */
  free = 0;
  managed = 0;
  min = 0;
  low = 0;
  high = 0;

  constructor(
    m: Machine,
    readonly name: string,
    readonly startPage: number,
    readonly endPage: number,
    private readonly memmap: Memmap,
  ) {
    this.lock = new SpinLock(m.locks, "zone");
    this.freeLists = Array.from({ length: MAX_PAGE_ORDER + 1 }, () => new FolioList(memmap));
  }

  /** Puts a block back and merges it with its buddies. */
  freeBlock(page: number, order: number): void {
    const { memmap } = this;
    this.free += 1 << order;
    while (order < MAX_PAGE_ORDER) {
      const buddy = page ^ (1 << order);
      if (buddy < this.startPage || buddy + (1 << order) > this.endPage) break;
      if (!memmap.has(buddy, PG.buddy) || memmap.private[buddy] !== order) break;
      this.freeLists[order]!.remove(buddy);
      memmap.clear(buddy, PG.buddy);
      page = Math.min(page, buddy);
      order++;
    }
    memmap.set(page, PG.buddy);
    memmap.private[page] = order;
    this.freeLists[order]!.addHead(page);
  }

  /** Takes a block, splitting a larger one where needed; NO_PAGE when there is none. */
  takeBlock(order: number): number {
    const { memmap, freeLists } = this;
    for (let o = order; o <= MAX_PAGE_ORDER; o++) {
      const page = freeLists[o]!.head;
      if (page === NO_PAGE) continue;
      freeLists[o]!.remove(page);
      memmap.clear(page, PG.buddy);
      for (let half = o - 1; half >= order; half--) {
        const upper = page + (1 << half);
        memmap.set(upper, PG.buddy);
        memmap.private[upper] = half;
        freeLists[half]!.addHead(upper);
      }
      memmap.private[page] = 0;
      this.free -= 1 << order;
      return page;
    }
    return NO_PAGE;
  }
}

/** Room on a CPU's list for what devices' drivers, which share CPU 0's, free while it is being drained. */
const PCP_SLACK = 64;

/** Pages kept by one CPU, so that most allocations touch nothing shared. */
export interface PerCpuPages {
  readonly pages: Int32Array;
  count: number;
}

/** All zones of the one node, lowest first. */
export class Zones {
  readonly list: Zone[] = [];
  readonly pcp: PerCpuPages[];
  /** How many pages move between a CPU's list and the buddy lists at once. */
  readonly batch: number;
  readonly minFreeKbytes: number;
  /** The page of zeros that reads of untouched anonymous memory map. */
  readonly zeroPage: number;

  constructor(m: Machine) {
    const { frames, reservedFrames, cpus } = m.config;
    const dma32End = Math.min(frames, Math.max(0, DMA32_END_PFN - RAM_BASE_PFN));
    this.list.push(new Zone(m, "DMA32", 0, dma32End, m.memmap));
    this.list.push(new Zone(m, "Normal", dma32End, frames, m.memmap));
    for (let page = 0; page <= reservedFrames; page++) m.memmap.flags[page] = PG.reserved;
    this.zeroPage = reservedFrames;
    for (const zone of this.list) {
      let page = Math.max(zone.startPage, reservedFrames + 1);
      zone.managed = Math.max(0, zone.endPage - page);
      while (page < zone.endPage) {
        let order = Math.min(MAX_PAGE_ORDER, page === 0 ? MAX_PAGE_ORDER : 31 - Math.clz32(page & -page));
        while (page + (1 << order) > zone.endPage) order--;
        zone.freeBlock(page, order);
        page += 1 << order;
      }
    }
    const total = this.totalPages();
    this.batch = Math.max(1, Math.min(63, total >> 12));
    this.pcp = Array.from({ length: cpus }, () => ({ pages: new Int32Array(this.batch * 6 + PCP_SLACK), count: 0 }));
    // min_free_kbytes = sqrt(16 * lowmem kB), between 128 kB and 256 MiB; see admin-guide/sysctl/vm.
    const kb = total * 4;
    this.minFreeKbytes = Math.min(262_144, Math.max(128, Math.floor(Math.sqrt(kb * 16))));
    // Tiny machines (scenarios) would be below their minimum from the start.
    const minPages = Math.min(this.minFreeKbytes >> 2, total >> 4);
    for (const zone of this.list) {
      zone.min = total === 0 ? 0 : Math.floor((minPages * zone.managed) / total);
      zone.low = zone.min + (zone.min >> 2);
      zone.high = zone.min + (zone.min >> 1);
    }
  }

  /** Pages that the allocator manages: what MemTotal says, in pages. */
  totalPages(): number {
    let n = 0;
    for (const zone of this.list) n += zone.managed;
    return n;
  }

  freePages(): number {
    let n = 0;
    for (const zone of this.list) n += zone.free;
    return n;
  }

  zoneOf(page: number): Zone {
    return page < this.list[0]!.endPage ? this.list[0]! : this.list[1]!;
  }
}
