import type { Kernel, MaySleep, UserPatch } from "@faultline/kernel";

/** A page is copied to another frame while somebody else writes to it. */
const patch: UserPatch = {
  name: "migrate-refs",
  title: "the look at the references before a page is moved",
  apply: (base) => ({
    migrate: {
      *moveToNewFolio(k: Kernel, src: number, dst: number): MaySleep<boolean> {
        const careless: Kernel = { ...k, rmap: { ...k.rmap, expectedRefs: (kernel, folio) => kernel.m.memmap.refcount[folio]! } };
        return yield* base.migrate.moveToNewFolio(careless, src, dst);
      },
    },
  }),
};
export default patch;
