import { SA, SIGRTMIN, SI, Sig, signalBit, SS_AUTODISARM, SS_DISABLE, SS_ONSTACK, type MaySleep, type SignalAction, type SignalInfo } from "@faultline/kernel";
import type { GuestThread } from "./guest_thread.js";
import { REG_A0, REG_RA, REG_SP } from "./registers.js";
import { getI64, readStruct, setI64, structBytes } from "./user.js";

/**
 * The frame that a handler finds below its stack pointer (riscv64 `struct rt_sigframe`): siginfo,
 * then ucontext with signal mask and alternate stack, the integer registers (pc in place of x0),
 * the double-precision registers and fcsr, and the end mark of an empty list of extensions.
 */
const SIGINFO_SIZE = 128;
const UC = SIGINFO_SIZE;
const UC_STACK = UC + 16;
const UC_SIGMASK = UC + 40;
const UC_REGS = UC + 176;
const UC_FPREGS = UC_REGS + 256;
const UC_FCSR = UC_FPREGS + 256;
export const FRAME_SIZE = UC_FPREGS + 528;

/** Writes siginfo_t for a signal: what its kind of source fills in. */
export function writeSigInfo(view: DataView, info: SignalInfo): void {
  view.setInt32(0, info.signo, true);
  view.setInt32(8, info.code, true);
  const { signo } = info;
  const fault = signo === Sig.SIGSEGV || signo === Sig.SIGBUS || signo === Sig.SIGILL || signo === Sig.SIGFPE || signo === Sig.SIGTRAP;
  if (fault && info.code > 0 && info.code !== SI.KERNEL) {
    view.setBigUint64(16, BigInt.asUintN(64, info.addrBig ?? BigInt(info.addr)), true);
    view.setInt16(24, info.addrLsb ?? 0, true);
    return;
  }
  view.setInt32(16, info.pid ?? 0, true);
  if (info.status !== undefined) view.setInt32(24, info.status, true);
  if (info.overrun !== undefined) view.setInt32(20, info.overrun, true);
  if (info.value !== undefined) view.setBigUint64(24, BigInt.asUintN(64, info.value), true);
}

function onAltStack(t: GuestThread, sp: number): boolean {
  const { altStack } = t.task.thread;
  if ((altStack.flags & SS_AUTODISARM) !== 0) return false;
  return altStack.size > 0 && sp > altStack.sp && sp - altStack.sp <= altStack.size;
}

/** What SS_* flags sigaltstack(2) reports for a stack pointer. */
export function altStackFlags(t: GuestThread, sp: number): number {
  const { altStack } = t.task.thread;
  if (altStack.size === 0) return SS_DISABLE;
  return (onAltStack(t, sp) ? SS_ONSTACK : 0) | (altStack.flags & SS_AUTODISARM);
}

/** Makes the thread enter a handler; false when the frame cannot be written. */
export function* setupFrame(t: GuestThread, info: SignalInfo, action: SignalAction): MaySleep<boolean> {
  const { k, task } = t;
  const { thread } = task;
  const state = t.load().save();
  const view = new DataView(new ArrayBuffer(FRAME_SIZE));
  writeSigInfo(view, info);

  let sp = t.load().getXNumber(REG_SP);
  if ((action.flags & SA.ONSTACK) !== 0 && thread.altStack.size > 0 && !onAltStack(t, sp)) {
    sp = thread.altStack.sp + thread.altStack.size;
  }
  const frame = Math.floor((sp - FRAME_SIZE) / 16) * 16;

  setI64(view, UC_STACK, thread.altStack.sp);
  view.setInt32(UC_STACK + 8, altStackFlags(t, Number(state.x[REG_SP])), true);
  setI64(view, UC_STACK + 16, thread.altStack.size);
  const oldMask = thread.savedSigmask ?? task.blockedSignals;
  view.setBigUint64(UC_SIGMASK, oldMask, true);
  view.setBigUint64(UC_REGS, state.pc, true);
  for (let i = 1; i < 32; i++) view.setBigUint64(UC_REGS + 8 * i, state.x[i]!, true);
  for (let i = 0; i < 32; i++) view.setBigUint64(UC_FPREGS + 8 * i, state.f[i]!, true);
  view.setUint32(UC_FCSR, state.fcsr, true);
  if ((yield* k.uaccess.copyToUser(k, frame, structBytes(view))) !== 0) return false;

  if ((thread.altStack.flags & SS_AUTODISARM) !== 0) thread.altStack = { sp: 0, size: 0, flags: SS_DISABLE };
  thread.savedSigmask = null;
  let blocked = task.blockedSignals | action.mask;
  if ((action.flags & SA.NODEFER) === 0) blocked |= signalBit(info.signo);
  k.signal.setBlocked(k, blocked);
  const hart = t.load();
  hart.setXNumber(REG_A0, info.signo);
  hart.setXNumber(REG_A0 + 1, frame);
  hart.setXNumber(REG_A0 + 2, frame + UC);
  hart.setXNumber(REG_SP, frame);
  hart.setXNumber(REG_RA, task.mm!.vdso);
  hart.pcBig = BigInt.asUintN(64, BigInt(action.handler));
  hart.clearReservation();
  return true;
}

/** rt_sigreturn(2): takes the registers back from the frame at sp; false for a bad frame. */
export function* restoreFrame(t: GuestThread): MaySleep<boolean> {
  const { k, task } = t;
  const frame = t.load().getXNumber(REG_SP);
  if (frame % 8 !== 0) return false;
  const view = yield* readStruct(k, frame, FRAME_SIZE);
  if (view === null) return false;
  const x = new BigUint64Array(32);
  const f = new BigUint64Array(32);
  for (let i = 1; i < 32; i++) x[i] = view.getBigUint64(UC_REGS + 8 * i, true);
  for (let i = 0; i < 32; i++) f[i] = view.getBigUint64(UC_FPREGS + 8 * i, true);
  t.load().restore({ pc: view.getBigUint64(UC_REGS, true), x, f, fcsr: view.getUint32(UC_FCSR, true) });
  k.signal.setBlocked(k, view.getBigUint64(UC_SIGMASK, true));
  const flags = view.getInt32(UC_STACK + 8, true);
  if (!onAltStack(t, t.load().getXNumber(REG_SP)) && (flags & SS_DISABLE) === 0) {
    task.thread.altStack = { sp: getI64(view, UC_STACK), size: getI64(view, UC_STACK + 16), flags: flags & SS_AUTODISARM };
  }
  return true;
}

/** `SEGV_MAPERR` and the like, as strace names si_code. */
export function siCodeName(info: SignalInfo): string {
  const common: Record<number, string> = { 0: "SI_USER", [SI.TKILL]: "SI_TKILL", [SI.TIMER]: "SI_TIMER", [SI.KERNEL]: "SI_KERNEL", [-1]: "SI_QUEUE" };
  const perSignal: Record<number, readonly string[]> = {
    [Sig.SIGSEGV]: ["SEGV_MAPERR", "SEGV_ACCERR"],
    [Sig.SIGBUS]: ["BUS_ADRALN", "BUS_ADRERR", "BUS_OBJERR", "BUS_MCEERR_AR"],
    [Sig.SIGILL]: ["ILL_ILLOPC"],
    [Sig.SIGTRAP]: ["TRAP_BRKPT"],
  };
  const own = info.signo < SIGRTMIN ? perSignal[info.signo]?.[info.code - 1] : undefined;
  return own ?? common[info.code] ?? String(info.code);
}
