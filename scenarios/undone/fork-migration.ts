import type { UserPatch } from "@faultline/kernel";

/** Who moves the page makes it writable again for the parent and the child. */
const patch: UserPatch = {
  name: "fork-migration",
  title: "that fork makes migration entries readable",
  apply: () => ({
    swapops: {
      makeReadableMigration: (_k, flags) => flags,
    },
  }),
};
export default patch;
