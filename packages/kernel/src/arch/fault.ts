/**
 * @linux arch/riscv/mm/fault.c
 * @omits Faults of the kernel in its own addresses (`no_context()`, vmalloc): its memory is not in page tables.
 * @omits Svade: the hardware sets accessed and dirty bits by itself (Svadu).
 * @own accountFault, faultUnderMmapLock, handleUserFault, walkAndFill
 */
import { SWITCH, type MaySleep } from "../kernel/coroutine.js";
import { Op, tableObject } from "../kernel/op.js";
import type { Task } from "../kernel/sched.js";
import type { Kernel } from "../kernel.js";
import { Event } from "../trace.js";
import { FaultFlag, HWPOISON_ORDER_SHIFT, VmFault } from "../mm/fault_flags.js";
import { VM, type Mm, type Vma } from "../mm/mm_types.js";
import { PTE, USER_VPN_END } from "./pgtable.js";

export enum Access {
  Read,
  Write,
  Fetch,
}

/** A signal that a fault raises: number, si_code and si_addr. */
export interface SignalInfo {
  readonly signo: number;
  readonly code: number;
  readonly addr: number;
  /** Of broken memory: how much of it, as the number of low bits of the address that say nothing. */
  readonly addrLsb?: number;
}

const SIGBUS = 7;
const SIGSEGV = 11;
const SEGV_MAPERR = 1;
const SEGV_ACCERR = 2;
const BUS_ADRERR = 2;
const BUS_MCEERR_AR = 4;
const PAGE_SHIFT = 12;

/** The exception code of a page fault: load, store, instruction (privileged specification, mcause). */
const SCAUSE = [13, 15, 12] as const;

/** The permission bit that an access needs. */
const NEEDED = [PTE.R, PTE.W, PTE.X] as const;

/**
 * What the table walker does on a TLB miss: reads the entry, sets accessed and dirty bits in the
 * same atomic step, caches the translation. False means a page fault. The caller announces
 * TableRead.
 */
export function walkAndFill(k: Kernel, mm: Mm, vpn: number, access: Access): boolean {
  const { m } = k;
  const ptep = m.pt.find(mm.pgd, vpn);
  if (ptep < 0) return false;
  m.touches(Op.PteHardware, ptep);
  const flags = m.pt.flags(ptep);
  const need = PTE.V | PTE.U | NEEDED[access];
  if ((flags & need) !== need) return false;
  const set = access === Access.Write ? PTE.A | PTE.D : PTE.A;
  if ((flags & set) !== set) m.pt.set(ptep, flags | set, m.pt.pfn(ptep));
  const now = flags | set;
  // A store needs the dirty bit: without it, the first store walks again.
  const write = (now & PTE.W) !== 0 && (now & PTE.D) !== 0;
  const page = m.memmap.pfnToPage(m.pt.pfnFor(ptep, vpn));
  m.touches(Op.TlbFill, m.executor!.id);
  m.executor!.tlb.fill(vpn, page, (now & PTE.R) !== 0, write, (now & PTE.X) !== 0);
  // An entry that has become accessible by this walk is so for the other CPUs too.
  if (m.config.checking && now !== flags) k.tlbflush.prefetch(k, mm, vpn, ptep);
  return true;
}

/**
 * A user access missed the TLB: walks the table, and takes the page fault where that fails.
 * Null when the access can be repeated; otherwise the signal to deliver.
 */
export function* handleUserFault(k: Kernel, addr: number, access: Access): MaySleep<SignalInfo | null> {
  const { m } = k;
  const task = m.current!;
  const mm = task.mm!;
  const vpn = Math.floor(addr / 4096);
  if (addr < 0 || vpn >= USER_VPN_END) return { signo: SIGSEGV, code: SEGV_MAPERR, addr };
  if (m.point(Op.TableRead, tableObject(mm.id, vpn))) yield SWITCH;
  if (k.fault.walkAndFill(k, mm, vpn, access)) return null;
  if (m.sink !== null) {
    const { faultPc } = task.thread;
    if (faultPc >= 0) m.sink.emit(Event.PageFaultUser, addr, faultPc, SCAUSE[access], 0);
    else m.sink.emit(Event.PageFaultKernel, addr, 0, SCAUSE[access], 0);
  }
  const signal = yield* k.fault.doPageFault(k, mm, vpn, addr, access);
  if (signal !== null) return signal;
  // Walk once more, so that the access hits when it is repeated.
  if (m.point(Op.TableRead, tableObject(mm.id, vpn))) yield SWITCH;
  k.fault.walkAndFill(k, mm, vpn, access);
  return null;
}

function accessError(vma: Vma, access: Access): boolean {
  if (access === Access.Write) return (vma.flags & VM.WRITE) === 0;
  if (access === Access.Fetch) return (vma.flags & VM.EXEC) === 0;
  // On riscv a writable page is readable, so PROT_WRITE alone grants loads.
  return (vma.flags & (VM.READ | VM.WRITE)) === 0;
}

/** The architecture's fault handler: the VMA is locked alone where that can be, else with mmap_lock. */
export function* doPageFault(k: Kernel, mm: Mm, vpn: number, addr: number, access: Access): MaySleep<SignalInfo | null> {
  const { m } = k;
  m.vmstat.events.pgfault++;
  m.current!.memcg.counters.pgfault++;
  const flags = faultFlags(m.current!, access);
  const vma = yield* k.memory.lockVmaUnderRcu(k, mm, vpn);
  if (vma === null) return yield* k.fault.faultUnderMmapLock(k, mm, vpn, addr, access, flags);
  if (accessError(vma, access)) {
    yield* k.memory.vmaEndRead(k, vma);
    return { signo: SIGSEGV, code: SEGV_ACCERR, addr };
  }
  const result = yield* k.memory.handleMmFault(k, vma, vpn, flags | FaultFlag.VMA_LOCK, addr);
  if ((result & (VmFault.RETRY | VmFault.COMPLETED)) === 0) {
    if (m.point(Op.VmaRelease, vma.id)) yield SWITCH;
    vma.endRead();
  }
  if ((result & VmFault.RETRY) === 0) return finish(k, addr, flags, result);
  if (interrupted(k, flags)) return null;
  // Remembered, so that a fault that waited for its read counts as major when it completes.
  const tried = (result & VmFault.MAJOR) !== 0 ? FaultFlag.TRIED : 0;
  return yield* k.fault.faultUnderMmapLock(k, mm, vpn, addr, access, flags | tried);
}

/** Whether a fault that has waited does not go on: a signal is handled first. Accesses of the kernel's own are only killed. */
function interrupted({ m }: Kernel, flags: number): boolean {
  const task = m.current!;
  return m.signals.fatalPending(task) || ((flags & FaultFlag.USER) !== 0 && m.signals.pending(task));
}

function faultFlags({ thread, process }: Task, access: Access): number {
  let flags = FaultFlag.ALLOW_RETRY | FaultFlag.KILLABLE;
  // What a scenario's thread does is a program's.
  if (thread.faultPc >= 0 || process === null) flags |= FaultFlag.USER | FaultFlag.INTERRUPTIBLE;
  if (access === Access.Write) return flags | FaultFlag.WRITE;
  return access === Access.Fetch ? flags | FaultFlag.INSTRUCTION : flags;
}

/** The way that always leads somewhere: stacks grow, and a fault that must wait is taken up again. */
export function* faultUnderMmapLock(
  k: Kernel,
  mm: Mm,
  vpn: number,
  addr: number,
  access: Access,
  flags: number,
): MaySleep<SignalInfo | null> {
  for (;;) {
    if (!mm.mmapLock.tryRead()) yield* mm.mmapLock.read();
    let vma = mm.vmaAt(vpn);
    if (vma === null) vma = yield* k.mmap.expandStack(k, mm, vpn);
    if (vma === null || accessError(vma, access)) {
      if (!mm.mmapLock.tryUnlock()) yield* mm.mmapLock.unlock();
      return { signo: SIGSEGV, code: vma === null ? SEGV_MAPERR : SEGV_ACCERR, addr };
    }
    const result = yield* k.memory.handleMmFault(k, vma, vpn, flags, addr);
    if ((result & (VmFault.RETRY | VmFault.COMPLETED)) === 0) {
      if (!mm.mmapLock.tryUnlock()) yield* mm.mmapLock.unlock();
    }
    if ((result & VmFault.RETRY) === 0) {
      return finish(k, addr, flags, (flags & FaultFlag.TRIED) !== 0 ? result | VmFault.MAJOR : result);
    }
    if (interrupted(k, flags)) return null;
    flags |= FaultFlag.TRIED;
    if (k.m.retries.again("handle_page_fault")) yield SWITCH;
  }
}

/** Counts a fault that is over; the signal that it raises, if any. */
function finish(k: Kernel, addr: number, flags: number, result: number): SignalInfo | null {
  if ((result & VmFault.ERROR) !== 0) {
    // A program tries again: by then the OOM killer has had its turn. Calls of the kernel's have a way to fail.
    if ((result & VmFault.OOM) !== 0 && (flags & FaultFlag.USER) !== 0) return null;
    if ((result & VmFault.HWPOISON) !== 0) return { signo: SIGBUS, code: BUS_MCEERR_AR, addr, addrLsb: PAGE_SHIFT + (result >>> HWPOISON_ORDER_SHIFT) };
    if ((result & VmFault.SIGBUS) !== 0) return { signo: SIGBUS, code: BUS_ADRERR, addr };
    return { signo: SIGSEGV, code: SEGV_MAPERR, addr };
  }
  countFault(k, result);
  return null;
}

/** The thread has had a fault, which did what was wanted. */
function countFault(k: Kernel, result: number): void {
  const { m } = k;
  const task = m.current!;
  if ((result & VmFault.MAJOR) !== 0) {
    task.majorFaults++;
    m.vmstat.events.pgmajfault++;
    task.memcg.counters.pgmajfault++;
  } else task.minorFaults++;
}

/** Counts a fault that the kernel has made on somebody's behalf (GUP), as one of the current thread's; not one that must be tried again. */
export function accountFault(k: Kernel, result: number): void {
  if ((result & VmFault.RETRY) !== 0) return;
  k.m.vmstat.events.pgfault++;
  k.m.current!.memcg.counters.pgfault++;
  if ((result & VmFault.ERROR) === 0) countFault(k, result);
}
