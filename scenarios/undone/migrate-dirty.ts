import { Op, PG, SWITCH, type Atomic, type Kernel, type UserPatch, type Vma } from "@faultline/kernel";

/** What a CPU has written before the page moves looks clean, and reclaim drops it. */
const patch: UserPatch = {
  name: "migrate-dirty",
  title: "the dirty bit of the entry that a migration entry replaces",
  apply: () => ({
    rmap: {
      *setMigrationPte(k: Kernel, vma: Vma, vpn: number, folio: number, page: number, ptep: number): Atomic<boolean> {
        const { m } = k;
        const [flags] = yield* k.memory.ptepClearFlush(k, vma, vpn, ptep);
        if (m.point(Op.PageFlags, folio)) yield SWITCH;
        const entry = k.swapops.makeMigration(k, flags, m.memmap.has(page, PG.anonExclusive));
        m.memmap.clear(page, PG.anonExclusive);
        yield* k.memory.setPteAt(k, vma.mm, vpn, ptep, entry, m.memmap.pageToPfn(page));
        yield* k.rmap.folioRemoveRmapPte(k, folio, page, vma);
        yield* k.swap.folioPutUnowned(k, folio);
        return true;
      },
    },
  }),
};
export default patch;
