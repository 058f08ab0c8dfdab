/**
 * @linux mm/userfaultfd.c
 * @own changeNonePte, changedPte, installMarker, isUffdWp, isWpAsync, rwprotectRange, withoutUffdWp, wpUsesMarkers,
 *   writeprotect, writeprotectRange
 */
import { SWITCH, type Atomic, type MaySleep } from "../kernel/coroutine.js";
import { Errno } from "../kernel/errno.js";
import { Op } from "../kernel/op.js";
import type { Kernel } from "../kernel.js";
import { PTE, ptePresent } from "../arch/pgtable.js";
import { UffdFeature, type UserfaultfdCtx } from "../fs/userfaultfd_ctx.js";
import { hstateOf } from "./hugetlb_reserve.js";
import { VM, type Vma } from "./mm_types.js";
import { trapped } from "./uffd_rwp.js";
import { PTE_MARKER_FLAGS, PteMarker, pteMarker } from "./pte_marker.js";

/** What becomes of userfaultfd's protection where entries are changed; from writes or from all accesses, as the VMA says. */
export enum UffdWp {
  Keep,
  Protect,
  Resolve,
}

/** Whether a present entry, or one that stands for a page, is protected. A mark that was left from before does not count. */
export function isUffdWp(vma: Vma, flags: number): boolean {
  const mark = ptePresent(flags) ? PTE.UFFD_WP : PTE.SWP_UFFD_WP;
  return (vma.flags & VM.UFFD_WP) !== 0 && (flags & mark) !== 0;
}

/** Whether writes to a VMA's protected pages are let through, their marks removed. */
export function isWpAsync(vma: Vma): boolean {
  return vma.uffd?.has(UffdFeature.WP_ASYNC) ?? false;
}

/** Whether what is protected of a VMA where no page is gets a marker: files always, anonymous memory with WP_UNPOPULATED. */
export function wpUsesMarkers(vma: Vma): boolean {
  if ((vma.flags & VM.UFFD_WP) === 0) return false;
  return vma.ops !== null || vma.uffd!.has(UffdFeature.WP_UNPOPULATED);
}

/** An entry that is not empty and no marker, with the VMA's permissions and protected or not. */
export function changedPte(k: Kernel, vma: Vma, flags: number, pfn: number, wp: UffdWp): number {
  if (ptePresent(flags)) {
    if (wp === UffdWp.Resolve) return k.mprotect.changedPresentPte(k, vma, flags & ~PTE.UFFD_WP, pfn);
    return trapped(vma, k.mprotect.changedPresentPte(k, vma, wp === UffdWp.Protect ? flags | PTE.UFFD_WP : flags, pfn));
  }
  const changed = k.mprotect.changedSwapPte(k, vma, flags);
  if (wp === UffdWp.Protect) return changed | PTE.SWP_UFFD_WP;
  return wp === UffdWp.Resolve ? changed & ~PTE.SWP_UFFD_WP : changed;
}

/** An empty entry, or a marker, whose protection changes: true where it is another now. Under the page-table lock. */
export function* changeNonePte(k: Kernel, vma: Vma, vpn: number, ptep: number, wp: UffdWp): Atomic<boolean> {
  const { pt } = k.m;
  const flags = pt.flags(ptep);
  if (flags === 0) {
    if (wp !== UffdWp.Protect || !wpUsesMarkers(vma)) return false;
    yield* k.memory.setPteAt(k, vma.mm, vpn, ptep, PTE_MARKER_FLAGS, PteMarker.UFFD_WP);
    return true;
  }
  // Who meets the others dies of it anyway.
  if (wp !== UffdWp.Resolve || pteMarker(flags, pt.pfn(ptep)) !== PteMarker.UFFD_WP) return false;
  yield* k.memory.setPteAt(k, vma.mm, vpn, ptep, 0, 0);
  return true;
}

/** What was protected has lost its page, and stays protected: a marker in its place, under the page-table lock. */
export function* installMarker(k: Kernel, vma: Vma, vpn: number, ptep: number): Atomic<void> {
  yield* k.memory.setPteAt(k, vma.mm, vpn, ptep, PTE_MARKER_FLAGS, PteMarker.UFFD_WP);
}

/** Protects an entry of whatever kind, for PAGEMAP_SCAN: under the page-table lock; the caller notifies and flushes. */
export function* makeUffdWpPte(k: Kernel, vma: Vma, vpn: number, ptep: number): Atomic<void> {
  const { m } = k;
  if (m.point(Op.PteRead, ptep)) yield SWITCH;
  const flags = m.pt.flags(ptep);
  if (flags === 0) yield* k.memory.setPteAt(k, vma.mm, vpn, ptep, PTE_MARKER_FLAGS, PteMarker.UFFD_WP);
  else if (ptePresent(flags)) yield* k.memory.ptepModify(k, vma.mm, vpn, ptep, (now) => (now | PTE.UFFD_WP) & ~PTE.W);
  else yield* k.memory.ptepModify(k, vma.mm, vpn, ptep, (now) => now | PTE.SWP_UFFD_WP);
}

/** An entry without the mark of userfaultfd's write protection. */
export function withoutUffdWp(flags: number): number {
  return flags & ~(ptePresent(flags) ? PTE.UFFD_WP : PTE.SWP_UFFD_WP);
}

/** UFFDIO_WRITEPROTECT or RWPROTECT of a valid range of bytes: 0, -ENOENT for what is not registered for it, -EAGAIN, -ENOMEM, -ESRCH. */
export function* writeprotect(k: Kernel, ctx: UserfaultfdCtx, start: number, len: number, protect: boolean, kind: VM.UFFD_WP | VM.UFFD_RWP = VM.UFFD_WP): MaySleep<number> {
  const { mm } = ctx;
  if (!(yield* k.fork.mmgetNotZero(k, mm))) return -Errno.ESRCH;
  if (!mm.mmapLock.tryRead()) yield* mm.mmapLock.read();
  if (!ctx.mapChangingLock.tryRead()) yield* ctx.mapChangingLock.read();
  if (k.m.point(Op.Userfault, ctx.id)) yield SWITCH;
  let result = -Errno.EAGAIN;
  if (ctx.mmapChanging === 0) {
    const change = kind === VM.UFFD_WP ? k.uffdWp.writeprotectRange : k.uffdWp.rwprotectRange;
    result = yield* change(k, ctx, start / 4096, (start + len) / 4096, protect);
  }
  if (!ctx.mapChangingLock.tryUnlock()) yield* ctx.mapChangingLock.unlock();
  if (!mm.mmapLock.tryUnlock()) yield* mm.mmapLock.unlock();
  yield* k.fork.mmput(k, mm);
  return result;
}

export function* writeprotectRange(k: Kernel, { mm }: UserfaultfdCtx, start: number, end: number, protect: boolean): MaySleep<number> {
  let result = -Errno.ENOENT;
  const first = mm.findVmaIndex(start);
  for (let i = first; i >= 0 && i < mm.vmas.length && mm.vmas[i]!.startVpn < end; i++) {
    const vma = mm.vmas[i]!;
    if ((vma.flags & VM.UFFD_WP) === 0) return -Errno.ENOENT;
    if (vma.isHugetlb && (start % hstateOf(vma).pages !== 0 || end % hstateOf(vma).pages !== 0)) return -Errno.EINVAL;
    const wp = protect ? UffdWp.Protect : UffdWp.Resolve;
    result = yield* k.mprotect.changePteRange(k, vma, Math.max(start, vma.startVpn), Math.min(end, vma.endVpn), wp);
    if (result < 0) break;
  }
  return result;
}

/** UFFDIO_RWPROTECT of a range of pages, under mmap_lock: 0, or -ENOENT or -EINVAL, and nothing is changed. */
export function* rwprotectRange(k: Kernel, { mm }: UserfaultfdCtx, start: number, end: number, protect: boolean): MaySleep<number> {
  const vmas = mm.vmas.filter(({ startVpn, endVpn }) => startVpn < end && endVpn > start);
  if (vmas.length === 0) return -Errno.ENOENT;
  for (const vma of vmas) {
    if ((vma.flags & VM.UFFD_RWP) === 0) return -Errno.ENOENT;
    if (vma.isHugetlb && (start % hstateOf(vma).pages !== 0 || end % hstateOf(vma).pages !== 0)) return -Errno.EINVAL;
  }
  for (const vma of vmas) {
    yield* k.mprotect.changePteRange(k, vma, Math.max(start, vma.startVpn), Math.min(end, vma.endVpn), protect ? UffdWp.Protect : UffdWp.Resolve);
  }
  return 0;
}
