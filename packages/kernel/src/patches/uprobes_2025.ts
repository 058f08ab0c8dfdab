import { SWITCH, type Atomic, type MaySleep } from "../kernel/coroutine.js";
import { Errno } from "../kernel/errno.js";
import { Op } from "../kernel/op.js";
import type { Uprobe } from "../kernel/uprobes.js";
import type { Kernel, Overlay } from "../kernel.js";
import { ptePresent } from "../arch/pgtable.js";
import { PAGE_SIZE } from "../mm/frame_memory.js";
import { GFP_ANON_FOLIO } from "../mm/gfp.js";
import { FollFlag } from "../mm/gup_flags.js";
import { RssKind, type Mm, type Vma } from "../mm/mm_types.js";
import { NotifyEvent, type NotifierRange } from "../mm/mmu_notifier.js";
import { NO_PAGE } from "../mm/page.js";
import { releaseWalk, startWalk } from "../mm/page_vma_mapped.js";
import { vmPageProt } from "../mm/vm_prot.js";
import type { Patch } from "./patch.js";

/**
 * Before 6.16 a breakpoint was written into a copy that uprobes made themselves, and put in the page's place. `asksAgain`: where
 * the entry is a device-exclusive one by then, GUP is asked for the page again ("handle device-exclusive entries correctly in
 * __replace_page()").
 * @evidence documentation: the changelogs of both patches
 */
export function* writeOpcodeToCopy(k: Kernel, vma: Vma, vaddr: number, opcode: number, isRegister: boolean, asksAgain: boolean): MaySleep<number> {
  const { m } = k;
  const vpn = Math.floor(vaddr / PAGE_SIZE);
  for (;;) {
    const page = yield* k.gup.getUserPageRemote(k, vma.mm, vpn, FollFlag.FORCE | (isRegister ? FollFlag.SPLIT_PMD : 0), "uprobe");
    if (page < 0) return page;
    const folio = m.memmap.folioOf(page);
    let result = 0;
    if ((yield* k.uprobeWrite.verifyOpcode(k, page, vaddr, isRegister)) && (isRegister || m.memmap.isAnon(folio))) {
      if (isRegister || !m.memmap.isLarge(folio)) result = yield* replaceByCopy(k, vma, vaddr, page, opcode, isRegister, asksAgain);
      else result = -Errno.EINVAL;
    }
    yield* k.swap.folioPut(k, folio, "uprobe");
    if (result !== -Errno.EAGAIN) return result;
    if (m.retries.again("uprobe_write")) yield SWITCH;
  }
}

/** Copies a page, writes the code into the copy, and maps that: or nothing, where the copy is what the file has. */
function* replaceByCopy(k: Kernel, vma: Vma, vaddr: number, page: number, opcode: number, isRegister: boolean, asksAgain: boolean): MaySleep<number> {
  const { m } = k;
  const vpn = Math.floor(vaddr / PAGE_SIZE);
  yield* k.rmap.anonVmaPrepare(k, vma);
  const copy = yield* k.memory.allocAnonFolio(k, m.memcgs.ofMm(vma.mm), GFP_ANON_FOLIO, k.mempolicy.vmaNodes(k, vma, vpn));
  if (copy === NO_PAGE) return -Errno.ENOMEM;
  if (m.point(Op.FrameRead, page)) yield SWITCH;
  m.ram.copy(copy, page);
  k.uprobeWrite.insideFrame(k, copy, vaddr).setUint16(0, opcode, true);
  m.flushIcachePage?.(copy);
  const unchanged = !isRegister && (yield* k.uprobeWrite.origPageIsIdentical(k, vma, vpn, copy));
  const result = yield* replacePage(k, vma, vpn, page, unchanged ? NO_PAGE : copy, asksAgain);
  yield* k.swap.folioPut(k, copy, "alloc");
  return result;
}

/** Maps a copy, or nothing, where a page was mapped: 0, or -EAGAIN where it is mapped no more. */
function* replacePage(k: Kernel, vma: Vma, vpn: number, page: number, copy: number, asksAgain: boolean): MaySleep<number> {
  const { m } = k;
  const { mm } = vma;
  const folio = m.memmap.folioOf(page);
  const range: NotifierRange = { mm, startVpn: vpn, endVpn: vpn + 1, event: NotifyEvent.CLEAR, owner: null };
  if (!k.folioLock.tryFolioLock(k, folio)) yield* k.folioLock.folioLock(k, folio);
  yield* k.mmuNotifier.invalidateRangeStart(k, range);
  const walk = startWalk(k, folio, vma, vpn - (page - folio));
  let found = yield* k.pageVmaMapped.pageVmaMappedWalk(k, walk);
  while (found && walk.vpn !== vpn) found = yield* k.pageVmaMapped.pageVmaMappedWalk(k, walk);
  const replaces = found && (ptePresent(m.pt.flags(walk.entry)) || !asksAgain);
  if (replaces) {
    if (copy !== NO_PAGE) yield* addCopy(k, vma, vpn, copy);
    else mm.addRss(RssKind.anon, -1);
    if (!m.memmap.isAnon(folio)) {
      mm.addRss(k.rmap.rssKind(k, folio), -1);
      mm.addRss(RssKind.anon, 1);
    }
    yield* k.memory.ptepClearFlush(k, vma, vpn, walk.entry);
    if (copy !== NO_PAGE) yield* k.memory.setPteAt(k, mm, vpn, walk.entry, vmPageProt(vma.flags), m.memmap.pageToPfn(copy));
    yield* k.rmap.folioRemoveRmapPte(k, folio, page, vma);
    if (m.memmap.folioMapcount(folio) === 0) yield* k.swapfile.folioFreeSwap(k, folio);
  }
  yield* releaseWalk(walk);
  if (replaces) yield* k.swap.folioPutUnowned(k, folio);
  yield* k.mmuNotifier.invalidateRangeEnd(k, range);
  yield* k.folioLock.folioUnlock(k, folio);
  return replaces ? 0 : -Errno.EAGAIN;
}

function* addCopy(k: Kernel, vma: Vma, vpn: number, copy: number): Atomic<void> {
  const { m } = k;
  if (m.point(Op.RefGet, copy)) yield SWITCH;
  m.memmap.refcount[copy]!++;
  k.rmap.folioAddNewAnonRmap(k, copy, vma, vpn);
  yield* k.mlockFolio.folioAddLruVma(k, copy, vma);
}

/** Before 6.16: see `writeOpcodeToCopy`. */
function undoWriteInPlace(): Overlay {
  return {
    uprobeWrite: {
      *uprobeWriteOpcode(k: Kernel, vma: Vma, vaddr: number, opcode: number, isRegister: boolean): MaySleep<number> {
        return yield* writeOpcodeToCopy(k, vma, vaddr, opcode, isRegister, true);
      },
    },
  };
}

/** Before 6.18: a breakpoint that nobody wants was taken away by who had hit it, while others could fault and be given pages. */
function undoUnapplyLocked(): Overlay {
  return {
    uprobes: {
      *unapplyUprobe(k: Kernel, uprobe: Uprobe, mm: Mm): MaySleep<void> {
        if (!mm.mmapLock.tryRead()) yield* mm.mmapLock.read();
        yield* k.uprobes.unapplyLocked(k, uprobe, mm);
        if (!mm.mmapLock.tryUnlock()) yield* mm.mmapLock.unlock();
      },
    },
  };
}

export const UPROBE_UNAPPLY_LOCKED_2025: Patch = {
  name: "uprobe-unapply-locked",
  title: "uprobes: Remove breakpoint in unapply_uprobe under mmap_write_lock",
  series: "uprobes: Add support to optimize usdt probes on x86_64",
  since: "6.18",
  status: "modelled",
  undo: undoUnapplyLocked,
};

export const UPROBE_WRITE_IN_PLACE_2025: Patch = {
  name: "uprobe-write-in-place",
  title: "kernel/events/uprobes: uprobe_write_opcode() rewrite",
  series: "kernel/events/uprobes: uprobe_write_opcode() rewrite",
  since: "6.16",
  status: "modelled",
  undo: undoWriteInPlace,
};
