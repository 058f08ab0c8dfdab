import type { Atomic } from "../kernel/coroutine.js";
import type { KernelModules, Overlay } from "../kernel.js";
import type { HmmDmaMap } from "../mm/hmm_dma.js";
import type { Patch } from "./patch.js";

/** Before it, hmm_range_fault() keeps nothing of what a driver notes, and there is no map to be had: drivers call the DMA API page by page. */
function undo(_base: KernelModules): Overlay {
  return {
    hmmDma: {
      *hmmDmaMapAlloc(): Atomic<HmmDmaMap | null> {
        yield* [];
        return null;
      },
    },
  };
}

export const HMM_DMA_MAP_2025: Patch = {
  name: "hmm-dma-map",
  title: "mm/hmm: provide generic DMA managing logic",
  series: "Provide a new two step DMA mapping API",
  since: "6.16",
  status: "modelled",
  undo,
};
