import { PTE, type Kernel, type UserPatch } from "@faultline/kernel";

/** A page that has moved to another frame is protected no more. */
const patch: UserPatch = {
  name: "uffd-wp-migration",
  title: "userfaultfd's write protection in migration entries",
  apply: (base) => ({
    swapops: {
      makeMigration(k: Kernel, pteFlags: number, exclusive: boolean): number {
        return base.swapops.makeMigration(k, pteFlags & ~PTE.UFFD_WP, exclusive);
      },
    },
  }),
};
export default patch;
