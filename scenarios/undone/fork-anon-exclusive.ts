import { PG, type Atomic, type Kernel, type UserPatch, type Vma } from "@faultline/kernel";

/** Both believe that they have the page alone, and the next write copies nothing. */
const patch: UserPatch = {
  name: "fork-anon-exclusive",
  title: "that fork takes the mark PG_anon_exclusive from a page",
  apply: (base) => ({
    rmap: {
      *folioDupAnonRmapPte(k: Kernel, folio: number, page: number, dst: Vma): Atomic<void> {
        const alone = k.m.memmap.has(page, PG.anonExclusive);
        yield* base.rmap.folioDupAnonRmapPte(k, folio, page, dst);
        if (alone) k.m.memmap.set(page, PG.anonExclusive);
      },
    },
  }),
};
export default patch;
