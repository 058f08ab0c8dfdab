/**
 * @linux mm/page_vma_mapped.c
 * @omits Entries above PMDs, and huge pages of hugetlb, which mm/hugetlb.c walks itself here.
 * @own countsAsMigration, entryMaps, releaseWalk, splitAndRestart, startWalk
 */
import { SWITCH, type Atomic } from "../kernel/coroutine.js";
import type { SpinLock } from "../kernel/locks.js";
import { Op, tableObject } from "../kernel/op.js";
import type { Kernel } from "../kernel.js";
import { HPAGE_PMD_NR, ptePresent } from "../arch/pgtable.js";
import type { Vma } from "./mm_types.js";

/** A walk over the entries by which a VMA maps a folio: page by page, or one for 2 MiB. */
export interface PageVmaMappedWalk {
  readonly folio: number;
  readonly vma: Vma;
  readonly startVpn: number;
  readonly endVpn: number;
  /** Looks for migration entries, rather than for mappings. */
  readonly migration: boolean;
  /** Where the walk stands, once it has found something: the address, the page mapped there, the entry. */
  vpn: number;
  page: number;
  entry: number;
  /** The entry maps the whole folio. */
  huge: boolean;
  /** Held while the walk stands at an entry; null before the first and after the last. */
  ptl: SpinLock | null;
}

/** A walk over a folio whose first page the VMA maps, or would map, at `vpn`. */
export function startWalk(k: Kernel, folio: number, vma: Vma, vpn: number, migration = false): PageVmaMappedWalk {
  const startVpn = Math.max(vpn, vma.startVpn);
  const endVpn = Math.min(vpn + k.m.memmap.folioPages(folio), vma.endVpn);
  return { folio, vma, startVpn, endVpn, migration, vpn: startVpn, page: -1, entry: -1, huge: false, ptl: null };
}

/**
 * Goes on to the next entry that maps a page of the folio: an ordinary one, or a device-private or
 * device-exclusive one, which count as mappings like any other; or to the next migration entry for one. True with the entry's lock held; false at the
 * end, with nothing held.
 */
export function* pageVmaMappedWalk(k: Kernel, w: PageVmaMappedWalk): Atomic<boolean> {
  const { m } = k;
  if (w.ptl !== null) {
    const left = leaveEntry(w, w.huge ? w.endVpn : w.vpn + 1);
    if (left !== null && !left.tryUnlock()) yield* left.unlock();
  }
  while (w.vpn < w.endVpn) {
    if (w.ptl === null) {
      if (m.point(Op.TableRead, tableObject(w.vma.mm.id, w.vpn))) yield SWITCH;
      w.entry = m.pt.find(w.vma.mm.pgd, w.vpn);
      if (w.entry < 0) {
        w.vpn = nextTable(w.vpn);
        continue;
      }
      w.huge = m.pt.isHuge(w.entry);
      const ptl = m.pt.lockOf(w.entry);
      if (!ptl.tryLock()) yield* ptl.lock();
      w.ptl = ptl;
    }
    if (m.point(Op.PteRead, w.entry)) yield SWITCH;
    if (w.huge && !m.pt.isLeaf(w.entry)) {
      // Split, or zapped, while its lock was waited for: look again.
      yield* releaseWalk(w);
      if (m.retries.again("page_vma_mapped_walk")) yield SWITCH;
      continue;
    }
    if (k.pageVmaMapped.entryMaps(k, w)) return true;
    const left = leaveEntry(w, w.huge ? nextTable(w.vpn) : w.vpn + 1);
    if (left !== null && !left.tryUnlock()) yield* left.unlock();
  }
  return false;
}

/** Whether the entry at which a walk stands is one that it looks for. */
export function entryMaps(k: Kernel, w: PageVmaMappedWalk): boolean {
  const { pt, memmap } = k.m;
  const flags = pt.flags(w.entry);
  const wanted = w.migration
    ? k.pageVmaMapped.countsAsMigration(k, flags)
    : ptePresent(flags) || k.swapops.holdsMapping(k, flags);
  if (!wanted) return false;
  w.page = memmap.pfnToPage(pt.pfnFor(w.entry, w.vpn));
  return w.page >= 0 && memmap.folioOf(w.page) === w.folio;
}

/** What is taken for a migration entry when those of a folio are replaced. */
export function countsAsMigration(k: Kernel, flags: number): boolean {
  return k.swapops.isMigration(k, flags);
}

/** Ends a walk before its end. */
export function* releaseWalk(w: PageVmaMappedWalk): Atomic<void> {
  const { ptl } = w;
  w.ptl = null;
  if (ptl !== null && !ptl.tryUnlock()) yield* ptl.unlock();
}

/** Splits the huge entry at which a walk stands; the walk goes over its pages one by one. */
export function* splitAndRestart(k: Kernel, w: PageVmaMappedWalk): Atomic<void> {
  yield* k.hugeMemory.splitHugePmdLocked(k, w.vma, w.vpn & ~(HPAGE_PMD_NR - 1), w.entry);
  yield* releaseWalk(w);
}

/** Moves on within a table, whose lock is kept, or out of it: then the lock that is to be dropped. */
function leaveEntry(w: PageVmaMappedWalk, vpn: number): SpinLock | null {
  const { ptl } = w;
  const sameTable = !w.huge && vpn < nextTable(w.vpn) && vpn < w.endVpn;
  w.vpn = vpn;
  if (sameTable) {
    w.entry++;
    return null;
  }
  w.ptl = null;
  return ptl;
}

function nextTable(vpn: number): number {
  return (vpn | (HPAGE_PMD_NR - 1)) + 1;
}
