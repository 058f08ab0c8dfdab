import type { Atomic, Kernel, MaySleep, UserPatch, Vma } from "@faultline/kernel";

function* nothing(): Atomic<void> {
  yield* [];
}

/** Reclaim takes pages that devices map. */
const patch: UserPatch = {
  name: "unmap-notify",
  title: "the notifier call when reclaim unmaps a page",
  apply: (base) => ({
    rmap: {
      *tryToUnmapOne(k: Kernel, folio: number, vma: Vma, vpn: number, ignoreMlock?: boolean): MaySleep<boolean> {
        const silent: Kernel = { ...k, mmuNotifier: { ...k.mmuNotifier, invalidateRangeStart: nothing, invalidateRangeEnd: nothing } };
        return yield* base.rmap.tryToUnmapOne(silent, folio, vma, vpn, ignoreMlock);
      },
    },
  }),
};
export default patch;
