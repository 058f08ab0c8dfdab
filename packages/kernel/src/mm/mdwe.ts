/**
 * @linux kernel/sys.c
 * @own deniesWriteExec, inheritedMdwe, setMdwe
 */
import { SWITCH, type Atomic } from "../kernel/coroutine.js";
import { Errno } from "../kernel/errno.js";
import { Op } from "../kernel/op.js";
import type { Kernel } from "../kernel.js";
import { VM, type Mm } from "./mm_types.js";

/** PR_MDWE_*: "memory-deny-write-execute". */
export enum Mdwe {
  REFUSE_EXEC_GAIN = 1,
  /** Not for children, nor for the next program. */
  NO_INHERIT = 2,
}

/** Whether an address space refuses to make of memory with the flags `old` what has `flags`. */
export function deniesWriteExec(mm: Mm, old: number, flags: number): boolean {
  if (mm.mdwe === 0 || (flags & VM.EXEC) === 0) return false;
  return (flags & VM.WRITE) !== 0 || (old & VM.EXEC) === 0;
}

/** What a child, or the next program, has of it. */
export function inheritedMdwe(mm: Mm): number {
  return (mm.mdwe & Mdwe.NO_INHERIT) !== 0 ? 0 : mm.mdwe;
}

/** prctl(PR_SET_MDWE): 0, -EINVAL for bits that mean nothing, -EPERM for what would take some back. */
export function* setMdwe(k: Kernel, mm: Mm, bits: number): Atomic<number> {
  if ((bits & ~(Mdwe.REFUSE_EXEC_GAIN | Mdwe.NO_INHERIT)) !== 0 || bits === Mdwe.NO_INHERIT) return -Errno.EINVAL;
  if (k.m.point(Op.MmCounter, mm.id)) yield SWITCH;
  if (mm.mdwe !== 0 && mm.mdwe !== bits) return -Errno.EPERM;
  mm.mdwe = bits;
  return 0;
}
