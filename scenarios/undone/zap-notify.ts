import type { Atomic, Kernel, MaySleep, UserPatch, Vma } from "@faultline/kernel";

function* nothing(): Atomic<void> {
  yield* [];
}

/** MADV_DONTNEED frees pages that devices map. */
const patch: UserPatch = {
  name: "zap-notify",
  title: "the notifier call of MADV_DONTNEED",
  apply: (base) => ({
    zap: {
      *zapPageRange(k: Kernel, vma: Vma, start: number, end: number): MaySleep<void> {
        const silent: Kernel = { ...k, mmuNotifier: { ...k.mmuNotifier, invalidateRangeStart: nothing, invalidateRangeEnd: nothing } };
        yield* base.zap.zapPageRange(silent, vma, start, end);
      },
    },
  }),
};
export default patch;
