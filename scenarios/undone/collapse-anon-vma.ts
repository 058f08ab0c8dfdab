import type { Atomic, UserPatch } from "@faultline/kernel";

/** Reverse walks come to a table that is being taken away. */
const patch: UserPatch = {
  name: "collapse-anon-vma",
  title: "the anon_vma lock of a collapse",
  apply: () => ({
    collapse: {
      *keepReverseWalksOut(): Atomic<void> {
        yield* [];
      },
      *letReverseWalksIn(): Atomic<void> {
        yield* [];
      },
    },
  }),
};
export default patch;
