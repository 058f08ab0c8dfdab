import type { Atomic, UserPatch } from "@faultline/kernel";

/** CPUs reach a page at an address that it has left. */
const patch: UserPatch = {
  name: "mremap-flush",
  title: "the TLB flush of mremap()",
  apply: () => ({
    mremap: {
      *flushMoved(): Atomic<void> {
        yield* [];
      },
    },
  }),
};
export default patch;
