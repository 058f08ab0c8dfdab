import type { UserPatch } from "@faultline/kernel";

/** What comes to the old address by a pin shows at the new one. */
const patch: UserPatch = {
  name: "uffd-move-pinned",
  title: "the looks of UFFDIO_MOVE for pins",
  apply: () => ({
    uffdMove: {
      *isPinned() {
        return false;
      },
    },
  }),
};
export default patch;
