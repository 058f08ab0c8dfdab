import type { UserPatch } from "@faultline/kernel";

/** A page that others have, too, is pinned for reading as it is: the next write goes to a copy, of which the device knows nothing. */
const patch: UserPatch = {
  name: "pin-unshare",
  title: "the copy of one's own that a pin for reading takes of a shared page",
  apply: () => ({
    gup: {
      mustUnshare(): boolean {
        return false;
      },
    },
  }),
};
export default patch;
