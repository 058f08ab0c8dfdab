import type { Atomic, UserPatch } from "@faultline/kernel";

/** Reclaim puts the flush of CPUs off, and with it that of devices, which nobody makes up for. */
const patch: UserPatch = {
  name: "secondary-tlb-batch",
  title: "the flush of such devices where that of the CPUs is put off",
  apply: () => ({
    tlbflush: {
      *archTlbbatchAddPending(): Atomic<void> {
        yield* [];
      },
    },
  }),
};
export default patch;
