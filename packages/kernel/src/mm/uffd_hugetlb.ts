/**
 * @linux mm/hugetlb.c, mm/userfaultfd.c
 * @own copyHugePage, fillHugeEntry, fillHugePage, installHuge, poisonHugeEntry
 */
import { SWITCH, type Atomic, type MaySleep } from "../kernel/coroutine.js";
import { Errno } from "../kernel/errno.js";
import { Op } from "../kernel/op.js";
import type { Kernel } from "../kernel.js";
import { PTE } from "../arch/pgtable.js";
import { vmaLock } from "./hugetlb.js";
import { hstateOf, hugeIndex, inodeOf } from "./hugetlb_reserve.js";
import { VM, type Vma } from "./mm_types.js";
import { NO_PAGE, PG } from "./page.js";
import { PTE_MARKER_FLAGS, PteMarker } from "./pte_marker.js";
import { Fill, NEEDS_DATA, type FillRequest } from "./uffd_fill.js";
import { maybeMkwrite, vmPageProt } from "./vm_prot.js";

/** Fills one huge page of a locked VMA: 0, NEEDS_DATA, or a negated errno. */
export function* fillHugePage(k: Kernel, vma: Vma, vpn: number, request: FillRequest, src: number, data: Uint8Array | null): MaySleep<number> {
  const mutex = k.hugetlb.faultMutex(k, inodeOf(vma), hugeIndex(vma, vpn));
  if (!mutex.tryLock()) yield* mutex.lock();
  const lock = vmaLock(vma);
  if (lock !== null && !lock.tryRead()) yield* lock.read();
  const result = yield* k.uffdHugetlb.fillHugeEntry(k, vma, vpn, request, src, data);
  if (lock !== null && !lock.tryUnlock()) yield* lock.unlock();
  if (!mutex.tryUnlock()) yield* mutex.unlock();
  return result;
}

/** The same under the mutex of the page's faults. */
export function* fillHugeEntry(k: Kernel, vma: Vma, vpn: number, request: FillRequest, src: number, data: Uint8Array | null): MaySleep<number> {
  const { m } = k;
  const h = hstateOf(vma);
  const entry = yield* k.hugetlb.hugePteAlloc(k, vma.mm, vpn, h);
  if (entry < 0) return -Errno.ENOMEM;
  if (request.fill === Fill.Poison) return yield* k.uffdHugetlb.poisonHugeEntry(k, vma, vpn, entry);
  if (request.fill === Fill.Continue) {
    const folio = yield* inodeOf(vma).lockFolio(k, hugeIndex(vma, vpn));
    if (folio === NO_PAGE) return -Errno.EFAULT;
    const result = yield* k.uffdHugetlb.installHuge(k, vma, vpn, entry, folio, request, true);
    yield* k.folioLock.folioUnlock(k, folio);
    yield* k.swap.folioPut(k, folio, "hugetlb");
    return result;
  }
  if (m.point(Op.PteRead, entry)) yield SWITCH;
  if (!k.uffdFill.mayInstall(k, entry)) return -Errno.EEXIST;
  return yield* k.uffdHugetlb.copyHugePage(k, vma, vpn, entry, request, src, data);
}

export function* poisonHugeEntry(k: Kernel, vma: Vma, vpn: number, entry: number): MaySleep<number> {
  const { m } = k;
  const ptl = m.pt.lockOf(entry);
  if (!ptl.tryLock()) yield* ptl.lock();
  if (m.point(Op.PteRead, entry)) yield SWITCH;
  const empty = m.pt.isNone(entry);
  if (empty) yield* k.memory.setPteAt(k, vma.mm, vpn, entry, PTE_MARKER_FLAGS, PteMarker.POISONED);
  if (!ptl.tryUnlock()) yield* ptl.unlock();
  return empty ? 0 : -Errno.EEXIST;
}

/** A new huge page, of the file where the mapping is shared; -EEXIST where that has one. */
export function* copyHugePage(k: Kernel, vma: Vma, vpn: number, entry: number, request: FillRequest, src: number, data: Uint8Array | null): MaySleep<number> {
  const { m } = k;
  const h = hstateOf(vma);
  const inode = inodeOf(vma);
  const index = hugeIndex(vma, vpn);
  const shared = (vma.flags & VM.SHARED) !== 0;
  if (shared) {
    if (m.point(Op.PageCacheRead, inode.mapping.object(index * h.pages))) yield SWITCH;
    if (inode.mapping.at(index * h.pages) !== NO_PAGE) return -Errno.EEXIST;
  }
  const contents = data ?? (yield* k.uffdFill.readSource(k, src, h.bytes));
  if (contents === null) return NEEDS_DATA;
  const folio = yield* k.hugetlb.allocHugetlbFolio(k, vma, vpn, false);
  if (folio === NO_PAGE) return -Errno.ENOMEM;
  m.ram.bytes.set(contents, folio * 4096);
  if (m.point(Op.PageFlags, folio)) yield SWITCH;
  m.memmap.set(folio, PG.uptodate);
  k.folioLock.lockNewFolio(k, folio);
  let result = 0;
  if (shared) {
    if (m.point(Op.Inode, inode.ino)) yield SWITCH;
    if (index >= Math.floor(inode.size / h.bytes)) result = -Errno.EFAULT;
    else if (!(yield* inode.addFolio(k, index, folio))) result = -Errno.EEXIST;
  }
  const cached = shared && result === 0;
  if (result === 0) result = yield* k.uffdHugetlb.installHuge(k, vma, vpn, entry, folio, request, shared);
  if (result === 0) yield* k.hugetlb.markMigratable(k, folio);
  yield* k.folioLock.folioUnlock(k, folio);
  if (result !== 0 && !cached) yield* k.hugetlbReserve.restoreReserveOnError(k, vma, vpn, folio);
  yield* k.swap.folioPut(k, folio, "alloc");
  return result;
}

/** Maps a locked folio: 0, or -EEXIST where something is mapped. Of what is the file's a private mapping may only read. */
export function* installHuge(k: Kernel, vma: Vma, vpn: number, entry: number, folio: number, request: FillRequest, ofFile: boolean): Atomic<number> {
  const { m } = k;
  const ptl = m.pt.lockOf(entry);
  if (!ptl.tryLock()) yield* ptl.lock();
  if (m.point(Op.PteRead, entry)) yield SWITCH;
  const empty = k.uffdFill.mayInstall(k, entry);
  if (empty) {
    if (ofFile) yield* k.hugetlb.addRmap(k, folio);
    else k.hugetlb.addNewAnonRmap(k, folio, vma, vpn);
    yield* k.swap.folioGetUnowned(k, folio);
    const readOnly = request.wp || (ofFile && (vma.flags & VM.SHARED) === 0);
    const prot = vmPageProt(vma.flags) | PTE.D;
    const flags = readOnly ? prot & ~PTE.W : maybeMkwrite(prot, vma.flags);
    yield* k.memory.setPteAt(k, vma.mm, vpn, entry, request.wp ? flags | PTE.UFFD_WP : flags, m.memmap.pageToPfn(folio));
    vma.mm.hugetlbPages += hstateOf(vma).pages;
  }
  if (!ptl.tryUnlock()) yield* ptl.unlock();
  return empty ? 0 : -Errno.EEXIST;
}
