import type { Atomic, Kernel, UserfaultfdCtx, UserPatch } from "@faultline/kernel";

/** Who waits for a userfaultfd that is closed waits for ever. */
const patch: UserPatch = {
  name: "uffd-release-wake",
  title: "the wake-up of userfaults at the last close",
  apply: (base) => ({
    userfaultfd: {
      *wakeUserfault(k: Kernel, ctx: UserfaultfdCtx, start: number, len: number): Atomic<void> {
        if (len > 0) yield* base.userfaultfd.wakeUserfault(k, ctx, start, len);
      },
    },
  }),
};
export default patch;
