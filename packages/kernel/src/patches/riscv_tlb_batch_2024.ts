import type { Atomic } from "../kernel/coroutine.js";
import type { Kernel, KernelModules, Overlay } from "../kernel.js";
import type { Vma } from "../mm/mm_types.js";
import type { Patch } from "./patch.js";

/** Before it, each entry that reclaim clears on riscv is flushed at once. */
function undo(_base: KernelModules): Overlay {
  return {
    tlbBatch: {
      *ptepClearDeferred(k: Kernel, vma: Vma, vpn: number, ptep: number): Atomic<[number, number]> {
        return yield* k.memory.ptepClearFlush(k, vma, vpn, ptep);
      },
    },
  };
}

export const RISCV_TLB_BATCH_2024: Patch = {
  name: "riscv-tlb-batch",
  title: "riscv: Add support for BATCHED_UNMAP_TLB_FLUSH",
  series: "riscv: Add support for BATCHED_UNMAP_TLB_FLUSH",
  since: "6.8",
  status: "modelled",
  undo,
};
