/**
 * @linux mm/userfaultfd.c, mm/shmem.c
 * @own fillShmemPage, installFilePage, isOverSize
 */
import { SWITCH, type Atomic, type MaySleep } from "../kernel/coroutine.js";
import { Errno } from "../kernel/errno.js";
import { Op } from "../kernel/op.js";
import type { Kernel } from "../kernel.js";
import { NO_PAGE, PG } from "./page.js";
import { VM, type Vma } from "./mm_types.js";
import { Sgp } from "./shmem.js";
import { shmemInode } from "./shmem_inode.js";
import { Fill, NEEDS_DATA, type FillRequest } from "./uffd_fill.js";

/** Whether a page of a mapping lies beyond the end of its file. */
export function* isOverSize(k: Kernel, vma: Vma, vpn: number): Atomic<boolean> {
  const { inode } = vma.file!;
  if (k.m.point(Op.Inode, inode.ino)) yield SWITCH;
  return vma.linearIndex(vpn) >= Math.ceil(inode.size / 4096);
}

/**
 * Fills a page of a file in memory, and maps it: a new one with UFFDIO_COPY and ZEROPAGE, with CONTINUE the one that
 * is there. 0, NEEDS_DATA, or a negated errno: -EEXIST where the file or the mapping has something there already,
 * -EFAULT beyond the end, and for CONTINUE where there is nothing.
 */
export function* fillShmemPage(k: Kernel, vma: Vma, vpn: number, ptep: number, request: FillRequest, src: number, data: Uint8Array | null): MaySleep<number> {
  const inode = shmemInode(vma.file)!;
  const index = vma.linearIndex(vpn);
  if (request.fill === Fill.Continue) {
    const found = yield* k.shmem.shmemGetPage(k, inode, index, Sgp.NoAlloc, "uffd");
    if (found === NO_PAGE) return -Errno.EFAULT;
    if (typeof found === "number") return found;
    const mapped = yield* k.uffdShmem.installFilePage(k, vma, vpn, ptep, found.page, request.wp);
    yield* k.fileFault.releasePage(k, found.page, "uffd");
    return mapped;
  }
  const contents = request.fill === Fill.Zeropage ? new Uint8Array(4096) : (data ?? (yield* k.uffdFill.readSource(k, src)));
  if (contents === null) return NEEDS_DATA;
  if (yield* k.uffdShmem.isOverSize(k, vma, vpn)) return -Errno.EFAULT;
  const page = yield* k.shmem.shmemAllocAndAdd(k, inode, index, vma, "uffd");
  if (page < 0) return page === -Errno.ENOSPC ? -Errno.ENOMEM : page;
  if (k.m.point(Op.FrameWrite, page)) yield SWITCH;
  k.m.ram.bytes.set(contents, page * 4096);
  if (k.m.point(Op.PageFlags, page)) yield SWITCH;
  k.m.memmap.set(page, PG.uptodate);
  const mapped = yield* k.uffdShmem.installFilePage(k, vma, vpn, ptep, page, request.wp);
  if (mapped !== 0) {
    yield* k.filemap.filemapRemoveFolio(k, page);
    inode.sb.unacctBlocks(1);
    yield* k.swap.folioPutUnowned(k, page);
  }
  yield* k.fileFault.releasePage(k, page, "uffd");
  return mapped;
}

/**
 * Maps a locked page of a file: 0, -EEXIST where something is mapped, -EFAULT where the file has become shorter: who
 * makes it so unmaps what is mapped by then. A private mapping may only read the page, and has a dirty entry all the same.
 */
export function* installFilePage(k: Kernel, vma: Vma, vpn: number, ptep: number, page: number, wp: boolean): Atomic<number> {
  const { m } = k;
  const ptl = m.pt.lockOf(ptep);
  if (!ptl.tryLock()) yield* ptl.lock();
  let error = (yield* k.uffdShmem.isOverSize(k, vma, vpn)) ? -Errno.EFAULT : 0;
  if (m.point(Op.PteRead, ptep)) yield SWITCH;
  if (error === 0 && !k.uffdFill.mayInstall(k, ptep)) error = -Errno.EEXIST;
  if (error === 0) yield* k.fileFault.mapFilePage(k, vma, vpn, ptep, page, (vma.flags & VM.SHARED) !== 0, wp, true);
  if (!ptl.tryUnlock()) yield* ptl.unlock();
  return error;
}
