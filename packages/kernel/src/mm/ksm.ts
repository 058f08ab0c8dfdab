/**
 * @linux mm/ksm.c
 * @omits DAX files, of which private mappings cannot be merged.
 * @own copyForSwapin, findKsmPage, profit, setMergeAny, unmergeRange
 */
import { SWITCH, type Atomic, type MaySleep } from "../kernel/coroutine.js";
import { Errno } from "../kernel/errno.js";
import { Op, tableObject } from "../kernel/op.js";
import { Restart } from "../kernel/signal.js";
import type { Kernel } from "../kernel.js";
import { PTE, PTRS_PER_TABLE, ptePresent } from "../arch/pgtable.js";
import { FaultFlag, VmFault } from "./fault_flags.js";
import { GFP_ANON_FOLIO } from "./gfp.js";
import { KsmMmSlot, KsmRun } from "./ksm_state.js";
import { VM, VM_SPECIAL, type Mm, type Vma } from "./mm_types.js";
import { MAPPING_ANON, NO_PAGE, PG } from "./page.js";
import type { RmapOne } from "./rmap.js";

/*
 * What the rest of the kernel has to do with KSM. Who looks for pages to merge is ksmd (`ksmd.ts`), and how is in `ksm_merge.ts`.
 */

/* Which memory. */

/** Whether KSM would look at memory with these VM flags. */
export function ksmCompatible(_k: Kernel, flags: number): boolean {
  return (flags & (VM.SHARED | VM.MAYSHARE | VM_SPECIAL | VM.HUGETLB | VM.DROPPABLE)) === 0;
}

/** The flags of a new mapping where all of an address space is mergeable. */
export function ksmVmaFlags(k: Kernel, mm: Mm, flags: number): number {
  return mm.mergeAny && k.ksm.ksmCompatible(k, flags) ? flags | VM.MERGEABLE : flags;
}

/** MADV_MERGEABLE has come to memory that can be merged: ksmd is to look at the address space. MADV_UNMERGEABLE: what it has merged is undone. */
export function* ksmMadvise(k: Kernel, vma: Vma, start: number, end: number, on: boolean): MaySleep<number> {
  if (on) {
    if (vma.mm.ksmSlot === null) yield* k.ksm.ksmEnter(k, vma.mm);
    return 0;
  }
  return (vma.flags & VM.MERGEABLE) === 0 || vma.anonVma === null ? 0 : yield* k.ksm.unmergeRange(k, vma, start, end);
}

/** Undoes what is merged in a range of a VMA, which nobody else looks at meanwhile. */
export function* unmergeRange(k: Kernel, vma: Vma, start: number, end: number): MaySleep<number> {
  yield* k.memory.vmaStartWrite(k, vma);
  return yield* k.ksm.breakKsm(k, vma, start, end);
}

/** prctl(PR_SET_MEMORY_MERGE): what there is becomes mergeable, or not, and what is mapped from here on. 0 or a negated errno. */
export function* setMergeAny(k: Kernel, mm: Mm, on: boolean): MaySleep<number> {
  if (!mm.mmapLock.tryWrite()) yield* mm.mmapLock.write();
  let error = 0;
  if (mm.mergeAny !== on) {
    if (on && mm.ksmSlot === null) yield* k.ksm.ksmEnter(k, mm);
    if (!on) error = yield* unmergeAll(k, mm);
    if (error === 0) mm.mergeAny = on;
    // What could not be undone stays mergeable, and so does all the rest.
    if (mm.mergeAny) {
      for (const vma of mm.vmas) {
        yield* k.memory.vmaStartWrite(k, vma);
        if (k.ksm.ksmCompatible(k, vma.flags)) vma.flags |= VM.MERGEABLE;
      }
    }
  }
  yield* k.memory.mmapWriteUnlock(k, mm);
  return error;
}

function* unmergeAll(k: Kernel, mm: Mm): MaySleep<number> {
  for (const vma of mm.vmas) {
    yield* k.memory.vmaStartWrite(k, vma);
    if ((vma.flags & VM.MERGEABLE) === 0) continue;
    const error = vma.anonVma === null ? 0 : yield* k.ksm.unmergeRange(k, vma, vma.startVpn, vma.endVpn);
    if (error !== 0) return error;
    vma.flags &= ~VM.MERGEABLE;
  }
  return 0;
}

/* Which address spaces. */

/** ksmd looks through an address space from now on: last in its order, or, while what was merged is to be undone, at the end of it. */
export function* ksmEnter(k: Kernel, mm: Mm): Atomic<void> {
  const { ksm } = k.m;
  if (k.m.point(Op.Ksm, 0)) yield SWITCH;
  const slot = new KsmMmSlot(mm);
  const behind = ksm.run === KsmRun.Unmerge || ksm.cursor === null ? ksm.slots.length : ksm.slots.indexOf(ksm.cursor.slot);
  ksm.slots.splice(behind, 0, slot);
  mm.ksmSlot = slot;
  if (ksm.slots.length === 1) k.ksmd.wakeKsmd(k);
}

/** A child's memory is as mergeable as its parent's was. */
export function* ksmFork(k: Kernel, mm: Mm, old: Mm): Atomic<void> {
  yield* k.ksm.ksmEnter(k, mm);
  // The entries for the page of zeros that it gets a copy of.
  mm.ksmZeroPages = old.ksmZeroPages;
  k.m.ksm.zeroPages += old.ksmZeroPages;
}

/** An address space ends. What ksmd knows of it goes when ksmd comes to it, which is soon; it may be in there now. */
export function* ksmExit(k: Kernel, mm: Mm): MaySleep<void> {
  const { ksm } = k.m;
  if (k.m.point(Op.Ksm, 0)) yield SWITCH;
  const slot = mm.ksmSlot;
  if (slot === null) return;
  if (ksm.cursor?.slot !== slot) {
    ksm.slots.splice(ksm.slots.indexOf(slot), 1);
    if (slot.items.length === 0) {
      mm.ksmSlot = null;
      mm.mergeAny = false;
      return;
    }
    ksm.slots.splice(ksm.cursor === null ? 0 : ksm.slots.indexOf(ksm.cursor.slot) + 1, 0, slot);
  }
  // Until whoever breaks pages apart in it has ended.
  if (!mm.mmapLock.tryWrite()) yield* mm.mmapLock.write();
  yield* k.memory.mmapWriteUnlock(k, mm);
}

/* Pages are pages of one mapping again. */

/**
 * Every KSM page in a range, and every page of zeros that KSM has mapped there, becomes a page of the mapping's own. 0, -ENOMEM, or
 * -ERESTARTSYS for a signal. mmap_lock is held.
 */
export function* breakKsm(k: Kernel, vma: Vma, start: number, end: number): MaySleep<number> {
  const { m } = k;
  for (let vpn = start; ; ) {
    yield* m.sched.condResched();
    vpn = yield* k.ksm.findKsmPage(k, vma, vpn, end);
    if (vpn < 0) return vpn;
    if (vpn === end) return 0;
    const fault = yield* k.memory.handleMmFault(k, vma, vpn, FaultFlag.UNSHARE | FaultFlag.REMOTE);
    if ((fault & (VmFault.SIGBUS | VmFault.SIGSEGV | VmFault.OOM)) !== 0) return (fault & VmFault.OOM) !== 0 ? -Errno.ENOMEM : 0;
    // Until it is found to be none: the fault backs out where something comes in between.
    if (m.retries.again("break_ksm")) yield SWITCH;
  }
}

/** The first page that KSM has mapped in a range; its end where there is none; -ERESTARTSYS. Those on their way to another frame count. */
export function* findKsmPage(k: Kernel, vma: Vma, start: number, end: number): MaySleep<number> {
  const { m } = k;
  for (let vpn = start; vpn < end; ) {
    if (m.current!.process !== null && m.signals.pending(m.current!)) return -Restart.ERESTARTSYS;
    const tableEnd = Math.min(end, (vpn | (PTRS_PER_TABLE - 1)) + 1);
    if (m.point(Op.TableRead, tableObject(vma.mm.id, vpn))) yield SWITCH;
    const first = m.pt.lookup(vma.mm.pgd, vpn);
    if (first >= 0) {
      const ptl = m.pt.lockOf(first);
      if (!ptl.tryLock()) yield* ptl.lock();
      let at = vpn;
      for (; at < tableEnd; at++) {
        if (m.pt.isNone(first + (at - vpn))) continue;
        if (m.point(Op.PteRead, first + (at - vpn))) yield SWITCH;
        if (mapsKsm(k, first + (at - vpn))) break;
      }
      if (!ptl.tryUnlock()) yield* ptl.unlock();
      if (at < tableEnd) return at;
    }
    vpn = tableEnd;
  }
  return end;
}

function mapsKsm(k: Kernel, ptep: number): boolean {
  const { pt, memmap } = k.m;
  const flags = pt.flags(ptep);
  const pfn = pt.pfn(ptep);
  if (k.ksm.isKsmZeroPte(k, flags, pfn)) return true;
  const named = (ptePresent(flags) && (flags & PTE.SPECIAL) === 0) || k.swapops.isMigration(k, flags);
  if (!named) return false;
  const page = memmap.pfnToPage(pfn);
  return page >= 0 && memmap.isKsm(memmap.folioOf(page));
}

/* The page of zeros. */

/** Whether an entry maps the page of zeros because KSM has put that in the place of a page. */
export function isKsmZeroPte({ m }: Kernel, flags: number, pfn: number): boolean {
  const mark = PTE.SPECIAL | PTE.D;
  return (flags & mark) === mark && ptePresent(flags) && pfn === m.memmap.pageToPfn(m.zones.zeroPage);
}

export function ksmMapZeroPage({ m }: Kernel, mm: Mm): void {
  m.touches(Op.Ksm, 0);
  m.ksm.zeroPages++;
  mm.ksmZeroPages++;
}

/** An entry goes that maps a page of zeros. */
export function ksmMightUnmapZeroPage(k: Kernel, mm: Mm, flags: number, pfn: number): void {
  if (!k.ksm.isKsmZeroPte(k, flags, pfn)) return;
  k.m.touches(Op.Ksm, 0);
  k.m.ksm.zeroPages--;
  mm.ksmZeroPages--;
}

/* Swap. */

/**
 * Whether a folio of the swap cache cannot be mapped at an address as it is: its mappings would not be found there, for it has been
 * mapped by somebody with whom the VMA has nothing in common. So it is with what was a KSM page before it went to swap.
 */
export function ksmMightNeedToCopy({ m }: Kernel, folio: number, vma: Vma, vpn: number): boolean {
  const { memmap, ksm } = m;
  const mapping = memmap.mapping[folio]!;
  if (mapping === 0 || memmap.isLarge(folio)) return false;
  if (memmap.isKsm(folio)) return memmap.ksmNode(folio) === 0 || ksm.run === KsmRun.Unmerge;
  return mapping !== ((vma.anonVma!.id << 1) | MAPPING_ANON) || memmap.index[folio] !== vma.linearIndex(vpn);
}

/** A copy of a folio, with a reference at site "alloc", for one VMA; NO_PAGE where memory is out. */
export function* copyForSwapin(k: Kernel, folio: number, vma: Vma, vpn: number): MaySleep<number> {
  const { m } = k;
  const copy = yield* k.memory.allocAnonFolio(k, m.memcgs.ofMm(vma.mm), GFP_ANON_FOLIO, k.mempolicy.vmaNodes(k, vma, vpn));
  if (copy === NO_PAGE) return NO_PAGE;
  if (m.point(Op.FrameRead, folio)) yield SWITCH;
  m.ram.copy(copy, folio);
  m.memmap.set(copy, PG.dirty | PG.uptodate);
  m.vmstat.events.ksm_swpin_copy++;
  return copy;
}

/* KSM pages as any other. */

/**
 * Visits every VMA that may map a KSM folio, which is locked: first those of which ksmd knows, then those of children that have
 * got the page since.
 */
export function* rmapWalkKsm(k: Kernel, folio: number, one: RmapOne): MaySleep<void> {
  const node = k.ksmTree.stableNodeOf(k, folio);
  if (node === null) return;
  for (const forks of [false, true]) {
    for (const { mm, vpn, anonVma } of node.items) {
      yield* k.m.sched.condResched();
      if (anonVma === null) continue;
      if (!anonVma.lock.tryRead()) yield* anonVma.lock.read();
      let goesOn = true;
      for (const vma of anonVma.vmas) {
        if (vpn < vma.startVpn || vpn >= vma.endVpn || (vma.mm === mm) === forks) continue;
        goesOn = yield* one(k, folio, vma, vpn);
        if (!goesOn) break;
      }
      if (!anonVma.lock.tryUnlock()) yield* anonVma.lock.unlock();
      if (!goesOn) return;
    }
  }
}

/** A KSM folio moves: its node goes along. Both are locked. */
export function folioMigrateKsm(k: Kernel, src: number, dst: number): void {
  const node = k.ksmTree.stableNodeOf(k, src);
  if (node === null) return;
  k.m.touches(Op.Ksm, 0);
  node.page = dst;
  k.m.memmap.setKsm(src, 0);
}

/* What /proc shows. */

/** What sizeof(struct ksm_rmap_item) is. */
const RMAP_ITEM_BYTES = 64;

/** Bytes that merging has saved, but for those that it takes. */
export function profit(_k: Kernel, saved: number, items: number): number {
  return saved * 4096 - items * RMAP_ITEM_BYTES;
}
