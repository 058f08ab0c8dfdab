/**
 * @linux mm/mremap.c
 * @omits Whole tables are not moved by their upper entry (`move_normal_pmd()`); entries move one by one, 2 MiB that
 *   are mapped as one at once.
 * @omits The old address is not rounded down to move more at once (`try_realign_addr()`).
 * @omits The lock of reverse walks is always taken, where Linux leaves it out if the order of a walk makes it
 *   needless.
 * @own checkRemap, expandInPlace, flushMoved, mayGrow, mergeApart, moveEach, moveOne, moveTable, movedPte,
 *   movesAlone, remap, remapTo, withoutCtx
 */
import { SWITCH, type Atomic, type MaySleep } from "../kernel/coroutine.js";
import { Errno } from "../kernel/errno.js";
import { Op, tableObject } from "../kernel/op.js";
import type { Kernel } from "../kernel.js";
import { HPAGE_PMD_NR, PTE, USER_VPN_END, ptePresent } from "../arch/pgtable.js";
import { EventRank } from "../fs/userfaultfd_events.js";
import { VM, VM_LOCKED_MASK, type Mm, type Vma } from "./mm_types.js";
import { NotifyEvent, type NotifierRange } from "./mmu_notifier.js";
import { PteMarker } from "./pte_marker.js";
import { isUffdRwp } from "./uffd_rwp.js";

/** MREMAP_* as the generic ABI has them. */
export enum Mremap {
  MAYMOVE = 1,
  FIXED = 2,
  DONTUNMAP = 4,
}

const KNOWN_FLAGS = Mremap.MAYMOVE | Mremap.FIXED | Mremap.DONTUNMAP;
/** What a move needs of vm.max_map_count: a copy, and what it and the old range are cut from. */
const MOVE_MAP_COUNT = 5;

/** A call as it was asked for, in pages. `newStart` means something only with FIXED, or as a hint with DONTUNMAP. */
export interface RemapRequest {
  readonly start: number;
  readonly oldPages: number;
  /** Where the old range ends, in pages; before its start where it goes around the end of all addresses. */
  readonly oldEnd: number;
  readonly newPages: number;
  readonly flags: number;
  readonly newStart: number;
}

/** What can be said of a call before looking at the address space: 0, or -EINVAL. */
export function checkRemap(_k: Kernel, r: RemapRequest): number {
  if ((r.flags & ~KNOWN_FLAGS) !== 0 || !Number.isInteger(r.start)) return -Errno.EINVAL;
  if (r.newPages <= 0 || r.newPages > USER_VPN_END) return -Errno.EINVAL;
  if ((r.flags & (Mremap.FIXED | Mremap.DONTUNMAP)) === 0) return 0;
  if ((r.flags & Mremap.MAYMOVE) === 0) return -Errno.EINVAL;
  if ((r.flags & Mremap.DONTUNMAP) !== 0 && r.oldPages !== r.newPages) return -Errno.EINVAL;
  // An address that is only a hint, for DONTUNMAP, must be one that would do, too.
  if (!Number.isInteger(r.newStart) || r.newStart < 0 || r.newStart + r.newPages > USER_VPN_END) return -Errno.EINVAL;
  const apart = r.newStart + r.newPages <= r.start || r.oldEnd <= r.newStart;
  return apart ? 0 : -Errno.EINVAL;
}

/**
 * mremap(2): the new address in bytes, or a negated errno. Takes addresses and lengths in bytes,
 * lengths rounded up to pages. EINVAL for arguments that contradict each other, EFAULT where the
 * old range is not one mapping, ENOMEM where there is no room or no memory, or a limit is reached.
 */
export function* doMremap(
  k: Kernel,
  mm: Mm,
  addr: number,
  oldLen: number,
  newLen: number,
  flags: number,
  newAddr: number,
): MaySleep<number> {
  const request: RemapRequest = {
    start: addr / 4096,
    oldPages: lengthInPages(oldLen),
    oldEnd: endOf(addr, oldLen),
    newPages: lengthInPages(newLen),
    flags,
    newStart: newAddr / 4096,
  };
  const wrong = k.mremap.checkRemap(k, request);
  if (wrong !== 0) return wrong;
  if (!mm.mmapLock.tryWrite()) yield* mm.mmapLock.write();
  const result = yield* k.mremap.remap(k, mm, request);
  const grown = result < 0 ? null : mm.vmaAt(result);
  const events = k.uffdEvents.takeEvents(k, mm);
  yield* k.memory.mmapWriteUnlock(k, mm);
  yield* k.uffdEvents.tellEvents(k, events);
  if (result < 0) return result;
  // What is locked is all there: the rest is faulted in, as mmap does with MAP_LOCKED.
  if (grown !== null && (grown.flags & VM.LOCKED) !== 0 && request.newPages > request.oldPages) {
    yield* k.populate.mmPopulate(k, mm, result + request.oldPages, result + request.newPages, true);
  }
  return result * 4096;
}

/** The page behind a range. A negative length is an unsigned one of more than half of what there is. */
function endOf(addr: number, length: number): number {
  const end = (addr + Math.ceil(length / 4096) * 4096) / 4096;
  return end < 0 ? Infinity : end;
}

/** A length as pages; a negative number is an unsigned one of more than half of what there is, and the last page of those rounds up to 0. */
function lengthInPages(length: number): number {
  if (length > -4096 && length < 0) return 0;
  return length < 0 ? Infinity : Math.ceil(length / 4096);
}

/** The call itself, under mmap_lock for writing: the first page of where it is now, or a negated errno. */
export function* remap(k: Kernel, mm: Mm, asked: RemapRequest): MaySleep<number> {
  const vma = mm.vmaAt(asked.start);
  if (vma === null) return -Errno.EFAULT;
  // Each of several mappings is asked for itself then.
  if ((asked.flags & Mremap.FIXED) !== 0 && asked.oldPages === asked.newPages) return yield* k.mremap.moveEach(k, mm, asked);
  if ((vma.flags & VM.SEALED) !== 0) return -Errno.EPERM;
  const r = vma.isHugetlb ? k.hugetlbVma.alignRemap(k, vma, asked) : asked;
  if (typeof r === "number") return r;
  const { start, oldPages, newPages, flags } = r;
  // Length 0 asks for a second mapping of the same pages, which private memory cannot have.
  if (oldPages === 0 && (vma.flags & VM.SHARED) === 0) return -Errno.EINVAL;
  if ((flags & Mremap.DONTUNMAP) !== 0 && (vma.flags & VM.DONTEXPAND) !== 0) return -Errno.EINVAL;
  if ((flags & (Mremap.FIXED | Mremap.DONTUNMAP)) !== 0) return yield* k.mremap.remapTo(k, mm, vma, r);
  // What goes, or stays as it is, may lie in several mappings, or in none.
  if (newPages === oldPages) return start;
  if (newPages < oldPages) {
    if (start + oldPages > USER_VPN_END) return -Errno.EINVAL;
    const error = yield* k.mmap.unmapRange(k, mm, start + newPages, start + oldPages);
    return error === 0 ? start : error;
  }
  if (start + oldPages > vma.endVpn) return -Errno.EFAULT;
  const refused = k.mremap.mayGrow(k, vma, newPages - oldPages);
  if (refused !== 0) return refused;
  if (start + oldPages === vma.endVpn && (yield* k.mremap.expandInPlace(k, mm, vma, start + newPages))) return start;
  if ((flags & Mremap.MAYMOVE) === 0) return -Errno.ENOMEM;
  const to = k.mmap.getUnmappedAnonArea(k, mm, 0, newPages);
  if (to < 0) return -Errno.ENOMEM;
  return yield* k.mremap.moveVma(k, mm, vma, r, to);
}

/** Whether an area may have so many more pages: 0, or the errno that says no. */
export function mayGrow(k: Kernel, vma: Vma, pages: number): number {
  if ((vma.flags & VM.DONTEXPAND) !== 0) return -Errno.EFAULT;
  if (!k.mlock.mlockFutureOk(k, vma.mm, vma.flags, pages)) return -Errno.EAGAIN;
  if (!k.overcommit.mayExpandVm(k, vma.mm, vma.flags, pages)) return -Errno.ENOMEM;
  if ((vma.flags & VM.ACCOUNT) !== 0 && !k.overcommit.enoughMemory(k, vma.mm, pages)) return -Errno.ENOMEM;
  return 0;
}

/** Makes an area end later, if nothing is there yet; it may then be one with its neighbour. */
export function* expandInPlace(k: Kernel, mm: Mm, vma: Vma, end: number): MaySleep<boolean> {
  const { m } = k;
  const pages = end - vma.endVpn;
  if (end > USER_VPN_END || !k.mmap.rangeFree(k, mm, vma.endVpn, pages)) return false;
  yield* k.memory.vmaStartWrite(k, vma);
  yield* k.mmap.lockRmap(k, vma);
  if (m.point(Op.VmaTree, mm.id)) yield SWITCH;
  vma.endVpn = end;
  yield* k.mmap.unlockRmap(k, vma);
  k.mmap.account(k, vma, pages);
  const merged = yield* k.mmap.mergeAround(k, mm, vma);
  if (!k.uprobes.noUprobeEvents(k)) yield* k.uprobes.uprobeMmap(k, merged);
  return true;
}

/** DONTUNMAP, or FIXED with another length than before. */
export function* remapTo(k: Kernel, mm: Mm, vma: Vma, r: RemapRequest): MaySleep<number> {
  const { start, oldPages, newPages } = r;
  // Where the range gets shorter, what is cut off may lie in several mappings.
  if (start + Math.min(oldPages, newPages) > vma.endVpn) return -Errno.EFAULT;
  if (newPages > oldPages) {
    const refused = k.mremap.mayGrow(k, vma, newPages - oldPages);
    if (refused !== 0) return refused;
  }
  return yield* k.mremap.moveOne(k, mm, r);
}

/**
 * FIXED with the same length: moves what lies in a range, mapping by mapping. Since 6.17 that may be several, with
 * gaps between them ("permit mremap() move of multiple VMAs"); what lies at the new range is unmapped
 * mapping by mapping, too, so that it stays where there is a gap. An error on the way leaves those behind
 * it where they are.
 */
export function* moveEach(k: Kernel, mm: Mm, r: RemapRequest): MaySleep<number> {
  const end = r.start + r.oldPages;
  for (let vpn = r.start; vpn < end; ) {
    const i = mm.findVmaIndex(vpn);
    const vma = i < 0 ? undefined : mm.vmas[i];
    if (vma === undefined || vma.startVpn >= end) break;
    // mmap_lock would have to be dropped to tell of it: one alone can move, not one of several.
    if (vma.uffd !== null && (vpn > r.start || vma.endVpn < end)) return -Errno.EFAULT;
    const from = Math.max(vpn, vma.startVpn);
    const pages = Math.min(end, vma.endVpn) - from;
    const one: RemapRequest = { start: from, oldPages: pages, oldEnd: from + pages, newPages: pages, flags: r.flags, newStart: r.newStart + (from - r.start) };
    if ((vma.flags & VM.SEALED) !== 0) return -Errno.EPERM;
    const aligned = vma.isHugetlb ? k.hugetlbVma.alignRemap(k, vma, one) : one;
    if (typeof aligned === "number") return aligned;
    if ((r.flags & Mremap.DONTUNMAP) !== 0 && (vma.flags & VM.DONTEXPAND) !== 0) return -Errno.EINVAL;
    const result = yield* k.mremap.moveOne(k, mm, aligned);
    if (result < 0) return result;
    vpn = from + pages;
  }
  return r.newStart;
}

/** Moves a part of one mapping to where FIXED says, or to where there is room. */
export function* moveOne(k: Kernel, mm: Mm, r: RemapRequest): MaySleep<number> {
  const { start, newPages, flags } = r;
  if (((mm.vmaAt(start)?.flags ?? 0) & VM.SEALED) !== 0) return -Errno.EPERM;
  if (mm.vmas.length + MOVE_MAP_COUNT >= k.m.vmSysctl.maxMapCount) return -Errno.ENOMEM;
  const keepsOld = (flags & Mremap.DONTUNMAP) !== 0;
  if ((flags & Mremap.FIXED) !== 0) {
    const error = yield* k.mmap.unmapRange(k, mm, r.newStart, r.newStart + newPages, EventRank.MadeRoom);
    if (error !== 0) return error;
    // It may have been there, where the old range goes around the end of all addresses.
    if (mm.vmaAt(start) === null) return -Errno.EFAULT;
  }
  let oldPages = r.oldPages;
  if (oldPages > newPages) {
    if (start + oldPages > USER_VPN_END) return -Errno.EINVAL;
    const error = yield* k.mmap.unmapRange(k, mm, start + newPages, start + oldPages);
    if (error !== 0) return error;
    oldPages = newPages;
  }
  // Both may have cut the mapping.
  const vma = mm.vmaAt(start);
  if (vma === null || start + oldPages > vma.endVpn) return -Errno.EFAULT;
  // What was in the way counts no more.
  if (keepsOld && !k.overcommit.mayExpandVm(k, mm, vma.flags, newPages)) return -Errno.ENOMEM;
  if (keepsOld && (vma.flags & VM.ACCOUNT) !== 0 && !k.overcommit.enoughMemory(k, mm, newPages)) return -Errno.ENOMEM;
  // Of an area of huge pages nothing but FIXED comes here: it cannot grow, nor be left behind.
  const to = (flags & Mremap.FIXED) !== 0 ? r.newStart : k.mmap.getUnmappedAnonArea(k, mm, r.newStart, newPages);
  if (to < 0) return -Errno.ENOMEM;
  return yield* k.mremap.moveVma(k, mm, vma, { ...r, oldPages }, to);
}

/**
 * Moves pages of a mapping to a free range: a new area there, the entries over to it, and the old
 * range unmapped, or (DONTUNMAP) left as it is, without a page. The new first page, or a negated errno.
 */
export function* moveVma(k: Kernel, mm: Mm, whole: Vma, r: RemapRequest, to: number): MaySleep<number> {
  const { start, oldPages, newPages } = r;
  if (mm.vmas.length + 3 >= k.m.vmSysctl.maxMapCount) return -Errno.ENOMEM;
  // KSM pages are found by their addresses. What is mergeable stays that.
  const unmerged = yield* k.ksm.ksmMadvise(k, whole, start, start + oldPages, false);
  if (unmerged !== 0) return unmerged;
  const keepsOld = (r.flags & Mremap.DONTUNMAP) !== 0;
  let vma = k.mremap.movesAlone(k, whole, keepsOld) ? yield* k.mmap.isolateRange(k, mm, whole, start, start + oldPages) : whole;
  yield* k.memory.vmaStartWrite(k, vma);
  // It may be one with its neighbours at once; where nothing was faulted in, even with the mapping that it came from.
  const moving = yield* k.mremap.copyVma(k, vma, start, to, newPages);
  const copy = keepsOld ? yield* k.mremap.mergeApart(k, mm, moving, vma) : yield* k.mmap.mergeAround(k, mm, moving);
  vma = mm.vmaAt(start)!;
  const moved = yield* k.mremap.movePageTables(k, vma, copy, start, to, oldPages);
  if (moved < oldPages) {
    // There was no memory for page tables. The old ones are still there, so that the way back needs none.
    yield* k.mremap.movePageTables(k, copy, vma, to, start, moved);
    yield* k.mmap.unmapRange(k, mm, to, to + newPages);
    return -Errno.ENOMEM;
  }
  if (vma.isHugetlb) k.hugetlbVma.passOn(vma);
  yield* k.uffdEvents.mremapPrep(k, copy, start * 4096, to * 4096, oldPages * 4096);
  if (keepsOld) yield* k.mremap.dontunmapComplete(k, vma, start, start + oldPages);
  else yield* k.mmap.unmapRange(k, mm, start, start + oldPages);
  return to;
}

/** Whether an area is cut before a part of it moves: what huge pages have reserved goes along with them alone, and what is left behind is locked no more. */
export function movesAlone(_k: Kernel, vma: Vma, keepsOld: boolean): boolean {
  return vma.isHugetlb || (keepsOld && (vma.flags & VM.LOCKED) !== 0);
}

/** Merges an area with its neighbours, but not with the one that it is a copy of (since 7.3): what covers it then. */
export function* mergeApart(k: Kernel, mm: Mm, copy: Vma, from: Vma): MaySleep<Vma> {
  const at = mm.vmas.indexOf(copy);
  const upper = mm.vmas[at + 1];
  const merged = mm.vmas[at - 1] === from ? copy : yield* k.mmap.mergeBelow(k, mm, copy);
  if (upper === undefined || upper === from) return merged;
  const both = yield* k.mmap.mergeBelow(k, mm, upper);
  return both === upper ? merged : both;
}

/**
 * An area like another, elsewhere. It keeps the linear index of its pages, and the anon_vma, so that
 * reverse walks from pages that do not know of the move find them. Where nothing was faulted in yet
 * the index is that of the new address, as if it had been mapped there: so it can merge.
 */
export function* copyVma(k: Kernel, vma: Vma, start: number, to: number, pages: number): MaySleep<Vma> {
  const { mm, anonVma, file } = vma;
  const pgoff = vma.ops === null && anonVma === null ? to : vma.linearIndex(start);
  const copy = mm.newVma(to, to + pages, vma.flags, pgoff, file?.path ?? "", file);
  copy.lockSeq = mm.lockSeq;
  copy.ops = vma.ops;
  copy.uffd = vma.uffd;
  copy.policy = vma.policy;
  if (anonVma !== null) copy.anonPgoff = vma.anonPgoff + (start - vma.startVpn);
  if (vma.ops?.open !== undefined) yield* vma.ops.open(k);
  if (file !== null) file.references++;
  if (vma.isHugetlb) k.hugetlbVma.inherit(k, copy, vma);
  yield* k.mmap.linkFileVma(k, copy);
  if (anonVma !== null) {
    if (!anonVma.lock.tryWrite()) yield* anonVma.lock.write();
    copy.anonVma = anonVma;
    copy.anonId = vma.anonId;
    copy.forked = vma.forked;
    anonVma.vmas.add(copy);
  }
  if (k.m.point(Op.VmaTree, mm.id)) yield SWITCH;
  k.mmap.insertVma(k, mm, copy);
  if (anonVma !== null && !anonVma.lock.tryUnlock()) yield* anonVma.lock.unlock();
  k.mmap.account(k, copy, pages);
  return copy;
}

/** DONTUNMAP: the old area stays, with nothing in it, and is locked no more; one that moved as a whole forgets its anon_vma. */
export function* dontunmapComplete(k: Kernel, vma: Vma, start: number, end: number): MaySleep<void> {
  if ((vma.flags & VM.LOCKED) !== 0) vma.mm.lockedVm -= end - start;
  vma.flags &= ~VM_LOCKED_MASK;
  if (vma.startVpn !== start || vma.endVpn !== end) return;
  yield* k.mmap.unlinkAnonVma(k, vma);
  // As if it had just been mapped (since 7.3), so that it merges.
  vma.anonPgoff = vma.startVpn;
  if (vma.file === null) vma.pgoff = vma.startVpn;
}

/**
 * Moves the entries of a range of pages to another range, table by table; how many pages it came
 * to, which is less than `pages` when there was no memory for a table.
 */
export function* movePageTables(k: Kernel, vma: Vma, copy: Vma, start: number, to: number, pages: number): MaySleep<number> {
  if (vma.isHugetlb) return yield* k.hugetlbVma.moveHugetlbPageTables(k, vma, copy, start, to, pages);
  const range: NotifierRange = { mm: vma.mm, startVpn: start, endVpn: start + pages, event: NotifyEvent.UNMAP, owner: null };
  yield* k.mmuNotifier.invalidateRangeStart(k, range);
  let done = 0;
  while (done < pages) {
    const part = Math.min(pages - done, toTableEnd(start + done), toTableEnd(to + done));
    if (!(yield* k.mremap.moveTable(k, vma, copy, start + done, to + done, part))) break;
    done += part;
    yield* k.m.sched.condResched();
  }
  yield* k.mmuNotifier.invalidateRangeEnd(k, range);
  return done;
}

/** Pages from one on to the end of what its last-level table maps. */
function toTableEnd(vpn: number): number {
  return HPAGE_PMD_NR - (vpn & (HPAGE_PMD_NR - 1));
}

/** Moves what one old and one new table have; false when there is no memory for the new one. */
export function* moveTable(k: Kernel, vma: Vma, copy: Vma, vpn: number, to: number, pages: number): MaySleep<boolean> {
  const { m } = k;
  const { mm } = vma;
  if (m.point(Op.TableRead, tableObject(mm.id, vpn))) yield SWITCH;
  const oldPmd = m.pt.pmd(mm.pgd, vpn);
  if (oldPmd < 0 || m.pt.isNone(oldPmd)) return true;
  const newPmd = yield* k.memory.pmdAlloc(k, mm, to);
  if (newPmd < 0) return false;
  if (m.point(Op.PteRead, oldPmd)) yield SWITCH;
  if (m.pt.isLeaf(oldPmd)) {
    // Somebody else may split it meanwhile, or take it away.
    if (pages === HPAGE_PMD_NR && (yield* k.mremap.moveHugePmd(k, vma, vpn, to, oldPmd, newPmd))) return true;
    yield* k.hugeMemory.splitHugePmd(k, vma, vpn);
  }
  if (m.point(Op.TableRead, tableObject(mm.id, vpn))) yield SWITCH;
  const from = m.pt.lookup(mm.pgd, vpn);
  if (from < 0) return true;
  const into = yield* k.memory.pteAlloc(k, mm, to, newPmd);
  if (into < 0) return false;
  yield* k.mremap.movePtes(k, vma, copy, vpn, to, pages, from, into);
  return true;
}

/**
 * While entries move, no reverse walk may look: it could come to the new place before they are
 * there, and to the old one when they have left. Linux leaves the lock out where the walk's own
 * order makes that impossible.
 */
export function* takeRmapLocks(k: Kernel, vma: Vma): MaySleep<void> {
  yield* k.mmap.lockRmap(k, vma);
}

export function* dropRmapLocks(k: Kernel, vma: Vma): MaySleep<void> {
  yield* k.mmap.unlockRmap(k, vma);
}

/**
 * Moves entries one by one, as they are but for the soft-dirty mark: what came here is new at this
 * address. The locks of both tables are held until the old addresses are in no TLB: a CPU that has
 * one still reaches the page, which somebody who finds it by the new entry could take away.
 */
export function* movePtes(
  k: Kernel,
  vma: Vma,
  copy: Vma,
  vpn: number,
  to: number,
  pages: number,
  from: number,
  into: number,
): MaySleep<void> {
  const { m } = k;
  const { mm } = vma;
  yield* k.mremap.takeRmapLocks(k, copy);
  const oldPtl = m.pt.lockOf(from);
  const newPtl = m.pt.lockOf(into);
  if (!oldPtl.tryLock()) yield* oldPtl.lock();
  if (newPtl !== oldPtl && !newPtl.tryLock()) yield* newPtl.lock();
  if (k.tlbBatch.isFlushPending(k, mm)) yield* k.tlbBatch.flushTlbBatchedPending(k, mm);
  let present = false;
  for (let i = 0; i < pages; i++) {
    if (m.point(Op.PteRead, from + i)) yield SWITCH;
    if (m.pt.isNone(from + i)) continue;
    const [flags, pfn] = yield* k.memory.ptepGetAndClear(k, vpn + i, from + i);
    if (ptePresent(flags)) present = true;
    const marker = k.pteMarker.pteMarker(flags, pfn);
    if (marker === PteMarker.UFFD_WP && k.uffdEvents.losesCtx(k, vma)) continue;
    yield* k.memory.setPteAt(k, mm, to + i, into + i, marker !== 0 ? flags : k.mremap.movedPte(k, vma, flags, pfn), pfn);
  }
  if (present) yield* k.mremap.flushMoved(k, mm, vpn, vpn + pages);
  if (newPtl !== oldPtl && !newPtl.tryUnlock()) yield* newPtl.unlock();
  if (!oldPtl.tryUnlock()) yield* oldPtl.unlock();
  yield* k.mremap.dropRmapLocks(k, copy);
}

/** An entry at its new address. Since 6.14 userfaultfd's protection goes where its context does not come along. */
export function movedPte(k: Kernel, vma: Vma, flags: number, pfn: number): number {
  const kept = k.uffdEvents.losesCtx(k, vma) ? k.mremap.withoutCtx(k, vma, flags, pfn) : flags;
  return kept | (ptePresent(kept) ? PTE.SOFT_DIRTY : PTE.SWP_SOFT_DIRTY);
}

/** An entry without userfaultfd's protection, of whichever kind. */
export function withoutCtx(k: Kernel, vma: Vma, flags: number, pfn: number): number {
  return isUffdRwp(vma, flags) ? k.uffdRwp.untrapped(k, vma, flags, pfn) : k.uffdWp.withoutUffdWp(flags);
}

/** The old addresses leave the TLBs. */
export function* flushMoved(k: Kernel, mm: Mm, start: number, end: number): Atomic<void> {
  yield* k.tlbflush.flushTlbRange(k, mm, start, end);
}

/** Moves 2 MiB that one entry maps, as one; false when they are so no more. The table set aside for them goes along. */
export function* moveHugePmd(k: Kernel, vma: Vma, vpn: number, to: number, oldPmd: number, newPmd: number): MaySleep<boolean> {
  const { m } = k;
  const { mm } = vma;
  // A table that was left at the new place from before has nothing in it, and is in the way.
  if (!m.pt.isNone(newPmd)) return false;
  yield* k.mremap.takeRmapLocks(k, vma);
  const oldPtl = m.pt.lockOf(oldPmd);
  const newPtl = m.pt.lockOf(newPmd);
  if (!oldPtl.tryLock()) yield* oldPtl.lock();
  if (newPtl !== oldPtl && !newPtl.tryLock()) yield* newPtl.lock();
  if (m.point(Op.PteRead, oldPmd)) yield SWITCH;
  const huge = m.pt.isLeaf(oldPmd);
  if (huge) {
    const [flags, pfn] = yield* k.memory.ptepGetAndClear(k, vpn, oldPmd);
    m.touches(Op.TableWrite, tableObject(mm.id, vpn));
    yield* k.memory.setPteAt(k, mm, to, newPmd, k.mremap.movedPte(k, vma, flags, pfn), pfn);
    yield* k.mremap.flushMoved(k, mm, vpn, vpn + HPAGE_PMD_NR);
  }
  if (newPtl !== oldPtl && !newPtl.tryUnlock()) yield* newPtl.unlock();
  if (!oldPtl.tryUnlock()) yield* oldPtl.unlock();
  yield* k.mremap.dropRmapLocks(k, vma);
  return huge;
}
