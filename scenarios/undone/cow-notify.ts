import type { Atomic, Kernel, MaySleep, UserPatch, Vmf } from "@faultline/kernel";

function* nothing(): Atomic<void> {
  yield* [];
}

/** A write fault maps another page, and devices keep the one before. */
const patch: UserPatch = {
  name: "cow-notify",
  title: "the notifier call of a copy on write",
  apply: (base) => ({
    memory: {
      *wpPageCopy(k: Kernel, vmf: Vmf): MaySleep<number> {
        const silent: Kernel = { ...k, mmuNotifier: { ...k.mmuNotifier, invalidateRangeStart: nothing, invalidateRangeEnd: nothing } };
        return yield* base.memory.wpPageCopy(silent, vmf);
      },
    },
  }),
};
export default patch;
