/**
 * @linux mm/vma.c
 * @own modifyVma
 */
import { Errno } from "../kernel/errno.js";
import type { MaySleep } from "../kernel/coroutine.js";
import type { Kernel } from "../kernel.js";
import type { Mempolicy } from "./mempolicy.js";
import type { Mm, Vma } from "./mm_types.js";

/**
 * Gives [start, end) of a VMA other flags, or another policy: what covers that range then, merged with its neighbours
 * where they agree. -ENOMEM where it must be cut, and there are too many VMAs already, -EINVAL where
 * that would be inside a huge page of hugetlb.
 */
export function* modifyVma(k: Kernel, mm: Mm, vma: Vma, start: number, end: number, flags: number, policy: Mempolicy | null = vma.policy): MaySleep<Vma | number> {
  const i = mm.findVmaIndex(vma.startVpn);
  // What goes to a neighbour needs no VMA of its own.
  const joins =
    (start === vma.startVpn && wouldMerge(k, mm.vmas[i - 1], vma, vma, flags, policy)) || (end === vma.endVpn && wouldMerge(k, vma, mm.vmas[i + 1], vma, flags, policy));
  let part = vma;
  for (const at of [start, end]) {
    if (at <= part.startVpn || at >= part.endVpn) continue;
    const error = k.hugetlbVma.maySplit(k, part, at);
    if (error !== 0) return error;
    if (!joins && mm.vmas.length >= k.m.vmSysctl.maxMapCount) return -Errno.ENOMEM;
    const upper = yield* k.mmap.splitVma(k, mm, part, at);
    if (at === start) part = upper;
  }
  yield* k.memory.vmaStartWrite(k, part);
  part.flags = flags;
  part.policy = policy;
  return yield* k.mmap.mergeAround(k, mm, part);
}

/** Whether two neighbours could be one if one of them had these flags and this policy. */
function wouldMerge(k: Kernel, lower: Vma | undefined, upper: Vma | undefined, changed: Vma, flags: number, policy: Mempolicy | null): boolean {
  if (lower === undefined || upper === undefined) return false;
  const old = { flags: changed.flags, policy: changed.policy };
  Object.assign(changed, { flags, policy });
  const can = k.mmap.canMerge(k, lower, upper);
  Object.assign(changed, old);
  return can;
}
