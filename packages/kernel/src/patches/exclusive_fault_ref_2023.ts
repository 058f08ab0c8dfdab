import type { MaySleep } from "../kernel/coroutine.js";
import type { Kernel, KernelModules, Overlay } from "../kernel.js";
import type { Vmf } from "../mm/memory.js";
import { NotifyEvent, type NotifierRange } from "../mm/mmu_notifier.js";
import type { Patch } from "./patch.js";

/**
 * Before it: the fault waits for the folio lock with nothing to keep the folio alive. The entry
 * that it was read from may be zapped meanwhile, and with it goes the last reference.
 */
function undo(_base: KernelModules): Overlay {
  return {
    memory: {
      *removeDeviceExclusiveEntry(k: Kernel, vmf: Vmf): MaySleep<number> {
        const { m } = k;
        const { vma, vpn } = vmf;
        const page = m.memmap.pfnToPage(vmf.origPfn);
        const folio = m.memmap.folioOf(page);
        const result = yield* k.folioLock.folioLockOrRetry(k, folio, vmf);
        if (result !== 0) return result;
        const range: NotifierRange = {
          mm: vma.mm,
          startVpn: vpn,
          endVpn: vpn + 1,
          event: NotifyEvent.CLEAR,
          owner: null,
        };
        yield* k.mmuNotifier.invalidateRangeStart(k, range);
        const ptl = m.pt.lockOf(vmf.ptep);
        if (yield* k.memory.pteLockUnchanged(k, vmf)) {
          yield* k.memory.restoreExclusivePte(k, vma, folio, page, vpn, vmf.ptep, vmf.origFlags);
          if (!ptl.tryUnlock()) yield* ptl.unlock();
        }
        yield* k.folioLock.folioUnlock(k, folio);
        yield* k.mmuNotifier.invalidateRangeEnd(k, range);
        return 0;
      },
    },
  };
}

export const EXCLUSIVE_FAULT_REF_2023: Patch = {
  name: "exclusive-fault-ref",
  title: "mm: take a page reference when removing device exclusive entries",
  series: "mm: take a page reference when removing device exclusive entries",
  since: "6.3, and 6.1.24 of the stable series",
  status: "modelled",
  undo,
};
