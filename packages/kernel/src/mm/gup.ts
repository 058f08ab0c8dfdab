import { SWITCH, type Atomic, type MaySleep } from "../kernel/coroutine.js";
import { Errno } from "../kernel/errno.js";
import { Op, tableObject } from "../kernel/op.js";
import type { Kernel } from "../kernel.js";
import { PTE, ptePresent } from "../arch/pgtable.js";
import { FaultFlag, VmFault } from "./fault_flags.js";
import { FollFlag } from "./gup_flags.js";
import { VM, VM_ACCESS, type Mm, type Vma } from "./mm_types.js";
import { NO_PAGE, PG } from "./page.js";
import { needsSoftDirtyWp } from "./vm_prot.js";

/** There is a page, which others have, too: one to pin must be nobody else's. */
const MUST_UNSHARE = -2;

/**
 * One page of another (or this) address space, with a reference held at `site`; faults it in.
 * mmap_lock is held for reading. With UNLOCKABLE a fault that must wait drops it meanwhile, else waits with it. A
 * negated errno otherwise: -EFAULT for holes, permissions and SIGBUS, -ENOMEM, -EINTR when killed.
 */
export function* getUserPageRemote(k: Kernel, mm: Mm, vpn: number, gup: number, site: string): MaySleep<number> {
  let flags = (gup & FollFlag.WRITE) !== 0 ? FaultFlag.REMOTE | FaultFlag.WRITE : FaultFlag.REMOTE;
  if ((gup & FollFlag.UNLOCKABLE) !== 0) flags |= FaultFlag.ALLOW_RETRY | FaultFlag.KILLABLE;
  for (;;) {
    const vma = mm.vmaAt(vpn);
    if (vma === null || !k.gup.vmaPermits(k, vma, gup)) return -Errno.EFAULT;
    if (k.m.signals.fatalPending(k.m.current!)) return -Errno.EINTR;
    if (k.m.sched.needResched()) yield* k.m.sched.condResched();
    const page = yield* k.gup.followPageMask(k, vma, vpn, gup, site);
    if (page >= 0) return page;
    const result = yield* k.memory.handleMmFault(k, vma, vpn, page === MUST_UNSHARE ? flags | FaultFlag.UNSHARE : flags);
    k.fault.accountFault(k, result);
    if ((result & VmFault.RETRY) !== 0 && !mm.mmapLock.tryRead()) yield* mm.mmapLock.read();
    if ((result & VmFault.OOM) !== 0) return -Errno.ENOMEM;
    if ((result & VmFault.ERROR) !== 0) return -Errno.EFAULT;
    if (k.m.retries.again("get_user_pages")) yield SWITCH;
  }
}

/**
 * One page of the current address space, with a reference at `site`: without locks where it is
 * mapped with the permission wanted, else as `getUserPageRemote`, under mmap_lock. The page or a
 * negated errno (get_user_pages_fast()).
 */
export function* getUserPageFast(k: Kernel, vpn: number, gup: number, site: string): MaySleep<number> {
  const { mm } = k.m.current!;
  const page = (gup & FollFlag.PIN) !== 0 ? yield* k.gup.pinFast(k, mm!, vpn, gup, site) : yield* k.gup.gupFast(k, mm!, vpn, gup, site);
  if (page !== NO_PAGE) return page;
  if (!mm!.mmapLock.tryRead()) yield* mm!.mmapLock.read();
  const result = yield* k.gup.getUserPageRemote(k, mm!, vpn, gup | FollFlag.UNLOCKABLE, site);
  if (!mm!.mmapLock.tryUnlock()) yield* mm!.mmapLock.unlock();
  return result;
}

/** Pins without locks, unless fork is about to share pages; NO_PAGE to go the slow way. */
export function* pinFast(k: Kernel, mm: Mm, vpn: number, gup: number, site: string): Atomic<number> {
  const { m } = k;
  if (m.point(Op.MmCounter, mm.id)) yield SWITCH;
  const seq = mm.writeProtectSeq;
  if (seq % 2 !== 0) return NO_PAGE;
  const page = yield* k.gup.gupFast(k, mm, vpn, gup, site);
  if (page === NO_PAGE) return NO_PAGE;
  if (m.point(Op.MmCounter, mm.id)) yield SWITCH;
  if (mm.writeProtectSeq === seq) return page;
  yield* k.gup.unpinUserPage(k, page, false, site);
  return NO_PAGE;
}

/** The page that the entry maps with the permission wanted, referenced; NO_PAGE to go the slow way. */
export function* gupFast(k: Kernel, mm: Mm, vpn: number, gup: number, site: string): Atomic<number> {
  // Linux has interrupts off, which holds off grace periods as a section does.
  k.rcu.rcuReadLock(k);
  const page = yield* k.gup.gupFastPte(k, mm, vpn, gup, site);
  if (!k.rcu.tryRcuReadUnlock(k)) yield* k.rcu.rcuReadUnlock(k);
  return page;
}

/** The entry is read again once the reference is there: who cleared it meanwhile may have freed the page. */
export function* gupFastPte(k: Kernel, mm: Mm, vpn: number, gup: number, site: string): Atomic<number> {
  const { m } = k;
  if (m.point(Op.TableRead, tableObject(mm.id, vpn))) yield SWITCH;
  const ptep = m.pt.lookup(mm.pgd, vpn);
  if (ptep < 0) return NO_PAGE;
  if (m.point(Op.PteRead, ptep)) yield SWITCH;
  const flags = m.pt.flags(ptep);
  const pfn = m.pt.pfn(ptep);
  const need = (gup & FollFlag.WRITE) !== 0 ? PTE.V | PTE.W : PTE.V;
  if ((flags & need) !== need || (flags & PTE.SPECIAL) !== 0) return NO_PAGE;
  const page = m.memmap.pfnToPage(pfn);
  const folio = m.memmap.folioOf(page);
  if (!(yield* k.swap.folioTryGet(k, folio, site))) return NO_PAGE;
  if ((gup & FollFlag.PIN) !== 0) pin(k, folio);
  if (m.point(Op.PteRead, ptep)) yield SWITCH;
  m.touches(Op.TableRead, tableObject(mm.id, vpn));
  // Fork, and whoever takes the page's exclusiveness away, clears or protects the entry before it looks for pins.
  if (!m.pt.same(ptep, flags, pfn) || m.pt.lookup(mm.pgd, vpn) !== ptep || k.gup.mustUnshare(k, page, gup)) {
    if ((gup & FollFlag.PIN) !== 0) yield* k.gup.unpin(k, folio);
    yield* k.swap.folioPut(k, folio, site);
    return NO_PAGE;
  }
  m.memmap.set(folio, PG.referenced);
  return page;
}

/** Whether a page cannot be pinned for reading as it is: others have it, and what they write would not be seen. */
export function mustUnshare(k: Kernel, page: number, gup: number): boolean {
  const { memmap } = k.m;
  if ((gup & (FollFlag.PIN | FollFlag.WRITE)) !== FollFlag.PIN) return false;
  return memmap.isAnon(memmap.folioOf(page)) && !memmap.isAnonExclusive(page);
}

/** One pin more, with the reference that goes with it. */
function pin({ m }: Kernel, folio: number): void {
  m.memmap.pincount[folio]!++;
  m.vmstat.events.nr_foll_pin_acquired++;
}

/** One pin less; the reference that went with it is still there. */
export function* unpin(k: Kernel, folio: number): Atomic<void> {
  if (k.m.point(Op.RefPut, folio)) yield SWITCH;
  k.m.memmap.pincount[folio]!--;
  k.m.vmstat.events.nr_foll_pin_released++;
}

/**
 * One page of the current address space for DMA, pinned and referenced at `site`; or a negated errno. What is
 * pinned stays the page at its address through fork, reclaim and migration
 * (Documentation/core-api/pin_user_pages.rst).
 */
export function* pinUserPageFast(k: Kernel, vpn: number, gup: number, site: string): MaySleep<number> {
  const { m } = k;
  // Told before the pin: fork looks at this first.
  if (m.point(Op.MmCounter, m.current!.mm!.id)) yield SWITCH;
  m.current!.mm!.hasPinned = true;
  return yield* k.gup.getUserPageFast(k, vpn, gup | FollFlag.PIN, site);
}

/** Lets a pinned page go; `dirty` where the device has written to it. */
export function* unpinUserPage(k: Kernel, page: number, dirty: boolean, site: string): Atomic<void> {
  const { m } = k;
  const folio = m.memmap.folioOf(page);
  if (dirty) {
    if (m.point(Op.PageFlags, folio)) yield SWITCH;
    m.memmap.set(folio, PG.dirty);
  }
  yield* k.gup.unpin(k, folio);
  yield* k.swap.folioPut(k, folio, site);
}

/** With FORCE, what mprotect() could give counts as given; but a write must have a page of its own to go to. */
export function vmaPermits(_k: Kernel, vma: Vma, gup: number): boolean {
  if ((vma.flags & VM.PFNMAP) !== 0) return false;
  const write = (gup & FollFlag.WRITE) !== 0;
  if ((vma.flags & (write ? VM.WRITE : VM.READ)) !== 0) return true;
  if ((gup & FollFlag.FORCE) === 0) return false;
  if (write) return (vma.flags & (VM.SHARED | VM.MAYWRITE)) === VM.MAYWRITE && !vma.isHugetlb;
  return (vma.flags & VM.MAYREAD) !== 0;
}

/** Whether an entry lets the page be had as it is wanted, without a fault. */
export function entryPermits(k: Kernel, vma: Vma, flags: number, page: number, gup: number): boolean {
  if (!ptePresent(flags)) return false;
  const force = (gup & FollFlag.FORCE) !== 0;
  // What is told to a userfaultfd is told for whoever accesses it; where nobody may, nobody is told.
  const tells = (vma.flags & VM.UFFD_RWP) !== 0 && (vma.flags & VM_ACCESS) !== 0;
  if ((flags & PTE.PROT_NONE) !== 0 && (!force || tells)) return false;
  if ((gup & FollFlag.WRITE) === 0 || (flags & PTE.W) !== 0) return true;
  // Read-only memory that is written by force: once the page is nobody else's.
  if (!force || (vma.flags & (VM.WRITE | VM.SHARED)) !== 0 || (flags & (PTE.SPECIAL | PTE.UFFD_WP)) !== 0) return false;
  return !needsSoftDirtyWp(vma.flags, flags) && k.m.memmap.isAnon(k.m.memmap.folioOf(page)) && k.m.memmap.isAnonExclusive(page);
}

/**
 * The page that is mapped with the permission wanted, referenced; NO_PAGE to fault it in. With
 * SPLIT_PMD, 2 MiB that are mapped as one are mapped page by page first.
 */
export function* followPageMask(k: Kernel, vma: Vma, vpn: number, gup: number, site: string): MaySleep<number> {
  const { m } = k;
  if (m.point(Op.TableRead, tableObject(vma.mm.id, vpn))) yield SWITCH;
  let entry = m.pt.find(vma.mm.pgd, vpn);
  if (entry >= 0 && (gup & FollFlag.SPLIT_PMD) !== 0 && m.pt.isHuge(entry) && !vma.isHugetlb) {
    yield* k.hugeMemory.splitHugePmd(k, vma, vpn);
    if (m.point(Op.TableRead, tableObject(vma.mm.id, vpn))) yield SWITCH;
    entry = m.pt.find(vma.mm.pgd, vpn);
  }
  return entry < 0 ? NO_PAGE : yield* k.gup.followPagePte(k, vma, entry, vpn, gup, site);
}

/** The page of one entry, whichever level it is of. */
export function* followPagePte(k: Kernel, vma: Vma, ptep: number, vpn: number, gup: number, site: string): Atomic<number> {
  const { m } = k;
  const ptl = m.pt.lockOf(ptep);
  if (!ptl.tryLock()) yield* ptl.lock();
  if (m.point(Op.PteRead, ptep)) yield SWITCH;
  const flags = m.pt.flags(ptep);
  let page = NO_PAGE;
  const mapped = ptePresent(flags) ? m.memmap.pfnToPage(m.pt.pfnFor(ptep, vpn)) : NO_PAGE;
  if (!k.gup.entryPermits(k, vma, flags, mapped, gup)) page = NO_PAGE;
  else if ((flags & PTE.SPECIAL) === 0 && k.gup.mustUnshare(k, mapped, gup)) page = MUST_UNSHARE;
  else {
    page = mapped;
    const folio = m.memmap.folioOf(page);
    if (m.point(Op.RefGet, folio)) yield SWITCH;
    m.memmap.refcount[folio]!++;
    if ((gup & FollFlag.PIN) !== 0) pin(k, folio);
    m.refs?.get(folio, site);
    const touched = (gup & FollFlag.WRITE) !== 0 ? PTE.A | PTE.D : PTE.A;
    // Where 2 MiB are mapped as one, the entry says that they were used.
    if ((gup & FollFlag.TOUCH) !== 0 && m.pt.isHuge(ptep)) yield* k.memory.ptepModify(k, vma.mm, vpn, ptep, (now) => now | touched);
    else if ((gup & FollFlag.TOUCH) !== 0) {
      if ((gup & FollFlag.WRITE) !== 0 && (flags & PTE.D) === 0) m.memmap.set(folio, PG.dirty);
      yield* k.swap.folioMarkAccessed(k, folio);
    }
  }
  if (!ptl.tryUnlock()) yield* ptl.unlock();
  return page;
}
