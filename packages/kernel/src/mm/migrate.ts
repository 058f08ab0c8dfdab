/**
 * @linux mm/migrate.c
 * @omits Batches: folios are unmapped, copied and mapped one at a time, so that each is flushed for by itself
 *   (`migrate_pages_batch()`).
 * @omits Movable pages that are no folios (balloon, zsmalloc).
 * @omits `buffer_migrate_folio()` and other ways of file systems: files in memory move as anonymous memory does, and
 *   so do pages of files of the host.
 * @own migrateFileMapping, migrateFolioUndo, trySplit, unmapAndMove
 */
import { SWITCH, type Atomic, type MaySleep } from "../kernel/coroutine.js";
import { Errno } from "../kernel/errno.js";
import { Op } from "../kernel/op.js";
import { TaskState } from "../kernel/sched.js";
import type { Kernel } from "../kernel.js";
import type { AddressSpace } from "./address_space.js";
import { HPAGE_PMD_NR } from "../arch/pgtable.js";
import { MigrateMode } from "./migrate_mode.js";
import { GFP_MIGRATE } from "./gfp.js";
import { NOBODY } from "./numa_fault.js";
import { NO_PAGE, PG } from "./page.js";

/** Passes of a batch that waits for nothing, and of one that does. */
const MAX_MIGRATE_ASYNC_RETRY = 3;
const MAX_MIGRATE_SYNC_RETRY = 7;

/** Machine time of an attempt besides its points: a page from the buddy lists, lists of folios, the copy. */
const MIGRATE_FOLIO_NS = 5000;

/** Flags that a folio takes along. The lock, the LRU and the caches have their own ways. */
const KEPT_FLAGS =
  PG.referenced | PG.uptodate | PG.active | PG.workingset | PG.dirty | PG.swapbacked | PG.unevictable | PG.readahead | PG.young | PG.idle;

/** Finds room for a folio: a new one with one reference at site "alloc", or NO_PAGE. */
export type NewFolio = (k: Kernel, src: number) => MaySleep<number>;

/** What became of the folios of one call. */
export interface MigrateOutcome {
  /** Those that did not move, each with the caller's reference at site "isolate" still. */
  readonly failed: number[];
  /** How many did not move, or the negated errno that ended the attempt: what Linux returns. */
  readonly result: number;
}

/**
 * Moves isolated folios to other frames. Each has the caller's reference at site "isolate", which
 * goes with the folio if it moves. First without waiting for anybody; what is left is then tried
 * one by one, waiting for folio locks and writeback where `mode` says so.
 */
export function* migratePages(
  k: Kernel,
  folios: readonly number[],
  newFolio: NewFolio,
  mode: MigrateMode,
): MaySleep<MigrateOutcome> {
  const { events } = k.m.vmstat;
  let pending = [...folios];
  let result = 0;
  const failed: number[] = [];
  const passes = mode === MigrateMode.SYNC ? [MigrateMode.ASYNC, MigrateMode.SYNC] : [mode];
  for (const [i, pass] of passes.entries()) {
    const last = i === passes.length - 1;
    const retries = pass === MigrateMode.SYNC ? MAX_MIGRATE_SYNC_RETRY : MAX_MIGRATE_ASYNC_RETRY;
    const again: number[] = [];
    // Grows by the pages of folios that are split.
    for (let j = 0; j < pending.length; j++) {
      const folio = pending[j]!;
      const pages = k.m.memmap.folioPages(folio);
      const error = yield* k.migrate.unmapAndMove(k, folio, newFolio, pass, retries);
      yield* k.m.sched.condResched();
      if (error === 0) {
        events.pgmigrate_success += pages;
        if (pages === HPAGE_PMD_NR) events.thp_migration_success++;
      } else if (error === -Errno.ENOMEM && (yield* k.migrate.trySplit(k, folio, pending))) {
        if (pages === HPAGE_PMD_NR) events.thp_migration_split++;
        pending.push(folio);
      } else if (error === -Errno.ENOMEM && pages === 1) {
        // No room for this one is none for the others.
        failed.push(...again, ...pending.slice(j));
        events.pgmigrate_fail += failed.length;
        return { failed, result: error };
      } else if (last || (error !== -Errno.EAGAIN && error !== -Errno.EBUSY)) {
        failed.push(folio);
        events.pgmigrate_fail += pages;
        if (pages === HPAGE_PMD_NR) events.thp_migration_fail++;
        result++;
      } else again.push(folio);
    }
    pending = again;
  }
  return { failed, result };
}

/** There is no room for a large folio in one piece: its pages, isolated as it was, are added to the list. */
export function* trySplit(k: Kernel, folio: number, pages: number[]): MaySleep<boolean> {
  if (!k.m.memmap.isLarge(folio) || k.m.memmap.has(folio, PG.hugetlb) || !(yield* k.folioLock.folioTrylock(k, folio))) return false;
  const error = yield* k.hugeSplit.splitFolio(k, folio, pages);
  yield* k.folioLock.folioUnlock(k, folio);
  return error === 0;
}

/**
 * One folio, in as many attempts as `retries` says: 0 when it moved; -EAGAIN while somebody else
 * holds it, -EBUSY under writeback that is not to be waited for, -ENOMEM without room.
 */
export function* unmapAndMove(
  k: Kernel,
  src: number,
  newFolio: NewFolio,
  mode: MigrateMode,
  retries: number,
): MaySleep<number> {
  const { m } = k;
  if (m.memmap.has(src, PG.hugetlb)) return yield* k.hugetlbMigrate.unmapAndMoveHugePage(k, src, newFolio, mode);
  if (m.point(Op.RefCompare, src)) yield SWITCH;
  if (m.memmap.refcount[src] === 1) {
    // Freed meanwhile: ours is the last reference.
    yield* k.swap.folioPut(k, src, "isolate");
    return 0;
  }
  m.charge(MIGRATE_FOLIO_NS);
  const dst = yield* newFolio(k, src);
  if (dst === NO_PAGE) return -Errno.ENOMEM;
  let error = -Errno.EAGAIN;
  let unmapped: UnmappedFolio | number = error;
  for (let pass = 0; pass < retries && typeof unmapped === "number"; pass++) {
    unmapped = yield* k.migrate.migrateFolioUnmap(k, src, dst, mode);
    if (typeof unmapped === "number" && unmapped !== -Errno.EAGAIN) break;
    yield* m.sched.condResched();
  }
  if (typeof unmapped === "number") error = unmapped;
  else {
    for (let pass = 0; pass < retries && error === -Errno.EAGAIN; pass++) {
      error = yield* k.migrate.migrateFolioMove(k, src, dst, unmapped);
      yield* m.sched.condResched();
    }
    if (error !== 0) yield* k.migrate.migrateFolioUndo(k, src, dst, unmapped);
  }
  if (error !== 0) yield* k.swap.folioPut(k, dst, "alloc");
  return error;
}

/** Both folios are locked, and no page table maps the old one. */
export interface UnmappedFolio {
  /** Migration entries stand where it was mapped. */
  readonly wasMapped: boolean;
}

/** Locks both folios and puts migration entries in place of the old one's mappings; or an errno. */
export function* migrateFolioUnmap(
  k: Kernel,
  src: number,
  dst: number,
  mode: MigrateMode,
): MaySleep<UnmappedFolio | number> {
  const { m } = k;
  const { memmap } = m;
  if (mode === MigrateMode.ASYNC) {
    if (!(yield* k.folioLock.folioTrylock(k, src))) return -Errno.EAGAIN;
  } else if (!k.folioLock.tryFolioLock(k, src)) yield* k.folioLock.folioLock(k, src);
  if (m.point(Op.PageFlags, src)) yield SWITCH;
  if (memmap.has(src, PG.writeback)) {
    if (mode === MigrateMode.ASYNC) {
      yield* k.folioLock.folioUnlock(k, src);
      return -Errno.EBUSY;
    }
    yield* k.folioLock.folioWaitBit(k, src, PG.writeback, TaskState.Uninterruptible);
  }
  // Nobody else knows the new folio, so this never fails.
  if (yield* k.folioLock.folioTrylock(k, dst)) {
    if (m.point(Op.MapCount, src)) yield SWITCH;
    const wasMapped = memmap.folioMapcount(src) > 0;
    if (wasMapped) yield* k.rmap.tryToMigrate(k, src);
    if (m.point(Op.MapCount, src)) yield SWITCH;
    if (memmap.folioMapcount(src) === 0) return { wasMapped };
    yield* k.migrate.removeMigrationPtes(k, src, src);
    yield* k.folioLock.folioUnlock(k, dst);
  }
  yield* k.folioLock.folioUnlock(k, src);
  return -Errno.EAGAIN;
}

/** The old folio could not be moved: its migration entries become ordinary ones again. */
export function* migrateFolioUndo(k: Kernel, src: number, dst: number, unmapped: UnmappedFolio): MaySleep<void> {
  if (unmapped.wasMapped) yield* k.migrate.removeMigrationPtes(k, src, src);
  yield* k.folioLock.folioUnlock(k, dst);
  yield* k.folioLock.folioUnlock(k, src);
}

/** Moves contents and identity; then both are unlocked and the old folio is freed. 0, -EAGAIN, or -EBUSY for what stays where it is. */
export function* migrateFolioMove(k: Kernel, src: number, dst: number, unmapped: UnmappedFolio): MaySleep<number> {
  if (k.filemap.isSecretFolio(k, src)) return -Errno.EBUSY;
  if (!(yield* k.migrate.moveToNewFolio(k, src, dst))) return -Errno.EAGAIN;
  yield* k.swap.folioAddLru(k, dst);
  if (unmapped.wasMapped) yield* k.migrate.removeMigrationPtes(k, src, dst);
  yield* k.folioLock.folioUnlock(k, dst);
  yield* k.swap.folioPut(k, dst, "alloc");
  yield* k.folioLock.folioUnlock(k, src);
  yield* k.swap.folioPut(k, src, "isolate");
  return 0;
}

/** Copies, unless somebody holds the old folio who may write to it yet. */
export function* moveToNewFolio(k: Kernel, src: number, dst: number): MaySleep<boolean> {
  const { m } = k;
  const { memmap } = m;
  const expected = k.rmap.expectedRefs(k, src);
  if (m.point(Op.RefCompare, src)) yield SWITCH;
  if (memmap.refcount[src] !== expected) return false;
  for (let i = 0; i < memmap.folioPages(src); i++) {
    if (m.point(Op.FrameRead, src + i)) yield SWITCH;
    m.ram.copy(dst + i, src + i);
  }
  if (!(yield* k.migrate.folioMigrateMapping(k, src, dst, expected))) return false;
  yield* k.migrate.folioMigrateFlags(k, src, dst);
  return true;
}

/**
 * The new folio takes the old one's place where folios are looked up: its reverse map, and the
 * swap cache with its references. False, and nothing changed, when the old one has other
 * references than `expected`: the caller's, and the cache's.
 */
export function* folioMigrateMapping(k: Kernel, src: number, dst: number, expected: number): Atomic<boolean> {
  const { m } = k;
  const { memmap, swap } = m;
  const mapping = k.filemap.folioMapping(k, src);
  if (mapping !== null) return yield* k.migrate.migrateFileMapping(k, mapping, src, dst, expected);
  const cached = memmap.has(src, PG.swapcache);
  if (cached && !swap.lock.tryLock()) yield* swap.lock.lock();
  if (m.point(Op.RefCompare, src)) yield SWITCH;
  const moves = memmap.refcount[src] === expected;
  if (moves) {
    memmap.index[dst] = memmap.index[src]!;
    memmap.mapping[dst] = memmap.mapping[src]!;
    if (memmap.isLarge(dst)) m.thp.stats(memmap.order[dst]!).nr_anon++;
  }
  if (!cached) return moves;
  if (moves) {
    const offset = memmap.private[src]!;
    m.touches(Op.SwapCache, offset);
    m.touches(Op.RefGet, dst);
    m.touches(Op.PageFlags, src);
    m.touches(Op.PageFlags, dst);
    for (let i = 0; i < memmap.folioPages(src); i++) swap.cache[offset + i] = dst;
    memmap.private[dst] = offset;
    memmap.set(dst, PG.swapcache);
    memmap.refcount[dst]! += expected - 1;
    memmap.private[src] = 0;
    memmap.clear(src, PG.swapcache);
    memmap.refcount[src]! -= expected - 1;
  }
  if (!swap.lock.tryUnlock()) yield* swap.lock.unlock();
  return moves;
}

/** The same for a folio of a file, in one step as Linux does under the lock of the file's pages. */
export function* migrateFileMapping(k: Kernel, mapping: AddressSpace, src: number, dst: number, expected: number): Atomic<boolean> {
  const { m } = k;
  const { memmap } = m;
  const index = memmap.index[src]!;
  const pages = memmap.folioPages(src);
  if (m.point(Op.RefCompare, src)) yield SWITCH;
  if (memmap.refcount[src] !== expected) return false;
  for (let i = 0; i < pages; i++) {
    m.touches(Op.PageCacheWrite, mapping.object(index + i));
    mapping.entries.set(index + i, dst + i);
  }
  m.touches(Op.RefGet, dst);
  m.touches(Op.PageFlags, dst);
  memmap.index[dst] = index;
  memmap.mapping[dst] = memmap.mapping[src]!;
  if (memmap.has(src, PG.swapbacked)) memmap.set(dst, PG.swapbacked);
  memmap.refcount[dst]! += pages;
  memmap.refcount[src] -= pages;
  memmap.mapping[src] = 0;
  memmap.index[src] = 0;
  return true;
}

/** Flags and the cgroup's charge go along. Nobody can find the old folio any more. */
export function* folioMigrateFlags(k: Kernel, src: number, dst: number): Atomic<void> {
  const { m } = k;
  const { memmap } = m;
  if (m.point(Op.PageFlags, src)) yield SWITCH;
  m.touches(Op.PageFlags, dst);
  memmap.set(dst, memmap.flags[src]! & KEPT_FLAGS);
  if (memmap.isKsm(src)) k.ksm.folioMigrateKsm(k, src, dst);
  memmap.clear(src, PG.dirty | PG.active | PG.unevictable);
  memmap.memcg[dst] = memmap.memcg[src]!;
  memmap.memcg[src] = 0;
  const { lastCpuPid } = memmap;
  if (lastCpuPid !== null) {
    lastCpuPid[dst] = lastCpuPid[src]!;
    lastCpuPid[src] = NOBODY;
  }
  m.pageOwner?.moved(src, dst, "memory_hotplug");
}

/**
 * Ordinary entries for `dst` where migration entries of `src` stand. Both are locked, or are one.
 * With `zeroes` a page that has nothing but zeros is left unmapped, and the page of zeros mapped.
 */
export function* removeMigrationPtes(k: Kernel, src: number, dst: number, zeroes = false): MaySleep<void> {
  yield* k.rmap.rmapWalk(k, dst, (_k, _dst, vma, vpn) => k.rmap.removeMigrationPte(k, src, dst, vma, vpn, zeroes));
}

/**
 * A fault met a migration entry: waits until the folio is unlocked, and with that gone from the
 * entry. The fault keeps its lock (mmap_lock or the VMA's) meanwhile; a reference would keep the
 * folio from moving, so none is taken.
 */
export function* migrationEntryWait(k: Kernel, ptep: number): MaySleep<void> {
  const { m } = k;
  const ptl = m.pt.lockOf(ptep);
  if (!ptl.tryLock()) yield* ptl.lock();
  if (m.point(Op.PteRead, ptep)) yield SWITCH;
  if (!k.swapops.isMigration(k, m.pt.flags(ptep))) {
    if (!ptl.tryUnlock()) yield* ptl.unlock();
    return;
  }
  // The entry says that its folio is locked and alive, but only as long as the table is: so who
  // waits is in the queue before the table is unlocked.
  const folio = m.memmap.folioOf(m.memmap.pfnToPage(m.pt.pfn(ptep)));
  const queue = m.folioWaitQueue(folio);
  queue.prepare(TaskState.Uninterruptible, "migration_entry_wait", folio);
  if (!ptl.tryUnlock()) yield* ptl.unlock();
  yield* queue.sleepPrepared();
}

/** A movable folio for the contents of another of the same size. */
export function* allocMigrationTarget(k: Kernel, src: number): MaySleep<number> {
  if (k.m.point(Op.PageFlags, src)) yield SWITCH;
  if (k.m.memmap.has(src, PG.hugetlb)) return yield* k.hugetlbMigrate.allocHugetlbTarget(k, k.m.hugetlb.ofOrder(k.m.memmap.order[src]!)!);
  return yield* k.pageAlloc.allocFolio(k, GFP_MIGRATE, k.m.memmap.order[src]!);
}
