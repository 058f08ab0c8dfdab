import { Errno, FollFlag, Sig, type MaySleep, type Task } from "@faultline/kernel";
import type { HartState } from "../../cpu/hart.js";
import type { GuestThread } from "../guest_thread.js";
import { REG_A0 } from "../registers.js";
import { writeSigInfo } from "../signal_frame.js";
import { readStruct } from "../user.js";
import { int, type Handler } from "./syscall.js";

enum Ptrace {
  TRACEME,
  PEEKTEXT,
  PEEKDATA,
  POKETEXT = 4,
  POKEDATA,
  CONT = 7,
  KILL,
  ATTACH = 16,
  DETACH,
  SYSCALL = 24,
  SETOPTIONS = 0x4200,
  GETSIGINFO = 0x4202,
  GETREGSET = 0x4204,
  SETREGSET,
  SEIZE,
  INTERRUPT,
}

/** Sets of registers (elf.h): pc in place of x0 and the others; f0 to f31 and fcsr. */
const NT_PRSTATUS = 1;
const NT_PRFPREG = 2;
const PRSTATUS_SIZE = 32 * 8;
const PRFPREG_SIZE = 32 * 8 + 8;
const SIGINFO_SIZE = 128;

export const ptrace: Handler = function* (t, [request, pid, addr, data]) {
  const { k } = t;
  // A word to be written is more than a number can hold exactly.
  const word = t.load().getX(REG_A0 + 3);
  const what = int(request!);
  const id = int(pid!);
  if (what === (Ptrace.TRACEME as number)) return yield* k.ptrace.traceMe(k);
  const any = k.m.tasks.get(id);
  if (any === undefined) return -Errno.ESRCH;
  if (what === (Ptrace.ATTACH as number)) return yield* k.ptrace.attach(k, any, false, 0);
  if (what === (Ptrace.SEIZE as number)) return addr !== 0 ? -Errno.EIO : yield* k.ptrace.attach(k, any, true, data!);
  const tracee = k.ptrace.traceeOf(k, id, what === (Ptrace.KILL as number) || what === (Ptrace.INTERRUPT as number));
  if (tracee === null) return -Errno.ESRCH;
  if (what === (Ptrace.POKETEXT as number) || what === (Ptrace.POKEDATA as number)) return yield* poke(t, tracee, addr!, word);
  return yield* command(t, tracee, what, addr!, data!);
};

function* command(t: GuestThread, tracee: Task, what: Ptrace, addr: number, data: number): MaySleep<number> {
  const { k } = t;
  switch (what) {
    case Ptrace.PEEKTEXT:
    case Ptrace.PEEKDATA: {
      const word = new Uint8Array(8);
      if ((yield* access(t, tracee, addr, word, FollFlag.FORCE)) !== word.length) return -Errno.EIO;
      return yield* k.uaccess.copyToUser(k, data, word);
    }
    case Ptrace.CONT:
      return yield* k.ptrace.resume(k, tracee, data, "on");
    case Ptrace.SYSCALL:
      return yield* k.ptrace.resume(k, tracee, data, "to a system call");
    case Ptrace.DETACH:
      return yield* k.ptrace.resume(k, tracee, data, "alone");
    case Ptrace.KILL:
      return yield* k.signal.sendToThread(k, tracee, { signo: Sig.SIGKILL, code: 0, addr: 0 });
    case Ptrace.SETOPTIONS:
      return k.ptrace.setOptions(k, tracee, data);
    case Ptrace.INTERRUPT:
      return yield* k.ptrace.interrupt(k, tracee);
    case Ptrace.GETSIGINFO: {
      const info = tracee.thread.tracee!.stop!.info;
      if (info === null) return -Errno.EINVAL;
      const view = new DataView(new ArrayBuffer(SIGINFO_SIZE));
      writeSigInfo(view, info);
      return yield* k.uaccess.copyToUser(k, data, new Uint8Array(view.buffer));
    }
    case Ptrace.GETREGSET:
    case Ptrace.SETREGSET:
      return yield* registers(t, tracee, addr, data, what === Ptrace.SETREGSET);
    default:
      return -Errno.EIO;
  }
}

function* poke(t: GuestThread, tracee: Task, addr: number, word: bigint): MaySleep<number> {
  const bytes = new Uint8Array(8);
  new DataView(bytes.buffer).setBigUint64(0, word, true);
  const done = yield* access(t, tracee, addr, bytes, FollFlag.FORCE | FollFlag.WRITE);
  return done === bytes.length ? 0 : -Errno.EIO;
}

/** Memory of a tracee, as /proc/PID/mem has it: bytes done. */
function* access({ k }: GuestThread, { mm }: Task, addr: number, bytes: Uint8Array, gup: number): MaySleep<number> {
  if (mm === null || addr < 0 || !(yield* k.fork.mmgetNotZero(k, mm))) return 0;
  const done = yield* k.accessRemote.accessRemoteVm(k, mm, addr, bytes, gup);
  yield* k.fork.mmput(k, mm);
  return done;
}

/** PTRACE_GETREGSET and PTRACE_SETREGSET: `data` is an iovec, whose length comes back as what was copied. */
function* registers(t: GuestThread, tracee: Task, set: number, data: number, write: boolean): MaySleep<number> {
  const { k } = t;
  const iovec = yield* readStruct(k, data, 16);
  if (iovec === null) return -Errno.EFAULT;
  const size = set === NT_PRSTATUS ? PRSTATUS_SIZE : set === NT_PRFPREG ? PRFPREG_SIZE : 0;
  const base = Number(iovec.getBigUint64(0, true));
  const length = Math.min(size, Number(iovec.getBigUint64(8, true)));
  const thread = t.linux.threads.get(tracee.id);
  if (size === 0 || length % 8 !== 0 || thread === undefined) return -Errno.EINVAL;
  const state = thread.exchange(null);
  const words = set === NT_PRSTATUS ? [state.pc, ...state.x.slice(1)] : [...state.f, BigInt(state.fcsr)];
  const view = new DataView(new ArrayBuffer(size));
  words.forEach((word, i) => view.setBigUint64(i * 8, word, true));
  const bytes = new Uint8Array(view.buffer, 0, length);
  if (write) {
    const given = yield* readStruct(k, base, length);
    if (given === null) return -Errno.EFAULT;
    bytes.set(new Uint8Array(given.buffer, given.byteOffset, length));
    thread.exchange(set === NT_PRSTATUS ? withIntegers(state, view) : withFloats(state, view));
  } else {
    const error = yield* k.uaccess.copyToUser(k, base, bytes);
    if (error < 0) return error;
  }
  return yield* k.uaccess.putUser64(k, data + 8, BigInt(length));
}

function withIntegers(state: HartState, view: DataView): HartState {
  const x = BigUint64Array.from(state.x, (_, i) => (i === 0 ? 0n : view.getBigUint64(i * 8, true)));
  return { ...state, pc: view.getBigUint64(0, true), x };
}

function withFloats(state: HartState, view: DataView): HartState {
  return { ...state, f: BigUint64Array.from(state.f, (_, i) => view.getBigUint64(i * 8, true)), fcsr: view.getUint32(256, true) };
}
