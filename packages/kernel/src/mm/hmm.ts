/**
 * @linux mm/hmm.c
 * @omits The order that comes with an entry is 0, or that of 2 MiB; of other huge pages too.
 * @omits The timeout of `hmm_range_fault_unlocked_timeout()`: the caller counts its tries.
 * @own faultPage, walkPte, walkRange
 */
import { SWITCH, type MaySleep } from "../kernel/coroutine.js";
import { Errno } from "../kernel/errno.js";
import { Op, tableObject } from "../kernel/op.js";
import type { Kernel } from "../kernel.js";
import { PTE, ptePresent } from "../arch/pgtable.js";
import { FaultFlag, VmFault } from "./fault_flags.js";
import { VM, type Mm, type Vma } from "./mm_types.js";
import type { IntervalNotifier } from "./mmu_notifier.js";
import { PG } from "./page.js";

/** What is known of a page, and what is asked for: REQ_FAULT and REQ_WRITE share the bits. */
export enum HmmPfn {
  VALID = 1 << 0,
  WRITE = 1 << 1,
  ERROR = 1 << 2,
  /** The CPU maps the 2 MiB around the page as one. */
  PMD = 1 << 3,
  /** Mapped for DMA, and how: kept over a walk, which does not touch them. */
  DMA_MAPPED = 1 << 4,
  P2PDMA = 1 << 5,
  P2PDMA_BUS = 1 << 6,
  INOUT_FLAGS = DMA_MAPPED | P2PDMA | P2PDMA_BUS,
  REQ_FAULT = VALID,
  REQ_WRITE = WRITE,
}

/** A request to mirror [startVpn, endVpn) of an address space. */
export interface HmmRange {
  readonly mm: Mm;
  readonly notifier: IntervalNotifier;
  /** From `intervalReadBegin`; a change since makes the walk give up with -EBUSY. */
  notifierSeq: number;
  readonly startVpn: number;
  readonly endVpn: number;
  /** One for each page: request flags on the way in (under `pfnFlagsMask`), HmmPfn on the way out. */
  readonly flags: Uint8Array;
  /** The pages, where VALID. */
  readonly pages: Int32Array;
  /** Wanted of every page. */
  readonly defaultFlags: number;
  /** Which of the incoming `flags` count as requests. */
  readonly pfnFlagsMask: number;
  /** Whose device-private memory is reported rather than brought back: the owner of its pgmap; null for nobody's. */
  readonly devPrivateOwner: object | null;
  /** A fault may drop mmap_lock, as a userfaultfd needs; -EAGAIN says that it has. */
  readonly unlocked: boolean;
}

/**
 * Fills a range with what the CPU page tables say, faulting in what is asked for and missing.
 * mmap_lock is held for reading. 0; -EBUSY when the range was invalidated since `notifierSeq` was
 * read (begin again); -EFAULT for holes and what cannot be read; -EPERM for a write to memory
 * that may not be written. With `unlocked` -EAGAIN when mmap_lock was dropped, and all begins again.
 * Documentation/mm/hmm.rst.
 */
export function* hmmRangeFault(k: Kernel, range: HmmRange): MaySleep<number> {
  let vpn = range.startVpn;
  k.m.mightWaitForInvalidation(range.mm, "hmm_range_fault");
  k.m.mustHold(range.mm.mmapLock, "hmm_range_fault");
  for (;;) {
    // A fault may have slept, and anything may have happened meanwhile.
    if (yield* k.mmuNotifier.intervalCheckRetry(k, range.notifier, range.notifierSeq)) return -Errno.EBUSY;
    const result = yield* k.hmm.walkRange(k, range, vpn);
    if (result.error !== -Errno.EBUSY) return result.error;
    vpn = result.vpn;
    if (k.m.retries.again("hmm_range_fault")) yield SWITCH;
  }
}

/** How far a walk came. EBUSY: it faulted, and goes on from `vpn`. */
export interface WalkResult {
  readonly error: number;
  readonly vpn: number;
}

export function* walkRange(k: Kernel, range: HmmRange, from: number): MaySleep<WalkResult> {
  const { mm } = range;
  for (let vpn = from; vpn < range.endVpn; ) {
    const i = mm.findVmaIndex(vpn);
    const vma = i < 0 ? null : mm.vmas[i]!;
    const start = vma === null ? range.endVpn : vma.startVpn;
    if (vpn < start) {
      // A hole: an error where something is asked for, else marked so.
      const end = Math.min(start, range.endVpn);
      if (anyRequested(range, vpn, end)) return { error: -Errno.EFAULT, vpn };
      fill(range, vpn, end, HmmPfn.ERROR);
      vpn = end;
      continue;
    }
    const end = Math.min(vma!.endVpn, range.endVpn);
    if ((vma!.flags & VM.READ) === 0 || (vma!.flags & VM.PFNMAP) !== 0) {
      if (anyRequested(range, vpn, end)) return { error: -Errno.EFAULT, vpn };
      fill(range, vpn, end, HmmPfn.ERROR);
      vpn = end;
      continue;
    }
    for (; vpn < end; vpn++) {
      const needed = yield* k.hmm.walkPte(k, range, vpn);
      if (needed !== 0) return yield* k.hmm.faultPage(k, range, vma!, vpn, (needed & HmmPfn.WRITE) !== 0);
    }
  }
  return { error: 0, vpn: range.endVpn };
}

function wanted(range: HmmRange, vpn: number): number {
  return range.defaultFlags | (range.flags[vpn - range.startVpn]! & range.pfnFlagsMask);
}

function anyRequested(range: HmmRange, from: number, to: number): boolean {
  for (let vpn = from; vpn < to; vpn++) {
    if ((wanted(range, vpn) & (HmmPfn.REQ_FAULT | HmmPfn.REQ_WRITE)) !== 0) return true;
  }
  return false;
}

function setFlags({ flags, startVpn }: HmmRange, vpn: number, to: number): void {
  flags[vpn - startVpn] = (flags[vpn - startVpn]! & HmmPfn.INOUT_FLAGS) | to;
}

function fill(range: HmmRange, from: number, to: number, flags: number): void {
  for (let vpn = from; vpn < to; vpn++) setFlags(range, vpn, flags);
}

/** Reads one entry into the range; 0, or the permission for which the page must be faulted first. */
export function* walkPte(k: Kernel, range: HmmRange, vpn: number): MaySleep<number> {
  const { m } = k;
  const want = wanted(range, vpn) & (HmmPfn.VALID | HmmPfn.WRITE);
  if (m.point(Op.TableRead, tableObject(range.mm.id, vpn))) yield SWITCH;
  const ptep = m.pt.find(range.mm.pgd, vpn);
  m.touches(Op.PteRead, ptep);
  const pte = ptep < 0 ? 0 : m.pt.flags(ptep);
  if (k.swapops.isDevicePrivate(k, pte)) {
    const page = m.memmap.pfnToPage(m.pt.pfnFor(ptep, vpn));
    const huge = m.pt.isHuge(ptep) ? HmmPfn.PMD : 0;
    if (m.pgmaps.of(page)!.owner === range.devPrivateOwner) {
      // Reported as it is, also where more was asked for: the owner need not fault.
      range.pages[vpn - range.startVpn] = page;
      setFlags(range, vpn, HmmPfn.VALID | huge | (k.swapops.isWritableDevicePrivate(k, pte) ? HmmPfn.WRITE : 0));
      return 0;
    }
    if (want === 0 && huge !== 0) {
      setFlags(range, vpn, HmmPfn.ERROR);
      return 0;
    }
  }
  // Exclusive entries are "not there" for everybody: a fault takes the page back. So are pages on
  // their way to another frame: the fault waits for them to arrive.
  let has = 0;
  if (ptePresent(pte) && (pte & PTE.PROT_NONE) === 0) {
    has = (pte & PTE.W) !== 0 ? HmmPfn.VALID | HmmPfn.WRITE : HmmPfn.VALID;
    if (m.pt.isHuge(ptep)) has |= HmmPfn.PMD;
    range.pages[vpn - range.startVpn] = m.memmap.pfnToPage(m.pt.pfnFor(ptep, vpn));
  }
  if ((want & ~has) !== 0) return want | HmmPfn.VALID;
  setFlags(range, vpn, has);
  return 0;
}

/**
 * Faults one page in, with mmap_lock held throughout.
 * @omits Where a whole table is missing, Linux faults all of its range in before it looks at the notifier's sequence
 *   again; here it looks after each page.
 */
export function* faultPage(k: Kernel, range: HmmRange, vma: Vma, vpn: number, write: boolean): MaySleep<WalkResult> {
  if (write && (vma.flags & VM.WRITE) === 0) return { error: -Errno.EPERM, vpn };
  const mayUnlock = range.unlocked ? FaultFlag.ALLOW_RETRY | FaultFlag.KILLABLE : 0;
  const result = yield* k.memory.handleMmFault(k, vma, vpn, FaultFlag.REMOTE | mayUnlock | (write ? FaultFlag.WRITE : 0));
  k.fault.accountFault(k, result);
  if ((result & VmFault.RETRY) !== 0) return { error: -Errno.EAGAIN, vpn };
  if ((result & VmFault.ERROR) !== 0) return { error: -Errno.EFAULT, vpn };
  return { error: -Errno.EBUSY, vpn };
}

/** Whether a page is the page of zeros. */
export function isZeroPage(k: Kernel, page: number): boolean {
  return page === k.m.zones.zeroPage && k.m.memmap.has(page, PG.reserved);
}
