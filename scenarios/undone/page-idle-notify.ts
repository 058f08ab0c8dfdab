import type { Atomic, UserPatch } from "@faultline/kernel";

/** Nobody asks devices: what only they use is idle. */
const patch: UserPatch = {
  name: "page-idle-notify",
  title: "mmu_notifier_clear_young() in idle page tracking",
  apply: () => ({
    mmuNotifier: {
      *mmuNotifierClearYoung(): Atomic<boolean> {
        yield* [];
        return false;
      },
    },
  }),
};
export default patch;
