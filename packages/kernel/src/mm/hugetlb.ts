/**
 * @linux mm/hugetlb.c
 * @omits Sharing of page tables between address spaces (`huge_pmd_share()`).
 * @omits Sizes of Svnapot (64 KiB): pools are of 2 MiB and 1 GiB.
 * @own addNewAnonRmap, addRmap, anonPrepare, clearHugeFolio, copyHugeFolio, entryUnchanged, faultMutex,
 *   hugetlbPresent, makeWritable, markMigratable, pagecachePresent, removeRmap, replaceByCopy, unmapFromOthers,
 *   vmaLock
 */
import { SWITCH, type Atomic, type MaySleep } from "../kernel/coroutine.js";
import { Op, tableObject } from "../kernel/op.js";
import type { Mutex, RwSem } from "../kernel/locks.js";
import type { Kernel } from "../kernel.js";
import type { HugetlbInode } from "../fs/hugetlbfs.js";
import { PTE, PTRS_PER_TABLE, ptePresent, tableIndex } from "../arch/pgtable.js";
import { FaultFlag, HWPOISON_ORDER_SHIFT, VmFault } from "./fault_flags.js";
import { HPG, type Hstate } from "./hstate.js";
import { hstateOf, hugeIndex, inodeOf } from "./hugetlb_reserve.js";
import { MAPPING_ANON, NO_PAGE, PG } from "./page.js";
import { VM, type Mm, type Vma } from "./mm_types.js";
import { NotifyEvent, type NotifierRange } from "./mmu_notifier.js";
import { PteMarker } from "./pte_marker.js";
import { asksFirst, isRwpAsync, isUffdRwp } from "./uffd_rwp.js";
import { isUffdWp, isWpAsync } from "./uffd_wp.js";
import { maybeMkwrite, vmPageProt } from "./vm_prot.js";

/** One fault on a huge page: the first page of it, and the entry as it was found under the fault mutex. */
export interface HugeVmf {
  readonly vma: Vma;
  readonly vpn: number;
  flags: number;
  readonly h: Hstate;
  readonly mutex: Mutex;
  readonly entry: number;
  origFlags: number;
  origPfn: number;
  /** What a userfaultfd is to be told, once the locks of the fault are dropped (VM.UFFD_…); 0 for nothing. */
  userfault: VM | 0;
}

/* Entries. */

/** The entry that maps, or would map, a huge page: of level 1 or 2; its tables made where needed. -1: no memory. */
export function* hugePteAlloc(k: Kernel, mm: Mm, vpn: number, h: Hstate): MaySleep<number> {
  if (h.isGigantic) return mm.pgd * PTRS_PER_TABLE + tableIndex(vpn, 2);
  return yield* k.memory.pmdAlloc(k, mm, vpn);
}

/** The same, where it is there; -1 else. The caller announces TableRead. */
export function hugetlbWalk(k: Kernel, mm: Mm, vpn: number, h: Hstate): number {
  if (h.isGigantic) return mm.pgd * PTRS_PER_TABLE + tableIndex(vpn, 2);
  return k.m.pt.pmd(mm.pgd, vpn);
}

/** Clears an entry and flushes what it maps; what it was is returned as [flags, pfn]. */
export function* hugePtepClearFlush(k: Kernel, vma: Vma, vpn: number, entry: number): Atomic<[number, number]> {
  const { m } = k;
  const [flags, pfn] = yield* k.memory.ptepGetAndClear(k, vpn, entry);
  m.touches(Op.TableWrite, tableObject(vma.mm.id, vpn));
  yield* k.tlbflush.flushTlbRange(k, vma.mm, vpn, vpn + hstateOf(vma).pages);
  return [flags, pfn];
}

/* Reverse map: a hugetlb folio is always mapped as a whole, and counted nowhere but in HugetlbPages. */

/** A folio that nobody knows yet becomes anonymous memory of a VMA, for it alone. */
export function addNewAnonRmap(k: Kernel, folio: number, vma: Vma, vpn: number): void {
  const { m } = k;
  const { memmap } = m;
  m.touches(Op.MapCount, folio);
  memmap.addEntireMapcount(folio, 1);
  memmap.mapping[folio] = (vma.anonVma!.id << 1) | MAPPING_ANON;
  memmap.index[folio] = vma.linearIndex(vpn);
  memmap.private[folio]! &= ~HPG.restoreReserve;
  memmap.set(folio, PG.anonExclusive | PG.uptodate);
}

/** One mapping more, of whatever kind: for anonymous memory it is nobody's alone. */
export function* addRmap(k: Kernel, folio: number): Atomic<void> {
  const { m } = k;
  if (m.point(Op.MapCount, folio)) yield SWITCH;
  m.memmap.addEntireMapcount(folio, 1);
}

export function* removeRmap(k: Kernel, folio: number): Atomic<void> {
  const { m } = k;
  if (m.point(Op.MapCount, folio)) yield SWITCH;
  m.memmap.addEntireMapcount(folio, -1);
}

/* Folios for mappings. */

/**
 * A folio for a page of a mapping, with one reference at site "alloc", its contents as they were;
 * NO_PAGE when there is none. What has been reserved for the page is used, unless `fromOwner` says
 * that the copy is to be had without it. Pages of files may be asked for with a VMA of nobody's.
 */
export function* allocHugetlbFolio(k: Kernel, vma: Vma, vpn: number, fromOwner: boolean): MaySleep<number> {
  const { hstate, spool } = inodeOf(vma).fs;
  const needed = fromOwner || (yield* k.hugetlbReserve.vmaNeedsReservation(k, vma, vpn));
  // How much of it the pool has not been asked to keep.
  const fromPool = needed ? yield* k.hugetlbReserve.subpoolGet(k, spool, 1) : 0;
  if (fromPool < 0) return NO_PAGE;
  const folio = yield* k.hugetlbPool.takeFolio(k, hstate, fromPool === 0, k.mempolicy.vmaNodes(k, vma, vpn, hstate.order));
  if (folio === NO_PAGE) {
    if (needed) yield* k.hugetlbReserve.undoSubpoolGet(k, hstate, spool, 1, fromPool);
    return NO_PAGE;
  }
  if (spool !== null) k.m.hugetlb.subpools.set(folio, spool);
  if (fromOwner) return folio;
  const unknown = yield* k.hugetlbReserve.vmaCommitReservation(k, vma, vpn);
  // Somebody has reserved the page meanwhile, which it now does not need.
  if (needed && !unknown) yield* k.hugetlbReserve.giveBack(k, hstate, spool, 1);
  return folio;
}

/** All pages of a folio that nobody else knows become zeros. */
export function* clearHugeFolio(k: Kernel, folio: number): MaySleep<void> {
  const { m } = k;
  const pages = m.memmap.folioPages(folio);
  for (let i = 0; i < pages; i++) {
    m.ram.clear(folio + i);
    if ((i & 511) === 511) yield* m.sched.condResched();
  }
}

/** A copy of a folio. */
export function* copyHugeFolio(k: Kernel, dst: number, src: number): MaySleep<void> {
  const { m } = k;
  const pages = m.memmap.folioPages(src);
  // In one step: what is copied is written to by nobody but devices that have it pinned.
  if (m.point(Op.FrameRead, src)) yield SWITCH;
  for (let i = 0; i < pages; i++) {
    m.touches(Op.FrameRead, src + i);
    m.ram.copy(dst + i, src + i);
  }
  yield* m.sched.condResched();
}

/** Faults on a page take turns by this mutex. */
export function faultMutex(k: Kernel, inode: HugetlbInode, index: number): Mutex {
  const { faultMutexes } = k.m.hugetlb;
  return faultMutexes[(inode.ino * 31 + index) % faultMutexes.length]!;
}

/* Faults. */

/** A fault in a mapping of huge pages. VmFault bits, as for `handleMmFault`. */
export function* hugetlbFault(k: Kernel, vma: Vma, address: number, flags: number, addr: number): MaySleep<number> {
  const { m } = k;
  const h = hstateOf(vma);
  const vpn = address - (address % h.pages);
  const mutex = k.hugetlb.faultMutex(k, inodeOf(vma), hugeIndex(vma, vpn));
  if (!mutex.tryLock()) yield* mutex.lock();
  const lock = vmaLock(vma);
  if (lock !== null && !lock.tryRead()) yield* lock.read();
  const entry = yield* k.hugetlb.hugePteAlloc(k, vma.mm, vpn, h);
  let result: number = VmFault.OOM;
  let elsewhere = false;
  let userfault: VM | 0 = 0;
  if (entry >= 0) {
    if (m.point(Op.PteRead, entry)) yield SWITCH;
    const vmf: HugeVmf = { vma, vpn, flags, h, mutex, entry, origFlags: m.pt.flags(entry), origPfn: m.pt.pfn(entry), userfault: 0 };
    const marker = k.pteMarker.pteMarker(vmf.origFlags, vmf.origPfn);
    if ((marker & PteMarker.POISONED) !== 0) result = VmFault.HWPOISON | (h.order << HWPOISON_ORDER_SHIFT);
    else if (vmf.origFlags === 0 || marker !== 0) result = yield* k.hugetlb.hugetlbNoPage(k, vmf);
    else if (ptePresent(vmf.origFlags)) result = yield* k.hugetlb.hugetlbPresent(k, vmf);
    else {
      elsewhere = k.swapops.isMigration(k, vmf.origFlags);
      result = elsewhere ? 0 : VmFault.SIGBUS;
    }
    ({ userfault } = vmf);
  }
  if (lock !== null && !lock.tryUnlock()) yield* lock.unlock();
  if (!mutex.tryUnlock()) yield* mutex.unlock();
  if (userfault !== 0) return yield* k.userfaultfd.handleUserfault(k, { vma, vpn, addr, flags }, userfault);
  if (elsewhere) yield* k.migrate.migrationEntryWait(k, entry);
  // What must be taken up again under mmap_lock.
  if ((result & VmFault.RETRY) !== 0 && (flags & FaultFlag.VMA_LOCK) !== 0) yield* k.memory.vmaEndRead(k, vma);
  return result;
}

/**
 * Held for reading by faults, for writing by who takes pages out of a mapping until they are back in
 * the pool: else a fault would find the pool empty. Null where Linux has none: in a child's private mapping.
 */
export function vmaLock(vma: Vma): RwSem | null {
  const { hugetlb } = vma;
  return hugetlb!.lock ?? hugetlb!.resv?.rwSema ?? null;
}

/** The VMA needs an anon_vma, for which mmap_lock must be held; RETRY where it is not, with the VMA's lock kept yet. */
export function* anonPrepare(k: Kernel, vmf: HugeVmf): MaySleep<number> {
  if (vmf.vma.anonVma !== null) return 0;
  if ((vmf.flags & FaultFlag.VMA_LOCK) !== 0) return VmFault.RETRY;
  yield* k.rmap.anonVmaPrepare(k, vmf.vma);
  return 0;
}

/** Nothing is mapped: a page of the file, or a new one. */
export function* hugetlbNoPage(k: Kernel, vmf: HugeVmf): MaySleep<number> {
  const { m } = k;
  const { memmap } = m;
  const { vma, vpn, h, entry } = vmf;
  const inode = inodeOf(vma);
  const index = hugeIndex(vma, vpn);
  const shared = (vma.flags & VM.MAYSHARE) !== 0;
  if (vma.hugetlb!.unmapped) {
    m.dmesg.print(`PID ${m.current!.process?.pid ?? 0} killed due to inadequate hugepage pool`);
    return VmFault.SIGBUS;
  }
  let folio = yield* inode.lockFolio(k, index);
  const cached = folio !== NO_PAGE;
  if (cached && (vma.flags & VM.UFFD_MINOR) !== 0) {
    yield* k.folioLock.folioUnlock(k, folio);
    yield* k.swap.folioPut(k, folio, "hugetlb");
    if (yield* k.hugetlb.entryUnchanged(k, vmf)) vmf.userfault = VM.UFFD_MINOR;
    return 0;
  }
  if (!cached) {
    if (m.point(Op.Inode, inode.ino)) yield SWITCH;
    if (index >= Math.floor(inode.size / h.bytes)) return VmFault.SIGBUS;
    if ((vma.flags & VM.UFFD_MISSING) !== 0) {
      if (yield* k.hugetlb.entryUnchanged(k, vmf)) vmf.userfault = VM.UFFD_MISSING;
      return 0;
    }
    if (!shared) {
      const prepared = yield* k.hugetlb.anonPrepare(k, vmf);
      if (prepared !== 0) return prepared;
    }
    folio = yield* k.hugetlb.allocHugetlbFolio(k, vma, vpn, false);
    if (folio === NO_PAGE) return (yield* k.hugetlb.entryUnchanged(k, vmf)) ? VmFault.SIGBUS : 0;
    yield* k.hugetlb.clearHugeFolio(k, folio);
    if (m.point(Op.PageFlags, folio)) yield SWITCH;
    memmap.set(folio, PG.uptodate);
    k.folioLock.lockNewFolio(k, folio);
    if (shared && !(yield* inode.addFolio(k, index, folio))) {
      yield* k.folioLock.folioUnlock(k, folio);
      yield* k.hugetlbReserve.restoreReserveOnError(k, vma, vpn, folio);
      yield* k.swap.folioPut(k, folio, "alloc");
      return VmFault.SIGBUS;
    }
  }
  const site = cached ? "hugetlb" : "alloc";
  const ptl = m.pt.lockOf(entry);
  if (!ptl.tryLock()) yield* ptl.lock();
  if (m.point(Op.PteRead, entry)) yield SWITCH;
  // What the file has beyond its end is mapped, too: who makes it shorter waits for vma_lock.
  if (!m.pt.same(entry, vmf.origFlags, vmf.origPfn)) {
    if (!ptl.tryUnlock()) yield* ptl.unlock();
    yield* k.folioLock.folioUnlock(k, folio);
    if (!cached && !shared) yield* k.hugetlbReserve.restoreReserveOnError(k, vma, vpn, folio);
    yield* k.swap.folioPut(k, folio, site);
    return 0;
  }
  if (cached || shared) yield* k.hugetlb.addRmap(k, folio);
  else k.hugetlb.addNewAnonRmap(k, folio, vma, vpn);
  yield* k.swap.folioGetUnowned(k, folio);
  let pte = vmPageProt(vma.flags);
  if ((pte & PTE.W) !== 0) pte |= PTE.D;
  // What takes the place of a marker is protected as that said, and not copied before that has been answered.
  const wp = vmf.origFlags !== 0;
  if (wp) pte = (pte & ~PTE.W) | PTE.UFFD_WP;
  yield* k.memory.setPteAt(k, vma.mm, vpn, entry, pte, memmap.pageToPfn(folio));
  vma.mm.hugetlbPages += h.pages;
  let result = 0;
  if ((vmf.flags & FaultFlag.WRITE) !== 0 && !shared && !wp) {
    // Copied, or made writable, at once: the access would only fault again.
    vmf.origFlags = pte;
    vmf.origPfn = memmap.pageToPfn(folio);
    result = yield* k.hugetlb.hugetlbWp(k, vmf, cached ? folio : NO_PAGE);
  }
  if (!ptl.tryUnlock()) yield* ptl.unlock();
  if (!cached) yield* k.hugetlb.markMigratable(k, folio);
  yield* k.folioLock.folioUnlock(k, folio);
  yield* k.swap.folioPut(k, folio, site);
  return result;
}

/** Whether the file has a page for an address. */
export function* pagecachePresent(k: Kernel, vma: Vma, vpn: number): Atomic<boolean> {
  const { mapping } = inodeOf(vma);
  const index = hugeIndex(vma, vpn) * hstateOf(vma).pages;
  if (k.m.point(Op.PageCacheRead, mapping.object(index))) yield SWITCH;
  return mapping.at(index) !== NO_PAGE;
}

/** A new folio is in use: from here on it can be isolated. */
export function* markMigratable(k: Kernel, folio: number): Atomic<void> {
  if (k.m.point(Op.PageFlags, folio)) yield SWITCH;
  k.m.memmap.private[folio]! |= HPG.migratable;
}

/** Whether an entry still is what the fault found. */
export function* entryUnchanged(k: Kernel, vmf: HugeVmf): Atomic<boolean> {
  const { m } = k;
  const ptl = m.pt.lockOf(vmf.entry);
  if (!ptl.tryLock()) yield* ptl.lock();
  if (m.point(Op.PteRead, vmf.entry)) yield SWITCH;
  const same = m.pt.same(vmf.entry, vmf.origFlags, vmf.origPfn);
  if (!ptl.tryUnlock()) yield* ptl.unlock();
  return same;
}

/** The entry is present: a write to a read-only one, or something that another has seen to. The caller has the mutex. */
export function* hugetlbPresent(k: Kernel, vmf: HugeVmf): MaySleep<number> {
  const { m } = k;
  const { vma, vpn, entry } = vmf;
  const write = (vmf.flags & FaultFlag.WRITE) !== 0;
  if (asksFirst(vma, vmf.origFlags)) {
    if (!isRwpAsync(vma)) {
      vmf.userfault = VM.UFFD_RWP;
      return 0;
    }
    const ptl = m.pt.lockOf(entry);
    if (!ptl.tryLock()) yield* ptl.lock();
    // Without W, that of shared memory aside: who writes private memory faults once more.
    const open = (flags: number): number => (vmPageProt(vma.flags) & ~PTE.A) | (flags & (PTE.A | PTE.D | PTE.SOFT_DIRTY)) | PTE.A;
    yield* k.memory.ptepModify(k, vma.mm, vpn, entry, (now) => (isUffdRwp(vma, now) ? open(now) : now));
    if (!ptl.tryUnlock()) yield* ptl.unlock();
    return 0;
  }
  if (write && (vmf.origFlags & PTE.W) === 0 && isUffdWp(vma, vmf.origFlags)) {
    const ptl = m.pt.lockOf(entry);
    if (!ptl.tryLock()) yield* ptl.lock();
    if (m.point(Op.PteRead, entry)) yield SWITCH;
    const same = m.pt.same(entry, vmf.origFlags, vmf.origPfn);
    const asks = !isWpAsync(vma);
    if (same && !asks) yield* k.memory.ptepModify(k, vma.mm, vpn, entry, (flags) => flags & ~PTE.UFFD_WP);
    if (!ptl.tryUnlock()) yield* ptl.unlock();
    if (same && asks) vmf.userfault = VM.UFFD_WP;
    if (!same || asks) return 0;
    vmf.origFlags &= ~PTE.UFFD_WP;
  }
  const breaks = (write || (vmf.flags & FaultFlag.UNSHARE) !== 0) && (vmf.origFlags & PTE.W) === 0;
  const folio = m.memmap.pfnToPage(vmf.origPfn);
  if (breaks) {
    // Its own lock says that nobody moves it; that is waited for without the table's.
    if (!(yield* k.swap.folioTryGet(k, folio, "hugetlb"))) return 0;
    if (!k.folioLock.tryFolioLock(k, folio)) yield* k.folioLock.folioLock(k, folio);
  }
  const ptl = m.pt.lockOf(entry);
  if (!ptl.tryLock()) yield* ptl.lock();
  if (m.point(Op.PteRead, entry)) yield SWITCH;
  let result = 0;
  if (m.pt.same(entry, vmf.origFlags, vmf.origPfn)) {
    if (breaks) result = yield* k.hugetlb.hugetlbWp(k, vmf, folio);
    else {
      const used = write ? PTE.A | PTE.D : PTE.A;
      const old = yield* k.memory.ptepModify(k, vma.mm, vpn, entry, (flags) => flags | used);
      // The table was right already: a stale translation made this fault.
      if (write && (old & used) === used) k.tlbflush.localFlushPage(k, vpn);
    }
  }
  if (!ptl.tryUnlock()) yield* ptl.unlock();
  if (breaks) {
    yield* k.folioLock.folioUnlock(k, folio);
    yield* k.swap.folioPut(k, folio, "hugetlb");
  }
  return result;
}

/* Copy-on-write. */

/**
 * A write to a read-only entry, under its lock, which is dropped and taken again on the way: uses the
 * folio, or copies it. The fault's mutex is held, and the folio locked.
 */
export function* hugetlbWp(k: Kernel, vmf: HugeVmf, locked: number): MaySleep<number> {
  const { m } = k;
  const { memmap } = m;
  const { vma, vpn, entry } = vmf;
  const ptl = m.pt.lockOf(entry);
  const old = memmap.pfnToPage(vmf.origPfn);
  const shared = (vma.flags & VM.MAYSHARE) !== 0;
  const anon = memmap.isAnon(old);
  for (;;) {
    m.touches(Op.MapCount, old);
    if (shared || (anon && memmap.folioMapcount(old) === 1)) {
      if (!shared) memmap.set(old, PG.anonExclusive);
      if ((vmf.flags & FaultFlag.UNSHARE) === 0 || shared) yield* k.hugetlb.makeWritable(k, vmf);
      return 0;
    }
    // Who made the reservation gets its copy without it; see unmapRefPrivate.
    const fromOwner = vma.hugetlb!.resv !== null && anon;
    yield* k.swap.folioGet(k, old, "wp");
    if (!ptl.tryUnlock()) yield* ptl.unlock();
    const prepared = yield* k.hugetlb.anonPrepare(k, vmf);
    const folio = prepared === 0 ? yield* k.hugetlb.allocHugetlbFolio(k, vma, vpn, fromOwner) : NO_PAGE;
    if (folio !== NO_PAGE) return yield* k.hugetlb.replaceByCopy(k, vmf, old, folio);
    if (prepared === 0 && fromOwner) {
      // The children lose the page, so that the owner keeps what it was promised.
      yield* k.hugetlb.unmapFromOthers(k, vmf, old, locked);
      if (!ptl.tryLock()) yield* ptl.lock();
      yield* k.swap.folioPut(k, old, "wp");
      if (m.point(Op.PteRead, entry)) yield SWITCH;
      if (!m.pt.same(entry, vmf.origFlags, vmf.origPfn)) return 0;
      if (m.retries.again("hugetlb_wp")) yield SWITCH;
      continue;
    }
    if (!ptl.tryLock()) yield* ptl.lock();
    yield* k.swap.folioPut(k, old, "wp");
    return prepared !== 0 ? prepared : VmFault.SIGBUS;
  }
}

/** The entry may be written by now, as far as the mapping may. */
export function* makeWritable(k: Kernel, { vma, vpn, entry }: HugeVmf): Atomic<void> {
  const { m } = k;
  const flags = maybeMkwrite(m.pt.flags(entry), vma.flags) | PTE.A | PTE.D;
  yield* k.memory.setPteAt(k, vma.mm, vpn, entry, flags, m.pt.pfn(entry));
  // Others may still have it cached read-only; they fault once and find it writable.
  k.tlbflush.localFlushPage(k, vpn);
}

/** Maps a copy in place of a page, unless somebody was faster; the lock of the entry is held at the end. */
export function* replaceByCopy(k: Kernel, vmf: HugeVmf, old: number, folio: number): MaySleep<number> {
  const { m } = k;
  const { memmap } = m;
  const { vma, vpn, entry, h } = vmf;
  const ptl = m.pt.lockOf(entry);
  yield* k.hugetlb.copyHugeFolio(k, folio, old);
  const range: NotifierRange = { mm: vma.mm, startVpn: vpn, endVpn: vpn + h.pages, event: NotifyEvent.CLEAR, owner: null };
  yield* k.mmuNotifier.invalidateRangeStart(k, range);
  if (!ptl.tryLock()) yield* ptl.lock();
  if (m.point(Op.PteRead, entry)) yield SWITCH;
  const same = m.pt.same(entry, vmf.origFlags, vmf.origPfn);
  if (same) {
    yield* k.hugetlb.hugePtepClearFlush(k, vma, vpn, entry);
    yield* k.hugetlb.removeRmap(k, old);
    k.hugetlb.addNewAnonRmap(k, folio, vma, vpn);
    let flags = vmPageProt(vma.flags);
    if ((vmf.flags & FaultFlag.UNSHARE) === 0) flags = maybeMkwrite(flags, vma.flags) | PTE.D;
    else flags |= vmf.origFlags & PTE.UFFD_WP;
    yield* k.memory.setPteAt(k, vma.mm, vpn, entry, flags, memmap.pageToPfn(folio));
    m.refs?.put(folio, "alloc");
    memmap.private[folio]! |= HPG.migratable;
  }
  if (!ptl.tryUnlock()) yield* ptl.unlock();
  yield* k.mmuNotifier.invalidateRangeEnd(k, range);
  if (same) yield* k.swap.folioPutUnowned(k, old);
  else {
    yield* k.hugetlbReserve.restoreReserveOnError(k, vma, vpn, folio);
    yield* k.swap.folioPut(k, folio, "alloc");
  }
  yield* k.swap.folioPut(k, old, "wp");
  if (!ptl.tryLock()) yield* ptl.lock();
  return 0;
}

/**
 * There is no page for the copy that the owner of a reservation needs: those who have the page from
 * it lose it, and get SIGBUS when they want it back. The fault's locks are dropped meanwhile.
 */
export function* unmapFromOthers(k: Kernel, vmf: HugeVmf, folio: number, locked: number): MaySleep<void> {
  const { mutex, vma, vpn } = vmf;
  const lock = vmaLock(vma);
  if (locked !== NO_PAGE) yield* k.folioLock.folioUnlock(k, locked);
  if (lock !== null && !lock.tryUnlock()) yield* lock.unlock();
  if (!mutex.tryUnlock()) yield* mutex.unlock();
  yield* k.hugetlbVma.unmapRefPrivate(k, vma, vpn, folio);
  if (!mutex.tryLock()) yield* mutex.lock();
  if (lock !== null && !lock.tryRead()) yield* lock.read();
  if (locked !== NO_PAGE && !k.folioLock.tryFolioLock(k, locked)) yield* k.folioLock.folioLock(k, locked);
}
