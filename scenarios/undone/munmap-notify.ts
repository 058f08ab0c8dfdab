import type { Atomic, Kernel, MaySleep, Mm, UserPatch } from "@faultline/kernel";

function* nothing(): Atomic<void> {
  yield* [];
}

/** munmap() frees pages that devices map. */
const patch: UserPatch = {
  name: "munmap-notify",
  title: "the notifier call of munmap()",
  apply: (base) => ({
    mmap: {
      *unmapRange(k: Kernel, mm: Mm, start: number, end: number, ...rest): MaySleep<number> {
        const silent: Kernel = { ...k, mmuNotifier: { ...k.mmuNotifier, invalidateRangeStart: nothing, invalidateRangeEnd: nothing } };
        return yield* base.mmap.unmapRange(silent, mm, start, end, ...rest);
      },
    },
  }),
};
export default patch;
