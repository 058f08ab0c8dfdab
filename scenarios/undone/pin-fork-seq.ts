import type { Atomic, UserPatch } from "@faultline/kernel";

/** A page is pinned without locks between fork's look at its pins and its protection. */
const patch: UserPatch = {
  name: "pin-fork-seq",
  title: "the sequence by which fork keeps others from pinning",
  apply: () => ({
    copyRange: {
      *writeProtectSeq(): Atomic<void> {
        yield* [];
      },
    },
  }),
};
export default patch;
