import { SWITCH, type MaySleep } from "../kernel/coroutine.js";
import type { Kernel, KernelModules, Overlay } from "../kernel.js";
import { FaultFlag, VmFault } from "../mm/fault_flags.js";
import type { Vmf } from "../mm/memory.js";
import { PG } from "../mm/page.js";
import type { Patch } from "./patch.js";

/** Before it, a fault that finds a device-private folio locked is tried again at once, for as long as that takes. */
function undoWait(_base: KernelModules): Overlay {
  return {
    memory: {
      *devicePrivateLocked(k: Kernel, vmf: Vmf, folio: number): MaySleep<void> {
        const { m } = k;
        const ptl = m.pt.lockOf(vmf.ptep);
        if (!ptl.tryUnlock()) yield* ptl.unlock();
        if (m.retries.again("do_swap_page", () => !m.memmap.has(folio, PG.locked) || !m.pt.same(vmf.ptep, vmf.origFlags, vmf.origPfn))) yield SWITCH;
      },
    },
  };
}

/** Before it, faults take a reference without the folio's lock: those of two CPUs keep each other from moving the page. */
function undoTrylock(_base: KernelModules): Overlay {
  return {
    memory: {
      *doDevicePrivate(k: Kernel, vmf: Vmf): MaySleep<number> {
        const { m } = k;
        if ((vmf.flags & FaultFlag.VMA_LOCK) !== 0) {
          yield* k.memory.vmaEndRead(k, vmf.vma);
          return VmFault.RETRY;
        }
        if (!(yield* k.memory.pteLockUnchanged(k, vmf))) return 0;
        vmf.page = m.memmap.pfnToPage(vmf.origPfn);
        const folio = m.memmap.folioOf(vmf.page);
        yield* k.swap.folioGet(k, folio, "migrate_to_ram");
        const ptl = m.pt.lockOf(vmf.ptep);
        if (!ptl.tryUnlock()) yield* ptl.unlock();
        const mark = m.retries.mark();
        const result = yield* m.pgmaps.of(folio)!.ops.migrateToRam!(k, vmf);
        yield* k.swap.folioPut(k, folio, "migrate_to_ram");
        if (result === 0) yield* k.memory.devicePrivateStayed(k, vmf, () => m.retries.mark() !== mark);
        return result;
      },
    },
    migrateDevice: { faultHasLock: (): boolean => false },
  };
}

export const DEVICE_PRIVATE_WAIT_2026: Patch = {
  name: "device-private-wait",
  title: "mm: Fix a hmm_range_fault() livelock / starvation problem",
  series: "mm: Fix a hmm_range_fault() livelock / starvation problem",
  since: "7.0",
  status: "modelled",
  undo: undoWait,
};

export const DEVICE_PRIVATE_TRYLOCK_2025: Patch = {
  name: "device-private-trylock",
  title: "mm/migrate: Trylock device page in do_swap_page",
  series: "Introduce GPU SVM and Xe SVM implementation",
  since: "6.15",
  status: "modelled",
  neededBy: ["device-private-wait", "device-private-thp"],
  undo: undoTrylock,
};
