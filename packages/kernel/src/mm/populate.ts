/**
 * @linux mm/gup.c
 * @omits The range is faulted in page by page; an entry that is there already is passed over without GUP.
 * @own faultinRange, touchPage
 */
import { SWITCH, type Atomic, type MaySleep } from "../kernel/coroutine.js";
import { Errno } from "../kernel/errno.js";
import { Op, tableObject } from "../kernel/op.js";
import type { Kernel } from "../kernel.js";
import { PTE, USER_VPN_END, ptePresent } from "../arch/pgtable.js";
import { FaultFlag, VmFault } from "./fault_flags.js";
import { isSecretmem } from "./secretmem.js";
import { VM, VM_ACCESS, type Mm } from "./mm_types.js";
import { PG } from "./page.js";

/**
 * Faults in what is mapped in [start, end), for mlock and MAP_POPULATE: what is private and writable as
 * by a write, so that it is not faulted twice. What VMAs with LOCKONFAULT or of drivers have is left.
 * With `ignoreErrors` goes on behind a mapping that fails; else stops: 0, -EFAULT for PROT_NONE and
 * for what raises a signal, -ENOMEM, -EINTR.
 */
export function* mmPopulate(k: Kernel, mm: Mm, start: number, end: number, ignoreErrors: boolean): MaySleep<number> {
  let result = 0;
  if (!mm.mmapLock.tryRead()) yield* mm.mmapLock.read();
  for (let vpn = start; vpn < end; ) {
    const i = mm.findVmaIndex(vpn);
    const vma = i < 0 ? undefined : mm.vmas[i];
    if (vma === undefined || vma.startVpn >= end) break;
    const from = Math.max(vpn, vma.startVpn);
    const to = Math.min(end, vma.endVpn);
    vpn = to;
    if ((vma.flags & (VM.PFNMAP | VM.LOCKONFAULT)) !== 0) continue;
    const write = (vma.flags & (VM.WRITE | VM.SHARED)) === VM.WRITE;
    result = (vma.flags & VM_ACCESS) === 0 ? -Errno.EFAULT : yield* k.populate.populateVmaPageRange(k, mm, from, to, write);
    if (result === 0) continue;
    if (!ignoreErrors) {
      if (result === -Errno.EHWPOISON) result = -Errno.EFAULT;
      break;
    }
    result = 0;
    if (k.m.signals.fatalPending(k.m.current!)) break;
  }
  if (!mm.mmapLock.tryUnlock()) yield* mm.mmapLock.unlock();
  return result;
}

/** The part of a populated range that one VMA has: as `faultinRange`. What waits for a list of the LRU is on it afterwards. */
export function* populateVmaPageRange(k: Kernel, mm: Mm, start: number, end: number, write: boolean, unlockable = true): MaySleep<number> {
  const result = yield* k.populate.faultinRange(k, mm, start, end, write, unlockable);
  yield* k.swap.lruAddDrain(k);
  return result;
}

/**
 * Faults a range in under mmap_lock, which is dropped and taken again meanwhile if it is held for reading and
 * `unlockable`: 0, -ENOMEM where memory or a mapping is missing, -EFAULT for a signal, -EHWPOISON, -EINTR.
 */
export function* faultinRange(k: Kernel, mm: Mm, start: number, end: number, write: boolean, unlockable = true): MaySleep<number> {
  const { m } = k;
  const need = write ? PTE.V | PTE.W : PTE.V;
  for (let vpn = start; vpn < end; ) {
    const vma = mm.vmaAt(vpn);
    if (vma === null) return -Errno.ENOMEM;
    // It may be another one since the lock was dropped.
    if ((write && (vma.flags & VM.WRITE) === 0) || isSecretmem(vma)) return -Errno.EFAULT;
    if (m.point(Op.TableRead, tableObject(mm.id, vpn))) yield SWITCH;
    const ptep = m.pt.find(mm.pgd, vpn);
    m.touches(Op.PteRead, ptep);
    if (ptep >= 0 && (m.pt.flags(ptep) & need) === need) {
      yield* k.populate.touchPage(k, mm, ptep, vpn, write);
      vpn++;
      continue;
    }
    const flags = (unlockable ? FaultFlag.ALLOW_RETRY | FaultFlag.KILLABLE : 0) | (write ? FaultFlag.WRITE : 0);
    const fault = yield* k.memory.handleMmFault(k, vma, vpn, flags);
    k.fault.accountFault(k, fault);
    if ((fault & VmFault.RETRY) !== 0) {
      if (!mm.mmapLock.tryRead()) yield* mm.mmapLock.read();
    } else if ((fault & VmFault.OOM) !== 0) return -Errno.ENOMEM;
    else if ((fault & VmFault.HWPOISON) !== 0) return -Errno.EHWPOISON;
    else if ((fault & VmFault.ERROR) !== 0) return -Errno.EFAULT;
    if (m.signals.fatalPending(m.current!)) return -Errno.EINTR;
    yield* m.sched.condResched();
  }
  return 0;
}

/**
 * The page counts as accessed, as get_user_pages() marks it (FOLL_TOUCH): by its folio, or where 2 MiB are mapped
 * as one by the entry alone. The page of zeros does not care.
 */
export function* touchPage(k: Kernel, mm: Mm, ptep: number, vpn: number, write: boolean): Atomic<void> {
  const { m } = k;
  const ptl = m.pt.lockOf(ptep);
  if (!ptl.tryLock()) yield* ptl.lock();
  if (m.point(Op.PteRead, ptep)) yield SWITCH;
  const flags = m.pt.flags(ptep);
  if (m.pt.isHuge(ptep)) {
    if (m.pt.isLeaf(ptep) && ptePresent(flags)) yield* k.memory.ptepModify(k, mm, vpn, ptep, (now) => now | (write ? PTE.A | PTE.D : PTE.A));
  } else if (ptePresent(flags) && (flags & PTE.SPECIAL) === 0) {
    const folio = m.memmap.folioOf(m.memmap.pfnToPage(m.pt.pfnFor(ptep, vpn)));
    if (write && (flags & PTE.D) === 0) m.memmap.set(folio, PG.dirty);
    yield* k.swap.folioMarkAccessed(k, folio);
  }
  if (!ptl.tryUnlock()) yield* ptl.unlock();
}

/**
 * MADV_POPULATE_READ and _WRITE: 0, -ENOMEM for a hole, -EFAULT for a signal, -EINVAL where permissions
 * forbid it or the mapping is a driver's, -EHWPOISON, -EINTR.
 */
export function* madvisePopulate(k: Kernel, mm: Mm, start: number, end: number, write: boolean): MaySleep<number> {
  if (end > USER_VPN_END) return -Errno.ENOMEM;
  let result = 0;
  if (!mm.mmapLock.tryRead()) yield* mm.mmapLock.read();
  for (let vpn = start; vpn < end && result === 0; ) {
    const vma = mm.vmaAt(vpn);
    if (vma === null) {
      result = -Errno.ENOMEM;
      break;
    }
    if ((vma.flags & (write ? VM.WRITE : VM.READ)) === 0 || (vma.flags & VM.PFNMAP) !== 0 || isSecretmem(vma)) {
      result = -Errno.EINVAL;
      break;
    }
    const to = Math.min(end, vma.endVpn);
    result = yield* k.populate.faultinRange(k, mm, vpn, to, write);
    vpn = to;
  }
  yield* k.swap.lruAddDrain(k);
  if (!mm.mmapLock.tryUnlock()) yield* mm.mmapLock.unlock();
  return result;
}
