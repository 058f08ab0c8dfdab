/**
 * @linux mm/madvise.c
 * @own anonName, isAnonName, setAnonName
 */
import type { MaySleep } from "../kernel/coroutine.js";
import { Errno } from "../kernel/errno.js";
import type { Kernel } from "../kernel.js";
import { USER_VPN_END } from "../arch/pgtable.js";
import type { Mm } from "./mm_types.js";

/** How maps shows a name that prctl(PR_SET_VMA_ANON_NAME) has given to private memory. */
export function anonName(name: string): string {
  return `[anon:${name}]`;
}

/** Whether a VMA's name is one of those. */
export function isAnonName(name: string): boolean {
  return name.startsWith("[anon:");
}

/**
 * prctl(PR_SET_VMA, PR_SET_VMA_ANON_NAME): names the memory of a range, or takes its name away (null).
 * 0, -EINVAL, -EBADF where a file is mapped, -ENOMEM for a hole: the rest of the range has the name then.
 */
export function* setAnonName(k: Kernel, mm: Mm, address: number, length: number, name: string | null): MaySleep<number> {
  if (address < 0 || address % 4096 !== 0) return -Errno.EINVAL;
  if (length < 0) return -Errno.EINVAL;
  if (length === 0) return 0;
  const start = address / 4096;
  const end = Math.min(start + Math.ceil(length / 4096), USER_VPN_END);
  if (!mm.mmapLock.tryWrite()) yield* mm.mmapLock.write();
  let result = 0;
  for (let vpn = start; vpn < end; ) {
    const found = mm.vmas[mm.findVmaIndex(vpn)];
    if (found === undefined || found.startVpn >= end) {
      result = -Errno.ENOMEM;
      break;
    }
    if (found.startVpn > vpn) {
      result = -Errno.ENOMEM;
      vpn = found.startVpn;
    }
    const stop = Math.min(end, found.endVpn);
    const error = yield* nameRange(k, mm, vpn, stop, name);
    if (error < 0) {
      result = error;
      break;
    }
    vpn = stop;
  }
  yield* k.memory.mmapWriteUnlock(k, mm);
  return result;
}

/** Within one VMA; mmap_lock is held for writing. */
function* nameRange(k: Kernel, mm: Mm, start: number, end: number, name: string | null): MaySleep<number> {
  let vma = mm.vmaAt(start)!;
  if (vma.file !== null) return -Errno.EBADF;
  const wanted = name === null ? "" : anonName(name);
  // What has a name by its nature keeps that: the code to return from signals.
  if (vma.name === wanted || (vma.name !== "" && vma.name !== "[stack]" && !isAnonName(vma.name))) return 0;
  for (const at of [start, end]) {
    if (at <= vma.startVpn || at >= vma.endVpn) continue;
    if (mm.vmas.length >= k.m.vmSysctl.maxMapCount) return -Errno.ENOMEM;
    const upper = yield* k.mmap.splitVma(k, mm, vma, at);
    if (at === start) vma = upper;
  }
  yield* k.memory.vmaStartWrite(k, vma);
  vma.name = wanted;
  yield* k.mmap.mergeAround(k, mm, vma);
  return 0;
}
