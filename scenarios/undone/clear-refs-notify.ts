import type { Atomic, Kernel, MaySleep, Mm, UserPatch } from "@faultline/kernel";

function* nothing(): Atomic<void> {
  yield* [];
}

/** clear_refs leaves devices what they may write: they go on writing unseen. */
const patch: UserPatch = {
  name: "clear-refs-notify",
  title: "the notifier call of clear_refs",
  apply: (base) => ({
    clearRefs: {
      *clearSoftDirty(k: Kernel, mm: Mm): MaySleep<void> {
        const silent: Kernel = { ...k, mmuNotifier: { ...k.mmuNotifier, invalidateRangeStart: nothing, invalidateRangeEnd: nothing } };
        yield* base.clearRefs.clearSoftDirty(silent, mm);
      },
    },
  }),
};
export default patch;
