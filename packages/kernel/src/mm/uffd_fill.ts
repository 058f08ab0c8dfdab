/**
 * @linux mm/userfaultfd.c
 * @own entryToFill, fill, fillPage, installAnon, isPrepared, lockRegistered, lockUnderMmapLock, lockVma, mayInstall,
 *   readSource, refused
 */
import { SWITCH, type Atomic, type MaySleep } from "../kernel/coroutine.js";
import { Errno } from "../kernel/errno.js";
import { Op } from "../kernel/op.js";
import type { Kernel } from "../kernel.js";
import { Access } from "../arch/fault.js";
import { PTE, PTRS_PER_TABLE, tableIndex } from "../arch/pgtable.js";
import type { UserfaultfdCtx } from "../fs/userfaultfd_ctx.js";
import { BatchKind } from "./folio_batch.js";
import { hstateOf } from "./hugetlb_reserve.js";
import { RssKind, VM, type Mm, type Vma } from "./mm_types.js";
import { NO_PAGE } from "./page.js";
import { PTE_MARKER_FLAGS, PteMarker, pteMarker } from "./pte_marker.js";
import { maybeMkwrite, vmPageProt } from "./vm_prot.js";
import { GFP_ANON_FOLIO } from "./gfp.js";

/** With what empty entries are filled. */
export enum Fill {
  Copy,
  Zeropage,
  /** What the file has there already. */
  Continue,
  Poison,
}

/** A request to fill [dst, dst + len), bytes. `src`: an address of the current task's, for Copy. */
export interface FillRequest {
  readonly fill: Fill;
  readonly dst: number;
  readonly src: number;
  readonly len: number;
  /** Write-protected from the beginning. */
  readonly wp: boolean;
}

/**
 * UFFDIO_COPY, ZEROPAGE, CONTINUE and POISON of valid ranges: bytes that have been filled in, or a negated
 * errno where there are none: -ENOENT where [dst, dst + len) is not in one registered VMA, -EEXIST where something is
 * mapped, -EAGAIN, -ENOMEM, -EFAULT, -EINTR, -ESRCH.
 */
export function* fill(k: Kernel, ctx: UserfaultfdCtx, request: FillRequest): MaySleep<number> {
  if (!(yield* k.fork.mmgetNotZero(k, ctx.mm))) return -Errno.ESRCH;
  const { dst, src, len } = request;
  let data: Uint8Array | null = null;
  let done = 0;
  let result = 0;
  while (result === 0) {
    const vma = yield* k.uffdFill.lockRegistered(k, ctx.mm, dst / 4096, len / 4096);
    if (typeof vma === "number") {
      result = vma;
      break;
    }
    if (!ctx.mapChangingLock.tryRead()) yield* ctx.mapChangingLock.read();
    result = (yield* k.uffdEvents.isChanging(k, ctx)) ? -Errno.EAGAIN : k.uffdFill.refused(k, vma, request);
    const step = vma.isHugetlb ? hstateOf(vma).bytes : 4096;
    while (result === 0 && done < len) {
      const vpn = (dst + done) / 4096;
      result = yield* k.uffdFill.fillPage(k, vma, vpn, request, src + done, data);
      if (result === 0) {
        done += step;
        data = null;
        if (k.m.signals.fatalPending(k.m.current!)) result = -Errno.EINTR;
      }
      yield* k.m.sched.condResched();
    }
    if (!ctx.mapChangingLock.tryUnlock()) yield* ctx.mapChangingLock.unlock();
    yield* k.memory.vmaEndRead(k, vma);
    if (result !== NEEDS_DATA) break;
    // What is read may have to be faulted in, which must not wait for this very fill: so, without the locks.
    data = new Uint8Array(step);
    result = yield* k.uaccess.copyFromUser(k, src + done, data);
  }
  yield* k.fork.mmput(k, ctx.mm);
  return done > 0 ? done : result;
}

/** The source could not be read under the locks: no errno. */
export const NEEDS_DATA = 1;

/** Read-locks the VMA of a page: it has an anon_vma where it is private. Null where there is none. */
export function* lockVma(k: Kernel, mm: Mm, vpn: number): MaySleep<Vma | null> {
  const quick = yield* k.memory.lockVmaUnderRcu(k, mm, vpn);
  if (quick !== null && k.uffdFill.isPrepared(k, quick)) return quick;
  if (quick !== null) yield* k.memory.vmaEndRead(k, quick);
  if (!mm.mmapLock.tryRead()) yield* mm.mmapLock.read();
  const vma = mm.vmaAt(vpn);
  if (vma !== null) yield* k.uffdFill.lockUnderMmapLock(k, vma);
  if (!mm.mmapLock.tryUnlock()) yield* mm.mmapLock.unlock();
  return vma;
}

/** Whether pages can be mapped into a VMA without mmap_lock. */
export function isPrepared(_k: Kernel, vma: Vma): boolean {
  return vma.anonVma !== null || (vma.flags & VM.SHARED) !== 0;
}

/** Nobody has it for writing, while mmap_lock is held for reading. */
export function* lockUnderMmapLock(k: Kernel, vma: Vma): MaySleep<void> {
  if (!k.uffdFill.isPrepared(k, vma)) yield* k.rmap.anonVmaPrepare(k, vma);
  if (k.m.point(Op.VmaRead, vma.id)) yield SWITCH;
  vma.beginRead();
}

/** The same for a VMA that is registered and contains all of a range of pages; else -ENOENT. */
export function* lockRegistered(k: Kernel, mm: Mm, vpn: number, pages: number): MaySleep<Vma | number> {
  const vma = yield* k.uffdFill.lockVma(k, mm, vpn);
  if (vma === null) return -Errno.ENOENT;
  if (vma.uffd !== null && vpn + pages <= vma.endVpn) return vma;
  yield* k.memory.vmaEndRead(k, vma);
  return -Errno.ENOENT;
}

/** What memory of this kind cannot have: -EINVAL, or 0. */
export function refused(_k: Kernel, vma: Vma, { fill: how, dst, len, wp }: FillRequest): number {
  if (wp && (vma.flags & VM.UFFD_WP) === 0) return -Errno.EINVAL;
  if (vma.isHugetlb) {
    const { bytes } = hstateOf(vma);
    return how === Fill.Zeropage || dst % bytes !== 0 || len % bytes !== 0 ? -Errno.EINVAL : 0;
  }
  const shmem = vma.ops?.isShmem === true;
  return (vma.ops !== null && !shmem) || (how === Fill.Continue && !shmem) ? -Errno.EINVAL : 0;
}

/** One page of a locked VMA: 0, NEEDS_DATA, or a negated errno. */
export function* fillPage(k: Kernel, vma: Vma, vpn: number, request: FillRequest, src: number, data: Uint8Array | null): MaySleep<number> {
  const { m } = k;
  if (vma.isHugetlb) return yield* k.uffdHugetlb.fillHugePage(k, vma, vpn, request, src, data);
  const ptep = yield* k.uffdFill.entryToFill(k, vma.mm, vpn);
  if (ptep < 0) return ptep;
  if (vma.ops !== null) {
    const shared = (vma.flags & VM.SHARED) !== 0 && request.fill !== Fill.Poison;
    if (shared || request.fill === Fill.Continue) return yield* k.uffdShmem.fillShmemPage(k, vma, vpn, ptep, request, src, data);
  }
  if (request.fill === Fill.Copy) return yield* k.uffdFill.copyPage(k, vma, vpn, ptep, request.wp, src, data);
  if (vma.ops !== null && (yield* k.uffdShmem.isOverSize(k, vma, vpn))) return -Errno.EFAULT;
  const ptl = m.pt.lockOf(ptep);
  if (!ptl.tryLock()) yield* ptl.lock();
  if (m.point(Op.PteRead, ptep)) yield SWITCH;
  const empty = m.pt.isNone(ptep);
  if (empty && request.fill === Fill.Poison) yield* k.memory.setPteAt(k, vma.mm, vpn, ptep, PTE_MARKER_FLAGS, PteMarker.POISONED);
  else if (empty) {
    yield* k.memory.setPteAt(k, vma.mm, vpn, ptep, vmPageProt(vma.flags) | PTE.SPECIAL, m.memmap.pageToPfn(m.zones.zeroPage));
  }
  if (!ptl.tryUnlock()) yield* ptl.unlock();
  return empty ? 0 : -Errno.EEXIST;
}

/** The last-level entry of a page, its tables allocated; -EEXIST where 2 MiB are mapped as one. */
export function* entryToFill(k: Kernel, mm: Mm, vpn: number): MaySleep<number> {
  const { m } = k;
  const pmd = yield* k.memory.pmdAlloc(k, mm, vpn);
  if (pmd < 0) return -Errno.ENOMEM;
  if (m.point(Op.PteRead, pmd)) yield SWITCH;
  if (m.pt.isLeaf(pmd)) return -Errno.EEXIST;
  const child = m.pt.child(pmd);
  if (child >= 0) return child * PTRS_PER_TABLE + tableIndex(vpn, 0);
  const ptep = yield* k.memory.pteAlloc(k, mm, vpn, pmd);
  if (ptep >= 0) return ptep;
  if (m.point(Op.PteRead, pmd)) yield SWITCH;
  return m.pt.isLeaf(pmd) ? -Errno.EEXIST : -Errno.ENOMEM;
}

/** A new page with what is in `data`, or is read from `src` where that needs no fault. */
export function* copyPage(k: Kernel, vma: Vma, vpn: number, ptep: number, wp: boolean, src: number, data: Uint8Array | null): MaySleep<number> {
  const { m } = k;
  const contents = data ?? (yield* k.uffdFill.readSource(k, src));
  if (contents === null) return NEEDS_DATA;
  const folio = yield* k.memory.allocAnonFolio(k, m.memcgs.ofMm(vma.mm), GFP_ANON_FOLIO, k.mempolicy.vmaNodes(k, vma, vpn));
  if (folio === NO_PAGE) return -Errno.ENOMEM;
  m.ram.bytes.set(contents, folio * 4096);
  const error = yield* k.uffdFill.installAnon(k, vma, vpn, ptep, folio, wp);
  if (error !== 0) yield* k.swap.folioPut(k, folio, "alloc");
  return error;
}

/** A page's worth of user memory, or of a huge page's; null where it would have to be faulted in. */
export function* readSource(k: Kernel, src: number, length = 4096): Atomic<Uint8Array | null> {
  const { bytes } = k.m.ram;
  const contents = new Uint8Array(length);
  for (let done = 0; done < length; ) {
    const offset = (src + done) % 4096;
    const n = Math.min(4096 - offset, length - done);
    const frame = yield* k.uaccess.accessFrameAtomic(k, src + done, Access.Read);
    if (frame === NO_PAGE) return null;
    contents.set(bytes.subarray(frame * 4096 + offset, frame * 4096 + offset + n), done);
    done += n;
  }
  return contents;
}

/** Whether a new page may take the place of an entry: an empty one, or a marker, whatever it stands for. */
export function mayInstall(k: Kernel, ptep: number): boolean {
  const { pt } = k.m;
  return pt.isNone(ptep) || pteMarker(pt.flags(ptep), pt.pfn(ptep)) !== 0;
}

/**
 * Maps a new folio that the caller alone has, whose reference is the mapping's then. 0; -EFAULT beyond the end of a
 * file that is mapped privately, -EEXIST where something is mapped.
 */
export function* installAnon(k: Kernel, vma: Vma, vpn: number, ptep: number, folio: number, wp: boolean): MaySleep<number> {
  const { m } = k;
  const ptl = m.pt.lockOf(ptep);
  if (!ptl.tryLock()) yield* ptl.lock();
  const beyond = vma.ops !== null && (yield* k.uffdShmem.isOverSize(k, vma, vpn));
  if (m.point(Op.PteRead, ptep)) yield SWITCH;
  if (beyond || !k.uffdFill.mayInstall(k, ptep)) {
    if (!ptl.tryUnlock()) yield* ptl.unlock();
    return beyond ? -Errno.EFAULT : -Errno.EEXIST;
  }
  vma.mm.addRss(RssKind.anon, 1);
  k.rmap.folioAddNewAnonRmap(k, folio, vma, vpn);
  const locked = (vma.flags & VM.LOCKED) !== 0;
  const full = !locked && k.swap.batchNewFolio(k, folio);
  if (locked) yield* k.mlockFolio.folioAddLruVma(k, folio, vma);
  const prot = vmPageProt(vma.flags) | PTE.D | PTE.SOFT_DIRTY;
  yield* k.memory.setPteAt(k, vma.mm, vpn, ptep, wp ? prot | PTE.UFFD_WP : maybeMkwrite(prot, vma.flags), m.memmap.pageToPfn(folio));
  m.refs?.put(folio, "alloc");
  if (!ptl.tryUnlock()) yield* ptl.unlock();
  if (full) yield* k.swap.drainBatch(k, m.cpu, BatchKind.lruAdd);
  return 0;
}
