import { Op, PG, SWITCH, type Atomic, type Kernel, type UserPatch } from "@faultline/kernel";

/** Reclaim frees a page that somebody holds. */
const patch: UserPatch = {
  name: "reclaim-frozen-refs",
  title: "the look at the references before reclaim frees a folio",
  apply: (base) => ({
    vmscan: {
      *removeMapping(k: Kernel, folio: number): Atomic<boolean> {
        const { memmap } = k.m;
        if (k.m.point(Op.RefPut, folio)) yield SWITCH;
        if (!memmap.has(folio, PG.dirty)) memmap.refcount[folio] = 1 + memmap.cacheRefs(folio);
        return yield* base.vmscan.removeMapping(k, folio);
      },
    },
  }),
};
export default patch;
