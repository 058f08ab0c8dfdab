import { Op, PG, SWITCH, type Atomic, type Kernel, type MigrateDevice, type UserPatch } from "@faultline/kernel";

/** A pinned page moves to a device like any other: what is written to it then goes nowhere. */
const patch: UserPatch = {
  name: "device-migrate-pinned",
  title: "all three looks for pins, and for references, before a page moves to a device",
  apply: (base) => ({
    rmap: {
      *tryShareAnonRmap(k: Kernel, folio: number, page: number): Atomic<boolean> {
        if (k.m.point(Op.PageFlags, folio)) yield SWITCH;
        k.m.memmap.clear(page, PG.anonExclusive);
        return true;
      },
    },
    migrateDevice: {
      *heldByOthers(k: Kernel, _args: MigrateDevice, folio: number): Atomic<boolean> {
        if (k.m.point(Op.MapCount, folio)) yield SWITCH;
        return k.m.memmap.folioMapcount(folio) > 0;
      },
    },
    migrate: {
      *folioMigrateMapping(k: Kernel, src: number, dst: number): Atomic<boolean> {
        if (k.m.point(Op.RefCompare, src)) yield SWITCH;
        return yield* base.migrate.folioMigrateMapping(k, src, dst, k.m.memmap.refcount[src]!);
      },
    },
  }),
};
export default patch;
