import type { Atomic, CollapseControl, CollapseRange, Kernel, MaySleep, Scan, UserPatch, Vma } from "@faultline/kernel";

function* nothing(): Atomic<void> {
  yield* [];
}

/** Devices go on using the pages that have been copied. */
const patch: UserPatch = {
  name: "collapse-notify",
  title: "the notifier call of a collapse",
  apply: (base) => ({
    collapse: {
      *replaceTable(k: Kernel, vma: Vma, range: CollapseRange, pmd: number, cc: CollapseControl, folio: number): MaySleep<Scan> {
        const silent: Kernel = { ...k, mmuNotifier: { ...k.mmuNotifier, invalidateRangeStart: nothing, invalidateRangeEnd: nothing } };
        return yield* base.collapse.replaceTable(silent, vma, range, pmd, cc, folio);
      },
    },
  }),
};
export default patch;
