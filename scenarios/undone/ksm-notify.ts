import type { Atomic, Kernel, MaySleep, PteValue, UserPatch, Vma } from "@faultline/kernel";

function* nothing(): Atomic<void> {
  yield* [];
}

/** A page is write-protected to be merged, and devices go on writing to it. */
const patch: UserPatch = {
  name: "ksm-notify",
  title: "the notifier call when ksmd write-protects a page",
  apply: (base) => ({
    ksmMerge: {
      *writeProtectPage(k: Kernel, vma: Vma, folio: number): MaySleep<PteValue | null> {
        const silent: Kernel = { ...k, mmuNotifier: { ...k.mmuNotifier, invalidateRangeStart: nothing, invalidateRangeEnd: nothing } };
        return yield* base.ksmMerge.writeProtectPage(silent, vma, folio);
      },
    },
  }),
};
export default patch;
