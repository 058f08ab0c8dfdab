/**
 * @linux drivers/iommu/dma-iommu.c
 * @omits Domains that devices share, page sizes beyond 4 KiB, and flushes that are put off: each device has a domain of its own,
 *   and what is unlinked is flushed at once.
 * @own deviceTranslate
 */
import { SWITCH, type Atomic } from "../kernel/coroutine.js";
import { Op } from "../kernel/op.js";
import type { Kernel } from "../kernel.js";
import { NO_PAGE } from "../mm/page.js";
import type { Device } from "./device.js";

/** What an IOMMU has at one I/O virtual address. */
export interface IovaEntry {
  readonly page: number;
  readonly write: boolean;
}

/** A stretch of I/O virtual addresses: the first page number of it, and how many (struct dma_iova_state). */
export interface IovaState {
  readonly iova: number;
  readonly pages: number;
}

/** The first I/O virtual page number that is handed out: none is 0, or looks like a frame. */
const IOVA_BASE = 0x100000;

/** The IOMMU in front of one device: its page table, and what it has cached of that. Op.Device announces both. */
export class IommuDomain {
  readonly table = new Map<number, IovaEntry>();
  readonly iotlb = new Map<number, IovaEntry>();
  /** Those that are handed out. */
  readonly allocated: IovaState[] = [];

  /** The lowest gap of so many pages. */
  alloc(pages: number): IovaState {
    let iova = IOVA_BASE;
    for (const state of this.allocated) {
      if (state.iova >= iova + pages) break;
      iova = state.iova + state.pages;
    }
    const state = { iova, pages };
    this.allocated.push(state);
    this.allocated.sort((a, b) => a.iova - b.iova);
    return state;
  }
}

/** I/O virtual addresses for a device, none of which maps anything yet; null for one that is behind no IOMMU. */
export function* dmaIovaTryAlloc(k: Kernel, device: Device, pages: number): Atomic<IovaState | null> {
  if (k.m.point(Op.Device, device.id)) yield SWITCH;
  return device.iommu?.alloc(pages) ?? null;
}

/** Gives them back; nothing of them is linked any more. @throws RangeError where something is, or they were given back before */
export function* dmaIovaFree(k: Kernel, device: Device, state: IovaState): Atomic<void> {
  if (k.m.point(Op.Device, device.id)) yield SWITCH;
  const { allocated, table } = device.iommu!;
  const at = allocated.indexOf(state);
  const { iova: first, pages } = state;
  const which = `I/O virtual addresses of ${device.name} from 0x${(first * 4096).toString(16)}, ${pages} ${pages === 1 ? "page" : "pages"},`;
  if (at < 0) throw new RangeError(`${which} are freed for the second time`);
  for (let iova = first; iova < first + pages; iova++) {
    if (table.has(iova)) throw new RangeError(`${which} are freed while 0x${(iova * 4096).toString(16)} maps frame ${table.get(iova)!.page}: hmm_dma_unmap_pfn() comes first`);
  }
  allocated.splice(at, 1);
}

/** Maps a page at an I/O virtual page number. */
export function* dmaIovaLink(k: Kernel, device: Device, iova: number, page: number, write: boolean): Atomic<void> {
  if (k.m.point(Op.Device, device.id)) yield SWITCH;
  device.iommu!.table.set(iova, { page, write });
}

/** Unmaps it, and flushes what is cached of it. */
export function* dmaIovaUnlink(k: Kernel, device: Device, iova: number): Atomic<void> {
  if (k.m.point(Op.Device, device.id)) yield SWITCH;
  device.iommu!.table.delete(iova);
  yield* k.iommu.iotlbSync(k, device, iova);
}

/** Waits until the IOMMU has forgotten an address. */
export function* iotlbSync(k: Kernel, device: Device, iova: number): Atomic<void> {
  if (k.m.point(Op.Device, device.id)) yield SWITCH;
  device.iommu!.iotlb.delete(iova);
}

/** Where an access of a device by an I/O virtual page number goes: a page; NO_PAGE where its IOMMU lets it not, and says so in the log. */
export function* deviceTranslate(k: Kernel, device: Device, iova: number, write: boolean): Atomic<number> {
  if (k.m.point(Op.Device, device.id)) yield SWITCH;
  const { iommu } = device;
  // Without one, it is the frame itself.
  if (iommu === null) return k.m.memmap.pfnToPage(iova);
  const entry = iommu.iotlb.get(iova) ?? iommu.table.get(iova);
  if (entry === undefined || (write && !entry.write)) {
    k.m.dmesg.print(`iommu: ${device.name}: fault at iova 0x${(iova * 4096).toString(16)}, ${write ? "write" : "read"}`);
    return NO_PAGE;
  }
  iommu.iotlb.set(iova, entry);
  return entry.page;
}
