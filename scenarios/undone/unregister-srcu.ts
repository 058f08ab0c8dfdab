import type { MaySleep, UserPatch } from "@faultline/kernel";

/** mmu_notifier_unregister() returns while somebody is still calling the subscription. */
const patch: UserPatch = {
  name: "unregister-srcu",
  title: "the wait for callers when a notifier is unregistered",
  apply: () => ({
    rcu: {
      *synchronizeSrcu(): MaySleep<void> {
        yield* [];
      },
    },
  }),
};
export default patch;
