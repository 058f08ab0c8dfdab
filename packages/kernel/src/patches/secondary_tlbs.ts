import type { Atomic, MaySleep } from "../kernel/coroutine.js";
import type { Kernel, KernelModules, Overlay } from "../kernel.js";
import type { MmuGather } from "../mm/mmu_gather.js";
import type { Mm, Vma } from "../mm/mm_types.js";
import type { NotifierRange } from "../mm/mmu_notifier.js";
import type { Patch } from "./patch.js";

export const RISCV_SECONDARY_TLBS_2025: Patch = {
  name: "riscv-secondary-tlbs",
  title: "riscv: Call secondary mmu notifier when flushing the tlb",
  series: "riscv: Call secondary mmu notifier when flushing the tlb",
  since: "6.15",
  status: "modelled",
  /** Before it, riscv tells no device when it flushes. */
  undo: (): Overlay => ({
    tlbflush: {
      *flushSecondaryTlbs(): Atomic<void> {
        yield* [];
      },
    },
  }),
};

/**
 * Before it, the callback is `invalidate_range()`, which no architecture calls: it is at the end of each invalidation, with what is gathered
 * to be freed, and under the page-table lock where another page takes the place of one.
 */
function undoMove(base: KernelModules): Overlay {
  function* tell(k: Kernel, mm: Mm, startVpn: number, endVpn: number): Atomic<void> {
    if (k.mmuNotifier.mmHasSecondaryTlbs(k, mm)) yield* k.mmuNotifier.archInvalidateSecondaryTlbs(k, mm, startVpn, endVpn);
  }
  return {
    mmuNotifier: {
      refusesBoth: false,
      *invalidateRangeEnd(k: Kernel, range: NotifierRange): MaySleep<void> {
        yield* tell(k, range.mm, range.startVpn, range.endVpn);
        yield* base.mmuNotifier.invalidateRangeEnd(k, range);
      },
    },
    mmGather: {
      *tlbFlushMmuTlbonly(k: Kernel, tlb: MmuGather): Atomic<void> {
        const { startVpn, endVpn } = tlb;
        yield* base.mmGather.tlbFlushMmuTlbonly(k, tlb);
        if (endVpn > 0) yield* tell(k, tlb.mm, startVpn, endVpn);
      },
    },
    memory: {
      *ptepClearFlush(k: Kernel, vma: Vma, vpn: number, ptep: number): Atomic<[number, number]> {
        const entry = yield* base.memory.ptepClearFlush(k, vma, vpn, ptep);
        yield* tell(k, vma.mm, vpn, vpn + 1);
        return entry;
      },
    },
  };
}

export const INVALIDATE_SECONDARY_TLBS_2023: Patch = {
  name: "invalidate-secondary-tlbs",
  title: "mmu_notifiers: call invalidate_range() when invalidating TLBs",
  series: "Invalidate secondary IOMMU TLB on permission upgrade",
  since: "6.6",
  status: "modelled",
  neededBy: [RISCV_SECONDARY_TLBS_2025.name],
  undo: undoMove,
};
