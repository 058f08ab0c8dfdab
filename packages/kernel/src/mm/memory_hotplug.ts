import { SWITCH, type MaySleep } from "../kernel/coroutine.js";
import { Op } from "../kernel/op.js";
import type { Kernel } from "../kernel.js";
import { MigrateMode } from "./migrate_mode.js";
import { PG } from "./page.js";

/** The first page at or behind `from` that is on an LRU list, and so can be moved; -1 when there is none before `end`. */
export function* scanMovablePages(k: Kernel, from: number, end: number): MaySleep<number> {
  const { m } = k;
  for (let page = from; page < end; page++) {
    if (m.memmap.refcount[page] === 0) continue;
    if (m.point(Op.PageFlags, page)) yield SWITCH;
    if (m.memmap.has(page, PG.lru)) return page;
  }
  return -1;
}

/** Tries to move what is in use in a range of pages to somewhere else. What cannot be moved stays, on its list. */
export function* doMigrateRange(k: Kernel, from: number, end: number): MaySleep<void> {
  const { m } = k;
  const { memmap } = m;
  const isolated: number[] = [];
  for (let page = from; page < end; page++) {
    if (memmap.refcount[page] === 0) continue;
    const folio = memmap.folioOf(page);
    if (!(yield* k.swap.folioTryGet(k, folio, "offline"))) continue;
    if (memmap.folioOf(page) === folio && (yield* k.swap.folioIsolateLru(k, folio))) isolated.push(folio);
    yield* k.swap.folioPut(k, folio, "offline");
  }
  if (isolated.length === 0) return;
  const { failed } = yield* k.migrate.migratePages(k, isolated, k.migrate.allocMigrationTarget, MigrateMode.SYNC);
  yield* k.vmscan.putbackFolios(k, failed);
}
