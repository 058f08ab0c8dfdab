import { Errno, Op, SWITCH } from "@faultline/kernel";
import * as F from "./format.js";
import { unshareFiles } from "./fs.js";
import { ptrace } from "./ptrace.js";
import { call, int, type Handler, type Syscall } from "./syscall.js";

enum Clone {
  VM = 0x100,
  FS = 0x200,
  FILES = 0x400,
  SIGHAND = 0x800,
  THREAD = 0x10000,
  NEWNS = 0x20000,
  SYSVSEM = 0x40000,
}

/** unshare(2): of what may be had alone. A mount namespace is taken for granted; others are not configured. */
const unshare: Handler = function* (t, [flags]) {
  const process = t.task.process!;
  const wanted = int(flags!);
  const known = Clone.VM | Clone.FS | Clone.FILES | Clone.SIGHAND | Clone.THREAD | Clone.NEWNS | Clone.SYSVSEM;
  if ((wanted & ~known) !== 0) return -Errno.EINVAL;
  if (t.k.m.point(Op.Process, process.pid)) yield SWITCH;
  const alone = process.threads.size === 1;
  if ((wanted & (Clone.THREAD | Clone.SIGHAND | Clone.VM)) !== 0 && !alone) return -Errno.EINVAL;
  if ((wanted & Clone.VM) !== 0 && t.task.mm!.users > 1) return -Errno.EINVAL;
  if ((wanted & Clone.SYSVSEM) !== 0) yield* t.k.sem.exitSem(t.k, t.task);
  if ((wanted & (Clone.FS | Clone.NEWNS)) !== 0) process.fs = { ...process.fs };
  if ((wanted & Clone.FILES) !== 0) unshareFiles(process);
  return 0;
};

export const OTHER: readonly (readonly [number, Syscall])[] = [
  [97, call("unshare", [F.CLONE_FLAGS], unshare, "no namespaces but that of mounts, which is everybody's")],
  [117, call("ptrace", [F.INT, F.INT, F.POINTER, F.POINTER], ptrace, "no events but PTRACE_EVENT_STOP, and no single steps; who is traced does not stop with its group")],
  [425, call("io_uring_setup", [F.INT, F.POINTER], null)],
  [426, call("io_uring_enter", [F.INT, F.INT, F.INT, F.HEX, F.POINTER, F.SIZE], null)],
  [427, call("io_uring_register", [F.INT, F.INT, F.POINTER, F.INT], null)],
];
