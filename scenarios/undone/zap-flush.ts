import type { Atomic, Kernel, MmuGather, UserPatch } from "@faultline/kernel";

/** Pages are freed that CPUs have in their TLBs. */
const patch: UserPatch = {
  name: "zap-flush",
  title: "the TLB flush of munmap() and MADV_DONTNEED",
  apply: (base) => ({
    mmGather: {
      *tlbFlushMmu(k: Kernel, tlb: MmuGather): Atomic<void> {
        tlb.startVpn = Infinity;
        tlb.endVpn = 0;
        yield* base.mmGather.tlbFlushMmu(k, tlb);
      },
    },
  }),
};
export default patch;
