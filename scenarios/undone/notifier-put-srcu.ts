import type { Atomic, Kernel, UserPatch } from "@faultline/kernel";

/** mmu_notifier_put() frees the subscription while somebody is still calling it. */
const patch: UserPatch = {
  name: "notifier-put-srcu",
  title: "the grace period ahead of free_notifier()",
  apply: () => ({
    rcu: {
      *callSrcu(_k: Kernel, _domain: unknown, callback: () => Atomic<void>): Atomic<void> {
        yield* callback();
      },
    },
  }),
};
export default patch;
