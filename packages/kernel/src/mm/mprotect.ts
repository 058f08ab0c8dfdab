/**
 * @linux mm/mprotect.c
 * @omits Protection keys, and drivers' `->mprotect()`.
 * @omits Write notification of shared file mappings (`vma_wants_writenotify()`): an entry becomes writable at once,
 *   or with the next fault, as tmpfs has it.
 * @own changedPresentPte, changedSwapPte, doMprotect
 */
import { SWITCH, type Atomic, type MaySleep } from "../kernel/coroutine.js";
import { Errno } from "../kernel/errno.js";
import { Op, tableObject } from "../kernel/op.js";
import type { Kernel } from "../kernel.js";
import { HPAGE_PMD_NR, PTE, ptePresent, PTRS_PER_TABLE } from "../arch/pgtable.js";
import { deniesWriteExec } from "./mdwe.js";
import { VM, VM_ACCESS, VM_LOCKED_MASK, type Mm, type Vma } from "./mm_types.js";
import { NotifyEvent, type NotifierRange } from "./mmu_notifier.js";
import { PG } from "./page.js";
import { UffdWp } from "./uffd_wp.js";
import { needsSoftDirtyWp, vmPageProt } from "./vm_prot.js";

/** PROT_* as the ABI has them. */
export enum Prot {
  READ = 1,
  WRITE = 2,
  EXEC = 4,
  GROWSDOWN = 0x01000000,
  GROWSUP = 0x02000000,
  /** Accepted, as on Linux, and of no meaning. */
  SEM = 8,
}

/** Whether an entry may be made writable without a fault: an exclusive, dirty page of writable memory. */
export function canChangePteWritable(k: Kernel, vma: Vma, page: number, pteFlags: number): boolean {
  if ((vma.flags & VM.WRITE) === 0 || (pteFlags & (PTE.PROT_NONE | PTE.UFFD_WP | PTE.SPECIAL)) !== 0) return false;
  if (needsSoftDirtyWp(vma.flags, pteFlags)) return false;
  if ((vma.flags & VM.SHARED) !== 0) return (pteFlags & PTE.D) !== 0;
  return k.m.memmap.has(page, PG.anonExclusive);
}

/** mprotect(2). 0, -EINVAL, -EACCES, -EPERM for a seal, -ENOMEM for a hole or a limit: what lies before is changed. */
export function* doMprotect(k: Kernel, mm: Mm, addr: number, len: number, prot: number): MaySleep<number> {
  const grows = prot & (Prot.GROWSDOWN | Prot.GROWSUP);
  const access = prot & ~(Prot.GROWSDOWN | Prot.GROWSUP);
  if (grows === (Prot.GROWSDOWN | Prot.GROWSUP) || addr % 4096 !== 0) return -Errno.EINVAL;
  if (len === 0) return 0;
  const start = addr / 4096;
  const pages = Math.ceil(len / 4096);
  // A negative length is an unsigned one of more than half of what there is: rounded up to 0, or around the end, it is none.
  if (pages === 0 || (pages < 0 && start >= 0 && start + pages >= 0)) return -Errno.ENOMEM;
  if ((access & ~(Prot.READ | Prot.WRITE | Prot.EXEC | Prot.SEM)) !== 0) return -Errno.EINVAL;
  const end = pages < 0 ? Infinity : start + pages;
  if (!mm.mmapLock.tryWrite()) yield* mm.mmapLock.write();
  let result = 0;
  let from = start;
  if (grows === Prot.GROWSDOWN) {
    // From the lowest page of the stack on.
    const vma = start < 0 ? undefined : mm.vmas[mm.findVmaIndex(start)];
    if (vma === undefined || vma.startVpn >= end) result = -Errno.ENOMEM;
    else if ((vma.flags & VM.GROWSDOWN) === 0) result = -Errno.EINVAL;
    else from = vma.startVpn;
  } else if (grows === Prot.GROWSUP) {
    // There are no stacks that grow up.
    result = start < 0 || mm.vmaAt(start) === null ? -Errno.ENOMEM : -Errno.EINVAL;
  }
  if (result === 0) result = yield* k.mprotect.changeProtection(k, mm, from, end, access & VM_ACCESS);
  yield* k.memory.mmapWriteUnlock(k, mm);
  return result;
}

/**
 * Walks the VMAs of the range; stops with an error keeping what it changed before. Locked memory that
 * becomes writable is faulted in at once, so that its first writes need not copy.
 */
export function* changeProtection(
  k: Kernel,
  mm: Mm,
  start: number,
  end: number,
  access: number,
): MaySleep<number> {
  let vpn = start;
  while (vpn < end) {
    const vma = vpn < 0 ? null : mm.vmaAt(vpn);
    if (vma === null) return -Errno.ENOMEM;
    const stop = Math.min(end, vma.endVpn);
    const old = vma.flags;
    let flags = (old & ~VM_ACCESS) | access;
    if (((flags & ~(flags >> 4)) & VM_ACCESS) !== 0 || deniesWriteExec(mm, old, flags)) return -Errno.EACCES;
    if ((old & VM.SEALED) !== 0) return -Errno.EPERM;
    if (flags !== old) {
      // What becomes writable is promised, and what was never written can be taken back. VMAs that
      // differ in it do not merge.
      if ((access & VM.WRITE) !== 0) {
        if (!k.overcommit.mayExpandVm(k, mm, flags, stop - vpn) && k.overcommit.mayExpandVm(k, mm, old, stop - vpn)) return -Errno.ENOMEM;
        if ((old & (VM.ACCOUNT | VM.WRITE | VM.SHARED | VM.NORESERVE | VM.HUGETLB)) === 0) {
          if (!k.overcommit.enoughMemory(k, mm, stop - vpn)) return -Errno.ENOMEM;
          flags |= VM.ACCOUNT;
        }
      } else if (vma.file === null && vma.anonVma === null) flags &= ~VM.ACCOUNT;
      if (k.hugetlbVma.maySplit(k, vma, vpn) !== 0 || k.hugetlbVma.maySplit(k, vma, stop) !== 0) return -Errno.EINVAL;
      const part = yield* k.vma.modifyVma(k, mm, vma, vpn, stop, { flags });
      if (typeof part === "number") return part;
      yield* k.mprotect.changePteRange(k, part, vpn, stop);
      if ((old & (VM.WRITE | VM.SHARED | VM_LOCKED_MASK)) === VM.LOCKED && (access & VM.WRITE) !== 0) {
        // Before the next mapping changes: which anon_vma that gets, and whether the two merge, depends on it.
        yield* k.populate.populateVmaPageRange(k, mm, vpn, stop, true, false);
      }
    }
    vpn = stop;
  }
  return 0;
}

/**
 * Gives every entry of the range the VMA's new permissions, and userfaultfd's protection, and flushes. 0, or -ENOMEM for
 * want of a table for markers: what lies before is done.
 */
export function* changePteRange(k: Kernel, vma: Vma, start: number, end: number, wp = UffdWp.Keep): MaySleep<number> {
  const { m } = k;
  const { mm } = vma;
  const range: NotifierRange = { mm, startVpn: start, endVpn: end, event: NotifyEvent.PROTECTION_VMA, owner: null };
  yield* k.mmuNotifier.invalidateRangeStart(k, range);
  const marks = wp === UffdWp.Protect && k.uffdWp.wpUsesMarkers(vma);
  const huge = vma.isHugetlb ? yield* k.hugetlbVma.changeHugetlbProtection(k, vma, start, end, wp) : 0;
  let changed = huge > 0;
  let error = Math.min(huge, 0);
  let vpn = vma.isHugetlb ? end : start;
  while (vpn < end) {
    const tableEnd = Math.min(end, (Math.floor(vpn / PTRS_PER_TABLE) + 1) * PTRS_PER_TABLE);
    if (m.point(Op.TableRead, tableObject(mm.id, vpn))) yield SWITCH;
    const pmd = m.pt.pmd(mm.pgd, vpn);
    if (pmd >= 0 && m.pt.isLeaf(pmd)) {
      // Pages of files are protected one by one: what becomes of the folio, the markers stay.
      const splits = tableEnd - vpn < HPAGE_PMD_NR || (wp === UffdWp.Protect && vma.ops !== null);
      if (splits) yield* k.hugeMemory.splitHugePmd(k, vma, vpn);
      else if (yield* k.mprotect.changeHugePmd(k, vma, vpn, pmd, wp)) {
        changed = true;
        vpn = tableEnd;
        continue;
      }
      if (m.point(Op.TableRead, tableObject(mm.id, vpn))) yield SWITCH;
    }
    let first = m.pt.lookup(mm.pgd, vpn);
    if (first < 0 && marks) {
      first = yield* k.uffdFill.entryToFill(k, mm, vpn);
      // Somebody mapped all of it as one meanwhile.
      if (first === -Errno.EEXIST) continue;
      if (first < 0) {
        error = first;
        break;
      }
    }
    if (first >= 0) {
      const ptl = m.pt.lockOf(first);
      if (!ptl.tryLock()) yield* ptl.lock();
      if (k.tlbBatch.isFlushPending(k, mm)) yield* k.tlbBatch.flushTlbBatchedPending(k, mm);
      const change = (flags: number, pfn: number): number => k.uffdWp.changedPte(k, vma, flags, pfn, wp);
      for (let i = 0, n = 1; vpn + i < tableEnd; i += n) {
        const ptep = first + i;
        if (m.point(Op.PteRead, ptep)) yield SWITCH;
        n = 1;
        if (m.pt.isNone(ptep) || k.pteMarker.pteMarker(m.pt.flags(ptep), m.pt.pfn(ptep)) !== 0) {
          if (wp !== UffdWp.Keep) yield* k.uffdWp.changeNonePte(k, vma, vpn + i, ptep, wp);
          continue;
        }
        if (ptePresent(m.pt.flags(ptep))) n = k.pteBatch.folioPteBatch(k, ptep, tableEnd - vpn - i);
        if (yield* k.pteBatch.modifyPteBatch(k, vma, vpn + i, ptep, n, change)) changed = true;
      }
      if (!ptl.tryUnlock()) yield* ptl.unlock();
    }
    vpn = tableEnd;
  }
  if (changed) yield* k.tlbflush.flushTlbRange(k, mm, start, end);
  yield* k.mmuNotifier.invalidateRangeEnd(k, range);
  return error;
}

/** Gives 2 MiB that are mapped as one their new permissions; false when they are so no more. */
export function* changeHugePmd(k: Kernel, vma: Vma, vpn: number, pmd: number, wp: UffdWp): Atomic<boolean> {
  const { m } = k;
  const ptl = m.pt.lockOf(pmd);
  if (!ptl.tryLock()) yield* ptl.lock();
  if (m.point(Op.PteRead, pmd)) yield SWITCH;
  const huge = m.pt.isLeaf(pmd);
  if (huge) {
    yield* k.memory.ptepModify(k, vma.mm, vpn, pmd, (flags) => k.uffdWp.changedPte(k, vma, flags, m.pt.pfn(pmd), wp));
  }
  if (!ptl.tryUnlock()) yield* ptl.unlock();
  return huge;
}

export function changedPresentPte(k: Kernel, vma: Vma, old: number, pfn: number): number {
  const kept = old & (PTE.A | PTE.D | PTE.SPECIAL | PTE.SOFT_DIRTY | PTE.UFFD_WP);
  const next = (vmPageProt(vma.flags) & ~PTE.A) | kept;
  // Shared memory has W by its protection, or else waits for a write fault.
  if ((vma.flags & VM.SHARED) !== 0) return next;
  return k.mprotect.canChangePteWritable(k, vma, k.m.memmap.pfnToPage(pfn), next) ? next | PTE.W : next;
}

/**
 * Swap and exclusive entries carry no permission of their own any more. Migration and device-private entries do: it
 * goes, whatever the new one is, and comes back with the first write.
 */
export function changedSwapPte(k: Kernel, _vma: Vma, old: number): number {
  if (k.swapops.isWritableDevicePrivate(k, old)) return k.swapops.makeReadableDevicePrivate(k, old);
  return k.swapops.isWritableMigration(k, old) ? k.swapops.makeReadableExclusiveMigration(k, old) : old;
}
