import type { Atomic, Kernel, MaySleep, Mm, UserPatch } from "@faultline/kernel";

function* nothing(): Atomic<void> {
  yield* [];
}

/** clear_refs makes entries read-only, and CPUs go on writing by what their TLBs have. */
const patch: UserPatch = {
  name: "clear-refs-flush",
  title: "the flush of clear_refs",
  apply: (base) => ({
    clearRefs: {
      *clearSoftDirty(k: Kernel, mm: Mm): MaySleep<void> {
        const lazy: Kernel = { ...k, tlbflush: { ...k.tlbflush, flushTlbMm: nothing } };
        yield* base.clearRefs.clearSoftDirty(lazy, mm);
      },
    },
  }),
};
export default patch;
