/**
 * @linux mm/damon/paddr.c
 * @omits Migration between nodes, and addresses in units of more than a byte.
 * @own eachFolio, opsFilteredOut
 */
import { SWITCH, type MaySleep } from "../kernel/coroutine.js";
import { Op } from "../kernel/op.js";
import type { Kernel } from "../kernel.js";
import { BatchKind } from "./folio_batch.js";
import type { DamonContext, DamonOperations, DamonRegion, DamosFilter, DamosScheme } from "./damon_types.js";
import { PAGE_SIZE } from "./frame_memory.js";
import { NO_PAGE, PG } from "./page.js";

/* Physical memory: regions are page frames by number, and a use is anybody's. */

/** Chooses a page of each region, and makes it old. */
export function* damonPaPrepareAccessChecks(k: Kernel, ctx: DamonContext): MaySleep<void> {
  for (const { regions } of ctx.targets) {
    for (const region of regions) {
      region.sampling = region.start + k.m.choices.pick("damon", region.pages);
      yield* k.damon.damonPaMkold(k, region.sampling);
    }
  }
}

/** Whether those pages have been used since. */
export function* damonPaCheckAccesses(k: Kernel, ctx: DamonContext): MaySleep<number> {
  let most = 0;
  for (const { regions } of ctx.targets) {
    for (const region of regions) {
      const young = yield* k.damon.damonPaYoung(k, region.sampling);
      k.damonCore.damonUpdateRegionAccessRate(k, region, young, ctx);
      most = Math.max(most, region.accesses);
    }
  }
  return most;
}

/** Visits the folios of a region that filters let through, each with a reference; the bytes that those have. */
export function* eachFolio(k: Kernel, { start, end }: DamonRegion, scheme: DamosScheme, visit: (folio: number) => MaySleep<void>): MaySleep<number> {
  const { memmap } = k.m;
  let bytes = 0;
  for (let pfn = start; pfn < end; ) {
    const folio = yield* k.damon.damonGetFolio(k, pfn);
    if (folio === NO_PAGE) {
      pfn++;
      continue;
    }
    pfn = memmap.pageToPfn(folio) + memmap.folioPages(folio);
    if (!(yield* k.damonPaddr.opsFilteredOut(k, folio, scheme.opsFilters))) {
      bytes += memmap.folioPages(folio) * PAGE_SIZE;
      yield* visit(folio);
    }
    yield* k.swap.folioPut(k, folio, "damon");
    yield* k.m.sched.condResched();
  }
  return bytes;
}

/** Whether filters keep a scheme from a folio. */
export function* opsFilteredOut(k: Kernel, folio: number, filters: readonly DamosFilter[]): MaySleep<boolean> {
  for (const filter of filters) {
    if ((yield* k.damonPaddr.damosPaFilterMatch(k, folio, filter)) === filter.matching) return !filter.allow;
  }
  return filters.at(-1)?.allow === true;
}

export function* damosPaFilterMatch(k: Kernel, folio: number, { type, memcg }: DamosFilter): MaySleep<boolean> {
  const { m } = k;
  if (m.point(Op.PageFlags, folio)) yield SWITCH;
  if (type === "anon") return m.memmap.isAnon(folio);
  if (type === "active") return m.memmap.has(folio, PG.active);
  if (type === "memcg") return m.memcgs.get(m.memmap.memcg[folio]!) === memcg;
  const young = yield* k.damon.damonFolioYoung(k, folio);
  // Who has been asked is asked anew the next time.
  if (young) yield* k.damon.damonFolioMkold(k, folio);
  return young;
}

/** Writes out, or gives up, what filters let through. */
export function* damonPaPageout(k: Kernel, region: DamonRegion, scheme: DamosScheme): MaySleep<{ applied: number; passed: number }> {
  const { m } = k;
  const isolated: number[] = [];
  const passed = yield* k.damonPaddr.eachFolio(k, region, scheme, function* (folio) {
    if (m.point(Op.PageFlags, folio)) yield SWITCH;
    m.memmap.clear(folio, PG.referenced | PG.young);
    if (m.memmap.has(folio, PG.unevictable)) return;
    if (yield* k.swap.folioIsolateLru(k, folio)) isolated.push(folio);
  });
  const pages = isolated.length === 0 ? 0 : yield* k.vmscan.reclaimFolios(k, isolated);
  return { applied: pages * PAGE_SIZE, passed };
}

/** Moves what filters let through towards the active end of its list (`prio`), or the other. */
export function* damonPaDeactivateOrMarkAccessed(k: Kernel, region: DamonRegion, scheme: DamosScheme, prio: boolean): MaySleep<{ applied: number; passed: number }> {
  const passed = yield* k.damonPaddr.eachFolio(k, region, scheme, function* (folio) {
    if (prio) yield* k.swap.folioMarkAccessed(k, folio);
    else yield* k.swap.batchAdd(k, BatchKind.deactivate, folio);
  });
  return { applied: passed, passed };
}

export const PADDR: DamonOperations = {
  *init() {
    yield* [];
  },
  *update() {
    yield* [];
  },
  prepareAccessChecks: (k, ctx) => k.damonPaddr.damonPaPrepareAccessChecks(k, ctx),
  checkAccesses: (k, ctx) => k.damonPaddr.damonPaCheckAccesses(k, ctx),
  *applyScheme(k, _ctx, _target, region, scheme) {
    const { action } = scheme;
    if (action === "pageout") return yield* k.damonPaddr.damonPaPageout(k, region, scheme);
    if (action === "lru_prio" || action === "lru_deprio") return yield* k.damonPaddr.damonPaDeactivateOrMarkAccessed(k, region, scheme, action === "lru_prio");
    // Others are for address spaces.
    const passed = action === "stat" ? yield* k.damonPaddr.eachFolio(k, region, scheme, function* () { yield* []; }) : 0;
    return { applied: 0, passed };
  },
};
