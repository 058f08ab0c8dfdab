import { Errno, SI, SS_AUTODISARM, SS_DISABLE, SS_ONSTACK, Sig, type MaySleep, type SignalInfo } from "@faultline/kernel";
import type { GuestThread } from "../guest_thread.js";
import { REG_SP } from "../registers.js";
import { altStackFlags, FRAME_SIZE, restoreFrame, writeSigInfo } from "../signal_frame.js";
import { getI64, getU64, readStruct, readTimespec, setI64, structBytes } from "../user.js";
import * as F from "./format.js";
import { call, int, type Handler, type Syscall } from "./syscall.js";

const SIGSET_SIZE = 8;

function* readMask(t: GuestThread, address: number): MaySleep<bigint | null> {
  const view = yield* readStruct(t.k, address, SIGSET_SIZE);
  return view === null ? null : view.getBigUint64(0, true);
}

function* writeMask(t: GuestThread, address: number, mask: bigint): MaySleep<number> {
  return yield* t.k.uaccess.putUser64(t.k, address, mask);
}

const rtSigaction: Handler = function* (t, [signo, act, oact, size]) {
  const { k } = t;
  if (size !== SIGSET_SIZE) return -Errno.EINVAL;
  let action = null;
  if (act !== 0) {
    const view = yield* readStruct(k, act!, 24);
    if (view === null) return -Errno.EFAULT;
    action = { handler: getU64(view, 0), flags: view.getUint32(8, true), mask: view.getBigUint64(16, true) };
  }
  const old = yield* k.signal.sigaction(k, int(signo!), action);
  if (typeof old === "number") return old;
  if (oact === 0) return 0;
  const view = new DataView(new ArrayBuffer(24));
  setI64(view, 0, old.handler);
  setI64(view, 8, old.flags >>> 0);
  view.setBigUint64(16, old.mask, true);
  return yield* k.uaccess.copyToUser(k, oact!, structBytes(view));
};

const rtSigprocmask: Handler = function* (t, [how, set, oset, size]) {
  const { k, task } = t;
  if (size !== SIGSET_SIZE) return -Errno.EINVAL;
  const old = task.blockedSignals;
  if (set !== 0) {
    const mask = yield* readMask(t, set!);
    if (mask === null) return -Errno.EFAULT;
    if (int(how!) === 0) k.signal.setBlocked(k, old | mask);
    else if (int(how!) === 1) k.signal.setBlocked(k, old & ~mask);
    else if (int(how!) === 2) k.signal.setBlocked(k, mask);
    else return -Errno.EINVAL;
  }
  return oset === 0 ? 0 : yield* writeMask(t, oset!, old);
};

const rtSigpending: Handler = function* (t, [set, size]) {
  if (size! > SIGSET_SIZE) return -Errno.EINVAL;
  return yield* writeMask(t, set!, t.k.signal.pendingMask(t.k) & t.task.blockedSignals);
};

const rtSigsuspend: Handler = function* (t, [set, size]) {
  if (size !== SIGSET_SIZE) return -Errno.EINVAL;
  const mask = yield* readMask(t, set!);
  return mask === null ? -Errno.EFAULT : yield* t.k.signal.sigsuspend(t.k, mask);
};

const rtSigtimedwait: Handler = function* (t, [set, info, timeout, size]) {
  const { k } = t;
  if (size !== SIGSET_SIZE) return -Errno.EINVAL;
  const mask = yield* readMask(t, set!);
  if (mask === null) return -Errno.EFAULT;
  let ns = Infinity;
  if (timeout !== 0) {
    ns = yield* readTimespec(k, timeout!);
    if (ns < 0) return ns;
  }
  const taken = yield* k.signal.sigtimedwait(k, mask, ns);
  if (typeof taken === "number") return taken;
  if (info !== 0) {
    const view = new DataView(new ArrayBuffer(128));
    writeSigInfo(view, taken);
    if ((yield* k.uaccess.copyToUser(k, info!, structBytes(view))) < 0) return -Errno.EFAULT;
  }
  return taken.signo;
};

const rtSigreturn: Handler = function* (t) {
  if (yield* restoreFrame(t)) {
    t.keepRegisters = true;
    return 0;
  }
  t.k.signal.forceSignal(t.k, { signo: Sig.SIGSEGV, code: SI.KERNEL, addr: 0 });
  return 0;
};

const sigaltstack: Handler = function* (t, [uss, uoss]) {
  const { k } = t;
  const { thread } = t.task;
  const old = thread.altStack;
  const flagsNow = altStackFlags(t, t.load().getXNumber(REG_SP));
  if (uss !== 0) {
    const view = yield* readStruct(k, uss!, 24);
    if (view === null) return -Errno.EFAULT;
    if ((flagsNow & SS_ONSTACK) !== 0) return -Errno.EPERM;
    const flags = view.getInt32(8, true);
    const mode = flags & ~SS_AUTODISARM;
    if (mode !== SS_DISABLE && mode !== SS_ONSTACK && mode !== 0) return -Errno.EINVAL;
    const size = getI64(view, 16);
    if (mode === SS_DISABLE) thread.altStack = { sp: 0, size: 0, flags };
    else if (size >= 0 && size < FRAME_SIZE) return -Errno.ENOMEM;
    else thread.altStack = { sp: getU64(view, 0), size, flags };
  }
  if (uoss === 0) return 0;
  const view = new DataView(new ArrayBuffer(24));
  setI64(view, 0, old.sp);
  view.setInt32(8, flagsNow, true);
  setI64(view, 16, old.size);
  return yield* k.uaccess.copyToUser(k, uoss!, structBytes(view));
};

const kill: Handler = function* (t, [pid, signo]) {
  return yield* t.k.signal.kill(t.k, int(pid!), int(signo!));
};

const tkill: Handler = function* (t, [tid, signo]) {
  return yield* t.k.signal.tgkill(t.k, 0, int(tid!), int(signo!));
};

const tgkill: Handler = function* (t, [tgid, tid, signo]) {
  if (int(tgid!) <= 0) return -Errno.EINVAL;
  return yield* t.k.signal.tgkill(t.k, int(tgid!), int(tid!), int(signo!));
};

export function* readInfo(t: GuestThread, signo: number, address: number): MaySleep<SignalInfo | null> {
  const view = yield* readStruct(t.k, address, 128);
  if (view === null) return null;
  return { signo, code: view.getInt32(8, true), addr: 0, pid: view.getInt32(16, true), value: view.getBigUint64(24, true) };
}

const rtSigqueueinfo: Handler = function* (t, [pid, signo, uinfo]) {
  const { k } = t;
  const info = yield* readInfo(t, int(signo!), uinfo!);
  if (info === null) return -Errno.EFAULT;
  if ((info.code >= 0 || info.code === SI.TKILL) && int(pid!) !== t.task.process!.pid) return -Errno.EPERM;
  if (int(signo!) < 0 || int(signo!) > 64) return -Errno.EINVAL;
  const target = k.m.processes.get(int(pid!));
  if (target === undefined) return -Errno.ESRCH;
  return int(signo!) === 0 ? 0 : yield* k.signal.sendToProcess(k, target, info);
};

const rtTgsigqueueinfo: Handler = function* (t, [tgid, tid, signo, uinfo]) {
  const { k } = t;
  const info = yield* readInfo(t, int(signo!), uinfo!);
  if (info === null) return -Errno.EFAULT;
  if ((info.code >= 0 || info.code === SI.TKILL) && int(tgid!) !== t.task.process!.pid) return -Errno.EPERM;
  if (int(signo!) < 0 || int(signo!) > 64 || int(tid!) <= 0 || int(tgid!) <= 0) return -Errno.EINVAL;
  const task = k.m.tasks.get(int(tid!));
  if (task === undefined || task.process?.pid !== int(tgid!)) return -Errno.ESRCH;
  return int(signo!) === 0 ? 0 : yield* k.signal.sendToThread(k, task, info);
};

export const SIGNAL: readonly (readonly [number, Syscall])[] = [
  [129, call("kill", [F.INT, F.SIGNAL], kill)],
  [130, call("tkill", [F.INT, F.SIGNAL], tkill)],
  [131, call("tgkill", [F.INT, F.INT, F.SIGNAL], tgkill)],
  [132, call("sigaltstack", [F.POINTER, F.OUT], sigaltstack)],
  [133, call("rt_sigsuspend", [F.sigset(false), F.SIZE], rtSigsuspend)],
  [134, call("rt_sigaction", [F.SIGNAL, F.sigaction(false), F.sigaction(true), F.SIZE], rtSigaction)],
  [135, call("rt_sigprocmask", [F.SIG_HOW, F.sigset(false), F.sigset(true), F.SIZE], rtSigprocmask)],
  [136, call("rt_sigpending", [F.sigset(true), F.SIZE], rtSigpending)],
  [137, call("rt_sigtimedwait", [F.sigset(false), F.OUT, F.TIMESPEC, F.SIZE], rtSigtimedwait)],
  [138, call("rt_sigqueueinfo", [F.INT, F.SIGNAL, F.POINTER], rtSigqueueinfo)],
  [139, call("rt_sigreturn", [], rtSigreturn, "", "none")],
  [240, call("rt_tgsigqueueinfo", [F.INT, F.INT, F.SIGNAL, F.POINTER], rtTgsigqueueinfo)],
];
