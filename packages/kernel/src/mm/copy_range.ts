/**
 * @linux mm/memory.c
 * @omits Entries of a large folio are copied one by one, where `copy_present_ptes()` takes them as a batch.
 * @own childPte, copyEntry, copyPinnedPage, copyPmd, copyPresentPte, needsCopyForDma, writeProtectSeq
 */
import { SWITCH, type Atomic, type MaySleep } from "../kernel/coroutine.js";
import { Errno } from "../kernel/errno.js";
import { Op, tableObject } from "../kernel/op.js";
import type { Kernel } from "../kernel.js";
import { PTE, PTRS_PER_TABLE, ptePresent, tableIndex } from "../arch/pgtable.js";
import { RssKind, VM, VM_UFFD_PROTECTS, type Vma } from "./mm_types.js";
import { NotifyEvent, type NotifierRange } from "./mmu_notifier.js";
import { NO_PAGE, PG } from "./page.js";
import { maybeMkwrite, vmPageProt } from "./vm_prot.js";
import { PTE_MARKER_FLAGS, PteMarker } from "./pte_marker.js";
import { isUffdRwp, trapped } from "./uffd_rwp.js";
import { isUffdWp } from "./uffd_wp.js";
import { GFP_ANON_FOLIO } from "./gfp.js";

/** What fork copies though a fault would find the pages again: what stands in the entries alone (since 6.19 a mask). */
const VM_COPY_ON_FORK = VM_UFFD_PROTECTS | VM.MAYBE_GUARD | VM.PFNMAP;

/** More entries than this cannot name one swap slot. */
const SWAP_COUNT_MAX = 255;

/** An entry of the parent that has been looked at. */
export enum Copied {
  Done,
  /** It is an ordinary entry now: look again. */
  Again,
  /** The folio lock that this takes is somebody else's: fork fails rather than waits. */
  Busy,
  NoMemory,
  /** A pinned page is the parent's alone: the child needs one for a copy, or has used the one that it got. */
  NeedsPage,
  UsedPage,
}

/**
 * Gives a VMA of a child what the parent's has: entries that share the pages, read-only on both
 * sides where a write is to copy. The caller holds the parent's mmap_lock for writing, has locked
 * its VMA, and flushes the parent's TLBs afterwards. 0, -ENOMEM, or -EBUSY: what has been copied
 * until then stays for the child's own end.
 */
export function* copyPageRange(k: Kernel, dst: Vma, src: Vma): MaySleep<number> {
  // Nothing that faults would not find again.
  if (src.anonVma === null && src.ops?.isMixedMap !== true && (dst.flags & VM_COPY_ON_FORK) === 0) return 0;
  const cow = src.isCow;
  const range: NotifierRange = { mm: src.mm, startVpn: src.startVpn, endVpn: src.endVpn, event: NotifyEvent.PROTECTION_PAGE, owner: null };
  if (cow) {
    yield* k.mmuNotifier.invalidateRangeStart(k, range);
    yield* k.copyRange.writeProtectSeq(k, src);
  }
  let error = src.isHugetlb ? yield* k.hugetlbVma.copyHugetlbPageRange(k, dst, src, cow) : 0;
  for (let vpn = src.startVpn; vpn < src.endVpn && error === 0 && !src.isHugetlb; ) {
    const end = Math.min(src.endVpn, (Math.floor(vpn / PTRS_PER_TABLE) + 1) * PTRS_PER_TABLE);
    error = yield* k.copyRange.copyPmd(k, dst, src, vpn, end);
    vpn = end;
  }
  if (cow) {
    yield* k.copyRange.writeProtectSeq(k, src);
    yield* k.mmuNotifier.invalidateRangeEnd(k, range);
  }
  return error;
}

/** Pages become shared, or no more do: who pins without locks meanwhile does it again with them (write_protect_seq). */
export function* writeProtectSeq(k: Kernel, src: Vma): Atomic<void> {
  if (k.m.point(Op.MmCounter, src.mm.id)) yield SWITCH;
  src.mm.writeProtectSeq++;
}

/** The part of `copyPageRange` below one level-1 entry. */
export function* copyPmd(k: Kernel, dst: Vma, src: Vma, vpn: number, end: number): MaySleep<number> {
  const { m } = k;
  if (m.point(Op.TableRead, tableObject(src.mm.id, vpn))) yield SWITCH;
  const pmd = m.pt.pmd(src.mm.pgd, vpn);
  if (pmd < 0) return 0;
  // Where the parent has a table the child gets one, whatever is in it.
  const dstPmd = yield* k.memory.pmdAlloc(k, dst.mm, vpn);
  if (dstPmd < 0) return -Errno.ENOMEM;
  if (m.pt.isNone(pmd)) return 0;
  if (m.pt.isLeaf(pmd)) {
    const error = yield* k.hugeMemory.copyHugePmd(k, dst, src, vpn, pmd);
    if (error !== -Errno.EAGAIN) return error;
  }
  if (m.point(Op.TableRead, tableObject(src.mm.id, vpn))) yield SWITCH;
  const node = m.pt.child(pmd);
  if (node < 0) return 0;
  const first = yield* k.memory.pteAlloc(k, dst.mm, vpn, dstPmd);
  if (first < 0) return -Errno.ENOMEM;
  return yield* k.copyRange.copyPteRange(k, dst, src, vpn, end, first, node * PTRS_PER_TABLE + tableIndex(vpn, 0));
}

/** Copies the entries of [start, end), which one table has on each side; the first of each is given. */
export function* copyPteRange(k: Kernel, dst: Vma, src: Vma, start: number, end: number, firstDst: number, firstSrc: number): MaySleep<number> {
  const { m } = k;
  const [dstPtl, srcPtl] = [m.pt.lockOf(firstDst), m.pt.lockOf(firstSrc)];
  let result: Copied = Copied.Done;
  let spare = NO_PAGE;
  for (let vpn = start; vpn < end && result <= Copied.Again; ) {
    if (!dstPtl.tryLock()) yield* dstPtl.lock();
    if (!srcPtl.tryLock()) yield* srcPtl.lock();
    while (vpn < end && result <= Copied.Again) {
      result = yield* k.copyRange.copyEntry(k, dst, src, vpn, firstDst + (vpn - start), firstSrc + (vpn - start), spare);
      if (result === Copied.UsedPage) {
        spare = NO_PAGE;
        result = Copied.Done;
      }
      if (result === Copied.Done) vpn++;
    }
    if (!srcPtl.tryUnlock()) yield* srcPtl.unlock();
    if (!dstPtl.tryUnlock()) yield* dstPtl.unlock();
    if (result !== Copied.NeedsPage) continue;
    // Not under the locks: the entry is looked at again then.
    spare = yield* k.memory.allocAnonFolio(k, m.memcgs.ofMm(src.mm), GFP_ANON_FOLIO, k.mempolicy.vmaNodes(k, src, vpn));
    result = spare === NO_PAGE ? Copied.NoMemory : Copied.Again;
  }
  if (spare !== NO_PAGE) yield* k.swap.folioPut(k, spare, "alloc");
  if (result === Copied.Busy) return -Errno.EBUSY;
  if (result === Copied.NoMemory) return -Errno.ENOMEM;
  yield* m.sched.condResched();
  return 0;
}

/** One entry, from one table to the other; both are locked. */
export function* copyEntry(k: Kernel, dst: Vma, src: Vma, vpn: number, to: number, from: number, spare: number): Atomic<Copied> {
  const { m } = k;
  if (m.point(Op.PteRead, from)) yield SWITCH;
  const flags = m.pt.flags(from);
  const pfn = m.pt.pfn(from);
  if (flags === 0) return Copied.Done;
  if (!ptePresent(flags)) return yield* k.copyRange.copyNonpresentPte(k, dst, src, vpn, to, from, flags, pfn);
  if (yield* k.copyRange.needsCopyForDma(k, src, flags, pfn)) {
    if (spare === NO_PAGE) return Copied.NeedsPage;
    yield* k.copyRange.copyPinnedPage(k, dst, vpn, to, m.memmap.pfnToPage(pfn), spare, isUffdWp(dst, flags) || isUffdRwp(dst, flags));
    return Copied.UsedPage;
  }
  yield* k.copyRange.copyPresentPte(k, dst, src, vpn, to, from, flags, pfn);
  return Copied.Done;
}

/** A parent's entry for the child: userfaultfd's protection is for who is registered for it. */
export function childPte(k: Kernel, dst: Vma, src: Vma, flags: number, pfn: number): number {
  if ((dst.flags & VM_UFFD_PROTECTS) !== 0) return flags;
  if (!isUffdRwp(src, flags)) return k.uffdWp.withoutUffdWp(flags);
  // What the child writes is copied: nobody has the page alone any more.
  const open = k.uffdRwp.untrapped(k, dst, flags, pfn);
  return src.isCow ? open & ~PTE.W : open;
}

/**
 * Whether the parent's page may be pinned for DMA. It must go on being the page at its address, so that it cannot be
 * shared: a write by the parent would then go to a copy, and the device's not (Documentation/core-api/pin_user_pages.rst).
 */
export function* needsCopyForDma(k: Kernel, src: Vma, flags: number, pfn: number): Atomic<boolean> {
  const { memmap } = k.m;
  if (!src.mm.hasPinned || (flags & PTE.SPECIAL) !== 0) return false;
  const folio = memmap.folioOf(memmap.pfnToPage(pfn));
  if (k.m.point(Op.RefCompare, folio)) yield SWITCH;
  return memmap.isAnon(folio) && memmap.isPinned(folio) && memmap.has(memmap.pfnToPage(pfn), PG.anonExclusive);
}

/** The child gets a copy at once, protected as the parent's page is. */
export function* copyPinnedPage(k: Kernel, dst: Vma, vpn: number, to: number, page: number, copy: number, wp: boolean): Atomic<void> {
  const { m } = k;
  if (m.point(Op.FrameRead, page)) yield SWITCH;
  m.ram.copy(copy, page);
  k.rmap.folioAddNewAnonRmap(k, copy, dst, vpn);
  yield* k.swap.folioAddLru(k, copy);
  dst.mm.addRss(RssKind.anon, 1);
  const flags = vmPageProt(dst.flags) | PTE.D | PTE.SOFT_DIRTY;
  yield* k.memory.setPteAt(k, dst.mm, vpn, to, wp ? trapped(dst, flags | PTE.UFFD_WP) : maybeMkwrite(flags, dst.flags), m.memmap.pageToPfn(copy));
  m.refs?.put(copy, "alloc");
}

/** The child maps the page as well: neither has it alone any more, so that the first write copies it. */
export function* copyPresentPte(k: Kernel, dst: Vma, src: Vma, vpn: number, to: number, from: number, flags: number, pfn: number): Atomic<void> {
  const { memmap } = k.m;
  let copy = flags;
  if ((flags & PTE.SPECIAL) === 0) {
    const page = memmap.pfnToPage(pfn);
    const folio = memmap.folioOf(page);
    yield* k.swap.folioGetUnowned(k, folio);
    if (memmap.isAnon(folio)) yield* k.rmap.folioDupAnonRmapPte(k, folio, page, dst);
    else yield* k.rmap.folioAddFileRmapPte(k, folio, page, dst);
    dst.mm.addRss(k.rmap.rssKind(k, folio), 1);
  }
  // Dirty, too, if the hardware has marked it so until then.
  if (src.isCow && (flags & PTE.W) !== 0) copy = (yield* k.memory.ptepModify(k, src.mm, vpn, from, (now) => now & ~PTE.W)) & ~PTE.W;
  // Young is what the parent has used; of shared memory, dirty is what it has written.
  if ((src.flags & VM.SHARED) !== 0) copy &= ~PTE.D;
  yield* k.memory.setPteAt(k, dst.mm, vpn, to, k.copyRange.childPte(k, dst, src, copy, pfn) & ~PTE.A, pfn);
}

/** An entry in swap, on its way to another frame, or with a device. */
export function* copyNonpresentPte(k: Kernel, dst: Vma, src: Vma, vpn: number, to: number, from: number, flags: number, pfn: number): Atomic<Copied> {
  const { m } = k;
  const { swapops } = k;
  if (swapops.isDeviceExclusive(k, flags)) return yield* k.copyRange.tryRestoreExclusivePte(k, src, vpn, from, flags, pfn);
  let copy = flags;
  if (swapops.isSwapEntry(k, flags)) {
    if (m.point(Op.SwapMap, pfn)) yield SWITCH;
    if (m.swap.count[pfn] === SWAP_COUNT_MAX) return Copied.NoMemory;
    m.swap.count[pfn]!++;
    copy &= ~PTE.SWP_EXCLUSIVE;
    dst.mm.addRss(RssKind.swap, 1);
  } else if (swapops.isDevicePrivate(k, flags)) {
    const page = m.memmap.pfnToPage(pfn);
    const folio = m.memmap.folioOf(page);
    // A page of the device that both have from now on, until one of them writes it, or wants it back.
    yield* k.swap.folioGetUnowned(k, folio);
    yield* k.rmap.folioDupAnonRmapPte(k, folio, page, dst);
    dst.mm.addRss(RssKind.anon, 1);
    if (src.isCow) copy = swapops.makeReadableDevicePrivate(k, flags);
  } else if (swapops.isMigration(k, flags)) {
    // Who moves the folio gives both of them the new frame.
    if (src.isCow) copy = swapops.makeReadableMigration(k, flags);
    dst.mm.addRss(k.rmap.rssKind(k, m.memmap.folioOf(m.memmap.pfnToPage(pfn))), 1);
  }
  if (copy !== flags) yield* k.memory.setPteAt(k, src.mm, vpn, from, copy, pfn);
  const marker = k.pteMarker.pteMarker(flags, pfn);
  if (marker === 0) yield* k.memory.setPteAt(k, dst.mm, vpn, to, k.copyRange.childPte(k, dst, src, copy, pfn), pfn);
  else {
    // A new one, of which nothing is remembered but what it says.
    const kept = (dst.flags & VM.UFFD_WP) !== 0 ? marker : marker & ~PteMarker.UFFD_WP;
    if (kept !== 0) yield* k.memory.setPteAt(k, dst.mm, vpn, to, PTE_MARKER_FLAGS, kept);
  }
  return Copied.Done;
}

/**
 * A page that a device has exclusively becomes the parent's again, and is then shared like any
 * other ("mm: Device exclusive memory access", 2021: so that what the child sees is what the
 * parent had). The device knows from the notifier. Under the page-table lock the folio's can
 * only be tried for.
 */
export function* tryRestoreExclusivePte(k: Kernel, vma: Vma, vpn: number, ptep: number, flags: number, pfn: number): Atomic<Copied> {
  const { memmap } = k.m;
  const page = memmap.pfnToPage(pfn);
  const folio = memmap.folioOf(page);
  if (!(yield* k.folioLock.folioTrylock(k, folio))) return Copied.Busy;
  yield* k.memory.restoreExclusivePte(k, vma, folio, page, vpn, ptep, flags);
  yield* k.folioLock.folioUnlock(k, folio);
  return Copied.Again;
}
