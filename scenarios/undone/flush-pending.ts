import type { UserPatch } from "@faultline/kernel";

/** The kernel before "mm, mprotect: flush TLB if potentially racing with a parallel reclaim leaving stale TLB entries" (2017). */
const patch: UserPatch = {
  name: "flush-pending",
  title: "the flush of what reclaim has unmapped, where somebody else changes the address space",
  apply: () => ({ tlbBatch: { isFlushPending: () => false } }),
};
export default patch;
