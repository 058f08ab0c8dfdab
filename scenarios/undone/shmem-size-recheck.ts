import type { Atomic, UserPatch } from "@faultline/kernel";

/** A fault fills a hole behind the end of a file that has become shorter meanwhile. */
const patch: UserPatch = {
  name: "shmem-size-recheck",
  title: "the second look at the size of a file in memory, once a new page is in it",
  apply: () => ({
    shmem: {
      *truncatedMeanwhile(): Atomic<boolean> {
        yield* [];
        return false;
      },
    },
  }),
};
export default patch;
