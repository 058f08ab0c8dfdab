import type { MaySleep } from "../kernel/coroutine.js";
import type { Kernel, KernelModules, Overlay } from "../kernel.js";
import { VM_LOCKED_MASK, type Mm, type Vma } from "../mm/mm_types.js";
import type { Patch } from "./patch.js";

/**
 * Before it, neighbours of a private file mapping merged by the file's offsets alone. What
 * MREMAP_DONTUNMAP moved could be one with what it left behind, all of whose mapping was then
 * locked no more, and VmLck went on counting it.
 */
function undo(_base: KernelModules): Overlay {
  return {
    mmap: {
      indexesContinue: (_k: Kernel, lower: Vma, upper: Vma): boolean => lower.linearIndex(lower.endVpn) === upper.pgoff,
    },
    mremap: {
      movesAlone: (_k: Kernel, vma: Vma, _keepsOld: boolean): boolean => vma.isHugetlb,
      *mergeApart(k: Kernel, mm: Mm, copy: Vma, _from: Vma): MaySleep<Vma> {
        return yield* k.mmap.mergeAround(k, mm, copy);
      },
      *dontunmapComplete(k: Kernel, vma: Vma, start: number, end: number): MaySleep<void> {
        vma.flags &= ~VM_LOCKED_MASK;
        if (vma.startVpn === start && vma.endVpn === end) yield* k.mmap.unlinkAnonVma(k, vma);
      },
    },
  };
}

export const ANON_PGOFF_2026: Patch = {
  name: "anon-pgoff",
  title: "mm: private file mappings have an index for their anonymous pages, and MREMAP_DONTUNMAP leaves a mapping as if new",
  series: "mm: the anonymous page offset of VMAs",
  since: "7.3",
  status: "modelled",
  undo,
};
