/**
 * @linux mm/memory-failure.c
 * @omits Errors of hardware: pages are poisoned by MADV_HWPOISON and debugfs only, so that the process is the
 *   current one.
 * @omits Signals to the other processes that map the page; `PR_MCE_KILL` and early kill are not heeded.
 * @omits A poisoned page of a file is unmapped and stays in the file (`me_pagecache_clean()`).
 * @omits DAX, page frames of drivers, filters, and statistics by node.
 * @own corruptPfn, injectError, leaveLru, memoryFailureHugetlb, poison, retain, softOfflineHugetlb, unmapPoisonedHuge,
 *   unmapPoisonedOne, unpoison
 */
import { SWITCH, type Atomic, type MaySleep } from "../kernel/coroutine.js";
import { Cap, capable } from "../kernel/capability.js";
import { Errno } from "../kernel/errno.js";
import { Op, tableObject } from "../kernel/op.js";
import { Sig } from "../kernel/signal.js";
import { TaskState } from "../kernel/sched.js";
import type { Kernel } from "../kernel.js";
import { PTE, ptePresent } from "../arch/pgtable.js";
import { PAGE_SHIFT } from "./frame_memory.js";
import { hstateOf } from "./hugetlb_reserve.js";
import { MigrateMode } from "./migrate_mode.js";
import type { Vma } from "./mm_types.js";
import { PG } from "./page.js";
import { PTE_MARKER_FLAGS, PteMarker } from "./pte_marker.js";
import { startWalk } from "./page_vma_mapped.js";

/**
 * Frames that are taken to be broken (MADV_HWPOISON), or about to break (MADV_SOFT_OFFLINE): nobody gets
 * them any more, until somebody writes to hwpoison/unpoison-pfn in debugfs. A reference that nobody has
 * keeps each.
 */

const BUS_MCEERR_AR = 4;

function hex(n: number): string {
  return `0x${n.toString(16)}`;
}

/**
 * MADV_HWPOISON and MADV_SOFT_OFFLINE, of what the current address space has in [start, end): 0, -EPERM,
 * -EFAULT for what is not mapped, -EBUSY for a page that cannot be dealt with.
 */
export function* injectError(k: Kernel, start: number, end: number, soft: boolean): MaySleep<number> {
  if (!capable(k, Cap.SYS_ADMIN)) return -Errno.EPERM;
  const { m } = k;
  for (let vpn = start; vpn < end; ) {
    const page = yield* k.gup.getUserPageFast(k, vpn, 0, "hwpoison");
    if (page < 0) return page;
    const pfn = m.memmap.pageToPfn(page);
    // A large folio counts as one, though only the page is dealt with.
    const size = m.memmap.folioPages(m.memmap.folioOf(page));
    const where = `pfn ${hex(pfn)} at process virtual address ${hex(vpn * 4096)}`;
    m.dmesg.print(soft ? `Soft offlining ${where}` : `Injecting memory failure for ${where}`);
    const error = soft ? yield* k.memoryFailure.softOfflinePage(k, page) : yield* k.memoryFailure.memoryFailure(k, page, true);
    if (error !== 0) return error;
    vpn += size;
  }
  return 0;
}

/** hwpoison/corrupt-pfn in debugfs: 0, -ENXIO for no such page, -EBUSY for one that nobody has, or that cannot be dealt with. */
export function* corruptPfn(k: Kernel, pfn: number): MaySleep<number> {
  const { m } = k;
  const page = m.memmap.pfnToPage(pfn);
  if (page < 0 || !m.zones.isOnline(page)) return -Errno.ENXIO;
  // What nobody has is not taken from anybody.
  if (!(yield* k.swap.folioTryGet(k, m.memmap.folioOf(page), "hwpoison"))) return -Errno.EBUSY;
  return yield* k.memoryFailure.memoryFailure(k, page, false);
}

/** Makes a folio of its own of a page, to which the caller's reference goes; false where that cannot be. */
function* singleOut(k: Kernel, page: number): MaySleep<boolean> {
  const { memmap } = k.m;
  const folio = memmap.folioOf(page);
  if (!memmap.isLarge(folio)) return true;
  if (!k.folioLock.tryFolioLock(k, folio)) yield* k.folioLock.folioLock(k, folio);
  const error = memmap.has(folio, PG.hugetlb) ? -Errno.EBUSY : yield* k.hugeSplit.splitFolio(k, folio);
  yield* k.folioLock.folioUnlock(k, folio);
  const ours = error === 0 && (page === folio || (yield* k.swap.folioTryGet(k, page, "hwpoison")));
  if (!ours || page !== folio) yield* k.swap.folioPut(k, folio, "hwpoison");
  return ours;
}

/**
 * Poisons a page to which the caller has a reference at site "hwpoison", which is kept: 0, or -EBUSY where somebody still has it.
 * -ENXIO, and nothing happens, where the memory is a device's: nobody could tell the device.
 * Who maps it hears of that with his next access; the current process at once where `actionRequired`: it is what it was about to use.
 */
export function* memoryFailure(k: Kernel, page: number, actionRequired: boolean): MaySleep<number> {
  const { m } = k;
  const { memmap } = m;
  const pfn = hex(memmap.pageToPfn(page));
  if (memmap.isZoneDevice(page)) {
    m.dmesg.print(`Memory failure: ${pfn}: recovery action for dax page: Failed`);
    yield* k.swap.folioPut(k, memmap.folioOf(page), "hwpoison");
    return -Errno.ENXIO;
  }
  if (memmap.has(page, PG.reserved)) {
    yield* k.swap.folioPut(k, memmap.folioOf(page), "hwpoison");
    return -Errno.EBUSY;
  }
  if (memmap.has(memmap.folioOf(page), PG.hugetlb)) return yield* k.memoryFailure.memoryFailureHugetlb(k, page, actionRequired);
  if (!(yield* singleOut(k, page))) return -Errno.EBUSY;
  if (!memmap.has(page, PG.lru)) yield* k.swap.lruAddDrainAll(k);
  if (!k.folioLock.tryFolioLock(k, page)) yield* k.folioLock.folioLock(k, page);
  if (m.point(Op.PageFlags, page)) yield SWITCH;
  if (memmap.has(page, PG.writeback)) yield* k.folioLock.folioWaitBit(k, page, PG.writeback, TaskState.Uninterruptible);
  yield* k.memoryFailure.poison(k, page);
  // The books of references: from here on it is nobody's.
  m.refs?.put(page, "hwpoison");
  const addresses: number[] = [];
  if (m.point(Op.MapCount, page)) yield SWITCH;
  const merged = memmap.isKsm(page);
  if (memmap.folioMapcount(page) > 0) {
    yield* k.rmap.rmapWalk(k, page, function* (_k, _folio, vma, vpn): MaySleep<boolean> {
      yield* k.memoryFailure.unmapPoisonedOne(k, page, vma, vpn, addresses);
      return true;
    });
  }
  if (m.point(Op.PageFlags, page)) yield SWITCH;
  // What is in swap as well is as bad: it has come from here, or would be read to here.
  if (memmap.has(page, PG.swapcache)) memmap.clear(page, PG.uptodate);
  const kind = memmap.has(page, PG.dirty) || memmap.isAnon(page) ? "dirty LRU page" : "clean LRU page";
  yield* k.memoryFailure.leaveLru(k, page);
  if (m.point(Op.RefCompare, page)) yield SWITCH;
  const users = memmap.refcount[page]! - 1 - memmap.cacheRefs(page);
  yield* k.folioLock.folioUnlock(k, page);
  // Where KSM has made one page of many, of what was merged last.
  if (actionRequired) for (const vpn of merged ? addresses.slice(0, 1) : addresses) tell(k, pfn, vpn, PAGE_SHIFT);
  if (users > 0) {
    m.dmesg.print(`Memory failure: ${pfn}: ${kind} still referenced by ${users} users`);
    m.dmesg.print(`Memory failure: ${pfn}: recovery action for ${kind}: Failed`);
    return -Errno.EBUSY;
  }
  m.dmesg.print(`Memory failure: ${pfn}: recovery action for ${kind}: Recovered`);
  return 0;
}

/** The current process gets SIGBUS for an address of its own. */
function tell(k: Kernel, pfn: string, vpn: number, addrLsb: number): void {
  const { current } = k.m;
  k.m.dmesg.print(`Memory failure: ${pfn}: Sending SIGBUS to ${current!.comm}:${current!.id} due to hardware memory corruption`);
  k.signal.forceSignal(k, { signo: Sig.SIGBUS, code: BUS_MCEERR_AR, addr: vpn * 4096, addrLsb });
}

/**
 * The same for a page of private huge pages: all who map the folio lose it, and what is not broken of it
 * leaves the pool. -EBUSY for one of a file.
 */
export function* memoryFailureHugetlb(k: Kernel, page: number, actionRequired: boolean): MaySleep<number> {
  const { m } = k;
  const { memmap } = m;
  const folio = memmap.folioOf(page);
  if (!k.folioLock.tryFolioLock(k, folio)) yield* k.folioLock.folioLock(k, folio);
  if (m.point(Op.PageFlags, folio)) yield SWITCH;
  const anon = memmap.isAnon(folio);
  const addresses: number[] = [];
  const order = memmap.order[folio]!;
  if (anon) {
    yield* k.memoryFailure.poison(k, page);
    yield* k.hugetlbMigrate.walkMappings(k, folio, null, (_k, _folio, vma, vpn) => k.memoryFailure.unmapPoisonedHuge(k, folio, vma, vpn, addresses), folio);
  }
  yield* k.folioLock.folioUnlock(k, folio);
  yield* k.swap.folioPut(k, folio, "hwpoison");
  if (!anon) return -Errno.EBUSY;
  yield* k.hugetlbPool.dissolveFreeHugetlbFolio(k, folio);
  const pfn = hex(memmap.pageToPfn(page));
  if (actionRequired) for (const vpn of addresses) tell(k, pfn, vpn + (page - folio), PAGE_SHIFT + order);
  m.dmesg.print(`Memory failure: ${pfn}: recovery action for huge page: Recovered`);
  return 0;
}

/** A marker of poison in place of a mapping of a huge page; adds the address if it is one of the current address space. */
export function* unmapPoisonedHuge(k: Kernel, folio: number, vma: Vma, vpn: number, addresses: number[]): MaySleep<void> {
  const { m } = k;
  const pages = m.memmap.folioPages(folio);
  const range = k.rmap.folioNotifierRange(k, folio, vma, vpn);
  yield* k.mmuNotifier.invalidateRangeStart(k, range);
  if (m.point(Op.TableRead, tableObject(vma.mm.id, vpn))) yield SWITCH;
  const entry = k.hugetlb.hugetlbWalk(k, vma.mm, vpn, hstateOf(vma));
  if (entry >= 0 && m.pt.isLeaf(entry)) {
    const ptl = m.pt.lockOf(entry);
    if (!ptl.tryLock()) yield* ptl.lock();
    if (m.point(Op.PteRead, entry)) yield SWITCH;
    if (ptePresent(m.pt.flags(entry)) && m.memmap.pfnToPage(m.pt.pfn(entry)) === folio) {
      yield* k.hugetlb.hugePtepClearFlush(k, vma, vpn, entry);
      vma.mm.hugetlbPages -= pages;
      yield* k.memory.setPteAt(k, vma.mm, vpn, entry, PTE_MARKER_FLAGS, PteMarker.POISONED);
      yield* k.hugetlb.removeRmap(k, folio);
      yield* k.swap.folioPutUnowned(k, folio);
      if (vma.mm === m.current!.mm) addresses.push(vpn);
    }
    if (!ptl.tryUnlock()) yield* ptl.unlock();
  }
  yield* k.mmuNotifier.invalidateRangeEnd(k, range);
}

/** Marks and counts a page. */
export function* poison(k: Kernel, page: number): Atomic<void> {
  if (k.m.point(Op.PageFlags, page)) yield SWITCH;
  k.m.memmap.set(page, PG.hwpoison);
  k.m.vmstat.pages.hwpoison++;
}

/** Puts poison entries in place of a VMA's mappings; adds the addresses of those of the current address space. */
export function* unmapPoisonedOne(k: Kernel, page: number, vma: Vma, vpn: number, addresses: number[]): MaySleep<void> {
  const { m } = k;
  const range = k.rmap.folioNotifierRange(k, page, vma, vpn);
  yield* k.mmuNotifier.invalidateRangeStart(k, range);
  const walk = startWalk(k, page, vma, vpn);
  while (yield* k.pageVmaMapped.pageVmaMappedWalk(k, walk)) {
    const [flags] = yield* k.memory.ptepClearFlush(k, vma, walk.vpn, walk.entry);
    if (ptePresent(flags) && (flags & PTE.D) !== 0) m.memmap.set(page, PG.dirty);
    vma.mm.addRss(k.rmap.rssKind(k, page), -1);
    yield* k.memory.setPteAt(k, vma.mm, walk.vpn, walk.entry, k.swapops.makeHwpoison(k, flags), m.memmap.pageToPfn(page));
    yield* k.rmap.folioRemoveRmapPte(k, page, page, vma);
    yield* k.swap.folioPutUnowned(k, page);
    if (vma.mm === m.current!.mm) addresses.push(walk.vpn);
  }
  yield* k.mmuNotifier.invalidateRangeEnd(k, range);
}

/** Takes a folio off its list for good; nobody is charged for it any more. */
export function* leaveLru(k: Kernel, folio: number): MaySleep<void> {
  const { m } = k;
  if (!(yield* k.swap.folioIsolateLru(k, folio))) return;
  k.mlockFolio.clearMlocked(k, folio);
  m.memmap.clear(folio, PG.active | PG.unevictable);
  if (m.memmap.isAnon(folio) && !m.memmap.has(folio, PG.swapcache)) yield* k.memcg.unchargePage(k, folio);
  yield* k.swap.folioPut(k, folio, "isolate");
}

/** Moves what a page has to another frame, and retires this one: 0, or -EBUSY where it cannot be moved. */
export function* softOfflinePage(k: Kernel, page: number): MaySleep<number> {
  const { m } = k;
  const { memmap } = m;
  if (memmap.isZoneDevice(page)) {
    yield* k.swap.folioPut(k, memmap.folioOf(page), "hwpoison");
    return -Errno.EIO;
  }
  if (m.vmSysctl.enableSoftOffline === 0) {
    m.dmesg.printOnce("soft_offline: disabled by /proc/sys/vm/enable_soft_offline");
    yield* k.swap.folioPut(k, memmap.folioOf(page), "hwpoison");
    return -Errno.EOPNOTSUPP;
  }
  if (memmap.has(page, PG.reserved)) {
    yield* k.swap.folioPut(k, memmap.folioOf(page), "hwpoison");
    return -Errno.EBUSY;
  }
  if (memmap.has(memmap.folioOf(page), PG.hugetlb)) return yield* k.memoryFailure.softOfflineHugetlb(k, page);
  if (!(yield* singleOut(k, page))) {
    m.dmesg.print(`soft offline: ${hex(memmap.pageToPfn(page))}: thp split failed`);
    return -Errno.EBUSY;
  }
  if (!memmap.has(page, PG.lru)) yield* k.swap.lruAddDrainAll(k);
  const isolated = yield* k.swap.folioIsolateLru(k, page);
  yield* k.swap.folioPut(k, page, "hwpoison");
  if (!isolated) return -Errno.EBUSY;
  // So that the last reference does not give it to the allocator.
  yield* k.memoryFailure.poison(k, page);
  const { failed } = yield* k.migrate.migratePages(k, [page], k.migrate.allocMigrationTarget, MigrateMode.SYNC);
  if (failed.length === 0) return 0;
  yield* k.memoryFailure.unpoison(k, page);
  yield* k.vmscan.putbackFolios(k, failed);
  return -Errno.EBUSY;
}

/** The same for a page of a huge page: the whole moves, and leaves its pool but for that page. */
export function* softOfflineHugetlb(k: Kernel, page: number): MaySleep<number> {
  const { memmap } = k.m;
  const folio = memmap.folioOf(page);
  const isolated = yield* k.hugetlbMigrate.isolateHugetlb(k, folio);
  yield* k.swap.folioPut(k, folio, "hwpoison");
  if (!isolated) return -Errno.EBUSY;
  yield* k.memoryFailure.poison(k, page);
  const { failed } = yield* k.migrate.migratePages(k, [folio], k.migrate.allocMigrationTarget, MigrateMode.SYNC);
  yield* k.vmscan.putbackFolios(k, failed);
  if (failed.length === 0 && (yield* k.hugetlbPool.dissolveFreeHugetlbFolio(k, folio)) === 0) return 0;
  yield* k.memoryFailure.unpoison(k, page);
  return -Errno.EBUSY;
}

/** The mark goes. */
export function* unpoison(k: Kernel, page: number): Atomic<void> {
  if (k.m.point(Op.PageFlags, page)) yield SWITCH;
  k.m.memmap.clear(page, PG.hwpoison);
  k.m.vmstat.pages.hwpoison--;
}

/** A poisoned page has lost its last reference: it keeps one that nobody has, instead of being free. */
export function retain(k: Kernel, page: number): void {
  const { memmap } = k.m;
  memmap.flags[page] = PG.hwpoison;
  memmap.mapping[page] = 0;
  memmap.refcount[page] = 1;
}

/** Takes a page that was retired back into use (hwpoison/unpoison-pfn): 0, or -EINVAL, -ENXIO for no such page, -EBUSY while it is mapped. */
export function* unpoisonMemory(k: Kernel, pfn: number): MaySleep<number> {
  const { m } = k;
  const { memmap } = m;
  const page = memmap.pfnToPage(pfn);
  if (page < 0) return -Errno.ENXIO;
  if (m.point(Op.RefCompare, page)) yield SWITCH;
  if (!memmap.has(page, PG.hwpoison)) {
    m.dmesg.print(`Unpoison: Page was already unpoisoned ${hex(pfn)}`);
    return -Errno.EOPNOTSUPP;
  }
  if (memmap.folioMapcount(page) > 0 || memmap.refcount[page]! > 1 + memmap.cacheRefs(page)) {
    m.dmesg.print(`Unpoison: Someone grabs the hwpoison page ${hex(pfn)}`);
    return -Errno.EBUSY;
  }
  yield* k.memoryFailure.unpoison(k, page);
  yield* k.swap.folioPutUnowned(k, page);
  m.dmesg.print(`Unpoison: Software-unpoisoned page ${hex(pfn)}`);
  return 0;
}
