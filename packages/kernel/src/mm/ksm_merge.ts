/**
 * @linux mm/ksm.c
 * @omits `mm_tlb_flush_pending()`: what a TLB may have writable yet is in an entry of a page that this mapping has alone, which
 *   is flushed anyway.
 * @omits The kind of checksum (xxhash): another one tells pages apart as well.
 * @own entryProtected, mergeWithStable, mergeWithUnstable
 */
import { SWITCH, type Atomic, type MaySleep } from "../kernel/coroutine.js";
import { Errno } from "../kernel/errno.js";
import { Op, tableObject } from "../kernel/op.js";
import type { Kernel } from "../kernel.js";
import { PTE, ptePresent } from "../arch/pgtable.js";
import type { RmapItem, StableNode } from "./ksm_state.js";
import { RssKind, type Vma } from "./mm_types.js";
import { NotifyEvent, type NotifierRange } from "./mmu_notifier.js";
import { NO_PAGE, PG } from "./page.js";
import { startWalk } from "./page_vma_mapped.js";
import { vmPageProt } from "./vm_prot.js";

/** Machine time of a checksum, besides its points. */
const CHECKSUM_NS = 1000;

/** An entry as it was. */
export interface PteValue {
  readonly flags: number;
  readonly pfn: number;
}

/** Something that is not to change: what a page has is worth looking for when it is the same twice in a row. */
export function* calcChecksum(k: Kernel, page: number): Atomic<number> {
  const { m } = k;
  if (m.point(Op.FrameRead, page)) yield SWITCH;
  m.charge(CHECKSUM_NS);
  return m.ram.checksum(page);
}

/**
 * Write-protects the only mapping of a folio that may be written through: the entry as it is then, or null where the folio cannot be
 * merged. It is locked. Others that map it have it write-protected already.
 */
export function* writeProtectPage(k: Kernel, vma: Vma, folio: number): MaySleep<PteValue | null> {
  const vpn = k.rmap.pageAddressInVma(k, folio, folio, vma);
  if (vpn < 0) return null;
  const range: NotifierRange = { mm: vma.mm, startVpn: vpn, endVpn: vpn + 1, event: NotifyEvent.CLEAR, owner: null };
  yield* k.mmuNotifier.invalidateRangeStart(k, range);
  const walk = startWalk(k, folio, vma, vpn);
  let entry: PteValue | null = null;
  if (yield* k.pageVmaMapped.pageVmaMappedWalk(k, walk)) {
    entry = yield* k.ksmMerge.entryProtected(k, vma, folio, vpn, walk.entry);
    yield* k.pageVmaMapped.releaseWalk(walk);
  }
  yield* k.mmuNotifier.invalidateRangeEnd(k, range);
  return entry;
}

/**
 * Under the page-table lock: the entry without leave to write; null, and nothing done, for a page that a device has, or that
 * somebody refers to who could write to it.
 */
export function* entryProtected(k: Kernel, vma: Vma, folio: number, vpn: number, ptep: number): Atomic<PteValue | null> {
  const { m } = k;
  const { memmap } = m;
  const flags = m.pt.flags(ptep);
  if (!ptePresent(flags)) return null;
  if ((flags & (PTE.W | PTE.D)) === 0 && !memmap.has(folio, PG.anonExclusive)) return { flags, pfn: m.pt.pfn(ptep) };
  // Who takes a reference without locks sees that the entry is clear, or is seen here.
  const [old, pfn] = yield* k.memory.ptepClearFlush(k, vma, vpn, ptep);
  if (m.point(Op.RefCompare, folio)) yield SWITCH;
  const held = memmap.refcount[folio] !== k.rmap.expectedRefs(k, folio);
  if (held || !(yield* k.rmap.tryShareAnonRmap(k, folio, folio))) {
    yield* k.memory.setPteAt(k, vma.mm, vpn, ptep, old, pfn);
    return null;
  }
  if ((old & PTE.D) !== 0) memmap.set(folio, PG.dirty);
  const clean = old & ~(PTE.D | PTE.W);
  yield* k.memory.setPteAt(k, vma.mm, vpn, ptep, clean, pfn);
  return { flags: clean, pfn };
}

/** Maps `kpage`, or the page of zeros, where `page` is mapped by the entry `orig`; -EFAULT where that is not so any more. */
export function* replacePage(k: Kernel, vma: Vma, page: number, kpage: number, orig: PteValue): MaySleep<number> {
  const { m } = k;
  const { memmap } = m;
  const { mm } = vma;
  const vpn = k.rmap.pageAddressInVma(k, page, page, vma);
  if (vpn < 0) return -Errno.EFAULT;
  if (m.point(Op.TableRead, tableObject(mm.id, vpn))) yield SWITCH;
  const ptep = m.pt.lookup(mm.pgd, vpn);
  if (ptep < 0) return -Errno.EFAULT;
  const range: NotifierRange = { mm, startVpn: vpn, endVpn: vpn + 1, event: NotifyEvent.CLEAR, owner: null };
  yield* k.mmuNotifier.invalidateRangeStart(k, range);
  const ptl = m.pt.lockOf(ptep);
  if (!ptl.tryLock()) yield* ptl.lock();
  if (m.point(Op.PteRead, ptep)) yield SWITCH;
  const same = m.pt.same(ptep, orig.flags, orig.pfn);
  if (same) {
    let flags = vmPageProt(vma.flags);
    if (kpage === m.zones.zeroPage) {
      // Dirty, unlike what a read fault maps: so it is known later whose doing it was.
      flags |= PTE.SPECIAL | PTE.D;
      k.ksm.ksmMapZeroPage(k, mm);
      mm.addRss(RssKind.anon, -1);
    } else {
      yield* k.swap.folioGetUnowned(k, kpage);
      yield* k.rmap.folioAddAnonRmapPte(k, kpage, kpage, vma, vpn, false);
    }
    yield* k.memory.ptepClearFlush(k, vma, vpn, ptep);
    yield* k.memory.setPteAt(k, mm, vpn, ptep, flags, memmap.pageToPfn(kpage));
    yield* k.rmap.folioRemoveRmapPte(k, page, page, vma);
    if (memmap.has(page, PG.swapcache) && memmap.folioMapcount(page) === 0) yield* k.swapfile.folioFreeSwap(k, page);
    yield* k.swap.folioPutUnowned(k, page);
  }
  if (!ptl.tryUnlock()) yield* ptl.unlock();
  yield* k.mmuNotifier.invalidateRangeEnd(k, range);
  return same ? 0 : -Errno.EFAULT;
}

/**
 * Merges a page that a VMA maps: with `kpage`, which is a KSM page or the page of zeros, or (NO_PAGE) by making a KSM page of it. 0, or
 * -EFAULT where that cannot be. mmap_lock is held.
 */
export function* tryToMergeOnePage(k: Kernel, vma: Vma, page: number, kpage: number): MaySleep<number> {
  const { m } = k;
  const { memmap } = m;
  // A child's mapping of a page that was merged before.
  if (page === kpage) return 0;
  let folio = memmap.folioOf(page);
  if (!memmap.isAnon(folio) || !(yield* k.folioLock.folioTrylock(k, folio))) return -Errno.EFAULT;
  if (memmap.isLarge(folio)) {
    if ((yield* k.hugeSplit.splitFolio(k, folio, null, 0, NO_PAGE, { page, site: "ksm" })) !== 0) {
      yield* k.folioLock.folioUnlock(k, folio);
      return -Errno.EFAULT;
    }
    folio = page;
  }
  let error = -Errno.EFAULT;
  const orig = yield* k.ksmMerge.writeProtectPage(k, vma, folio);
  if (orig !== null) {
    if (kpage === NO_PAGE) {
      if (m.point(Op.PageFlags, folio)) yield SWITCH;
      memmap.setKsm(folio, 0);
      yield* k.swap.folioMarkAccessed(k, folio);
      // Or reclaim would take a page that nobody has written since for one that swap has.
      memmap.set(folio, PG.dirty);
      error = 0;
    } else if ((yield* k.ksmTree.comparePages(k, page, kpage)) === 0) error = yield* k.ksmMerge.replacePage(k, vma, page, kpage, orig);
  }
  yield* k.folioLock.folioUnlock(k, folio);
  return error;
}

/** The same for what the item knows of: then it is known for good where it is mapped. */
export function* tryToMergeWithKsmPage(k: Kernel, item: RmapItem, page: number, kpage: number): MaySleep<number> {
  const { mm } = item;
  if (!mm.mmapLock.tryRead()) yield* mm.mmapLock.read();
  const vma = k.ksmd.findMergeableVma(k, mm, item.vpn);
  let error = -Errno.EFAULT;
  if (vma !== null) {
    error = yield* k.ksmMerge.tryToMergeOnePage(k, vma, page, kpage);
    if (error === 0) {
      yield* k.ksmTree.removeRmapItemFromTree(k, item);
      k.m.touches(Op.Ksm, 0);
      item.anonVma = vma.anonVma;
    }
  }
  if (!mm.mmapLock.tryUnlock()) yield* mm.mmapLock.unlock();
  return error;
}

/** Makes a KSM page of one page, and merges another with it: false where they stay as they are. */
export function* tryToMergeTwoPages(k: Kernel, item: RmapItem, page: number, other: RmapItem, otherPage: number): MaySleep<boolean> {
  if ((yield* k.ksmMerge.tryToMergeWithKsmPage(k, item, page, NO_PAGE)) !== 0) return false;
  if ((yield* k.ksmMerge.tryToMergeWithKsmPage(k, other, otherPage, page)) === 0) return true;
  // Nobody shares it.
  yield* k.ksmMerge.breakCow(k, item);
  return false;
}

/** Maps the page of zeros where a page has nothing but those, and that is wanted: 0; else what the page is, is looked at further. */
export function* tryToMergeWithZeroPage(k: Kernel, item: RmapItem, page: number): MaySleep<number> {
  const { m } = k;
  const { mm } = item;
  if (!m.ksm.useZeroPages || item.checksum !== m.ram.checksum(m.zones.zeroPage)) return -Errno.EFAULT;
  if (!mm.mmapLock.tryRead()) yield* mm.mmapLock.read();
  const vma = k.ksmd.findMergeableVma(k, mm, item.vpn);
  // Where there is nothing to merge any more, there is nothing to look at either.
  const error = vma === null ? 0 : yield* k.ksmMerge.tryToMergeOnePage(k, vma, page, m.zones.zeroPage);
  if (!mm.mmapLock.tryUnlock()) yield* mm.mmapLock.unlock();
  return error;
}

/** What was merged in vain is the mapping's own again. */
export function* breakCow(k: Kernel, item: RmapItem): MaySleep<void> {
  const { mm, vpn } = item;
  k.m.touches(Op.Ksm, 0);
  item.anonVma = null;
  if (!mm.mmapLock.tryRead()) yield* mm.mmapLock.read();
  const vma = k.ksmd.findMergeableVma(k, mm, vpn);
  if (vma !== null) yield* k.ksm.breakKsm(k, vma, vpn, vpn + 1);
  if (!mm.mmapLock.tryUnlock()) yield* mm.mmapLock.unlock();
}

/**
 * Looks for another page with the contents of this one, to which the caller has a reference: among KSM pages, then among those
 * that did not change since they were last looked at.
 */
export function* cmpAndMergePage(k: Kernel, page: number, item: RmapItem): MaySleep<void> {
  const { m } = k;
  const { memmap, ksm } = m;
  const node = k.ksmTree.stableNodeOf(k, memmap.folioOf(page));
  if (node !== null) {
    if (!node.isAstray && k.ksmTree.nidOf(k, node.page) !== (ksm.mergeAcrossNodes ? 0 : node.nid)) {
      // Its page has moved to another NUMA node.
      k.ksmTree.goAstray(k, node);
    }
    if (!node.isAstray && item.node === node) return;
  } else {
    yield* k.ksmTree.removeRmapItemFromTree(k, item);
    const checksum = yield* k.ksmMerge.calcChecksum(k, page);
    if (item.checksum !== checksum) {
      m.touches(Op.Ksm, 0);
      item.checksum = checksum;
      return;
    }
    if ((yield* k.ksmMerge.tryToMergeWithZeroPage(k, item, page)) === 0) return;
  }
  const kfolio = yield* k.ksmTree.stableTreeSearch(k, page);
  if (kfolio >= 0 && kfolio === page && item.node === node && node !== null) {
    yield* k.swap.folioPut(k, kfolio, "ksm");
    return;
  }
  yield* k.ksmTree.removeRmapItemFromTree(k, item);
  if (kfolio >= 0) return yield* k.ksmMerge.mergeWithStable(k, item, page, kfolio);
  if (kfolio === NO_PAGE) yield* k.ksmMerge.mergeWithUnstable(k, item, page);
}

/** Merges with a KSM folio, whose reference goes. */
export function* mergeWithStable(k: Kernel, item: RmapItem, page: number, kfolio: number): MaySleep<void> {
  if ((yield* k.ksmMerge.tryToMergeWithKsmPage(k, item, page, kfolio)) === 0) {
    if (!k.folioLock.tryFolioLock(k, kfolio)) yield* k.folioLock.folioLock(k, kfolio);
    k.ksmTree.stableTreeAppend(k, item, k.ksmTree.stableNodeOf(k, kfolio)!);
    yield* k.folioLock.folioUnlock(k, kfolio);
  }
  yield* k.swap.folioPut(k, kfolio, "ksm");
}

/** Merges with a page of the unstable tree; where there is none like it, the page is one of them now. */
export function* mergeWithUnstable(k: Kernel, item: RmapItem, page: number): MaySleep<void> {
  const { memmap } = k.m;
  const match = yield* k.ksmTree.unstableTreeSearchInsert(k, item, page);
  if (match === null) return;
  const merged = yield* k.ksmMerge.tryToMergeTwoPages(k, item, page, match.item, match.page);
  const folio = memmap.folioOf(page);
  // Two pages of one folio have each a reference that keeps the other from splitting it.
  const split = !merged && memmap.isLarge(folio) && folio === memmap.folioOf(match.page);
  yield* k.swap.folioPut(k, memmap.folioOf(match.page), "ksm");
  if (merged) {
    if (!k.folioLock.tryFolioLock(k, page)) yield* k.folioLock.folioLock(k, page);
    const node: StableNode = yield* k.ksmTree.stableTreeInsert(k, page);
    k.ksmTree.stableTreeAppend(k, match.item, node);
    k.ksmTree.stableTreeAppend(k, item, node);
    yield* k.folioLock.folioUnlock(k, page);
  } else if (split && (yield* k.folioLock.folioTrylock(k, folio))) {
    yield* k.hugeSplit.splitFolio(k, folio, null, 0, NO_PAGE, { page, site: "ksm" });
    yield* k.folioLock.folioUnlock(k, memmap.folioOf(page));
  }
}
