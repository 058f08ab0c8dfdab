import type { Atomic, UserPatch } from "@faultline/kernel";

/** The kernel before "mm/khugepaged: fix GUP-fast interaction by sending IPI" (2022). */
const patch: UserPatch = {
  name: "collapse-rcu",
  title: "the wait for walks without locks before a collapsed table goes",
  apply: () => ({
    collapse: {
      *waitForWalksWithoutLocks(): Atomic<void> {
        yield* [];
      },
    },
  }),
};
export default patch;
