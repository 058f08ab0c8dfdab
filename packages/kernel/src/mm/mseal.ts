/**
 * @linux mm/mseal.c
 * @own doMseal, seal, sealAllowsAdvice
 */
import type { MaySleep } from "../kernel/coroutine.js";
import { Errno } from "../kernel/errno.js";
import type { Kernel } from "../kernel.js";
import { USER_VPN_END } from "../arch/pgtable.js";
import { Madv } from "./madvise.js";
import { VM, type Mm, type Vma } from "./mm_types.js";

/** Advice after which pages, or mappings of a child, are not what they were. */
const DISCARDS: ReadonlySet<number> = new Set([
  Madv.FREE,
  Madv.DONTNEED,
  Madv.DONTNEED_LOCKED,
  Madv.REMOVE,
  Madv.DONTFORK,
  Madv.WIPEONFORK,
  Madv.GUARD_INSTALL,
]);

/**
 * mseal(2): 0, -EINVAL, or -ENOMEM where a part of the range is not mapped: then nothing is sealed.
 * Until it exits, a sealed mapping is not unmapped, moved, resized, replaced or given other permissions: -EPERM.
 */
export function* doMseal(k: Kernel, mm: Mm, addr: number, len: number, flags: number): MaySleep<number> {
  if (flags !== 0 || addr % 4096 !== 0) return -Errno.EINVAL;
  const start = addr / 4096;
  const pages = Math.ceil(len / 4096);
  // A negative number is an unsigned one of more than half of what there is.
  if (len !== 0 && pages === 0) return -Errno.EINVAL;
  if (pages < 0 && start >= 0 && start + pages >= 0) return -Errno.EINVAL;
  if (pages === 0) return 0;
  const end = pages < 0 ? Infinity : start + pages;
  if (!mm.mmapLock.tryWrite()) yield* mm.mmapLock.write();
  const result = yield* k.mseal.seal(k, mm, start, end);
  yield* k.memory.mmapWriteUnlock(k, mm);
  return result;
}

export function* seal(k: Kernel, mm: Mm, start: number, end: number): MaySleep<number> {
  for (let vpn = start; vpn < end; ) {
    const vma = vpn < USER_VPN_END ? mm.vmaAt(vpn) : null;
    if (vma === null) return -Errno.ENOMEM;
    vpn = vma.endVpn;
  }
  for (let vpn = start; vpn < end; ) {
    const vma = mm.vmaAt(vpn)!;
    const to = Math.min(end, vma.endVpn);
    if ((vma.flags & VM.SEALED) === 0) {
      const part = yield* k.vma.modifyVma(k, mm, vma, vpn, to, { flags: vma.flags | VM.SEALED });
      if (typeof part === "number") return part;
    }
    vpn = to;
  }
  return 0;
}

/**
 * Whether a seal lets advice through: all that discards nothing; and what may as well be written over, or
 * is of a file.
 */
export function sealAllowsAdvice(_k: Kernel, vma: Vma, advice: number): boolean {
  return (vma.flags & VM.SEALED) === 0 || !DISCARDS.has(advice) || vma.file !== null || (vma.flags & VM.WRITE) !== 0;
}
