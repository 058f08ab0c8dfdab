/**
 * @linux mm/rmap.c, mm/vmscan.c
 * @own discardLazyfree
 */
import { SWITCH, type MaySleep } from "../kernel/coroutine.js";
import { Op } from "../kernel/op.js";
import type { Kernel } from "../kernel.js";
import { PTE, ptePresent } from "../arch/pgtable.js";
import { RssKind, VM, type Vma } from "./mm_types.js";
import { PG } from "./page.js";
import { releaseWalk, startWalk } from "./page_vma_mapped.js";

/**
 * Drops the mappings of a lazily freed folio (MADV_FREE), without a swap entry: the next access
 * finds zeros. A folio that was written again meanwhile becomes ordinary memory; then false. What is
 * mapped MAP_DROPPABLE goes even so.
 */
export function* discardLazyfree(k: Kernel, folio: number): MaySleep<boolean> {
  const done = { discarded: true };
  yield* k.rmap.rmapWalk(k, folio, (_k, _folio, vma, vpn) => discardOne(k, folio, vma, vpn, done));
  return done.discarded;
}

/** One VMA's share of `discardLazyfree`. */
function* discardOne(k: Kernel, folio: number, vma: Vma, vpn: number, done: { discarded: boolean }): MaySleep<boolean> {
  const { m } = k;
  const { memmap } = m;
  if ((vma.flags & VM.LOCKED) !== 0 && (yield* k.rmap.lockMissed(k, folio, vma, vpn))) return (done.discarded = false);
  const range = k.rmap.folioNotifierRange(k, folio, vma, vpn);
  yield* k.mmuNotifier.invalidateRangeStart(k, range);
  const walk = startWalk(k, folio, vma, vpn);
  while (done.discarded && (yield* k.pageVmaMapped.pageVmaMappedWalk(k, walk))) {
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
      done.discarded = false;
    } else if (memmap.refcount[folio]! > k.rmap.expectedRefs(k, folio)) {
      // Whoever else holds it may write to it yet.
      yield* k.memory.setPteAt(k, vma.mm, walk.vpn, walk.entry, flags, pfn);
      done.discarded = false;
    } else {
      vma.mm.addRss(RssKind.anon, -1);
      yield* k.rmap.folioRemoveRmapPte(k, folio, walk.page, vma);
      yield* k.swap.folioPutUnowned(k, folio);
      m.vmstat.events.pglazyfreed++;
    }
  }
  yield* releaseWalk(walk);
  yield* k.mmuNotifier.invalidateRangeEnd(k, range);
  return done.discarded;
}
