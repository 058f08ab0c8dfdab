/**
 * @linux mm/mlock.c
 * @own doMlockall, doMunlock, doMunlockall
 */
import { SWITCH, type Atomic, type MaySleep } from "../kernel/coroutine.js";
import { Cap, capable } from "../kernel/capability.js";
import { Errno } from "../kernel/errno.js";
import { Op, tableObject } from "../kernel/op.js";
import { Rlimit, rlimit, rlimitPages } from "../kernel/rlimit.js";
import type { Kernel } from "../kernel.js";
import { HPAGE_PMD_NR, PTE, PTRS_PER_TABLE, USER_VPN_END, ptePresent } from "../arch/pgtable.js";
import { VM, VM_LOCKED_MASK, VM_SPECIAL, type Mm, type Vma } from "./mm_types.js";
import { isSecretmem } from "./secretmem.js";

/** MCL_*. */
export enum Mcl {
  CURRENT = 1,
  FUTURE = 2,
  ONFAULT = 4,
}

/** MLOCK_ONFAULT. */
export const MLOCK_ONFAULT = 1;

/** Whether the caller may lock memory at all. */
export function canDoMlock(k: Kernel): boolean {
  return rlimit(k.m, Rlimit.MEMLOCK) !== 0n || capable(k, Cap.IPC_LOCK);
}

/** Whether a new mapping, or a larger one, with these VM flags stays below the limit. */
export function mlockFutureOk(k: Kernel, mm: Mm, flags: number, pages: number): boolean {
  if ((flags & VM.LOCKED) === 0 || capable(k, Cap.IPC_LOCK)) return true;
  return mm.lockedVm + pages <= rlimitPages(k.m, Rlimit.MEMLOCK);
}

/** Whether a VMA's pages can be locked: those of drivers, and those that may be dropped, cannot; those of secret memory are. */
export function vmaSupportsMlock(_k: Kernel, vma: Vma): boolean {
  return (vma.flags & (VM_SPECIAL | VM.DROPPABLE)) === 0 && !isSecretmem(vma);
}

/**
 * mlock(2) and mlock2(2): LOCKED in `flags`, and LOCKONFAULT. Takes bytes; 0, or -EPERM, -ENOMEM for
 * a hole, a limit, or memory that cannot be read, -EAGAIN where memory is out, -EINTR.
 */
export function* doMlock(k: Kernel, mm: Mm, addr: number, len: number, flags: number): MaySleep<number> {
  if (!k.mlock.canDoMlock(k)) return -Errno.EPERM;
  const range = lockRange(addr, len);
  const { start, end } = range;
  const pages = end - start;
  if (!mm.mmapLock.tryWrite()) yield* mm.mmapLock.write();
  const limit = rlimitPages(k.m, Rlimit.MEMLOCK);
  let locked = mm.lockedVm + pages;
  if (locked > limit && !capable(k, Cap.IPC_LOCK)) locked -= lockedPages(mm, start, end);
  const within = locked <= limit || capable(k, Cap.IPC_LOCK);
  let result = within ? yield* k.mlock.applyVmaLockFlags(k, mm, range, flags) : -Errno.ENOMEM;
  yield* k.memory.mmapWriteUnlock(k, mm);
  if (result !== 0) return result;
  result = yield* k.populate.mmPopulate(k, mm, start, end, false);
  if (result === -Errno.EFAULT) return -Errno.ENOMEM;
  return result === -Errno.ENOMEM ? -Errno.EAGAIN : result;
}

/** munlock(2). */
export function* doMunlock(k: Kernel, mm: Mm, addr: number, len: number): MaySleep<number> {
  if (!mm.mmapLock.tryWrite()) yield* mm.mmapLock.write();
  const result = yield* k.mlock.applyVmaLockFlags(k, mm, lockRange(addr, len), 0);
  yield* k.memory.mmapWriteUnlock(k, mm);
  return result;
}

/** Pages of a range that are locked already. */
function lockedPages(mm: Mm, start: number, end: number): number {
  let pages = 0;
  for (let i = mm.findVmaIndex(start); i >= 0 && i < mm.vmas.length && mm.vmas[i]!.startVpn < end; i++) {
    const { startVpn, endVpn, flags } = mm.vmas[i]!;
    if ((flags & VM.LOCKED) !== 0) pages += Math.min(endVpn, end) - Math.max(startVpn, start);
  }
  return pages;
}

/** Pages from one up to, and without, another. */
interface PageRange {
  readonly start: number;
  readonly end: number;
  /** It goes around the end of all addresses. */
  readonly wraps: boolean;
}

/**
 * Bytes as pages. A negative length is an unsigned one of more than half of what there is: it ends
 * behind everything, or goes around; one that is rounded up to 0 is 0.
 */
function lockRange(addr: number, len: number): PageRange {
  const start = Math.floor(addr / 4096);
  const pages = Math.ceil((len + (addr - start * 4096)) / 4096);
  if (pages >= 0) return { start, end: start + pages, wraps: false };
  return { start, end: Infinity, wraps: start >= 0 && start + pages >= 0 };
}

/** Gives a range the flags, VMA by VMA up to the first hole: 0, -ENOMEM for that, -EINVAL for a range that goes around. */
export function* applyVmaLockFlags(k: Kernel, mm: Mm, { start, end, wraps }: PageRange, flags: number): MaySleep<number> {
  if (wraps) return -Errno.EINVAL;
  if (start === end) return 0;
  for (let vpn = start; vpn < end; ) {
    const vma = mm.vmaAt(vpn);
    if (vma === null) return -Errno.ENOMEM;
    const to = Math.min(end, vma.endVpn);
    const error = yield* k.mlock.mlockFixup(k, mm, vma, vpn, to, (vma.flags & ~VM_LOCKED_MASK) | flags);
    if (error !== 0) return error;
    vpn = to;
  }
  return 0;
}

/** Gives a part of a VMA other lock flags, and tells the folios. 0, or -ENOMEM for too many VMAs. */
export function* mlockFixup(k: Kernel, mm: Mm, vma: Vma, start: number, end: number, flags: number): MaySleep<number> {
  const old = vma.flags;
  if (flags === old || !k.mlock.vmaSupportsMlock(k, vma)) return 0;
  const part = yield* k.vma.modifyVma(k, mm, vma, start, end, { flags });
  if (typeof part === "number") return part;
  const wasLocked = (old & VM.LOCKED) !== 0;
  const isLocked = (flags & VM.LOCKED) !== 0;
  if (isLocked !== wasLocked) mm.lockedVm += isLocked ? end - start : start - end;
  if (!(isLocked && wasLocked)) yield* k.mlock.mlockVmaPagesRange(k, part, start, end);
  return 0;
}

/** Counts a range of a VMA in or out of what locks its folios, by the VMA's flags. */
export function* mlockVmaPagesRange(k: Kernel, vma: Vma, start: number, end: number): MaySleep<void> {
  const { m } = k;
  // A reverse walk that maps one of these folios meanwhile must not count it a second time.
  const hides = (vma.flags & VM.LOCKED) !== 0 && (vma.flags & VM.PFNMAP) === 0;
  if (hides) vma.flags |= VM.PFNMAP;
  yield* k.swap.lruAddDrain(k);
  for (let vpn = start; vpn < end; ) {
    const tableEnd = Math.min(end, (Math.floor(vpn / PTRS_PER_TABLE) + 1) * PTRS_PER_TABLE);
    yield* k.mlock.mlockPteRange(k, vma, vpn, tableEnd);
    vpn = tableEnd;
    yield* m.sched.condResched();
  }
  yield* k.swap.lruAddDrain(k);
  if (hides) vma.flags &= ~VM.PFNMAP;
}

/** The same below one level-1 entry. */
export function* mlockPteRange(k: Kernel, vma: Vma, start: number, end: number): Atomic<void> {
  const { m } = k;
  const { memmap } = m;
  const { mm } = vma;
  const locks = (vma.flags & VM.LOCKED) !== 0;
  if (m.point(Op.TableRead, tableObject(mm.id, start))) yield SWITCH;
  const first = m.pt.find(mm.pgd, start);
  if (first < 0) return;
  const ptl = m.pt.lockOf(first);
  if (!ptl.tryLock()) yield* ptl.lock();
  if (m.pt.isHuge(first)) {
    if (m.point(Op.PteRead, first)) yield SWITCH;
    const flags = m.pt.flags(first);
    // 2 MiB that are locked in part stay mapped as one: the folio is known by its whole.
    if (m.pt.isLeaf(first) && (flags & PTE.SPECIAL) === 0 && ptePresent(flags)) yield* count(k, locks, memmap.pfnToPage(m.pt.pfn(first)));
    if (!ptl.tryUnlock()) yield* ptl.unlock();
    return;
  }
  for (let vpn = start; vpn < end; ) {
    const ptep = first + (vpn - start);
    if (m.point(Op.PteRead, ptep)) yield SWITCH;
    const flags = m.pt.flags(ptep);
    vpn++;
    if (!ptePresent(flags) || (flags & PTE.SPECIAL) !== 0) continue;
    const page = memmap.pfnToPage(m.pt.pfn(ptep));
    const folio = memmap.folioOf(page);
    const pages = memmap.folioPages(folio);
    // Entries of one large folio, side by side, count once.
    let step = 1;
    while (step < folio + pages - page && vpn < end && sameFolio(k, ptep + step, folio, page + step)) {
      step++;
      vpn++;
    }
    const whole = step === pages && vma.endVpn - vma.startVpn >= pages && end - start <= HPAGE_PMD_NR;
    if (!locks || pages === 1 || whole) yield* count(k, locks, folio);
  }
  if (!ptl.tryUnlock()) yield* ptl.unlock();
}

function sameFolio(k: Kernel, ptep: number, folio: number, page: number): boolean {
  const { m } = k;
  m.touches(Op.PteRead, ptep);
  return ptePresent(m.pt.flags(ptep)) && m.memmap.pfnToPage(m.pt.pfn(ptep)) === page && m.memmap.folioOf(page) === folio;
}

function* count(k: Kernel, locks: boolean, folio: number): Atomic<void> {
  if (k.m.memmap.isZoneDevice(folio)) return;
  if (locks) yield* k.mlockFolio.mlockFolio(k, folio);
  else yield* k.mlockFolio.munlockFolio(k, folio);
}

/** mlockall(2): 0, -EINVAL, -EPERM, or -ENOMEM for the limit. What cannot be faulted in is left. */
export function* doMlockall(k: Kernel, mm: Mm, flags: number): MaySleep<number> {
  if (flags === 0 || flags === Mcl.ONFAULT || (flags & ~(Mcl.CURRENT | Mcl.FUTURE | Mcl.ONFAULT)) !== 0) return -Errno.EINVAL;
  if (!k.mlock.canDoMlock(k)) return -Errno.EPERM;
  if (!mm.mmapLock.tryWrite()) yield* mm.mmapLock.write();
  const within = (flags & Mcl.CURRENT) === 0 || mm.totalVm <= rlimitPages(k.m, Rlimit.MEMLOCK) || capable(k, Cap.IPC_LOCK);
  if (within) yield* k.mlock.applyMlockallFlags(k, mm, flags);
  yield* k.memory.mmapWriteUnlock(k, mm);
  if (!within) return -Errno.ENOMEM;
  if ((flags & Mcl.CURRENT) !== 0) yield* k.populate.mmPopulate(k, mm, 0, USER_VPN_END, true);
  return 0;
}

/** munlockall(2). */
export function* doMunlockall(k: Kernel, mm: Mm): MaySleep<number> {
  if (!mm.mmapLock.tryWrite()) yield* mm.mmapLock.write();
  yield* k.mlock.applyMlockallFlags(k, mm, 0);
  yield* k.memory.mmapWriteUnlock(k, mm);
  return 0;
}

export function* applyMlockallFlags(k: Kernel, mm: Mm, flags: number): MaySleep<void> {
  const onFault = (flags & Mcl.ONFAULT) !== 0 ? VM.LOCKONFAULT : 0;
  mm.defFlags &= ~VM_LOCKED_MASK;
  if ((flags & Mcl.FUTURE) !== 0) {
    mm.defFlags |= VM.LOCKED | onFault;
    // What is locked already stays so.
    if ((flags & Mcl.CURRENT) === 0) return;
  }
  const add = (flags & Mcl.CURRENT) !== 0 ? VM.LOCKED | onFault : 0;
  for (let vpn = 0; vpn < USER_VPN_END; ) {
    const i = mm.findVmaIndex(vpn);
    if (i < 0) break;
    const vma = mm.vmas[i]!;
    vpn = vma.endVpn;
    // Too many VMAs: those stay as they are.
    yield* k.mlock.mlockFixup(k, mm, vma, Math.max(vma.startVpn, 0), vma.endVpn, (vma.flags & ~VM_LOCKED_MASK) | add);
  }
}
