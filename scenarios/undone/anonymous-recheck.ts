import type { UserPatch } from "@faultline/kernel";

/** A fresh page is mapped over one that another fault was faster with. */
const patch: UserPatch = {
  name: "anonymous-recheck",
  title: "the recheck of the entry in do_anonymous_page()",
  apply: () => ({ memory: { pteRangeNone: () => true } }),
};
export default patch;
