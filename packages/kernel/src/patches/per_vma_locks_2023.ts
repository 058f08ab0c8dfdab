import type { Atomic } from "../kernel/coroutine.js";
import type { Kernel, KernelModules, Overlay } from "../kernel.js";
import { SWITCH } from "../kernel/coroutine.js";
import { Op } from "../kernel/op.js";
import type { Mm, Vma } from "../mm/mm_types.js";
import type { Patch } from "./patch.js";

/** Before the series, every fault takes mmap_lock. */
function undo(_base: KernelModules): Overlay {
  return {
    memory: {
      *lockVmaUnderRcu(k: Kernel, mm: Mm, _vpn: number): Atomic<Vma | null> {
        if (k.m.point(Op.VmaFind, mm.id)) yield SWITCH;
        return null;
      },
    },
  };
}

export const PER_VMA_LOCKS_2023: Patch = {
  name: "per-vma-locks",
  title: "Per-VMA locks",
  series: "Per-VMA locks",
  since: "6.4",
  status: "modelled",
  undo,
};
