/**
 * @linux mm/mlock.c
 * @own batchAdd, chooseList, clearMlocked, mlockDrain, rescueMapping
 */
import { SWITCH, type Atomic } from "../kernel/coroutine.js";
import { Op } from "../kernel/op.js";
import type { Kernel } from "../kernel.js";
import type { AddressSpace } from "./address_space.js";
import { MlockBatch } from "./folio_batch.js";
import { VM, VM_SPECIAL, type Vma } from "./mm_types.js";
import type { Lruvec } from "./lruvec.js";
import { PG } from "./page.js";
import { lruvecAddFolio, lruvecDelFolio } from "./swap.js";

/**
 * What locked VMAs mean for folios. PG.mlocked is set at once; that the folio goes to the unevictable
 * list, or back from it, waits in a batch of the CPU, with a reference. While it is there, how many
 * locked VMAs map it is counted, as well as can be: reclaim corrects what this misses.
 */

/** Whether reclaim may take a folio. */
export function folioEvictable(k: Kernel, folio: number): boolean {
  const { memmap } = k.m;
  return !memmap.has(folio, PG.mlocked) && !(memmap.isFile(folio) && k.filemap.folioMapping(k, folio)?.unevictable === true);
}

/**
 * Pages of a file that reclaim may take again come back from the unevictable list, unless they are locked otherwise. Pages
 * that come into the file meanwhile are not looked at, nor is any further one once the file is unevictable again.
 */
export function* rescueMapping(k: Kernel, mapping: AddressSpace): Atomic<void> {
  const { m } = k;
  for (const index of mapping.indexesIn(0, Infinity)) {
    const page = yield* k.filemap.filemapGetEntry(k, mapping, index, "find_get_entries");
    if (page < 0) continue;
    const folio = m.memmap.folioOf(page);
    const { lruvec } = m.memcgs.get(m.memmap.memcg[folio]!);
    if (!lruvec.lock.tryLock()) yield* lruvec.lock.lock();
    if (m.point(Op.PageFlags, folio)) yield SWITCH;
    const pages = m.memmap.folioPages(folio);
    if (page === folio) m.vmstat.events.unevictable_pgs_scanned += pages;
    if (m.memmap.has(folio, PG.lru) && m.memmap.has(folio, PG.unevictable) && k.mlockFolio.folioEvictable(k, folio)) {
      lruvecDelFolio(k, lruvec, folio);
      m.memmap.clear(folio, PG.unevictable);
      lruvecAddFolio(k, lruvec, folio, false);
      m.vmstat.events.unevictable_pgs_rescued += pages;
    }
    if (!lruvec.lock.tryUnlock()) yield* lruvec.lock.unlock();
    yield* k.swap.folioPut(k, folio, "find_get_entries");
    if (mapping.unevictable) return;
  }
}

/** A locked VMA maps a folio that is on a list, or on its way to one. */
export function* mlockFolio(k: Kernel, folio: number): Atomic<void> {
  if (k.m.point(Op.PageFlags, folio)) yield SWITCH;
  markMlocked(k, folio);
  yield* k.mlockFolio.batchAdd(k, folio, MlockBatch.Lock);
}

/** A locked VMA maps a folio that is on no list, nor on its way to one. */
export function* mlockNewFolio(k: Kernel, folio: number): Atomic<void> {
  if (k.m.point(Op.PageFlags, folio)) yield SWITCH;
  markMlocked(k, folio);
  yield* k.mlockFolio.batchAdd(k, folio, MlockBatch.LockNew);
}

/** A locked VMA does not map the folio any more, or is locked no more. */
export function* munlockFolio(k: Kernel, folio: number): Atomic<void> {
  yield* k.mlockFolio.batchAdd(k, folio, MlockBatch.Unlock);
}

function markMlocked(k: Kernel, folio: number): void {
  const { memmap, vmstat } = k.m;
  if (memmap.has(folio, PG.mlocked)) return;
  memmap.set(folio, PG.mlocked);
  vmstat.pages.mlock += memmap.folioPages(folio);
  vmstat.events.unevictable_pgs_mlocked += memmap.folioPages(folio);
}

/**
 * A VMA has begun to map a folio. Whether all of a large one is in the VMA is not known here: reclaim
 * finds that out, and leaves it alone then. Memory of devices is on no list.
 */
export function* mlockVmaFolio(k: Kernel, folio: number, vma: Vma): Atomic<void> {
  const { memmap } = k.m;
  if (memmap.isZoneDevice(folio)) return;
  if ((vma.flags & (VM.LOCKED | VM_SPECIAL)) === VM.LOCKED && !memmap.isLarge(folio)) yield* k.mlockFolio.mlockFolio(k, folio);
}

/** A VMA maps a folio, or a page of it, no more. */
export function* munlockVmaFolio(k: Kernel, folio: number, vma: Vma): Atomic<void> {
  if ((vma.flags & VM.LOCKED) !== 0 && !k.m.memmap.isZoneDevice(folio)) yield* k.mlockFolio.munlockFolio(k, folio);
}

/** Queues a folio that nobody else maps for the LRU list on which its first VMA's pages are. */
export function* folioAddLruVma(k: Kernel, folio: number, vma: Vma): Atomic<void> {
  if ((vma.flags & (VM.LOCKED | VM_SPECIAL)) === VM.LOCKED) yield* k.mlockFolio.mlockNewFolio(k, folio);
  else yield* k.swap.folioAddLru(k, folio);
}

export function* batchAdd(k: Kernel, folio: number, what: MlockBatch): Atomic<void> {
  const { m } = k;
  const { cpu } = m;
  if (m.point(Op.RefGet, folio)) yield SWITCH;
  m.touches(Op.LruBatch, cpu);
  m.memmap.refcount[folio]!++;
  if (m.batches.pushMlock(cpu, folio, what) || m.memmap.isLarge(folio)) yield* k.mlockFolio.mlockDrain(k, cpu);
}

/** Applies what a CPU's mlock batch waits for, and drops its references. */
export function* mlockDrain(k: Kernel, cpu: number): Atomic<void> {
  const { m } = k;
  if (m.point(Op.LruBatch, cpu)) yield SWITCH;
  if (m.batches.mlockIsEmpty(cpu)) return;
  const entries = m.batches.takeMlock(cpu);
  if (m.refs !== null) for (const { folio } of entries) m.refs.get(folio, "lru_drain");
  let locked: Lruvec | null = null;
  for (const { folio, what } of entries) {
    const { lruvec } = m.memcgs.get(m.memmap.memcg[folio]!);
    if (lruvec !== locked) {
      if (locked !== null && !locked.lock.tryUnlock()) yield* locked.lock.unlock();
      if (!lruvec.lock.tryLock()) yield* lruvec.lock.lock();
      locked = lruvec;
    }
    if (m.point(Op.PageFlags, folio)) yield SWITCH;
    if (what === MlockBatch.Unlock) munlockListed(k, lruvec, folio);
    else if (what === MlockBatch.Lock) mlockListed(k, lruvec, folio);
    else mlockNew(k, lruvec, folio);
  }
  if (locked !== null && !locked.lock.tryUnlock()) yield* locked.lock.unlock();
  for (const { folio } of entries) yield* k.swap.folioPut(k, folio, "lru_drain");
}

function becomesUnevictable(k: Kernel, folio: number): void {
  const { memmap, vmstat } = k.m;
  memmap.clear(folio, PG.active);
  memmap.set(folio, PG.unevictable);
  memmap.mlockCount[folio] = memmap.has(folio, PG.mlocked) ? 1 : 0;
  vmstat.events.unevictable_pgs_culled += memmap.folioPages(folio);
}

/** Under the lruvec lock. Whoever has taken the folio off its list decides where it goes next. */
function mlockListed(k: Kernel, lruvec: Lruvec, folio: number): void {
  const { memmap, vmstat } = k.m;
  if (!memmap.has(folio, PG.lru)) return;
  if (k.mlockFolio.folioEvictable(k, folio)) {
    // Unlocked again meanwhile, by another CPU.
    if (!memmap.has(folio, PG.unevictable)) return;
    lruvecDelFolio(k, lruvec, folio);
    memmap.clear(folio, PG.unevictable);
    lruvecAddFolio(k, lruvec, folio, false);
    vmstat.events.unevictable_pgs_rescued += memmap.folioPages(folio);
  } else if (memmap.has(folio, PG.unevictable)) memmap.mlockCount[folio]!++;
  else {
    lruvecDelFolio(k, lruvec, folio);
    becomesUnevictable(k, folio);
    lruvecAddFolio(k, lruvec, folio, false);
  }
}

function mlockNew(k: Kernel, lruvec: Lruvec, folio: number): void {
  const { memmap } = k.m;
  if (!k.mlockFolio.folioEvictable(k, folio)) becomesUnevictable(k, folio);
  memmap.set(folio, PG.lru);
  lruvecAddFolio(k, lruvec, folio, false);
}

function munlockListed(k: Kernel, lruvec: Lruvec, folio: number): void {
  const { memmap, vmstat } = k.m;
  const pages = memmap.folioPages(folio);
  const listed = memmap.has(folio, PG.lru);
  if (listed && memmap.has(folio, PG.unevictable)) {
    if (memmap.mlockCount[folio]! > 0) memmap.mlockCount[folio]!--;
    if (memmap.mlockCount[folio]! > 0) return;
  }
  if (memmap.has(folio, PG.mlocked)) {
    memmap.clear(folio, PG.mlocked);
    vmstat.pages.mlock -= pages;
    if (listed || !memmap.has(folio, PG.unevictable)) vmstat.events.unevictable_pgs_munlocked += pages;
    else vmstat.events.unevictable_pgs_stranded += pages;
  }
  // Whether it may be reclaimed can be known only now that it is not locked any more.
  if (!listed || !memmap.has(folio, PG.unevictable) || !k.mlockFolio.folioEvictable(k, folio)) return;
  lruvecDelFolio(k, lruvec, folio);
  memmap.clear(folio, PG.unevictable);
  lruvecAddFolio(k, lruvec, folio, false);
  vmstat.events.unevictable_pgs_rescued += pages;
}

/** Under the lruvec lock: a folio is about to be put on a list, the right one by what is known of locked VMAs. */
export function chooseList(k: Kernel, folio: number): void {
  const { memmap, vmstat } = k.m;
  const pages = memmap.folioPages(folio);
  const wasUnevictable = memmap.has(folio, PG.unevictable);
  if (k.mlockFolio.folioEvictable(k, folio)) {
    if (!wasUnevictable) return;
    memmap.clear(folio, PG.unevictable);
    vmstat.events.unevictable_pgs_rescued += pages;
    return;
  }
  memmap.clear(folio, PG.active);
  memmap.set(folio, PG.unevictable);
  // Who has locked it is in a batch yet, or not known: it is counted from there.
  memmap.mlockCount[folio] = 0;
  if (!wasUnevictable) vmstat.events.unevictable_pgs_culled += pages;
}

/** A folio that has no reference any more was still marked: a large one, of which some pages went earlier. */
export function clearMlocked(k: Kernel, folio: number): void {
  const { memmap, vmstat } = k.m;
  if (!memmap.has(folio, PG.mlocked)) return;
  memmap.clear(folio, PG.mlocked);
  vmstat.pages.mlock -= memmap.folioPages(folio);
  vmstat.events.unevictable_pgs_cleared += memmap.folioPages(folio);
}
