import type { Atomic, UserPatch } from "@faultline/kernel";

function* nothing(): Atomic<void> {
  yield* [];
}

/** A page is written to swap while CPUs still write to it through their TLBs. */
const patch: UserPatch = {
  name: "unmap-flush-dirty",
  title: "the flush of what reclaim has unmapped, before it is written",
  apply: () => ({ tlbBatch: { tryToUnmapFlushDirty: nothing } }),
};
export default patch;
