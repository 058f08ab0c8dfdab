/**
 * @linux kernel/events/uprobes.c
 * @omits Mapping 2 MiB of the file as one again, where the page that goes was the only one that was not its.
 * @own insideFrame, mayZap
 */
import { SWITCH, type Atomic, type MaySleep } from "./coroutine.js";
import { Errno } from "./errno.js";
import { Op } from "./op.js";
import type { Kernel } from "../kernel.js";
import { PTE } from "../arch/pgtable.js";
import { SWBP_INSN } from "../arch/uprobe_insn.js";
import type { FolioWalk } from "../mm/folio_walk.js";
import { PAGE_SIZE } from "../mm/frame_memory.js";
import { FollFlag } from "../mm/gup_flags.js";
import { RssKind, VM, type Vma } from "../mm/mm_types.js";
import { NotifyEvent, type NotifierRange } from "../mm/mmu_notifier.js";
import { PG } from "../mm/page.js";
import { isUffdWp } from "../mm/uffd_wp.js";

/** The two bytes at an address, in a frame. */
export function insideFrame({ m }: Kernel, page: number, vaddr: number): DataView {
  const { buffer, byteOffset } = m.ram.frame(page);
  return new DataView(buffer, byteOffset + (vaddr % PAGE_SIZE), 2);
}

/** Whether there is anything to write: no breakpoint yet where one is to be, or one where the instruction is to be. */
export function* verifyOpcode(k: Kernel, page: number, vaddr: number, isRegister: boolean): Atomic<boolean> {
  if (k.m.point(Op.FrameRead, page)) yield SWITCH;
  const isSwbp = k.uprobeWrite.insideFrame(k, page, vaddr).getUint16(0, true) === SWBP_INSN;
  return isSwbp !== isRegister;
}

/**
 * Writes two bytes of code into private memory of a file, into a page that is this address space's alone: 0, or a negated
 * errno. GUP makes the page, as for a debugger; where the instruction comes back, and the page is the file's again, it goes.
 * mmap_lock is held for writing.
 */
export function* uprobeWriteOpcode(k: Kernel, vma: Vma, vaddr: number, opcode: number, isRegister: boolean): MaySleep<number> {
  const { m } = k;
  const { mm } = vma;
  const vpn = Math.floor(vaddr / PAGE_SIZE);
  // What is to be restored may be gone already: then nothing is to be copied.
  let gup = FollFlag.FORCE | (isRegister ? FollFlag.WRITE | FollFlag.SPLIT_PMD : 0);
  if (!vma.isCow) return -Errno.EINVAL;
  for (;;) {
    const page = yield* k.gup.getUserPageRemote(k, mm, vpn, gup, "uprobe");
    if (page < 0) return page;
    const folio = m.memmap.folioOf(page);
    const needed = yield* k.uprobeWrite.verifyOpcode(k, page, vaddr, isRegister);
    if (!needed || !m.memmap.isAnon(folio) || m.memmap.isZoneDevice(folio)) {
      yield* k.swap.folioPut(k, folio, "uprobe");
      return 0;
    }
    // Most times the page goes, which cannot be told under the lock of its entry.
    const range: NotifierRange = { mm, startVpn: vpn, endVpn: vpn + 1, event: NotifyEvent.CLEAR, owner: null };
    if (!isRegister) yield* k.mmuNotifier.invalidateRangeStart(k, range);
    let result = -Errno.EAGAIN;
    const walk = yield* k.folioWalk.folioWalkStart(k, vma, vpn, { zeropage: false });
    if (walk !== null) {
      if (walk.page === page) result = yield* k.uprobeWrite.uprobeWrite(k, vma, walk, vaddr, opcode, isRegister);
      yield* k.folioWalk.folioWalkEnd(k, walk);
    }
    if (!isRegister) yield* k.mmuNotifier.invalidateRangeEnd(k, range);
    yield* k.swap.folioPut(k, folio, "uprobe");
    if (result === -Errno.EFAULT) gup |= FollFlag.WRITE | FollFlag.SPLIT_PMD;
    else if (result !== -Errno.EAGAIN) return result;
    if (m.retries.again("uprobe_write")) yield SWITCH;
  }
}

/**
 * Under the page-table lock: writes while the page is mapped nowhere. 0; -EFAULT where it is not this address space's alone,
 * or 2 MiB are mapped as one.
 */
export function* uprobeWrite(k: Kernel, vma: Vma, walk: FolioWalk, vaddr: number, opcode: number, isRegister: boolean): Atomic<number> {
  const { m } = k;
  const { folio, page, entry } = walk;
  const vpn = Math.floor(vaddr / PAGE_SIZE);
  if (m.pt.isHuge(entry)) return -Errno.EFAULT;
  if ((walk.flags & PTE.W) === 0 && (!m.memmap.isAnonExclusive(page) || isUffdWp(vma, walk.flags))) return -Errno.EFAULT;
  const [flags, pfn] = yield* k.memory.ptepClearFlush(k, vma, vpn, entry);
  if (m.point(Op.FrameWrite, page)) yield SWITCH;
  k.uprobeWrite.insideFrame(k, page, vaddr).setUint16(0, opcode, true);
  m.flushIcachePage?.(page);
  if (!isRegister && (vma.flags & VM.UFFD_MISSING) === 0 && (yield* k.uprobeWrite.mayZap(k, vma, vpn, folio, page))) {
    vma.mm.addRss(RssKind.anon, -1);
    yield* k.rmap.folioRemoveRmapPte(k, folio, page, vma);
    if (m.memmap.folioMapcount(folio) === 0 && m.memmap.has(folio, PG.swapcache) && (yield* k.folioLock.folioTrylock(k, folio))) {
      yield* k.swapfile.folioFreeSwap(k, folio);
      yield* k.folioLock.folioUnlock(k, folio);
    }
    yield* k.swap.folioPutUnowned(k, folio);
    return 0;
  }
  yield* k.memory.setPteAt(k, vma.mm, vpn, entry, flags | PTE.D | PTE.SOFT_DIRTY, pfn);
  return 0;
}

/** Whether a page may go: nobody else refers to it, and the next access would find the same in the file. */
export function* mayZap(k: Kernel, vma: Vma, vpn: number, folio: number, page: number): Atomic<boolean> {
  const { m } = k;
  if (m.point(Op.RefCompare, folio)) yield SWITCH;
  m.touches(Op.MapCount, folio);
  return m.memmap.refcount[folio] === k.rmap.expectedRefs(k, folio) && (yield* k.uprobeWrite.origPageIsIdentical(k, vma, vpn, page));
}

/** Whether the file has the same in this place, in memory. */
export function* origPageIsIdentical(k: Kernel, vma: Vma, vpn: number, page: number): Atomic<boolean> {
  const { m } = k;
  const original = yield* k.filemap.filemapGetEntry(k, vma.mapping!, vma.linearIndex(vpn), "uprobe_orig");
  if (original < 0) return false;
  const folio = m.memmap.folioOf(original);
  if (m.point(Op.FrameRead, original)) yield SWITCH;
  m.touches(Op.FrameRead, page);
  m.touches(Op.PageFlags, folio);
  const identical = m.memmap.has(folio, PG.uptodate) && m.ram.compare(page, original) === 0;
  yield* k.swap.folioPut(k, folio, "uprobe_orig");
  return identical;
}
