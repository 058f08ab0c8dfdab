import type { Atomic, UserPatch } from "@faultline/kernel";

/** The child shares a page that a device writes to: the parent's next write goes to a copy. */
const patch: UserPatch = {
  name: "fork-pinned",
  title: "the copy that fork makes of a pinned page",
  apply: () => ({
    copyRange: {
      *needsCopyForDma(): Atomic<boolean> {
        yield* [];
        return false;
      },
    },
  }),
};
export default patch;
