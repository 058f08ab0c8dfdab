import type { Atomic, UserPatch } from "@faultline/kernel";

/** The kernel before "riscv: Call secondary mmu notifier when flushing the tlb" (2025): no device is told of a flush. */
const patch: UserPatch = {
  name: "secondary-tlb-flush",
  title: "the flush of devices that share the page table, with that of the CPUs",
  apply: () => ({
    tlbflush: {
      *flushSecondaryTlbs(): Atomic<void> {
        yield* [];
      },
    },
  }),
};
export default patch;
