/**
 * @linux mm/gup.c
 * @omits `fixup_user_fault()`, `get_dump_page()`, `memfd_pin_folios()`, the gate page, and PCI_P2PDMA memory.
 * @omits Refusing a long-term pin of a file with dirty tracking: there is no file system that has any.
 * @omits A page is faulted in and followed one at a time: of 2 MiB that are mapped as one, too.
 * @own entryPermits, getUserPageFast, getUserPageRemote, gupLocked, gupRange, mustUnshare, signalPending, touchEntry
 */
import { SWITCH, type Atomic, type MaySleep } from "../kernel/coroutine.js";
import { Errno } from "../kernel/errno.js";
import { Op, tableObject } from "../kernel/op.js";
import type { Kernel } from "../kernel.js";
import { PTE, ptePresent } from "../arch/pgtable.js";
import { FaultFlag, VmFault } from "./fault_flags.js";
import { FollFlag, INTERNAL_GUP_FLAGS } from "./gup_flags.js";
import { VM, VM_ACCESS, type Mm, type Vma } from "./mm_types.js";
import { NO_PAGE, PG } from "./page.js";
import { isSecretmem } from "./secretmem.js";
import { needsSoftDirtyWp } from "./vm_prot.js";

/** There is a page, which others have, too: one to pin must be nobody else's. (In Linux -EMLINK.) */
const MUST_UNSHARE = -2;
/** What the lock was dropped for has been done, or is to be tried again. */
const AGAIN = 1;

/* Interfaces. Each adds pages of [start, start + nr) to `pages`, with a reference or a pin at `site`. */

/** Pages of the current address space, mmap_lock held for reading: how many; where there is none, a negated errno. */
export function* getUserPages(k: Kernel, start: number, nr: number, gup: number, site: string, pages: number[]): MaySleep<number> {
  if (!k.gup.isValidGupArgs(k, gup, FollFlag.GET)) return -Errno.EINVAL;
  return yield* k.gup.gupLocked(k, k.m.current!.mm!, start, nr, gup | FollFlag.GET | FollFlag.TOUCH, site, pages);
}

/** The same with pins. */
export function* pinUserPages(k: Kernel, start: number, nr: number, gup: number, site: string, pages: number[]): MaySleep<number> {
  if (!k.gup.isValidGupArgs(k, gup, FollFlag.PIN)) return -Errno.EINVAL;
  return yield* k.gup.gupLocked(k, k.m.current!.mm!, start, nr, gup | FollFlag.PIN, site, pages);
}

/**
 * One page of any address space, whose mmap_lock is held for reading; with UNLOCKABLE it may be dropped and taken again
 * meanwhile. With PIN a pin, else a reference. A negated errno otherwise: -EFAULT for holes, permissions and signals,
 * -ENOMEM, -EINTR when killed.
 */
export function* getUserPageRemote(k: Kernel, mm: Mm, vpn: number, gup: number, site: string): MaySleep<number> {
  const pages: number[] = [];
  const how = FollFlag.TOUCH | FollFlag.REMOTE | ((gup & FollFlag.PIN) !== 0 ? 0 : FollFlag.GET);
  const n = yield* k.gup.gupLocked(k, mm, vpn, 1, gup | how, site, pages);
  return n > 0 ? pages[0]! : n;
}

/** One page of the current address space with a reference: see `getUserPagesFast`. */
export function* getUserPageFast(k: Kernel, vpn: number, gup: number, site: string): MaySleep<number> {
  const pages: number[] = [];
  const n = yield* k.gupFast.getUserPagesFast(k, vpn, 1, gup, site, pages);
  return n > 0 ? pages[0]! : n;
}

/** Whether a caller's flags make sense; `adds` is what the interface itself wants. Else the caller is wrong, and the log says so. */
export function isValidGupArgs(k: Kernel, gup: number, adds: number): boolean {
  const flags = gup | adds;
  const both = FollFlag.GET | FollFlag.PIN;
  const wrong = (gup & INTERNAL_GUP_FLAGS) !== 0 || (flags & both) === both || (flags & (FollFlag.PIN | FollFlag.LONGTERM)) === FollFlag.LONGTERM
    || (flags & (FollFlag.LONGTERM | FollFlag.PCI_P2PDMA)) === (FollFlag.LONGTERM | FollFlag.PCI_P2PDMA);
  if (wrong) k.m.dmesg.printOnce(`WARNING: is_valid_gup_args: gup_flags ${gup.toString(16)}`);
  return !wrong;
}

/** With checked flags. Long-term pins are moved to where they can stay. */
export function* gupLocked(k: Kernel, mm: Mm, start: number, nr: number, gup: number, site: string, pages: number[]): MaySleep<number> {
  if ((gup & FollFlag.PIN) !== 0) yield* k.gupPin.setHasPinned(k, mm);
  if ((gup & FollFlag.LONGTERM) !== 0) return yield* k.gupLongterm.gupLongtermLocked(k, mm, start, nr, gup, site, pages);
  return yield* k.gup.gupRange(k, mm, start, nr, gup, site, pages);
}

/** Page by page, faulted in where needed. */
export function* gupRange(k: Kernel, mm: Mm, start: number, nr: number, gup: number, site: string, pages: number[]): MaySleep<number> {
  let tried = 0;
  let error = 0;
  let vpn = start;
  while (vpn < start + nr && error >= 0) {
    const vma = mm.vmaAt(vpn);
    error = vma === null ? -Errno.EFAULT : k.gup.checkVmaFlags(k, vma, gup);
    if (error === 0 && k.gup.signalPending(k, gup, tried)) error = -Errno.EINTR;
    if (error < 0) break;
    if (k.m.sched.needResched()) yield* k.m.sched.condResched();
    const page = yield* k.gup.followPageMask(k, vma!, vpn, gup, site);
    if (page >= 0) {
      pages.push(page);
      vpn++;
      tried = 0;
      continue;
    }
    if (page !== NO_PAGE && page !== MUST_UNSHARE) {
      error = page;
      break;
    }
    error = yield* k.gup.faultinPage(k, vma!, vpn, gup | tried, page === MUST_UNSHARE);
    if (error === -Errno.EBUSY) return vpn - start;
    if (error === AGAIN) {
      if (!mm.mmapLock.tryRead()) yield* mm.mmapLock.read();
      tried = FollFlag.TRIED;
    }
    if (k.m.retries.again("get_user_pages")) yield SWITCH;
  }
  return vpn > start ? vpn - start : error;
}

/** Whether to give up: for a fatal signal, and with INTERRUPTIBLE for any that comes while the lock was dropped. */
export function signalPending(k: Kernel, gup: number, tried: number): boolean {
  const { signals, current } = k.m;
  if (signals.fatalPending(current!)) return true;
  return tried !== 0 && (gup & FollFlag.INTERRUPTIBLE) !== 0 && signals.pending(current!);
}

/**
 * Faults a page in: 0; `AGAIN` where mmap_lock was dropped for it; -EBUSY where it would have to be, and must not; -EFAULT,
 * -ENOMEM, -EHWPOISON.
 */
export function* faultinPage(k: Kernel, vma: Vma, vpn: number, gup: number, unshare: boolean): MaySleep<number> {
  if ((gup & FollFlag.NOFAULT) !== 0) return -Errno.EFAULT;
  let flags = unshare ? FaultFlag.UNSHARE : 0;
  if ((gup & FollFlag.WRITE) !== 0) flags |= FaultFlag.WRITE;
  if ((gup & FollFlag.REMOTE) !== 0) flags |= FaultFlag.REMOTE;
  if ((gup & FollFlag.UNLOCKABLE) !== 0) {
    flags |= FaultFlag.ALLOW_RETRY | FaultFlag.KILLABLE;
    if ((gup & FollFlag.INTERRUPTIBLE) !== 0) flags |= FaultFlag.INTERRUPTIBLE;
  }
  if ((gup & FollFlag.NOWAIT) !== 0) flags |= FaultFlag.ALLOW_RETRY | FaultFlag.RETRY_NOWAIT;
  if ((gup & FollFlag.TRIED) !== 0) flags |= FaultFlag.TRIED;
  const fault = yield* k.memory.handleMmFault(k, vma, vpn, flags);
  k.fault.accountFault(k, fault);
  if ((fault & VmFault.COMPLETED) !== 0) return AGAIN;
  if ((fault & VmFault.OOM) !== 0) return -Errno.ENOMEM;
  if ((fault & VmFault.HWPOISON) !== 0) return (gup & FollFlag.HWPOISON) !== 0 ? -Errno.EHWPOISON : -Errno.EFAULT;
  if ((fault & VmFault.ERROR) !== 0) return -Errno.EFAULT;
  if ((fault & VmFault.RETRY) !== 0) return (flags & FaultFlag.RETRY_NOWAIT) !== 0 ? -Errno.EBUSY : AGAIN;
  return 0;
}

/**
 * Whether a VMA lets pages be had: 0, -EFAULT, or -EOPNOTSUPP for what hugetlb cannot do. With FORCE, what mprotect() could
 * give counts as given; but a write must have a page of its own to go to.
 */
export function checkVmaFlags(_k: Kernel, vma: Vma, gup: number): number {
  const { flags } = vma;
  const write = (gup & FollFlag.WRITE) !== 0;
  if ((flags & VM.PFNMAP) !== 0 || vma.ops?.isIo === true || isSecretmem(vma)) return -Errno.EFAULT;
  if ((gup & FollFlag.ANON) !== 0 && vma.ops !== null) return -Errno.EFAULT;
  if ((gup & FollFlag.SPLIT_PMD) !== 0 && vma.isHugetlb) return -Errno.EOPNOTSUPP;
  const longterm = FollFlag.PIN | FollFlag.LONGTERM;
  if (write && (gup & longterm) === longterm && needsDirtyTracking(vma)) return -Errno.EFAULT;
  if ((flags & (write ? VM.WRITE : VM.READ)) !== 0) return 0;
  if ((gup & FollFlag.FORCE) === 0) return -Errno.EFAULT;
  if (write) return vma.isCow ? 0 : -Errno.EFAULT;
  return (flags & VM.MAYREAD) !== 0 ? 0 : -Errno.EFAULT;
}

/** Whether a file must be told before its pages are written to, which a pin for ever would keep from it: any but those in memory. */
function needsDirtyTracking(vma: Vma): boolean {
  const shared = VM.SHARED | VM.WRITE;
  return (vma.flags & shared) === shared && vma.ops !== null && vma.ops.isShmem !== true && !vma.isHugetlb;
}

/* Pages that are mapped. */

/**
 * The page that is mapped with the permission wanted, referenced; NO_PAGE or MUST_UNSHARE to fault it in; a negated errno.
 * With SPLIT_PMD, 2 MiB that are mapped as one are mapped page by page first; where a device has them they come back as one before.
 */
export function* followPageMask(k: Kernel, vma: Vma, vpn: number, gup: number, site: string): MaySleep<number> {
  const { m } = k;
  if (m.point(Op.TableRead, tableObject(vma.mm.id, vpn))) yield SWITCH;
  let entry = m.pt.find(vma.mm.pgd, vpn);
  if (entry >= 0 && (gup & FollFlag.SPLIT_PMD) !== 0 && m.pt.isHuge(entry)) {
    m.touches(Op.PteRead, entry);
    if (ptePresent(m.pt.flags(entry))) {
      yield* k.hugeMemory.splitHugePmd(k, vma, vpn);
      if (m.point(Op.TableRead, tableObject(vma.mm.id, vpn))) yield SWITCH;
      entry = m.pt.find(vma.mm.pgd, vpn);
    }
  }
  return entry < 0 ? yield* k.gup.noPageTable(k, vma, vpn, gup) : yield* k.gup.followPagePte(k, vma, entry, vpn, gup, site);
}

/** Nothing is mapped: for a dump, -EFAULT where a fault would only bring zeros. */
export function* noPageTable(k: Kernel, vma: Vma, vpn: number, gup: number): Atomic<number> {
  if ((gup & FollFlag.DUMP) === 0) return NO_PAGE;
  if (vma.isHugetlb) return (yield* k.hugetlb.pagecachePresent(k, vma, vpn)) ? NO_PAGE : -Errno.EFAULT;
  return vma.ops === null ? -Errno.EFAULT : NO_PAGE;
}

/** The page of one entry, whichever level it is of. */
export function* followPagePte(k: Kernel, vma: Vma, ptep: number, vpn: number, gup: number, site: string): Atomic<number> {
  const { m } = k;
  const ptl = m.pt.lockOf(ptep);
  if (!ptl.tryLock()) yield* ptl.lock();
  if (m.point(Op.PteRead, ptep)) yield SWITCH;
  const flags = m.pt.flags(ptep);
  // An entry of an upper level that leads to a table by now is looked at again, by way of a fault that finds nothing to do.
  let page = NO_PAGE;
  if (ptePresent(flags) && flags !== PTE.V) {
    page = m.memmap.pfnToPage(m.pt.pfnFor(ptep, vpn));
    // What one entry maps as a whole, its first page tells of: whether it is exclusive, too.
    const first = m.memmap.pfnToPage(m.pt.pfn(ptep));
    if (!k.gup.entryPermits(k, vma, flags, first, gup)) page = NO_PAGE;
    else if ((flags & PTE.SPECIAL) !== 0 && (gup & FollFlag.DUMP) !== 0) page = -Errno.EFAULT;
    else if ((flags & PTE.W) === 0 && k.gup.mustUnshare(k, vma, first, gup)) page = MUST_UNSHARE;
    else if (!(yield* k.gupPin.tryGrabFolio(k, m.memmap.folioOf(page), gup, site))) page = -Errno.ENOMEM;
    else if ((gup & FollFlag.TOUCH) !== 0) yield* k.gup.touchEntry(k, vma, ptep, vpn, flags, (gup & FollFlag.WRITE) !== 0);
  }
  if (!ptl.tryUnlock()) yield* ptl.unlock();
  return flags === 0 ? yield* k.gup.noPageTable(k, vma, vpn, gup) : page;
}

/** The page counts as used: by its folio, or where 2 MiB are mapped as one by the entry alone. The page of zeros does not care. */
export function* touchEntry(k: Kernel, vma: Vma, ptep: number, vpn: number, flags: number, write: boolean): Atomic<void> {
  const { m } = k;
  if (m.pt.isHuge(ptep)) yield* k.memory.ptepModify(k, vma.mm, vpn, ptep, (now) => now | (write ? PTE.A | PTE.D : PTE.A));
  else if ((flags & PTE.SPECIAL) === 0 && !vma.isHugetlb) {
    const folio = m.memmap.folioOf(m.memmap.pfnToPage(m.pt.pfnFor(ptep, vpn)));
    if (write && (flags & PTE.D) === 0) m.memmap.set(folio, PG.dirty);
    yield* k.swap.folioMarkAccessed(k, folio);
  }
}

/** Whether an entry lets the page be had as it is wanted, without a fault. */
export function entryPermits(k: Kernel, vma: Vma, flags: number, page: number, gup: number): boolean {
  if ((flags & PTE.PROT_NONE) !== 0 && !canFollowProtnone(vma, gup)) return false;
  if ((gup & FollFlag.WRITE) === 0 || (flags & PTE.W) !== 0) return true;
  // Read-only memory that is written by force: once the page is nobody else's.
  if ((gup & FollFlag.FORCE) === 0 || (vma.flags & VM.WRITE) !== 0 || !vma.isCow || (flags & (PTE.SPECIAL | PTE.UFFD_WP)) !== 0) return false;
  return !needsSoftDirtyWp(vma.flags, flags) && k.m.memmap.isAnon(k.m.memmap.folioOf(page)) && k.m.memmap.isAnonExclusive(page);
}

/**
 * Whether memory that cannot be accessed just now is had as it is: always, but for who wants hinting faults to happen, and where a
 * userfaultfd is to be told of whoever accesses it. Where nobody may, nobody is told.
 */
function canFollowProtnone(vma: Vma, gup: number): boolean {
  if ((vma.flags & VM_ACCESS) === 0) return true;
  return (gup & FollFlag.HONOR_NUMA_FAULT) === 0 && (vma.flags & VM.UFFD_RWP) === 0;
}

/**
 * Whether a page that is mapped read-only cannot be pinned as it is: others have it, and what they write would not be seen, or
 * what is written here goes to a copy. `vma` is null where nobody has looked.
 */
export function mustUnshare(k: Kernel, vma: Vma | null, page: number, gup: number): boolean {
  const { memmap } = k.m;
  if ((gup & (FollFlag.PIN | FollFlag.WRITE)) !== FollFlag.PIN) return false;
  if (memmap.isAnon(memmap.folioOf(page))) return !memmap.isAnonExclusive(page);
  // A short-term pin sees what the page was when it was taken; one for ever is to see what is written later.
  if ((gup & FollFlag.LONGTERM) === 0) return false;
  return vma === null || vma.isCow;
}
