import type { UserPatch } from "@faultline/kernel";

/** A fault that comes into the queue when its page has just been filled in sleeps for a wake-up that is past. */
const patch: UserPatch = {
  name: "uffd-must-wait",
  title: "the second look of a userfault at its entry, once it is in the queue",
  apply: () => ({
    userfaultfd: {
      *mustWait() {
        return true;
      },
    },
  }),
};
export default patch;
