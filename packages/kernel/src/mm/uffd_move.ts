/**
 * @linux mm/userfaultfd.c
 * @omits Entries move one by one, where Linux moves those of one table as a batch with one flush
 *   (`move_present_ptes()`).
 * @own getStable, isPinned, isStable, lockBoth, move, moveAnonRmap, moveEntry, moveHuge, moveHugeEntry,
 *   moveLockedFolio, movePresentPte, moveStep, moveSwapEntry, moveZeroPte, readLocked, validateMove
 */
import { SWITCH, type Atomic, type MaySleep } from "../kernel/coroutine.js";
import { Errno } from "../kernel/errno.js";
import { Op, tableObject } from "../kernel/op.js";
import type { SpinLock } from "../kernel/locks.js";
import type { Kernel } from "../kernel.js";
import { HPAGE_PMD_NR, PTE, ptePresent } from "../arch/pgtable.js";
import type { UserfaultfdCtx } from "../fs/userfaultfd_ctx.js";
import { VM, VM_ACCESS, type Mm, type Vma } from "./mm_types.js";
import { NotifyEvent, type NotifierRange } from "./mmu_notifier.js";
import { MAPPING_ANON, NO_PAGE, PG } from "./page.js";
import { trapped } from "./uffd_rwp.js";
import { vmPageProt } from "./vm_prot.js";

/** One page on its way: the VMAs are locked, `to` and `from` are page numbers. */
export interface Move {
  readonly dst: Vma;
  readonly src: Vma;
  readonly to: number;
  readonly from: number;
  /** Nothing to move is all right. */
  readonly holes: boolean;
}

/**
 * UFFDIO_MOVE of valid ranges of the current task's address space: bytes that have been moved, or where there are none a
 * negated errno: -ENOENT for holes and what is no VMA, -EINVAL for VMAs that do not go together, -EEXIST where
 * something is mapped, -EBUSY for pages that are not this address space's alone, -EAGAIN, -ENOMEM, -EINTR, -ESRCH.
 */
export function* move(k: Kernel, ctx: UserfaultfdCtx, dst: number, src: number, len: number, holes: boolean): MaySleep<number> {
  if (!(yield* k.fork.mmgetNotZero(k, ctx.mm))) return -Errno.ESRCH;
  const pages = len / 4096;
  const to = dst / 4096;
  const from = src / 4096;
  let moved = 0;
  let result = 0;
  const vmas = yield* k.uffdMove.lockBoth(k, ctx.mm, to, from);
  if (vmas === null) result = -Errno.ENOENT;
  else {
    if (!ctx.mapChangingLock.tryRead()) yield* ctx.mapChangingLock.read();
    result = (yield* k.uffdEvents.isChanging(k, ctx)) ? -Errno.EAGAIN : k.uffdMove.validateMove(k, ctx, vmas.dst, vmas.src, to, from, pages);
    while (result === 0 && moved < pages) {
      const step = yield* k.uffdMove.moveStep(k, { ...vmas, to: to + moved, from: from + moved, holes }, pages - moved);
      yield* k.m.sched.condResched();
      if (k.m.signals.fatalPending(k.m.current!)) result = -Errno.EINTR;
      if (step > 0) moved += step;
      else if (step !== -Errno.EAGAIN) result = step;
      else if (k.m.retries.again("move_pages")) yield SWITCH;
    }
    if (!ctx.mapChangingLock.tryUnlock()) yield* ctx.mapChangingLock.unlock();
    yield* k.memory.vmaEndRead(k, vmas.dst);
    if (vmas.src !== vmas.dst) yield* k.memory.vmaEndRead(k, vmas.src);
  }
  yield* k.fork.mmput(k, ctx.mm);
  return moved > 0 ? moved * 4096 : result;
}

/** Read-locks the VMA of one page, with an anon_vma, and that of another; null where there is none. */
export function* lockBoth(k: Kernel, mm: Mm, to: number, from: number): MaySleep<{ readonly dst: Vma; readonly src: Vma } | null> {
  const dst = yield* k.memory.lockVmaUnderRcu(k, mm, to);
  if (dst !== null) {
    if (k.uffdFill.isPrepared(k, dst)) {
      if (from >= dst.startVpn && from < dst.endVpn) return { dst, src: dst };
      const src = yield* k.memory.lockVmaUnderRcu(k, mm, from);
      if (src !== null) return { dst, src };
    }
    // Who has a VMA must not wait for mmap_lock: its holder may wait for the VMA.
    yield* k.memory.vmaEndRead(k, dst);
  }
  if (!mm.mmapLock.tryRead()) yield* mm.mmapLock.read();
  const below = mm.vmaAt(to);
  const above = mm.vmaAt(from);
  if (below !== null && above !== null) {
    yield* k.uffdFill.lockUnderMmapLock(k, below);
    if (above !== below) {
      if (k.m.point(Op.VmaRead, above.id)) yield SWITCH;
      above.beginRead();
    }
  } else if (below !== null && !k.uffdFill.isPrepared(k, below)) {
    // Before it is known that there is nothing to move.
    yield* k.rmap.anonVmaPrepare(k, below);
  }
  if (!mm.mmapLock.tryUnlock()) yield* mm.mmapLock.unlock();
  return below === null || above === null ? null : { dst: below, src: above };
}

/** Whether pages may go from one VMA to the other: 0, or -EINVAL. */
export function validateMove(_k: Kernel, ctx: UserfaultfdCtx, dst: Vma, src: Vma, to: number, from: number, pages: number): number {
  if (from + pages > src.endVpn || to + pages > dst.endVpn) return -Errno.EINVAL;
  const anonymous = (vma: Vma): boolean => vma.ops === null;
  const alike = ((src.flags ^ dst.flags) & (VM_ACCESS | VM.LOCKED)) === 0;
  if (!alike || (src.flags & VM.WRITE) === 0 || !anonymous(src) || !anonymous(dst)) return -Errno.EINVAL;
  return dst.uffd === ctx ? 0 : -Errno.EINVAL;
}

/** Moves one page, or 2 MiB that are mapped as one: how many pages, -EAGAIN to look again, or another negated errno. */
export function* moveStep(k: Kernel, move: Move, left: number): MaySleep<number> {
  const { m } = k;
  const { dst, src, to, from, holes } = move;
  const { mm } = dst;
  if (m.point(Op.TableRead, tableObject(mm.id, from))) yield SWITCH;
  if (m.pt.pmd(mm.pgd, from) < 0 && !holes) return -Errno.ENOENT;
  const srcPmd = yield* k.memory.pmdAlloc(k, mm, from);
  const dstPmd = yield* k.memory.pmdAlloc(k, mm, to);
  if (srcPmd < 0 || dstPmd < 0) return -Errno.ENOMEM;
  if (m.point(Op.PteRead, dstPmd)) yield SWITCH;
  if (m.pt.isLeaf(dstPmd)) return -Errno.EEXIST;
  if (m.point(Op.PteRead, srcPmd)) yield SWITCH;
  if (m.pt.isLeaf(srcPmd)) {
    if (k.hugeMigrate.isMigrationPmd(k, srcPmd)) {
      yield* k.migrate.migrationEntryWait(k, srcPmd);
      return -Errno.EAGAIN;
    }
    const whole = left >= HPAGE_PMD_NR && ((to | from) & (HPAGE_PMD_NR - 1)) === 0;
    if (whole && m.pt.isNone(dstPmd)) return yield* k.uffdMove.moveHuge(k, move, dstPmd, srcPmd);
    const shared = (m.pt.flags(srcPmd) & PTE.SPECIAL) === 0 && !m.memmap.has(m.memmap.pfnToPage(m.pt.pfn(srcPmd)), PG.anonExclusive);
    if (shared) return -Errno.EBUSY;
    yield* k.hugeMemory.splitHugePmd(k, src, from);
    return -Errno.EAGAIN;
  }
  if (m.pt.isNone(srcPmd) && !holes) return -Errno.ENOENT;
  const srcPte = yield* k.uffdFill.entryToFill(k, mm, from);
  if (srcPte < 0) return srcPte === -Errno.EEXIST ? -Errno.EAGAIN : srcPte;
  const dstPte = yield* k.uffdFill.entryToFill(k, mm, to);
  if (dstPte < 0) return dstPte;
  const range: NotifierRange = { mm, startVpn: from, endVpn: from + 1, event: NotifyEvent.CLEAR, owner: null };
  yield* k.mmuNotifier.invalidateRangeStart(k, range);
  const result = yield* k.uffdMove.moveEntry(k, move, dstPte, srcPte);
  yield* k.mmuNotifier.invalidateRangeEnd(k, range);
  return result;
}

/** One last-level entry, whatever is in it: 1, or a negated errno. */
export function* moveEntry(k: Kernel, move: Move, dstPte: number, srcPte: number): MaySleep<number> {
  const [there] = yield* k.uffdMove.readLocked(k, dstPte);
  if (there !== 0) return -Errno.EEXIST;
  const [flags, pfn] = yield* k.uffdMove.readLocked(k, srcPte);
  if (flags === 0) return move.holes ? 1 : -Errno.ENOENT;
  if (ptePresent(flags)) {
    if ((flags & PTE.SPECIAL) !== 0) return yield* k.uffdMove.moveZeroPte(k, move, dstPte, srcPte, flags, pfn);
    return yield* k.uffdMove.movePresentPte(k, move, dstPte, srcPte, flags, pfn);
  }
  if (k.swapops.isMigration(k, flags)) {
    yield* k.migrate.migrationEntryWait(k, srcPte);
    return -Errno.EAGAIN;
  }
  if (!k.swapops.isSwapEntry(k, flags)) return -Errno.EFAULT;
  if ((flags & PTE.SWP_EXCLUSIVE) === 0) return -Errno.EBUSY;
  return yield* k.uffdMove.moveSwapPte(k, move, dstPte, srcPte, flags, pfn);
}

/** An entry, as [flags, pfn], when nobody is about to change it: without the lock reclaim's would look empty for a moment. */
export function* readLocked(k: Kernel, ptep: number): Atomic<[number, number]> {
  const { m } = k;
  const ptl = m.pt.lockOf(ptep);
  if (!ptl.tryLock()) yield* ptl.lock();
  if (m.point(Op.PteRead, ptep)) yield SWITCH;
  const flags = m.pt.flags(ptep);
  const pfn = m.pt.pfn(ptep);
  if (!ptl.tryUnlock()) yield* ptl.unlock();
  return [flags, pfn];
}

/** What comes to a VMA that is registered for accesses is protected from them. */
function armed(vma: Vma, flags: number): number {
  return (vma.flags & VM.UFFD_RWP) !== 0 ? trapped(vma, flags | PTE.UFFD_WP) : flags;
}

/** Locks the tables of both entries, the lower one first: moves may go both ways at once. */
function* doubleLock(k: Kernel, a: number, b: number): Atomic<readonly SpinLock[]> {
  const { pt } = k.m;
  const first = pt.lockOf(Math.min(a, b));
  const second = pt.lockOf(Math.max(a, b));
  if (!first.tryLock()) yield* first.lock();
  if (second === first) return [first];
  if (!second.tryLock()) yield* second.lock();
  return [second, first];
}

function* doubleUnlock(locks: readonly SpinLock[]): Atomic<void> {
  for (const lock of locks) if (!lock.tryUnlock()) yield* lock.unlock();
}

/** Under both locks: whether the entries still are what they were, the new one empty. */
export function* isStable(k: Kernel, dstPte: number, srcPte: number, flags: number, pfn: number): Atomic<boolean> {
  const { m } = k;
  if (m.point(Op.PteRead, srcPte)) yield SWITCH;
  if (!m.pt.same(srcPte, flags, pfn)) return false;
  if (m.point(Op.PteRead, dstPte)) yield SWITCH;
  return m.pt.isNone(dstPte);
}

/** The page of zeros. */
export function* moveZeroPte(k: Kernel, { dst, src, to, from }: Move, dstPte: number, srcPte: number, flags: number, pfn: number): MaySleep<number> {
  const locks = yield* doubleLock(k, dstPte, srcPte);
  const stable = yield* k.uffdMove.isStable(k, dstPte, srcPte, flags, pfn);
  if (stable) {
    yield* k.memory.ptepClearFlush(k, src, from, srcPte);
    yield* k.memory.setPteAt(k, dst.mm, to, dstPte, armed(dst, vmPageProt(dst.flags) | PTE.SPECIAL), pfn);
  }
  yield* doubleUnlock(locks);
  return stable ? 1 : -Errno.EAGAIN;
}

/** An ordinary page, which must be this address space's alone. */
export function* movePresentPte(k: Kernel, move: Move, dstPte: number, srcPte: number, flags: number, pfn: number): MaySleep<number> {
  const { memmap } = k.m;
  const page = memmap.pfnToPage(pfn);
  const folio = memmap.folioOf(page);
  if (!memmap.has(page, PG.anonExclusive)) return -Errno.EBUSY;
  if (!(yield* k.uffdMove.getStable(k, srcPte, flags, pfn, folio))) return -Errno.EAGAIN;
  if (!k.folioLock.tryFolioLock(k, folio)) yield* k.folioLock.folioLock(k, folio);
  let result: number;
  // One that a huge entry has mapped, or several: its pages go one by one.
  if (memmap.isLarge(folio)) {
    yield* k.hugeSplit.splitFolio(k, folio);
    result = -Errno.EAGAIN;
  } else result = yield* k.uffdMove.moveLockedFolio(k, move, dstPte, srcPte, flags, pfn);
  yield* k.folioLock.folioUnlock(k, folio);
  yield* k.swap.folioPut(k, folio, "uffd_move");
  return result;
}

/** Takes a reference at site "uffd_move" while the entry that has the folio cannot go; false where it has gone. */
export function* getStable(k: Kernel, ptep: number, flags: number, pfn: number, folio: number): Atomic<boolean> {
  const { m } = k;
  const ptl = m.pt.lockOf(ptep);
  if (!ptl.tryLock()) yield* ptl.lock();
  if (m.point(Op.PteRead, ptep)) yield SWITCH;
  const same = m.pt.same(ptep, flags, pfn);
  if (same) yield* k.swap.folioGet(k, folio, "uffd_move");
  if (!ptl.tryUnlock()) yield* ptl.unlock();
  return same;
}

/** The folio is locked; reverse walks wait for the anon_vma. */
export function* moveLockedFolio(k: Kernel, { dst, src, to, from }: Move, dstPte: number, srcPte: number, flags: number, pfn: number): MaySleep<number> {
  const { memmap, anonVmas } = k.m;
  const folio = memmap.pfnToPage(pfn);
  const anonVma = anonVmas.get(memmap.mapping[folio]! >> 1);
  if (anonVma === undefined) return -Errno.EAGAIN;
  if (!anonVma.lock.tryWrite()) yield* anonVma.lock.write();
  const locks = yield* doubleLock(k, dstPte, srcPte);
  let result = 1;
  if (!(yield* k.uffdMove.isStable(k, dstPte, srcPte, flags, pfn))) result = -Errno.EAGAIN;
  else if (memmap.isLarge(folio) || !memmap.has(folio, PG.anonExclusive) || (yield* k.uffdMove.isPinned(k, folio))) result = -Errno.EBUSY;
  else {
    const [old] = yield* k.memory.ptepClearFlush(k, src, from, srcPte);
    // Who pins it without locks has seen the entry go, or is seen here.
    if (yield* k.uffdMove.isPinned(k, folio)) {
      yield* k.memory.setPteAt(k, src.mm, from, srcPte, old, pfn);
      result = -Errno.EBUSY;
    } else {
      k.uffdMove.moveAnonRmap(k, folio, dst, to);
      const now = armed(dst, vmPageProt(dst.flags) | PTE.W | PTE.SOFT_DIRTY | (old & PTE.D));
      yield* k.memory.setPteAt(k, dst.mm, to, dstPte, now, pfn);
    }
  }
  yield* doubleUnlock(locks);
  if (!anonVma.lock.tryUnlock()) yield* anonVma.lock.unlock();
  return result;
}

/** Whether a device has the folio for itself, which must then stay at its address. */
export function* isPinned(k: Kernel, folio: number): Atomic<boolean> {
  if (k.m.point(Op.RefCompare, folio)) yield SWITCH;
  return k.m.memmap.isPinned(folio);
}

/** Reverse walks from a locked folio come to the new place from here on. */
export function moveAnonRmap(k: Kernel, folio: number, vma: Vma, vpn: number): void {
  const { m } = k;
  m.touches(Op.PageFlags, folio);
  m.memmap.mapping[folio] = (vma.anonVma!.id << 1) | MAPPING_ANON;
  m.memmap.index[folio] = vma.linearIndex(vpn);
}

/** A page that is in swap, and perhaps in the swap cache. */
export function* moveSwapPte(k: Kernel, move: Move, dstPte: number, srcPte: number, flags: number, offset: number): MaySleep<number> {
  const { memmap } = k.m;
  const folio = yield* k.swapState.swapCacheGetFolio(k, offset);
  if (folio === NO_PAGE) return yield* k.uffdMove.moveSwapEntry(k, move, dstPte, srcPte, flags, offset, NO_PAGE);
  let result = -Errno.EBUSY;
  if (!memmap.isLarge(folio)) {
    if (!k.folioLock.tryFolioLock(k, folio)) yield* k.folioLock.folioLock(k, folio);
    result = k.swapState.servesSlot(k, folio, offset)
      ? yield* k.uffdMove.moveSwapEntry(k, move, dstPte, srcPte, flags, offset, folio)
      : -Errno.EAGAIN;
    yield* k.folioLock.folioUnlock(k, folio);
  }
  yield* k.swap.folioPut(k, folio, "swapin");
  return result;
}

/** The entry itself, with the locked folio that the swap cache has for it, or NO_PAGE. */
export function* moveSwapEntry(k: Kernel, { dst, src, to, from }: Move, dstPte: number, srcPte: number, flags: number, offset: number, folio: number): MaySleep<number> {
  const { m } = k;
  const locks = yield* doubleLock(k, dstPte, srcPte);
  let stable = yield* k.uffdMove.isStable(k, dstPte, srcPte, flags, offset);
  if (stable && folio === NO_PAGE) {
    // One that has come into the cache since would not know of the move.
    if (m.point(Op.SwapCache, offset)) yield SWITCH;
    stable = m.swap.cache[offset] === NO_PAGE;
  }
  if (stable) {
    if (folio !== NO_PAGE) k.uffdMove.moveAnonRmap(k, folio, dst, to);
    yield* k.memory.ptepGetAndClear(k, from, srcPte);
    yield* k.memory.setPteAt(k, src.mm, to, dstPte, flags | PTE.SWP_SOFT_DIRTY | ((dst.flags & VM.UFFD_RWP) !== 0 ? PTE.SWP_UFFD_WP : 0), offset);
  }
  yield* doubleUnlock(locks);
  return stable ? 1 : -Errno.EAGAIN;
}

/** 2 MiB that one entry maps, to where there is no table yet. */
export function* moveHuge(k: Kernel, move: Move, dstPmd: number, srcPmd: number): MaySleep<number> {
  const { m } = k;
  const { memmap } = m;
  const flags = m.pt.flags(srcPmd);
  const pfn = m.pt.pfn(srcPmd);
  const range: NotifierRange = { mm: move.src.mm, startVpn: move.from, endVpn: move.from + HPAGE_PMD_NR, event: NotifyEvent.CLEAR, owner: null };
  if ((flags & PTE.SPECIAL) !== 0) {
    yield* k.mmuNotifier.invalidateRangeStart(k, range);
    const result = yield* k.uffdMove.moveHugeEntry(k, move, dstPmd, srcPmd, flags, pfn);
    yield* k.mmuNotifier.invalidateRangeEnd(k, range);
    return result;
  }
  const folio = memmap.pfnToPage(pfn);
  if (!memmap.has(folio, PG.anonExclusive)) return -Errno.EBUSY;
  if (!(yield* k.uffdMove.getStable(k, srcPmd, flags, pfn, folio))) return -Errno.EAGAIN;
  yield* k.mmuNotifier.invalidateRangeStart(k, range);
  if (!k.folioLock.tryFolioLock(k, folio)) yield* k.folioLock.folioLock(k, folio);
  const anonVma = m.anonVmas.get(memmap.mapping[folio]! >> 1);
  let result = -Errno.EAGAIN;
  if (anonVma !== undefined) {
    if (!anonVma.lock.tryWrite()) yield* anonVma.lock.write();
    result = yield* k.uffdMove.moveHugeEntry(k, move, dstPmd, srcPmd, flags, pfn);
    if (!anonVma.lock.tryUnlock()) yield* anonVma.lock.unlock();
  }
  yield* k.folioLock.folioUnlock(k, folio);
  yield* k.mmuNotifier.invalidateRangeEnd(k, range);
  yield* k.swap.folioPut(k, folio, "uffd_move");
  return result;
}

/** The entry itself; the table that was set aside for it is the address space's, and stays. */
export function* moveHugeEntry(k: Kernel, { dst, src, to, from }: Move, dstPmd: number, srcPmd: number, flags: number, pfn: number): MaySleep<number> {
  const { m } = k;
  const zero = (flags & PTE.SPECIAL) !== 0;
  const locks = yield* doubleLock(k, dstPmd, srcPmd);
  let result: number = -Errno.EAGAIN;
  if (yield* k.uffdMove.isStable(k, dstPmd, srcPmd, flags, pfn)) {
    const folio = m.memmap.pfnToPage(pfn);
    const busy = !zero && (!m.memmap.has(folio, PG.anonExclusive) || (yield* k.uffdMove.isPinned(k, folio)));
    if (busy) result = -Errno.EBUSY;
    else {
      const [old] = yield* k.hugeMemory.pmdClearFlush(k, src, from, srcPmd);
      if (!zero) k.uffdMove.moveAnonRmap(k, folio, dst, to);
      const prot = vmPageProt(dst.flags) | PTE.SOFT_DIRTY;
      yield* k.memory.setPteAt(k, dst.mm, to, dstPmd, armed(dst, zero ? prot | PTE.SPECIAL : prot | PTE.W | (old & PTE.D)), pfn);
      result = HPAGE_PMD_NR;
    }
  }
  yield* doubleUnlock(locks);
  return result;
}
