import type { Atomic, UserPatch } from "@faultline/kernel";

function* nothing(): Atomic<void> {
  yield* [];
}

/** Reclaim puts TLB flushes off, and never does them. */
const patch: UserPatch = {
  name: "unmap-flush",
  title: "the flush of what reclaim has unmapped, before it is freed",
  apply: () => ({ tlbBatch: { tryToUnmapFlush: nothing } }),
};
export default patch;
