import type { Kernel, KernelModules, Overlay } from "../kernel.js";
import type { Patch } from "./patch.js";

/** Before it, pagemap says "mapped once" of entries that are not present, too, unless they are migration entries. */
function undo(_base: KernelModules): Overlay {
  return { pagemap: { showsMmapExclusive: (k: Kernel, flags: number): boolean => !k.swapops.isMigration(k, flags) } };
}

export const PAGEMAP_EXCLUSIVE_2024: Patch = {
  name: "pagemap-exclusive-present",
  title: "fs/proc/task_mmu: don't indicate PM_MMAP_EXCLUSIVE without PM_PRESENT",
  series: "fs/proc/task_mmu: PM_MMAP_EXCLUSIVE",
  since: "6.11",
  status: "modelled",
  undo,
};

/** Before it, smaps asks the map count of what such entries have, too, unless they are migration entries: those count as the only mapping. */
function undoMaybeShared(_base: KernelModules): Overlay {
  return {
    taskMmu: {
      smapsMappings: (k: Kernel, flags: number, page: number): number => (k.swapops.isMigration(k, flags) ? 1 : Math.max(1, k.m.memmap.pageMapcount(page))),
    },
  };
}

export const SMAPS_MAYBE_SHARED_2024: Patch = {
  name: "smaps-maybe-shared",
  title: 'fs/proc/task_mmu: account non-present entries as "maybe shared, but no idea how often"',
  series: "fs/proc/task_mmu: PM_MMAP_EXCLUSIVE",
  since: "6.11",
  status: "modelled",
  undo: undoMaybeShared,
};
