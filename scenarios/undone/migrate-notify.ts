import type { Atomic, Kernel, MaySleep, UserPatch, Vma } from "@faultline/kernel";

function* nothing(): Atomic<void> {
  yield* [];
}

/** A page moves, and devices keep the frame that it was in. */
const patch: UserPatch = {
  name: "migrate-notify",
  title: "the notifier call when migration unmaps a page",
  apply: (base) => ({
    rmap: {
      *tryToMigrateOne(k: Kernel, folio: number, vma: Vma, vpn: number): MaySleep<boolean> {
        const silent: Kernel = { ...k, mmuNotifier: { ...k.mmuNotifier, invalidateRangeStart: nothing, invalidateRangeEnd: nothing } };
        return yield* base.rmap.tryToMigrateOne(silent, folio, vma, vpn);
      },
    },
  }),
};
export default patch;
