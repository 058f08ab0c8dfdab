/**
 * @linux mm/hugetlb.c, mm/migrate.c
 * @own allocHugetlbTarget, isolateHugetlb, moveContents, moveLocked, moveUnmapped, putbackHugetlb,
 *   removeHugetlbMigrationPte, unmapAndMoveHugePage, unmapForMigration, walkMappings
 */
import { SWITCH, type Atomic, type MaySleep } from "../kernel/coroutine.js";
import { Errno } from "../kernel/errno.js";
import { Op, tableObject } from "../kernel/op.js";
import type { Kernel } from "../kernel.js";
import { PTE, ptePresent } from "../arch/pgtable.js";
import type { AddressSpace } from "./address_space.js";
import { HPG, type Hstate } from "./hstate.js";
import { hstateOf } from "./hugetlb_reserve.js";
import type { NewFolio } from "./migrate.js";
import { MigrateMode } from "./migrate_mode.js";
import type { Vma } from "./mm_types.js";
import { NotifyEvent, type NotifierRange } from "./mmu_notifier.js";
import { NO_PAGE, PG } from "./page.js";
import { restoredBits } from "./swapops.js";
import { trapped } from "./uffd_rwp.js";
import { vmPageProt } from "./vm_prot.js";

/** Takes a folio in use for migration, with a reference at site "isolate"; false where somebody else has it, or it is free. */
export function* isolateHugetlb(k: Kernel, folio: number): Atomic<boolean> {
  const { m } = k;
  const { hugetlb, memmap } = m;
  if (!hugetlb.lock.tryLock()) yield* hugetlb.lock.lock();
  if (m.point(Op.RefGet, folio)) yield SWITCH;
  m.touches(Op.PageFlags, folio);
  const can = memmap.has(folio, PG.hugetlb) && (memmap.private[folio]! & HPG.migratable) !== 0 && memmap.refcount[folio]! > 0;
  if (can) {
    memmap.private[folio]! &= ~HPG.migratable;
    memmap.refcount[folio]!++;
    m.refs?.get(folio, "isolate");
  }
  if (!hugetlb.lock.tryUnlock()) yield* hugetlb.lock.unlock();
  return can;
}

/** The opposite: it has not moved. */
export function* putbackHugetlb(k: Kernel, folio: number): Atomic<void> {
  yield* k.hugetlb.markMigratable(k, folio);
  yield* k.swap.folioPut(k, folio, "isolate");
}

/** A folio for what another has, with one reference at site "alloc": a free one that nobody was promised, or one that is not the pool's. */
export function* allocHugetlbTarget(k: Kernel, h: Hstate): MaySleep<number> {
  const { m } = k;
  const { hugetlb, memmap } = m;
  if (!hugetlb.lock.tryLock()) yield* hugetlb.lock.lock();
  let folio = k.hugetlbPool.available(k, h) > 0 ? k.hugetlbPool.dequeue(k, h, null) : NO_PAGE;
  if (!hugetlb.lock.tryUnlock()) yield* hugetlb.lock.unlock();
  if (folio !== NO_PAGE) return folio;
  folio = yield* k.hugetlbPool.allocFresh(k, h, null);
  if (folio === NO_PAGE) return NO_PAGE;
  if (!hugetlb.lock.tryLock()) yield* hugetlb.lock.lock();
  h.nrHugePages++;
  m.touches(Op.RefGet, folio);
  memmap.private[folio]! |= HPG.temporary;
  memmap.refcount[folio] = 1;
  m.refs?.get(folio, "alloc");
  if (!hugetlb.lock.tryUnlock()) yield* hugetlb.lock.unlock();
  return folio;
}

/**
 * Moves an isolated folio: 0; -EAGAIN while somebody else holds it, -ENOMEM without another. On
 * success the caller's reference is dropped, else it stays.
 */
export function* unmapAndMoveHugePage(k: Kernel, src: number, newFolio: NewFolio, mode: MigrateMode): MaySleep<number> {
  const { m } = k;
  const { memmap } = m;
  if (m.point(Op.RefCompare, src)) yield SWITCH;
  if (memmap.refcount[src] === 1) {
    // Freed meanwhile: ours is the last reference.
    yield* k.hugetlbMigrate.putbackHugetlb(k, src);
    return 0;
  }
  const dst = yield* newFolio(k, src);
  if (dst === NO_PAGE) return -Errno.ENOMEM;
  // The mappings of a file are locked before its folios: hugetlb's order, other than that of other files.
  const mapping = k.filemap.folioMapping(k, src);
  if (mapping !== null && !mapping.lock.tryWrite()) yield* mapping.lock.write();
  const error = yield* k.hugetlbMigrate.moveLocked(k, src, dst, mapping, mode);
  if (mapping !== null && !mapping.lock.tryUnlock()) yield* mapping.lock.unlock();
  if (error === 0) yield* k.hugetlbMigrate.putbackHugetlb(k, src);
  else yield* k.swap.folioPut(k, dst, "alloc");
  return error;
}

/** The part of `moveLocked` between the locks. */
export function* moveUnmapped(k: Kernel, src: number, dst: number, mapping: AddressSpace | null): MaySleep<number> {
  const { m } = k;
  if (m.point(Op.MapCount, src)) yield SWITCH;
  // Truncated, or put into a file, while the lock was waited for.
  if (k.filemap.folioMapping(k, src) !== mapping) return -Errno.EAGAIN;
  const wasMapped = m.memmap.folioMapcount(src) > 0;
  if (wasMapped) yield* k.hugetlbMigrate.walkMappings(k, src, mapping, k.hugetlbMigrate.unmapForMigration, src);
  if (m.point(Op.MapCount, src)) yield SWITCH;
  const moved = m.memmap.folioMapcount(src) === 0 && (yield* k.hugetlbMigrate.moveContents(k, src, dst, mapping));
  if (wasMapped) yield* k.hugetlbMigrate.walkMappings(k, src, mapping, k.hugetlbMigrate.removeHugetlbMigrationPte, moved ? dst : src);
  return moved ? 0 : -Errno.EAGAIN;
}

/** The move itself, with the mappings of the file locked, if it is one of a file's. */
export function* moveLocked(k: Kernel, src: number, dst: number, mapping: AddressSpace | null, mode: MigrateMode): MaySleep<number> {
  if (mode === MigrateMode.ASYNC) {
    if (!(yield* k.folioLock.folioTrylock(k, src))) return -Errno.EAGAIN;
  } else if (!k.folioLock.tryFolioLock(k, src)) yield* k.folioLock.folioLock(k, src);
  k.folioLock.lockNewFolio(k, dst);
  const error = yield* k.hugetlbMigrate.moveUnmapped(k, src, dst, mapping);
  yield* k.folioLock.folioUnlock(k, dst);
  yield* k.folioLock.folioUnlock(k, src);
  if (error === 0) {
    yield* k.hugetlb.markMigratable(k, dst);
    yield* k.swap.folioPut(k, dst, "alloc");
  }
  return error;
}

/** What is done in each area that may map a folio. `to`: the folio that entries are to be for. */
export type HugetlbOne = (k: Kernel, folio: number, vma: Vma, vpn: number, to: number) => MaySleep<void>;

/** Visits every area that may map a folio, which is locked; those of a file are locked by the caller. */
export function* walkMappings(k: Kernel, folio: number, mapping: AddressSpace | null, one: HugetlbOne, to: number): MaySleep<void> {
  const { memmap } = k.m;
  const anonVma = mapping === null && memmap.isAnon(folio) ? k.m.anonVmas.get(memmap.mapping[folio]! >> 1) : undefined;
  const vmas = mapping?.vmas ?? anonVma?.vmas;
  if (vmas === undefined) return;
  if (anonVma !== undefined && !anonVma.lock.tryRead()) yield* anonVma.lock.read();
  // By now the new folio is the one that knows where it is.
  const index = memmap.index[to]!;
  for (const vma of vmas) {
    const vpn = vma.startVpn + (index - vma.pgoff);
    if (vma.isHugetlb && vpn >= vma.startVpn && vpn < vma.endVpn) yield* one(k, folio, vma, vpn, to);
  }
  if (anonVma !== undefined && !anonVma.lock.tryUnlock()) yield* anonVma.lock.unlock();
}

/** Puts a migration entry in place of a mapping. */
export function* unmapForMigration(k: Kernel, folio: number, vma: Vma, vpn: number): MaySleep<void> {
  const { m } = k;
  const { memmap } = m;
  const h = hstateOf(vma);
  const range: NotifierRange = { mm: vma.mm, startVpn: vpn, endVpn: vpn + h.pages, event: NotifyEvent.CLEAR, owner: null };
  yield* k.mmuNotifier.invalidateRangeStart(k, range);
  if (m.point(Op.TableRead, tableObject(vma.mm.id, vpn))) yield SWITCH;
  const entry = k.hugetlb.hugetlbWalk(k, vma.mm, vpn, h);
  if (entry >= 0 && m.pt.isLeaf(entry)) {
    const ptl = m.pt.lockOf(entry);
    if (!ptl.tryLock()) yield* ptl.lock();
    if (m.point(Op.PteRead, entry)) yield SWITCH;
    if (ptePresent(m.pt.flags(entry)) && memmap.pfnToPage(m.pt.pfn(entry)) === folio) {
      const [flags, pfn] = yield* k.hugetlb.hugePtepClearFlush(k, vma, vpn, entry);
      if (m.point(Op.PageFlags, folio)) yield SWITCH;
      if ((flags & PTE.D) !== 0) memmap.set(folio, PG.dirty);
      const exclusive = memmap.has(folio, PG.anonExclusive);
      memmap.clear(folio, PG.anonExclusive);
      yield* k.memory.setPteAt(k, vma.mm, vpn, entry, k.swapops.makeMigration(k, flags, exclusive), pfn);
      yield* k.hugetlb.removeRmap(k, folio);
      yield* k.swap.folioPutUnowned(k, folio);
    }
    if (!ptl.tryUnlock()) yield* ptl.unlock();
  }
  yield* k.mmuNotifier.invalidateRangeEnd(k, range);
}

/** An ordinary entry for `to` where a migration entry for `folio` stands. */
export function* removeHugetlbMigrationPte(k: Kernel, folio: number, vma: Vma, vpn: number, to: number): MaySleep<void> {
  const { m } = k;
  const { memmap } = m;
  const h = hstateOf(vma);
  if (m.point(Op.TableRead, tableObject(vma.mm.id, vpn))) yield SWITCH;
  const entry = k.hugetlb.hugetlbWalk(k, vma.mm, vpn, h);
  if (entry < 0 || !m.pt.isLeaf(entry)) return;
  const ptl = m.pt.lockOf(entry);
  if (!ptl.tryLock()) yield* ptl.lock();
  if (m.point(Op.PteRead, entry)) yield SWITCH;
  const old = m.pt.flags(entry);
  if (k.swapops.isMigration(k, old) && memmap.pfnToPage(m.pt.pfn(entry)) === folio) {
    let flags = vmPageProt(vma.flags) | (restoredBits(old) & PTE.UFFD_WP);
    if ((old & PTE.SWP_MIG_YOUNG) === 0) flags &= ~PTE.A;
    if ((old & PTE.SWP_MIG_DIRTY) !== 0) flags |= PTE.D;
    if (k.swapops.isWritableMigration(k, old)) flags |= PTE.W;
    if ((flags & PTE.UFFD_WP) !== 0) flags &= ~PTE.W;
    yield* k.swap.folioGetUnowned(k, to);
    yield* k.hugetlb.addRmap(k, to);
    if (memmap.isAnon(to) && !k.swapops.isReadableMigration(k, old)) memmap.set(to, PG.anonExclusive);
    yield* k.memory.setPteAt(k, vma.mm, vpn, entry, trapped(vma, flags), memmap.pageToPfn(to));
  }
  if (!ptl.tryUnlock()) yield* ptl.unlock();
}

/** Copies, and the new folio takes the old one's place: false where somebody holds the old one yet. */
export function* moveContents(k: Kernel, src: number, dst: number, mapping: AddressSpace | null): MaySleep<boolean> {
  const { m } = k;
  const { hugetlb, memmap } = m;
  const cached = mapping === null ? 0 : memmap.folioPages(src);
  if (m.point(Op.RefCompare, src)) yield SWITCH;
  if (memmap.refcount[src] !== cached + 1) return false;
  yield* k.hugetlb.copyHugeFolio(k, dst, src);
  if (m.point(Op.RefCompare, src)) yield SWITCH;
  if (memmap.refcount[src] !== cached + 1) return false;
  for (const op of [Op.RefGet, Op.PageFlags]) {
    m.touches(op, src);
    m.touches(op, dst);
  }
  const index = memmap.index[src]!;
  if (mapping !== null) {
    m.touches(Op.PageCacheWrite, mapping.object(index));
    mapping.entries.set(index, dst);
    memmap.refcount[dst]! += cached;
    memmap.refcount[src] -= cached;
  }
  memmap.index[dst] = index;
  memmap.mapping[dst] = memmap.mapping[src]!;
  // Who was in the pool stays there: the old folio leaves it when the new one has come from elsewhere.
  const swapped = HPG.temporary & (memmap.private[src]! ^ memmap.private[dst]!);
  memmap.private[src]! ^= swapped;
  memmap.private[dst]! ^= swapped;
  memmap.private[dst]! |= memmap.private[src]! & HPG.restoreReserve;
  memmap.private[src]! &= ~HPG.restoreReserve;
  memmap.set(dst, PG.uptodate | (memmap.flags[src]! & PG.dirty));
  const spool = hugetlb.subpools.get(src);
  hugetlb.subpools.delete(src);
  if (spool !== undefined) hugetlb.subpools.set(dst, spool);
  if (mapping !== null) memmap.mapping[src] = 0;
  return true;
}
