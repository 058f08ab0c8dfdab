import type { Atomic, UserPatch } from "@faultline/kernel";

/** CPUs go on by what they have cached: no fault comes, and nobody knows who uses the page. */
const patch: UserPatch = {
  name: "numa-scan-flush",
  title: "the TLB flush behind NUMA balancing's scan",
  apply: () => ({
    protNuma: {
      *flushHinted(): Atomic<void> {
        yield* [];
      },
    },
  }),
};
export default patch;
