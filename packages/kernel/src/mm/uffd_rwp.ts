/**
 * @linux mm/userfaultfd.c
 * @own asksFirst, isRwpAsync, isUffdRwp, setMode, trapped, untrapped
 */
import { SWITCH, type MaySleep } from "../kernel/coroutine.js";
import { Errno } from "../kernel/errno.js";
import { Op } from "../kernel/op.js";
import type { Kernel } from "../kernel.js";
import { PTE, ptePresent } from "../arch/pgtable.js";
import { UffdFeature, type UserfaultfdCtx } from "../fs/userfaultfd_ctx.js";
import type { Vmf } from "./memory.js";
import { VM, VM_ACCESS, type Vma } from "./mm_types.js";

/*
 * userfaultfd's protection from all accesses, since 7.3 (Documentation/admin-guide/mm/userfaultfd.rst, "Read-Write
 * Protection"). An entry that is protected has the mark that it would have for protection from writes, and grants
 * nothing, as of PROT_NONE memory. Where nothing is mapped, there is nothing to protect.
 */

/** Whether the next access to a present entry is to be told. */
export function isUffdRwp(vma: Vma, flags: number): boolean {
  return (vma.flags & VM.UFFD_RWP) !== 0 && ptePresent(flags) && (flags & PTE.UFFD_WP) !== 0;
}

/** Whether an access to what a present entry maps is a userfault: nobody is told of what mprotect() forbids. */
export function asksFirst(vma: Vma, flags: number): boolean {
  return isUffdRwp(vma, flags) && (vma.flags & VM_ACCESS) !== 0;
}

/** A present entry as it is to be written: marked, it grants nothing in a VMA that is registered for that. */
export function trapped(vma: Vma, flags: number): number {
  return isUffdRwp(vma, flags) ? (flags & ~(PTE.V | PTE.R | PTE.W | PTE.X)) | PTE.PROT_NONE : flags;
}

/** Whether accesses to a VMA's protected pages are let through, their marks removed. */
export function isRwpAsync(vma: Vma): boolean {
  return vma.uffd?.has(UffdFeature.RWP_ASYNC) ?? false;
}

/** A present entry without the mark, for a VMA that is registered no more, or a page that was accessed: with the VMA's permissions again. */
export function untrapped(k: Kernel, vma: Vma, flags: number, pfn: number): number {
  return k.mprotect.changedPresentPte(k, vma, flags & ~PTE.UFFD_WP, pfn);
}

/** An access to a protected page: told, or the protection is over. VmFault bits. */
export function* doUffdRwp(k: Kernel, vmf: Vmf): MaySleep<number> {
  const { m } = k;
  const { vma, ptep } = vmf;
  if (!isRwpAsync(vma)) return yield* k.userfaultfd.handleUserfault(k, vmf, VM.UFFD_RWP);
  if (!(yield* k.memory.pteLockUnchanged(k, vmf))) return 0;
  const flags = k.uffdRwp.untrapped(k, vma, vmf.origFlags, vmf.origPfn) | PTE.A;
  yield* k.memory.setPteAt(k, vma.mm, vmf.vpn, ptep, flags, vmf.origPfn);
  const ptl = m.pt.lockOf(ptep);
  if (!ptl.tryUnlock()) yield* ptl.unlock();
  return 0;
}

/** UFFDIO_SET_MODE: from here on accesses are told, or let through; 0 or -ESRCH. Faults under way are waited for. */
export function* setMode(k: Kernel, ctx: UserfaultfdCtx, enable: number, disable: number): MaySleep<number> {
  const { mm } = ctx;
  if (!(yield* k.fork.mmgetNotZero(k, mm))) return -Errno.ESRCH;
  if (!mm.mmapLock.tryWrite()) yield* mm.mmapLock.write();
  for (const vma of mm.vmas) if (vma.uffd === ctx) yield* k.memory.vmaStartWrite(k, vma);
  if (k.m.point(Op.Userfault, ctx.id)) yield SWITCH;
  ctx.features = (ctx.features | enable) & ~disable;
  yield* k.memory.mmapWriteUnlock(k, mm);
  // Who waits finds on the next try that there is nothing to wait for.
  if ((enable & UffdFeature.RWP_ASYNC) !== 0) yield* k.userfaultfd.wakeUserfault(k, ctx, 0, 0);
  yield* k.fork.mmput(k, mm);
  return 0;
}
