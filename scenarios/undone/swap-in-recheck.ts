import type { UserPatch } from "@faultline/kernel";

/** The kernel before "mm: fix swapin race condition" (2010): a folio that has left the swap cache is mapped. */
const patch: UserPatch = {
  name: "swap-in-recheck",
  title: "the recheck of the swap cache after the folio lock",
  apply: () => ({ swapState: { servesSlot: () => true } }),
};
export default patch;
