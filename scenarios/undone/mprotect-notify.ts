import type { Atomic, Kernel, MaySleep, UserPatch, Vma } from "@faultline/kernel";

function* nothing(): Atomic<void> {
  yield* [];
}

/** mprotect() takes a permission away that devices keep. */
const patch: UserPatch = {
  name: "mprotect-notify",
  title: "the notifier call of mprotect()",
  apply: (base) => ({
    mprotect: {
      *changePteRange(k: Kernel, vma: Vma, start: number, end: number, ...rest): MaySleep<number> {
        const silent: Kernel = { ...k, mmuNotifier: { ...k.mmuNotifier, invalidateRangeStart: nothing, invalidateRangeEnd: nothing } };
        return yield* base.mprotect.changePteRange(silent, vma, start, end, ...rest);
      },
    },
  }),
};
export default patch;
