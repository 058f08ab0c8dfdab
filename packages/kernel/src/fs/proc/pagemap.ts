/**
 * @linux fs/proc/task_mmu.c, fs/proc/page.c
 * @omits /proc/kpageflags and its like are in `fs/proc/page.ts`, which overlays cannot replace.
 * @own pagemapTable, showsMmapExclusive
 */
import { SWITCH, type MaySleep } from "../../kernel/coroutine.js";
import { Errno } from "../../kernel/errno.js";
import { Op, tableObject } from "../../kernel/op.js";
import type { Kernel } from "../../kernel.js";
import { PTE, PTRS_PER_TABLE, USER_VPN_END, ptePresent } from "../../arch/pgtable.js";
import { VM, type Mm } from "../../mm/mm_types.js";
import { NO_PAGE } from "../../mm/page.js";
import { PteMarker } from "../../mm/pte_marker.js";
import { SEEK_CUR, SEEK_SET, type FileOps, type OpenFile } from "../vfs.js";
import { PAGEMAP_SCAN } from "./pagemap_scan.js";

/** Bits of a pagemap entry's upper word (Documentation/admin-guide/mm/pagemap). */
export enum PM {
  SOFT_DIRTY = 1 << (55 - 32),
  MMAP_EXCLUSIVE = 1 << (56 - 32),
  UFFD_WP = 1 << (57 - 32),
  GUARD_REGION = 1 << (58 - 32),
  FILE = 1 << (61 - 32),
  SWAP = 1 << (62 - 32),
  PRESENT = 1 << (63 - 32),
}

const MAX_SWAPFILES_SHIFT = 5;

/** Flags of a pagemap entry, and the number in its low 55 bits. */
export interface PagemapEntry {
  flags: number;
  frame: number;
}

/** An open pagemap: of whose memory, and whether who opened it may see frame numbers (CAP_SYS_ADMIN). */
export interface PagemapState {
  readonly mm: Mm;
  readonly showPfn: boolean;
}

/**
 * What pagemap says of one page-table entry to who may see frame numbers. `counted` is the
 * frame by whose map count the page is said to be mapped once: where 2 MiB are mapped as one, that of their first.
 */
export function pteToPagemapEntry(k: Kernel, flags: number, pfn: number, counted = pfn): PagemapEntry {
  const { memmap } = k.m;
  if (flags === 0) return { flags: 0, frame: 0 };
  let pm = 0;
  let frame: number;
  let page = NO_PAGE;
  if (ptePresent(flags)) {
    frame = pfn;
    pm = PM.PRESENT;
    if ((flags & PTE.SPECIAL) === 0) page = memmap.pfnToPage(pfn);
    if ((flags & PTE.SOFT_DIRTY) !== 0) pm |= PM.SOFT_DIRTY;
    if ((flags & PTE.UFFD_WP) !== 0) pm |= PM.UFFD_WP;
  } else {
    // For entries that hold a page, what stands in the place of the swap offset is its pfn.
    frame = k.swapops.pagemapType(k, flags) + pfn * (1 << MAX_SWAPFILES_SHIFT);
    pm = PM.SWAP;
    page = k.taskMmu.nonPresentPage(k, flags, pfn);
    if ((flags & PTE.SWP_SOFT_DIRTY) !== 0) pm |= PM.SOFT_DIRTY;
    if ((flags & PTE.SWP_UFFD_WP) !== 0) pm |= PM.UFFD_WP;
    const marker = k.pteMarker.pteMarker(flags, pfn);
    if ((marker & PteMarker.UFFD_WP) !== 0) pm |= PM.UFFD_WP;
    if ((marker & PteMarker.GUARD) !== 0) pm |= PM.GUARD_REGION;
  }
  if (page !== NO_PAGE) {
    if (!memmap.isAnon(memmap.folioOf(page))) pm |= PM.FILE;
    if (k.pagemap.showsMmapExclusive(k, flags) && memmap.pageMapcount(memmap.pfnToPage(counted)) === 1) pm |= PM.MMAP_EXCLUSIVE;
  }
  return { flags: pm, frame };
}

/** Whether an entry that names a page says that the page is mapped once. */
export function showsMmapExclusive(_k: Kernel, flags: number): boolean {
  return ptePresent(flags);
}

/** Fills entries for `count` pages from `vpn` on; mmap_lock is taken anew for every 2 MiB. */
export function* pagemapRange(k: Kernel, mm: Mm, vpn: number, count: number, showPfn: boolean, out: DataView): MaySleep<void> {
  const last = vpn + count;
  for (let from = vpn; from < last; ) {
    const end = Math.min(last, (from | (PTRS_PER_TABLE - 1)) + 1);
    if (!mm.mmapLock.tryRead()) yield* mm.mmapLock.read();
    yield* k.pagemap.pagemapTable(k, mm, from, end, (at, flags, number) => {
      const frame = showPfn ? number : 0;
      out.setUint32((at - vpn) * 8, frame >>> 0, true);
      out.setUint32((at - vpn) * 8 + 4, (flags | Math.floor(frame / 2 ** 32)) >>> 0, true);
    });
    if (!mm.mmapLock.tryUnlock()) yield* mm.mmapLock.unlock();
    from = end;
    yield* k.m.sched.condResched();
  }
}

/** The part of `pagemapRange` that one last-level table maps. */
export function* pagemapTable(
  k: Kernel,
  mm: Mm,
  start: number,
  end: number,
  put: (vpn: number, flags: number, frame: number) => void,
): MaySleep<void> {
  const { m } = k;
  for (let vpn = start; vpn < end; ) {
    const i = mm.findVmaIndex(vpn);
    const vma = i < 0 ? undefined : mm.vmas[i];
    const from = Math.min(end, Math.max(vpn, vma?.startVpn ?? end));
    for (; vpn < from; vpn++) put(vpn, 0, 0);
    if (vma === undefined || vpn === end) continue;
    const to = Math.min(end, vma.endVpn);
    // All of the area counts as written to, what was never touched included.
    const dirty = (vma.flags & VM.SOFTDIRTY) !== 0 ? PM.SOFT_DIRTY : 0;
    if (m.point(Op.TableRead, tableObject(mm.id, vpn))) yield SWITCH;
    const found = m.pt.find(mm.pgd, vpn);
    if (found < 0) {
      for (; vpn < to; vpn++) put(vpn, dirty, 0);
      continue;
    }
    const huge = vma.isHugetlb || m.pt.isHuge(found);
    const ptl = m.pt.lockOf(found);
    if (!ptl.tryLock()) yield* ptl.lock();
    // Split while the lock was waited for: the pages have entries of their own now.
    const split = huge && m.pt.child(found) >= 0;
    for (let ptep = found; vpn < to && !split; vpn++) {
      if (m.point(Op.PteRead, ptep)) yield SWITCH;
      const there = ptePresent(m.pt.flags(ptep));
      const shown = k.pagemap.pteToPagemapEntry(k, m.pt.flags(ptep), there ? m.pt.pfnFor(ptep, vpn) : m.pt.pfn(ptep), m.pt.pfn(ptep));
      // Of a huge page that is not there all that shows is userfaultfd's protection.
      const { flags, frame } = vma.isHugetlb && !there ? { flags: shown.flags & PM.UFFD_WP, frame: 0 } : shown;
      // The huge page of zeros shows as a page that is not anonymous; the small one as none.
      const zeros = huge && (m.pt.flags(ptep) & PTE.SPECIAL) !== 0 ? PM.FILE : 0;
      put(vpn, (vma.isHugetlb ? flags & ~PM.SOFT_DIRTY : flags) | dirty | zeros, frame);
      if (!huge) ptep++;
    }
    if (!ptl.tryUnlock()) yield* ptl.unlock();
  }
}

/** /proc/PID/pagemap: `file.data` is a `PagemapState`. Computed anew by each read. */
export const PAGEMAP_OPS: FileOps = {
  *read(k, file: OpenFile, into, pos) {
    const { mm, showPfn } = file.data as PagemapState;
    if (!(yield* k.fork.mmgetNotZero(k, mm))) return 0;
    const vpn = pos / 8;
    const wrong = pos % 8 !== 0 || into.length % 8 !== 0;
    const count = wrong ? 0 : Math.max(0, Math.min(into.length / 8, USER_VPN_END - vpn));
    if (count > 0) yield* k.pagemap.pagemapRange(k, mm, vpn, count, showPfn, new DataView(into.buffer, into.byteOffset, into.byteLength));
    yield* k.fork.mmput(k, mm);
    return wrong ? -Errno.EINVAL : count * 8;
  },

  *ioctl(k, file, cmd, arg) {
    if (cmd !== PAGEMAP_SCAN) return -Errno.EINVAL;
    return yield* k.pagemapScan.pagemapScan(k, (file.data as PagemapState).mm, arg);
  },

  *llseek(k, file, offset, whence) {
    if (k.m.point(Op.Inode, file.inode.ino)) yield SWITCH;
    if (whence === SEEK_SET) return offset < 0 ? -Errno.EINVAL : offset;
    if (whence === SEEK_CUR) return file.pos + offset < 0 ? -Errno.EINVAL : file.pos + offset;
    return -Errno.EINVAL;
  },
};
