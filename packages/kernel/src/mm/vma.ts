/**
 * @linux mm/vma.c
 * @own modifyVma
 */
import { Errno } from "../kernel/errno.js";
import type { MaySleep } from "../kernel/coroutine.js";
import type { Kernel } from "../kernel.js";
import type { Mm, Vma } from "./mm_types.js";

/** What parts of one VMA may differ in, once they are VMAs of their own. */
export type Attributes = Pick<Vma, "flags" | "policy" | "uffd">;

/**
 * Gives [start, end) of a VMA other flags, another policy or another userfaultfd: what covers that range then, merged with its neighbours
 * where they agree. -ENOMEM where it must be cut, and there are too many VMAs already, -EINVAL where
 * that would be inside a huge page of hugetlb.
 */
export function* modifyVma(k: Kernel, mm: Mm, vma: Vma, start: number, end: number, changes: Partial<Attributes>): MaySleep<Vma | number> {
  const i = mm.findVmaIndex(vma.startVpn);
  // What goes to a neighbour needs no VMA of its own.
  const joins =
    (start === vma.startVpn && wouldMerge(k, mm.vmas[i - 1], vma, vma, changes)) || (end === vma.endVpn && wouldMerge(k, vma, mm.vmas[i + 1], vma, changes));
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
  Object.assign(part, changes);
  const vmas = mm.vmas.length;
  const merged = yield* k.mmap.mergeAround(k, mm, part);
  if (mm.vmas.length < vmas && !k.uprobes.noUprobeEvents(k)) yield* k.uprobes.uprobeMmap(k, merged);
  return merged;
}

/** Whether two neighbours could be one if one of them were changed so. */
function wouldMerge(k: Kernel, lower: Vma | undefined, upper: Vma | undefined, changed: Vma, changes: Partial<Attributes>): boolean {
  if (lower === undefined || upper === undefined) return false;
  const old: Attributes = { flags: changed.flags, policy: changed.policy, uffd: changed.uffd };
  Object.assign(changed, changes);
  const can = k.mmap.canMerge(k, lower, upper);
  Object.assign(changed, old);
  return can;
}
