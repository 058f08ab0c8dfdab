/**
 * @linux kernel/events/uprobes.c, arch/riscv/kernel/probes/uprobes.c
 * @omits A mapping is looked up under mmap_lock, where Linux tries without it first.
 * @omits A pending return has a reference to its probe from the beginning, where Linux leases it for a tenth of a second (SRCU).
 * @own abortXol, hitBreakpoint, popReturn, stopsStepping
 */
import { SWITCH, type Atomic, type MaySleep } from "./coroutine.js";
import { Op } from "./op.js";
import type { Task } from "./sched.js";
import { Sig, SI, type SignalInfo } from "./signal.js";
import { UprobeAction, vaddrToOffset, type Uprobe } from "./uprobes.js";
import type { Kernel } from "../kernel.js";
import { SWBP_INSN, type PtRegs } from "../arch/uprobe_insn.js";
import { PAGE_SIZE } from "../mm/frame_memory.js";
import { FollFlag } from "../mm/gup_flags.js";

const REG_RA = 1;
const REG_SP = 2;
/** More returns than this are not waited for at once in one thread. */
const MAX_URETPROBE_DEPTH = 64;

/** A function that was entered by way of a probe of its return, and has not returned. */
interface ReturnInstance {
  readonly uprobe: Uprobe;
  readonly func: bigint;
  /** The stack pointer at the entry. */
  readonly stack: bigint;
  readonly origRetVaddr: bigint;
  /** It has been called instead of returning, by a function whose return was probed, too. */
  readonly chained: boolean;
}

/** What a thread is doing about probes (struct uprobe_task). */
export class UprobeTask {
  /** The probe whose instruction is being executed out of line; null otherwise. */
  active: Uprobe | null = null;
  /** Where the breakpoint is, and where the instruction is executed. */
  vaddr = 0;
  xolVaddr = 0;
  /** The instruction has raised a signal itself: it is to be tried again, in its own place, after that. */
  trapped = false;
  /** The last one first. */
  readonly returns: ReturnInstance[] = [];
  /** In a child that has yet to return from functions that its parent has entered: where those return to. */
  dupXolAddr: number | null = null;
}

/* A thread has hit a breakpoint. */

/**
 * What the kernel does about ebreak, with `regs` standing at it: null, and the thread goes on; or the signal that it gets.
 * "not ours" where there are no probes: then it is what it is on any machine.
 */
export function* hitBreakpoint(k: Kernel, regs: PtRegs): MaySleep<SignalInfo | "not ours" | null> {
  const { thread, mm } = k.m.current!;
  const { utask } = thread;
  if (utask !== null && utask.active !== null) {
    yield* k.uprobeHit.handleSinglestep(k, utask, regs);
    return null;
  }
  k.m.touches(Op.MmCounter, mm!.id);
  if (!mm!.hasUprobes && (utask === null || utask.returns.length === 0)) return "not ours";
  return yield* k.uprobeHit.handleSwbp(k, regs);
}

/** A breakpoint in an address space that has probes: those that are there hear of it, and the thread goes on; or the signal that it gets. */
export function* handleSwbp(k: Kernel, regs: PtRegs): MaySleep<SignalInfo | null> {
  const { m } = k;
  const { thread, mm } = m.current!;
  const vaddr = Number(regs.pcBig);
  if (vaddr === k.uprobeXol.uprobeGetTrampolineVaddr(k, mm!)) return yield* k.uprobeHit.uprobeHandleTrampoline(k, regs);
  const uprobe = yield* k.uprobeHit.findActiveUprobe(k, vaddr);
  if (uprobe === "not ours") return { signo: Sig.SIGTRAP, code: SI.KERNEL, addr: 0 };
  // It has gone meanwhile, or been replaced by one that nobody has looked at: whatever is there now is executed.
  if (uprobe === null || uprobe.insn === null) return null;
  const utask = (thread.utask ??= new UprobeTask());
  yield* k.uprobeHit.handlerChain(k, uprobe, regs);
  // Somebody wants the thread to go on elsewhere.
  if (Number(regs.pcBig) !== vaddr) return null;
  const { bits, bytes, simulate } = uprobe.insn;
  if (simulate) {
    k.uprobeInsn.riscvSimulateInsn(k, bits, regs);
    return null;
  }
  yield* k.uprobes.getUprobe(k, uprobe);
  const slot = yield* k.uprobeXol.xolGetInsnSlot(k, bits, bytes);
  if (slot < 0) {
    yield* k.uprobes.putUprobe(k, uprobe);
    return null;
  }
  utask.active = uprobe;
  utask.vaddr = vaddr;
  utask.xolVaddr = slot;
  utask.trapped = false;
  regs.pcBig = BigInt(slot);
  return null;
}

/** The probe at an address; "not ours" for a breakpoint that is somebody else's, null where there is none any more. */
export function* findActiveUprobe(k: Kernel, vaddr: number): MaySleep<Uprobe | "not ours" | null> {
  const { m } = k;
  const mm = m.current!.mm!;
  if (!mm.mmapLock.tryRead()) yield* mm.mmapLock.read();
  const vma = mm.vmaAt(Math.floor(vaddr / PAGE_SIZE));
  let found: Uprobe | "not ours" | null = null;
  if (vma !== null && vma.file !== null) {
    if (m.point(Op.Uprobe, 0)) yield SWITCH;
    found = k.uprobes.findUprobe(k, vma.file.inode, vaddrToOffset(vma, vaddr));
  }
  if (found === null) {
    if (vma !== null && (yield* k.uprobeHit.isTrapAtAddr(k, vaddr))) found = "not ours";
    m.touches(Op.MmCounter, mm.id);
    if (mm.recalcUprobes) yield* k.uprobes.mmfRecalcUprobes(k, mm);
  }
  if (!mm.mmapLock.tryUnlock()) yield* mm.mmapLock.unlock();
  return found;
}

/** Whether there is a breakpoint at an address. mmap_lock is held. */
export function* isTrapAtAddr(k: Kernel, vaddr: number): MaySleep<boolean> {
  const page = yield* k.gup.getUserPageRemote(k, k.m.current!.mm!, Math.floor(vaddr / PAGE_SIZE), FollFlag.FORCE, "uprobe");
  if (page < 0) return false;
  if (k.m.point(Op.FrameRead, page)) yield SWITCH;
  const isTrap = k.uprobeWrite.insideFrame(k, page, vaddr).getUint16(0, true) === SWBP_INSN;
  yield* k.swap.folioPut(k, k.m.memmap.folioOf(page), "uprobe");
  return isTrap;
}

/** Tells the consumers of a probe. Where all of them want it gone from this address space, it goes. */
export function* handlerChain(k: Kernel, uprobe: Uprobe, regs: PtRegs): MaySleep<void> {
  const mm = k.m.current!.mm!;
  if (k.m.point(Op.Uprobe, uprobe.id)) yield SWITCH;
  let remove = uprobe.consumers.length > 0;
  let returns = false;
  for (const consumer of uprobe.consumers) {
    const action = consumer.handler?.(k, regs) ?? UprobeAction.Keep;
    if (action === UprobeAction.Keep) remove = false;
    if (consumer.retHandler !== undefined && action === UprobeAction.Keep) returns = true;
  }
  if (returns) yield* k.uprobeHit.prepareUretprobe(k, uprobe, regs);
  if (!remove) return;
  const { registerLock } = uprobe;
  if (!registerLock.tryRead()) yield* registerLock.read();
  if (!(yield* k.uprobes.filterChain(k, uprobe, mm))) yield* k.uprobes.unapplyUprobe(k, uprobe, mm);
  if (!registerLock.tryUnlock()) yield* registerLock.unlock();
}

/* Executing out of line. */

/** The instruction has been executed: the thread goes on behind it. */
export function* handleSinglestep(k: Kernel, utask: UprobeTask, regs: PtRegs): Atomic<void> {
  const { active, vaddr } = utask;
  regs.pcBig = BigInt(vaddr + active!.insn!.bytes);
  yield* leaveXol(k, utask);
}

/** The instruction cannot be executed to its end just now: the thread stands at it again. */
export function* abortXol(k: Kernel, utask: UprobeTask, regs: PtRegs): Atomic<void> {
  regs.pcBig = BigInt(utask.vaddr);
  yield* leaveXol(k, utask);
}

function* leaveXol(k: Kernel, utask: UprobeTask): Atomic<void> {
  const { active, xolVaddr } = utask;
  utask.active = null;
  yield* k.uprobeXol.xolFreeInsnSlot(k, xolVaddr);
  yield* k.uprobes.putUprobe(k, active!);
}

/**
 * Whether a signal ends the execution out of line (else it is not delivered before that is over): where it kills, or the
 * instruction itself has raised it.
 */
export function stopsStepping(k: Kernel, utask: UprobeTask): boolean {
  return utask.trapped || k.m.signals.fatalPending(k.m.current!);
}

/* Returns. */

/** Makes the function that begins here return to the trampoline. */
export function* prepareUretprobe(k: Kernel, uprobe: Uprobe, regs: PtRegs): MaySleep<void> {
  const { m } = k;
  const { utask } = m.current!.thread;
  const { returns } = utask!;
  const area = yield* k.uprobeXol.getXolArea(k);
  if (area === null) return;
  if (returns.length >= MAX_URETPROBE_DEPTH) {
    m.dmesg.printOnce(`uprobe: omit uretprobe due to nestedness limit pid/tgid=${m.current!.id}/${m.current!.process?.pid ?? 0}`);
    return;
  }
  const trampoline = BigInt(area.vaddr);
  let origRetVaddr = regs.getX(REG_RA);
  regs.setX(REG_RA, trampoline);
  const chained = origRetVaddr === trampoline;
  // Those that longjmp() has left.
  while (returns.length > 0 && !isAlive(returns[0]!, regs, chained)) yield* k.uprobeHit.popReturn(k, utask!);
  if (chained) {
    if (returns.length === 0) return;
    origRetVaddr = returns[0]!.origRetVaddr;
  }
  yield* k.uprobes.getUprobe(k, uprobe);
  returns.unshift({ uprobe, func: regs.pcBig, stack: regs.getX(REG_SP), origRetVaddr, chained });
}

/** Whether a function may still return, by the stack: one that is called by a chained one begins where that did. */
function isAlive({ stack }: ReturnInstance, regs: PtRegs, chained: boolean): boolean {
  const sp = regs.getX(REG_SP);
  return chained ? sp <= stack : sp < stack;
}

/** The last pending return is pending no more; what it was. */
export function* popReturn(k: Kernel, utask: UprobeTask): Atomic<ReturnInstance> {
  const instance = utask.returns.shift()!;
  yield* k.uprobes.putUprobe(k, instance.uprobe);
  return instance;
}

/** A function has returned, and with it those that it was called by at their ends: their consumers hear of it, and the thread goes where it was to. */
export function* uprobeHandleTrampoline(k: Kernel, regs: PtRegs): MaySleep<SignalInfo | null> {
  const { m } = k;
  const { utask } = m.current!.thread;
  if (utask === null || utask.returns.length === 0) {
    m.dmesg.print(`uprobe: ${m.current!.comm}:${m.current!.id} failed to handle uretprobe, sending SIGILL.`);
    return { signo: Sig.SIGILL, code: SI.KERNEL, addr: 0 };
  }
  const { returns } = utask;
  let valid: boolean;
  do {
    // A chain ends with the one that was called and not jumped to.
    const chain = returns.findIndex(({ chained }) => !chained) + 1;
    const next = returns[chain];
    valid = next === undefined || isAlive(next, regs, false);
    regs.pcBig = returns[0]!.origRetVaddr;
    for (let i = 0; i < chain; i++) {
      const { uprobe, func } = returns[0]!;
      if (m.point(Op.Uprobe, uprobe.id)) yield SWITCH;
      if (valid) for (const consumer of uprobe.consumers) consumer.retHandler?.(k, func, regs);
      yield* k.uprobeHit.popReturn(k, utask);
    }
  } while (!valid);
  return null;
}

/* Threads come and go. */

/** A thread ends, or its program does. */
export function* uprobeFreeUtask(k: Kernel, task: Task): Atomic<void> {
  const { utask } = task.thread;
  task.thread.utask = null;
  if (utask === null) return;
  if (utask.active !== null) yield* leaveXol(k, utask);
  while (utask.returns.length > 0) yield* k.uprobeHit.popReturn(k, utask);
}

/** A new task has yet to return from functions that the current one has entered: where it has a stack of its own, or the same. */
export function* uprobeCopyProcess(k: Kernel, child: Task, sharesMm: boolean, isVfork: boolean): Atomic<void> {
  const { utask } = k.m.current!.thread;
  if (utask === null || utask.returns.length === 0 || (sharesMm && !isVfork)) return;
  const copy = (child.thread.utask = new UprobeTask());
  for (const instance of utask.returns) {
    yield* k.uprobes.getUprobe(k, instance.uprobe);
    copy.returns.push(instance);
  }
  if (!sharesMm) copy.dupXolAddr = k.m.current!.mm!.xolArea?.vaddr ?? null;
}

/** A child before its first instruction: the trampoline that it will return to. */
export function* dupXolWork(k: Kernel): MaySleep<void> {
  const { utask } = k.m.current!.thread;
  if (utask === null || utask.dupXolAddr === null) return;
  yield* k.uprobeXol.createXolArea(k, utask.dupXolAddr);
  utask.dupXolAddr = null;
}
