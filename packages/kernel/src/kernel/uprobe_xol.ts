/**
 * @linux kernel/events/uprobes.c, arch/riscv/kernel/probes/uprobes.c
 * @own copyToSlot, createXolArea
 */
import { SWITCH, type Atomic, type MaySleep } from "./coroutine.js";
import { Op } from "./op.js";
import { TaskState, WaitQueue } from "./sched.js";
import type { Kernel } from "../kernel.js";
import { BUG_INSN_32, SWBP_INSN } from "../arch/uprobe_insn.js";
import { USER_VPN_END } from "../arch/pgtable.js";
import { PAGE_SIZE } from "../mm/frame_memory.js";
import { Gfp, GFP_HIGHUSER } from "../mm/gfp.js";
import { VM, type Mm } from "../mm/mm_types.js";
import { NO_PAGE } from "../mm/page.js";
import type { VmOps } from "../mm/vm_ops.js";

/*
 * Where probed instructions are executed out of line: a page of an address space's own, in which each thread that has hit a
 * probe takes a slot for as long as its instruction takes. Slot 0 is where functions return to whose return is probed.
 */

/** Bytes of a slot: an instruction, and the breakpoint behind it. */
const UPROBE_XOL_SLOT_BYTES = 8;
const SLOTS = PAGE_SIZE / UPROBE_XOL_SLOT_BYTES;

/** The area of an address space. */
export class XolArea {
  /** Whether each slot is in use. Op.MmCounter announces it. */
  readonly used = new Uint8Array(SLOTS);
  readonly wait: WaitQueue;

  constructor(
    { m }: Kernel,
    readonly page: number,
    readonly vaddr: number,
  ) {
    this.wait = new WaitQueue(m);
    this.used[0] = 1;
  }
}

const XOL_VM_OPS: VmOps = {
  mapsAround: false,
  isIo: true,
  *fault(k, vmf) {
    const { page } = vmf.vma.mm.xolArea!;
    yield* k.swap.folioGet(k, page, "fault");
    if (!k.folioLock.tryFolioLock(k, page)) yield* k.folioLock.folioLock(k, page);
    vmf.page = page;
    return 0;
  },
};

/** The area of the current address space, which is made where there is none yet; null where it cannot be. */
export function* getXolArea(k: Kernel): MaySleep<XolArea | null> {
  const mm = k.m.current!.mm!;
  if (k.m.point(Op.MmCounter, mm.id)) yield SWITCH;
  return mm.xolArea ?? (yield* k.uprobeXol.createXolArea(k, null));
}

/** Makes the area, at an address or anywhere; or the one that somebody else has made meanwhile. */
export function* createXolArea(k: Kernel, vaddr: number | null): MaySleep<XolArea | null> {
  const { m } = k;
  const mm = m.current!.mm!;
  const page = yield* k.pageAlloc.allocPage(k, GFP_HIGHUSER | Gfp.ZERO);
  if (page === NO_PAGE) return null;
  if (!mm.mmapLock.tryWrite()) yield* mm.mmapLock.write();
  // As high as there is room.
  const at = vaddr === null ? k.mmap.getUnmappedArea(k, mm, USER_VPN_END - 1, 1) : vaddr / PAGE_SIZE;
  const free = mm.xolArea === null && at >= 0 && k.mmap.rangeFree(k, mm, at, 1) && mm.vmas.length <= m.vmSysctl.maxMapCount;
  if (free) {
    const area = new XolArea(k, page, at * PAGE_SIZE);
    yield* k.uprobeXol.copyToSlot(k, area, area.vaddr, SWBP_INSN, 2);
    const vma = mm.newVma(at, at + 1, VM.EXEC | VM.MAYEXEC | VM.DONTCOPY | VM.DONTEXPAND | VM.SOFTDIRTY | mm.defFlags, 0, "[uprobes]", null);
    vma.flags &= ~(VM.LOCKED | VM.LOCKONFAULT);
    vma.lockSeq = mm.lockSeq;
    vma.ops = XOL_VM_OPS;
    if (m.point(Op.VmaTree, mm.id)) yield SWITCH;
    m.touches(Op.MmCounter, mm.id);
    k.mmap.insertVma(k, mm, vma);
    k.mmap.account(k, vma, 1);
    mm.noGapAbove = null;
    mm.xolArea = area;
  }
  yield* k.memory.mmapWriteUnlock(k, mm);
  if (!free) yield* k.swap.folioPut(k, page, "alloc");
  return mm.xolArea;
}

/** An address space goes, and its area with it. */
export function* uprobeClearState(k: Kernel, mm: Mm): MaySleep<void> {
  const area = mm.xolArea!;
  // What maps it has references of its own.
  yield* k.swap.folioPut(k, area.page, "alloc");
  mm.xolArea = null;
}

/** Where functions return to whose return is probed; -1 while there is no area. */
export function uprobeGetTrampolineVaddr(_k: Kernel, mm: Mm): number {
  return mm.xolArea?.vaddr ?? -1;
}

/** Takes a slot, for which it may have to wait, and puts an instruction into it: its address, or -1. */
export function* xolGetInsnSlot(k: Kernel, bits: number, bytes: number): MaySleep<number> {
  const { m } = k;
  const area = yield* k.uprobeXol.getXolArea(k);
  if (area === null) return -1;
  for (;;) {
    if (m.point(Op.MmCounter, m.current!.mm!.id)) yield SWITCH;
    const slot = area.used.indexOf(0);
    if (slot >= 0) {
      area.used[slot] = 1;
      const vaddr = area.vaddr + slot * UPROBE_XOL_SLOT_BYTES;
      yield* k.uprobeXol.copyToSlot(k, area, vaddr, bits, bytes);
      return vaddr;
    }
    yield* area.wait.sleep(TaskState.Uninterruptible, "xol_get_insn_slot");
  }
}

export function* xolFreeInsnSlot(k: Kernel, vaddr: number): Atomic<void> {
  const mm = k.m.current!.mm!;
  if (k.m.point(Op.MmCounter, mm.id)) yield SWITCH;
  const area = mm.xolArea!;
  area.used[(vaddr - area.vaddr) / UPROBE_XOL_SLOT_BYTES] = 0;
  area.wait.wakeAll();
}

/** Writes an instruction into a slot, and a breakpoint behind it, which ends the single step. */
export function* copyToSlot(k: Kernel, area: XolArea, vaddr: number, bits: number, bytes: number): Atomic<void> {
  const { m } = k;
  if (m.point(Op.FrameWrite, area.page)) yield SWITCH;
  const { buffer, byteOffset } = m.ram.frame(area.page);
  const slot = new DataView(buffer, byteOffset + (vaddr % PAGE_SIZE), UPROBE_XOL_SLOT_BYTES);
  slot.setUint16(0, bits & 0xffff, true);
  if (bytes === 4) slot.setUint16(2, bits >>> 16, true);
  slot.setUint32(bytes, BUG_INSN_32, true);
  m.flushIcachePage?.(area.page);
}
