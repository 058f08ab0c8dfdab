/**
 * @linux mm/mempolicy.c
 * @own allocByPolicy, allocOn, allocOnNode, isZero, migrateQueued, moveFoliosToNode, nodeOfPage, queueVma,
 *   setHomeNode, setPolicy
 */
import { SWITCH, type MaySleep } from "../kernel/coroutine.js";
import { Errno } from "../kernel/errno.js";
import { Op } from "../kernel/op.js";
import type { Kernel } from "../kernel.js";
import { HPAGE_PMD_NR, PTE, PTRS_PER_TABLE, USER_VPN_END, ptePresent } from "../arch/pgtable.js";
import { GFP_MIGRATE } from "./gfp.js";
import { Mpol, thisNode, type AllocNodes, type Mempolicy } from "./mempolicy.js";
import { MigrateMode } from "./migrate_mode.js";
import { VM, type Mm, type Vma } from "./mm_types.js";
import { NUMA_NO_NODE } from "./nodes.js";
import { PG } from "./page.js";
import { shmemInode } from "./shmem_inode.js";
import type { NewFolio } from "./migrate.js";

/** MPOL_MF_*: what is done with pages that lie where they should not. */
export enum MpolMf {
  STRICT = 1 << 0,
  MOVE = 1 << 1,
  /** Those that others map as well. */
  MOVE_ALL = 1 << 2,
}

/** Whether pages of a VMA can move between nodes at all. */
export function vmaMigratable(_k: Kernel, vma: Vma): boolean {
  return (vma.flags & VM.PFNMAP) === 0;
}

/** Pages of a range that are on some nodes and should not be, on their way elsewhere. */
export interface PageQueue {
  /** Those on nodes that are not in this mask are meant. */
  readonly keep: number;
  readonly flags: number;
  /** Isolated, each with a reference at site "isolate". */
  readonly folios: number[];
  /** Folios that cannot be moved. */
  failed: number;
}

/**
 * mbind(2): 0; -EFAULT for a hole, -EIO where STRICT pages lie elsewhere and stay, -ENOMEM. What lies ahead of an error
 * keeps its new policy.
 */
export function* doMbind(k: Kernel, mm: Mm, start: number, end: number, policy: Mempolicy | null, wanted: number): MaySleep<number> {
  const flags = policy === null ? wanted & ~MpolMf.STRICT : wanted;
  const moves = (flags & (MpolMf.MOVE | MpolMf.MOVE_ALL)) !== 0;
  if (moves) yield* k.swap.lruCacheDisable(k);
  if (!mm.mmapLock.tryWrite()) yield* mm.mmapLock.write();
  const queue: PageQueue = { keep: policy?.nodes ?? 0, flags, folios: [], failed: 0 };
  let error = yield* k.mbind.queuePagesRange(k, mm, start, end, queue);
  if (error === 0) error = yield* k.mbind.mbindRange(k, mm, start, end, policy);
  yield* k.memory.mmapWriteUnlock(k, mm);
  if (queue.folios.length > 0) {
    const target: NewFolio = (_k, src) => k.mbind.allocByPolicy(k, policy, src);
    if (error === 0) {
      if ((yield* k.mbind.migrateQueued(k, queue.folios, target)) !== 0) queue.failed++;
    } else yield* k.vmscan.putbackFolios(k, queue.folios);
  }
  if (error === 0 && queue.failed > 0 && (flags & MpolMf.STRICT) !== 0) error = -Errno.EIO;
  if (moves) yield* k.swap.lruCacheEnable(k);
  return error;
}

/** Gives every VMA of the range the policy. */
export function* mbindRange(k: Kernel, mm: Mm, start: number, end: number, policy: Mempolicy | null): MaySleep<number> {
  for (let vpn = start; vpn < end; ) {
    const vma = mm.vmaAt(vpn);
    if (vma === null) return -Errno.EFAULT;
    const stop = Math.min(end, vma.endVpn);
    const error = yield* k.mbind.setPolicy(k, mm, vma, vpn, stop, policy);
    if (error !== 0) return error;
    vpn = stop;
  }
  return 0;
}

/** Gives a part of a VMA a policy, and of a file in memory the pages that it maps: 0 or a negated errno. */
export function* setPolicy(k: Kernel, mm: Mm, vma: Vma, start: number, end: number, policy: Mempolicy | null): MaySleep<number> {
  const inode = vma.ops?.isShmem === true ? shmemInode(vma.file) : null;
  if (inode !== null) {
    if (k.m.point(Op.Inode, inode.ino)) yield SWITCH;
    inode.policy.set(vma.linearIndex(start), vma.linearIndex(end), policy);
  }
  const part = yield* k.vma.modifyVma(k, mm, vma, start, end, { policy });
  return typeof part === "number" ? part : 0;
}

/** set_mempolicy_home_node(2): 0; -ENOENT where no VMA of the range has a policy, -EOPNOTSUPP for one that has no home. */
export function* setHomeNode(k: Kernel, mm: Mm, start: number, end: number, homeNode: number): MaySleep<number> {
  let result = -Errno.ENOENT;
  if (!mm.mmapLock.tryWrite()) yield* mm.mmapLock.write();
  for (let vpn = start; vpn < end; ) {
    const i = mm.findVmaIndex(vpn);
    const vma = i < 0 ? null : mm.vmas[i]!;
    if (vma === null || vma.startVpn >= end) break;
    const [from, stop] = [Math.max(vpn, vma.startVpn), Math.min(end, vma.endVpn)];
    const { policy } = vma;
    if (policy !== null) {
      if (policy.mode !== Mpol.BIND && policy.mode !== Mpol.PREFERRED_MANY) {
        result = -Errno.EOPNOTSUPP;
        break;
      }
      result = yield* k.mbind.setPolicy(k, mm, vma, from, stop, { ...policy, homeNode });
      if (result < 0) break;
    }
    vpn = stop;
  }
  yield* k.memory.mmapWriteUnlock(k, mm);
  return result;
}

/** Isolates what lies on other nodes than it should, as far as the flags ask for: 0, -EFAULT for a hole, -EIO. mmap_lock is held. */
export function* queuePagesRange(k: Kernel, mm: Mm, start: number, end: number, queue: PageQueue): MaySleep<number> {
  const moves = (queue.flags & (MpolMf.MOVE | MpolMf.MOVE_ALL)) !== 0;
  for (let vpn = start; vpn < end; ) {
    const vma = vpn >= USER_VPN_END ? null : mm.vmaAt(vpn);
    if (vma === null) return -Errno.EFAULT;
    const stop = Math.min(end, vma.endVpn);
    if ((moves && k.mbind.vmaMigratable(k, vma)) || (queue.flags & (MpolMf.STRICT | MpolMf.MOVE | MpolMf.MOVE_ALL)) === MpolMf.STRICT) {
      const error = yield* k.mbind.queueVma(k, vma, vpn, stop, queue);
      if (error !== 0) return error;
    }
    vpn = stop;
  }
  return 0;
}

/** The part of one VMA. */
export function* queueVma(k: Kernel, vma: Vma, start: number, end: number, queue: PageQueue): MaySleep<number> {
  const { m } = k;
  const { memmap, pt, nodes } = m;
  const moves = (queue.flags & (MpolMf.MOVE | MpolMf.MOVE_ALL)) !== 0;
  for (let vpn = start; vpn < end; ) {
    const found = yield* k.folioWalk.folioWalkStart(k, vma, vpn, { zeropage: false });
    if (found === null) {
      const empty = pt.find(vma.mm.pgd, vpn) < 0;
      vpn = empty ? (vpn | (PTRS_PER_TABLE - 1)) + 1 : vpn + 1;
      continue;
    }
    const { folio, entry } = found;
    const next = pt.isHuge(entry) ? (vpn | (HPAGE_PMD_NR - 1)) + 1 : vpn + 1;
    const wrong = !memmap.isZoneDevice(folio) && (queue.keep & (1 << nodes.of(folio))) === 0 && !queue.folios.includes(folio);
    const shared = wrong && (yield* k.rmap.folioMaybeMappedShared(k, folio));
    const takes = wrong && moves && ((queue.flags & MpolMf.MOVE_ALL) !== 0 || !shared);
    if (takes) {
      if (yield* k.memoryHotplug.isolate(k, folio)) queue.folios.push(folio);
      else queue.failed++;
    } else if (wrong) queue.failed++;
    yield* k.folioWalk.folioWalkEnd(k, found);
    if (wrong && !moves) return -Errno.EIO;
    vpn = next;
    yield* m.sched.condResched();
  }
  return 0;
}

/** Moves isolated folios, and puts back those that stay; how many those are, or the negated errno that ended it. */
export function* migrateQueued(k: Kernel, folios: readonly number[], target: NewFolio): MaySleep<number> {
  const { failed, result } = yield* k.migrate.migratePages(k, folios, target, MigrateMode.SYNC);
  yield* k.vmscan.putbackFolios(k, failed);
  return result;
}

/** A new place for a folio by the policy that its memory has got. */
export function* allocByPolicy(k: Kernel, policy: Mempolicy | null, src: number): MaySleep<number> {
  const { m } = k;
  if (m.point(Op.PageFlags, src)) yield SWITCH;
  const order = m.memmap.order[src]!;
  const where = policy === null ? null : k.mempolicy.policyNodes(k, policy, m.memmap.index[src]! >> order);
  return yield* k.mbind.allocOn(k, src, where);
}

/** A new place for a folio of the same size, somewhere. */
export function* allocOn(k: Kernel, src: number, where: AllocNodes | null): MaySleep<number> {
  const { memmap, hugetlb } = k.m;
  if (memmap.has(src, PG.hugetlb)) return yield* k.hugetlbMigrate.allocHugetlbTarget(k, hugetlb.ofOrder(memmap.order[src]!)!);
  return yield* k.pageAlloc.allocFolio(k, GFP_MIGRATE, memmap.order[src]!, where);
}

/** A new place for a folio on one node. */
export function* allocOnNode(k: Kernel, src: number, node: number): MaySleep<number> {
  if (k.m.point(Op.PageFlags, src)) yield SWITCH;
  return yield* k.mbind.allocOn(k, src, thisNode(node));
}

/**
 * migrate_pages(2): what lies on nodes of one mask goes to those of another, the nth to the nth; how many folios could not be
 * moved, or a negated errno.
 */
export function* doMigratePages(k: Kernel, mm: Mm, from: number, to: number, flags: number): MaySleep<number> {
  const { m } = k;
  let stayed = 0;
  yield* k.swap.lruCacheDisable(k);
  let left = from & m.nodes.mask;
  while (left !== 0) {
    // First those whose target gives up nothing of its own, or has done so: so that nothing moves twice.
    let source = NUMA_NO_NODE;
    let dest = NUMA_NO_NODE;
    for (let node = 0; node < m.nodes.count; node++) {
      if ((left & (1 << node)) === 0) continue;
      const goal = remapped(node, from, to);
      if (goal === node) continue;
      [source, dest] = [node, goal];
      if ((left & (1 << goal)) === 0) break;
    }
    if (source === NUMA_NO_NODE) break;
    left &= ~(1 << source);
    const result = yield* k.mbind.migrateToNode(k, mm, source, dest, flags);
    if (result < 0) {
      stayed = result;
      break;
    }
    stayed += result;
  }
  yield* k.swap.lruCacheEnable(k);
  return stayed;
}

/** Where the nth node of a mask goes: to the nth of another, counted round and round. Where both have as many nodes, one that is in both stays. */
function remapped(node: number, from: number, to: number): number {
  const list = (mask: number): number[] => Array.from({ length: 31 }, (_, i) => i).filter((i) => (mask & (1 << i)) !== 0);
  const [sources, targets] = [list(from), list(to)];
  if (sources.length !== targets.length && targets.includes(node)) return node;
  return targets[sources.indexOf(node) % targets.length]!;
}

/** What of an address space lies on one node goes to another; how many folios stayed, or a negated errno. */
export function* migrateToNode(k: Kernel, mm: Mm, source: number, dest: number, flags: number): MaySleep<number> {
  const queue: PageQueue = { keep: ~(1 << source), flags, folios: [], failed: 0 };
  if (!mm.mmapLock.tryRead()) yield* mm.mmapLock.read();
  for (const vma of [...mm.vmas]) {
    if (k.mbind.vmaMigratable(k, vma)) yield* k.mbind.queueVma(k, vma, vma.startVpn, vma.endVpn, queue);
  }
  if (!mm.mmapLock.tryUnlock()) yield* mm.mmapLock.unlock();
  const result = yield* k.mbind.moveFoliosToNode(k, queue.folios, dest);
  return result < 0 ? result : queue.failed + result;
}

/**
 * Isolates a page that is to be on another node: 1 when it is in `folios` now, 0 where it is there already. -EFAULT where nothing
 * is mapped, or the page of zeros is, -ENOENT where there is no page, -EACCES where others map it too, -EBUSY where it cannot be isolated.
 */
export function* addFolioForMigration(k: Kernel, mm: Mm, vpn: number, node: number, flags: number, folios: number[]): MaySleep<number> {
  const { m } = k;
  if (!mm.mmapLock.tryRead()) yield* mm.mmapLock.read();
  const vma = vpn < 0 || vpn >= USER_VPN_END ? null : mm.vmaAt(vpn);
  let result = -Errno.EFAULT;
  if (vma !== null && k.mbind.vmaMigratable(k, vma)) {
    const found = yield* k.folioWalk.folioWalkStart(k, vma, vpn, { zeropage: true });
    if (found === null) result = -Errno.ENOENT;
    else {
      const { folio } = found;
      if (k.mbind.isZero(k, found.flags, folio)) result = -Errno.EFAULT;
      else if (m.memmap.isZoneDevice(folio)) result = -Errno.ENOENT;
      else if (m.nodes.of(folio) === node) result = 0;
      else if ((flags & MpolMf.MOVE_ALL) === 0 && (yield* k.rmap.folioMaybeMappedShared(k, folio))) result = -Errno.EACCES;
      else if (yield* k.memoryHotplug.isolate(k, folio)) {
        folios.push(folio);
        result = 1;
      } else result = -Errno.EBUSY;
      yield* k.folioWalk.folioWalkEnd(k, found);
    }
  }
  if (!mm.mmapLock.tryUnlock()) yield* mm.mmapLock.unlock();
  return result;
}

/** Moves what was isolated to a node: 0, how many stay, or a negated errno. */
export function* moveFoliosToNode(k: Kernel, folios: readonly number[], node: number): MaySleep<number> {
  if (folios.length === 0) return 0;
  return yield* k.mbind.migrateQueued(k, folios, (_k, src) => k.mbind.allocOnNode(k, src, node));
}

/** Where a page is: its node, or why there is none as `addFolioForMigration` says it. */
export function* nodeOfPage(k: Kernel, mm: Mm, vpn: number): MaySleep<number> {
  const { m } = k;
  if (!mm.mmapLock.tryRead()) yield* mm.mmapLock.read();
  const vma = vpn < 0 || vpn >= USER_VPN_END ? null : mm.vmaAt(vpn);
  let status = vma === null ? -Errno.EFAULT : -Errno.ENOENT;
  const found = vma === null ? null : yield* k.folioWalk.folioWalkStart(k, vma, vpn, { zeropage: true });
  if (found !== null) {
    const { folio } = found;
    if (k.mbind.isZero(k, found.flags, folio)) status = -Errno.EFAULT;
    else if (!m.memmap.isZoneDevice(folio)) status = m.nodes.of(folio);
    yield* k.folioWalk.folioWalkEnd(k, found);
  }
  if (!mm.mmapLock.tryUnlock()) yield* mm.mmapLock.unlock();
  return status;
}

/** Whether what is mapped is a page of zeros, of either size. */
export function isZero(k: Kernel, flags: number, folio: number): boolean {
  return ptePresent(flags) && ((flags & PTE.SPECIAL) !== 0 || folio === k.m.zones.zeroPage);
}
