/**
 * @linux mm/hmm.c
 * @omits Memory of PCI devices (P2PDMA): there is none, so `HMM_PFN_P2PDMA` and `HMM_PFN_P2PDMA_BUS` are kept and never set.
 */
import type { Atomic } from "../kernel/coroutine.js";
import type { Kernel } from "../kernel.js";
import type { Device } from "../drivers/device.js";
import type { IovaState } from "../drivers/iommu.js";
import { HmmPfn } from "./hmm.js";

/** No address for DMA (DMA_MAPPING_ERROR). */
export const DMA_MAPPING_ERROR = -1;

/**
 * Pages of a mirror that a device reaches by DMA (struct hmm_dma_map). `flags` and `pages` are what `hmmRangeFault` fills, and
 * keeps of DMA_MAPPED; `dma` has the page number by which the device reaches a page that is so marked.
 */
export interface HmmDmaMap {
  readonly flags: Uint8Array;
  readonly pages: Int32Array;
  readonly dma: Float64Array;
  /** Null without an IOMMU. */
  readonly state: IovaState | null;
}

/**
 * Room for so many pages, and where the device is behind an IOMMU, addresses for them; null on kernels before 6.16, which have none of this.
 * @throws RangeError for what is no number of pages
 */
export function* hmmDmaMapAlloc(k: Kernel, device: Device, entries: number): Atomic<HmmDmaMap | null> {
  if (!Number.isInteger(entries) || entries < 1) throw new RangeError(`hmm_dma_map_alloc() is asked for ${entries} pages`);
  const state = yield* k.iommu.dmaIovaTryAlloc(k, device, entries);
  return { flags: new Uint8Array(entries), pages: new Int32Array(entries), dma: new Float64Array(entries), state };
}

/** Gives it back, once each page is unmapped. @throws RangeError before that, or for the second time */
export function* hmmDmaMapFree(k: Kernel, device: Device, { state }: HmmDmaMap): Atomic<void> {
  if (state !== null) yield* k.iommu.dmaIovaFree(k, device, state);
}

/**
 * Maps the page at an index, which `hmmRangeFault` has found valid, for DMA, under the lock that the driver's invalidate
 * callback takes. The page number for the device; DMA_MAPPING_ERROR for memory that no DMA reaches. One that is
 * marked DMA_MAPPED is mapped already, and stays where it is.
 * @throws RangeError for an index that the map has not
 */
export function* hmmDmaMapPfn(k: Kernel, device: Device, { flags, pages, dma, state }: HmmDmaMap, i: number): Atomic<number> {
  if (!(i in flags)) throw new RangeError(`a map of ${flags.length} pages for DMA has no page ${i}`);
  if ((flags[i]! & HmmPfn.DMA_MAPPED) !== 0) return dma[i]!;
  if ((flags[i]! & HmmPfn.VALID) === 0 || k.m.memmap.isDevicePrivate(pages[i]!)) return DMA_MAPPING_ERROR;
  if (state === null) dma[i] = k.m.memmap.pageToPfn(pages[i]!);
  else {
    dma[i] = state.iova + i;
    yield* k.iommu.dmaIovaLink(k, device, dma[i], pages[i]!, (flags[i]! & HmmPfn.WRITE) !== 0);
  }
  flags[i]! |= HmmPfn.DMA_MAPPED;
  return dma[i];
}

/** Ends that; false where it was not mapped. */
export function* hmmDmaUnmapPfn(k: Kernel, device: Device, { flags, dma, state }: HmmDmaMap, i: number): Atomic<boolean> {
  const mapped = HmmPfn.VALID | HmmPfn.DMA_MAPPED;
  if ((flags[i]! & mapped) !== mapped) return false;
  if (state !== null) yield* k.iommu.dmaIovaUnlink(k, device, dma[i]!);
  flags[i]! &= ~HmmPfn.DMA_MAPPED;
  return true;
}
