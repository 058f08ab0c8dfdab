/**
 * @linux mm/rmap.c, mm/vmscan.c
 * @own discardLazyfree
 */
import { SWITCH, type MaySleep } from "../kernel/coroutine.js";
import { Op } from "../kernel/op.js";
import type { Kernel } from "../kernel.js";
import { PTE, ptePresent } from "../arch/pgtable.js";
import { RssKind, VM } from "./mm_types.js";
import { PG } from "./page.js";
import { releaseWalk, startWalk } from "./page_vma_mapped.js";

/**
 * Drops the mappings of a lazily freed folio (MADV_FREE), without a swap entry: the next access
 * finds zeros. A folio that was written again meanwhile becomes ordinary memory; then false. What is
 * mapped MAP_DROPPABLE goes even so.
 */
export function* discardLazyfree(k: Kernel, folio: number): MaySleep<boolean> {
  const { m } = k;
  const { memmap } = m;
  let discarded = true;
  yield* k.rmap.rmapWalkAnon(k, folio, function* (_k, _folio, vma, vpn): MaySleep<boolean> {
    if ((vma.flags & VM.LOCKED) !== 0 && (yield* k.rmap.lockMissed(k, folio, vma, vpn))) return (discarded = false);
    const range = k.rmap.folioNotifierRange(k, folio, vma, vpn);
    yield* k.mmuNotifier.invalidateRangeStart(k, range);
    const walk = startWalk(k, folio, vma, vpn);
    while (discarded && (yield* k.pageVmaMapped.pageVmaMappedWalk(k, walk))) {
      if (walk.huge) {
        yield* k.pageVmaMapped.splitAndRestart(k, walk);
        continue;
      }
      const [flags, pfn] = yield* k.tlbBatch.ptepClearDeferred(k, vma, walk.vpn, walk.entry);
      if (m.point(Op.RefCompare, folio)) yield SWITCH;
      const dirty = (ptePresent(flags) && (flags & PTE.D) !== 0) || memmap.has(folio, PG.dirty);
      if (dirty && (vma.flags & VM.DROPPABLE) === 0) {
        yield* k.memory.setPteAt(k, vma.mm, walk.vpn, walk.entry, flags, pfn);
        if (m.point(Op.PageFlags, folio)) yield SWITCH;
        memmap.set(folio, PG.swapbacked);
        discarded = false;
      } else if (memmap.refcount[folio]! > k.rmap.expectedRefs(k, folio)) {
        // Whoever else holds it may write to it yet.
        yield* k.memory.setPteAt(k, vma.mm, walk.vpn, walk.entry, flags, pfn);
        discarded = false;
      } else {
        vma.mm.addRss(RssKind.anon, -1);
        yield* k.rmap.folioRemoveRmapPte(k, folio, walk.page, vma);
        yield* k.swap.folioPutUnowned(k, folio);
        m.vmstat.events.pglazyfreed++;
      }
    }
    yield* releaseWalk(walk);
    yield* k.mmuNotifier.invalidateRangeEnd(k, range);
    return discarded;
  });
  return discarded;
}
