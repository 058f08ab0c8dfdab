/**
 * @linux fs/proc/task_mmu.c
 * @own categoriesOf, copyRegions, pagemapScan, scanHole, scanHugePmd, scanTable, scanTurn, scanVma
 */
import { SWITCH, type Atomic, type MaySleep } from "../../kernel/coroutine.js";
import { Errno } from "../../kernel/errno.js";
import { Op, tableObject } from "../../kernel/op.js";
import type { Kernel } from "../../kernel.js";
import { HPAGE_PMD_NR, PTE, PTRS_PER_TABLE, USER_VPN_END, ptePresent } from "../../arch/pgtable.js";
import { PAGE_SIZE } from "../../mm/frame_memory.js";
import { VM, type Mm, type Vma } from "../../mm/mm_types.js";
import { NotifyEvent, type NotifierRange } from "../../mm/mmu_notifier.js";
import { NO_PAGE } from "../../mm/page.js";
import { PteMarker } from "../../mm/pte_marker.js";
import { isWpAsync, UffdWp, wpUsesMarkers } from "../../mm/uffd_wp.js";

/** PAGEMAP_SCAN of /proc/PID/pagemap: which pages are what, as ranges (Documentation/admin-guide/mm/pagemap.rst). */
export const PAGEMAP_SCAN = 0xc060_6610;

/** PAGE_IS_*. */
export enum PageIs {
  WPALLOWED = 1 << 0,
  WRITTEN = 1 << 1,
  FILE = 1 << 2,
  PRESENT = 1 << 3,
  SWAPPED = 1 << 4,
  PFNZERO = 1 << 5,
  HUGE = 1 << 6,
  SOFT_DIRTY = 1 << 7,
  GUARD = 1 << 8,
  /** In a VMA that a userfaultfd has for accesses: not protected from them, since somebody has made one. */
  ACCESSED = 1 << 9,
}

/** PM_SCAN_*. */
export enum PmScan {
  /** Write-protects what is found and was written to; other VMAs than those that allow it are passed over. */
  WP_MATCHING = 1 << 0,
  /** EPERM for a VMA that does not allow it. */
  CHECK_WPASYNC = 1 << 1,
}

const SCAN_FLAGS = PmScan.WP_MATCHING | PmScan.CHECK_WPASYNC;
const CATEGORIES = 2 * PageIs.ACCESSED - 1;
const ARG_SIZE = 96;
const REGION_SIZE = 24;
/** Ranges that one turn collects before mmap_lock is dropped and they are copied out. */
const REGIONS_MAX = 512;
/** The walk ends early: nothing more fits, or is wanted. */
const STOP = -Errno.ENOSPC;

/** Pages of the same categories in a row. */
interface Region {
  readonly start: number;
  end: number;
  readonly categories: number;
}

/** A scan under way. Addresses in pages. */
export interface PagemapScan {
  readonly mm: Mm;
  readonly flags: number;
  readonly start: number;
  readonly end: number;
  readonly inverted: number;
  readonly mask: number;
  readonly anyof: number;
  readonly returned: number;
  readonly maxPages: number;
  /** Where regions go, in bytes; without room for any, nothing is counted, either. */
  readonly vec: number;
  readonly vecLength: number;
  /** Collected since they were last copied out, and how many were before. */
  regions: Region[];
  copied: number;
  pages: number;
  /** Where the walk came to when it ended early; null when it did not. */
  stoppedAt: number | null;
}

/** PAGEMAP_SCAN: regions found, or a negated errno. `arg` is the address of a struct pm_scan_arg. */
export function* pagemapScan(k: Kernel, mm: Mm, arg: number): MaySleep<number> {
  const raw = new Uint8Array(ARG_SIZE);
  if ((yield* k.uaccess.copyFromUser(k, arg, raw)) !== 0) return -Errno.EFAULT;
  const fields = [...new BigUint64Array(raw.buffer)];
  const wrong = checkArgs(fields);
  if (wrong !== 0) return wrong;
  const end = ((fields[3]! + 4095n) >> 12n) << 12n;
  const scan = makeScan(mm, fields, end);
  let result = 0;
  for (let from = scan.start; from < scan.end; from = scan.stoppedAt!) {
    result = yield* k.pagemapScan.scanTurn(k, scan, from);
    const copied = yield* k.pagemapScan.copyRegions(k, scan);
    if (copied < 0) result = copied;
    if (result !== STOP || scan.copied === scan.vecLength || scan.pages === scan.maxPages) break;
  }
  if (result === 0 || result === STOP) result = scan.copied;
  const walkEnd = scan.stoppedAt === null || scan.stoppedAt === 0 ? end : BigInt(scan.stoppedAt) << 12n;
  return (yield* k.uaccess.putUser64(k, arg + 32, walkEnd)) === 0 ? result : -Errno.EFAULT;
}

/** What is wrong with the arguments by themselves: 0, -EINVAL or -EFAULT. Fields as struct pm_scan_arg has them. */
function checkArgs(fields: readonly bigint[]): number {
  const [size, flags, start, end, , vec, vecLength, , ...masks] = fields as readonly [bigint, bigint, bigint, bigint, bigint, bigint, bigint, bigint, ...bigint[]];
  if (size !== BigInt(ARG_SIZE) || (flags & ~BigInt(SCAN_FLAGS)) !== 0n) return -Errno.EINVAL;
  if (masks.some((mask) => (mask & ~BigInt(CATEGORIES)) !== 0n)) return -Errno.EINVAL;
  if (start % 4096n !== 0n) return -Errno.EINVAL;
  if (!accessOk(start, (end - start) & (2n ** 64n - 1n))) return -Errno.EFAULT;
  if (vec === 0n) return vecLength === 0n ? 0 : -Errno.EINVAL;
  return accessOk(vec, vecLength * BigInt(REGION_SIZE)) ? 0 : -Errno.EFAULT;
}

/** access_ok() of riscv64: only the sign tells user addresses from others. */
function accessOk(start: bigint, size: bigint): boolean {
  return start + size < 2n ** 63n;
}

function makeScan(mm: Mm, fields: readonly bigint[], end: bigint): PagemapScan {
  const number = (i: number): number => Number(fields[i]!);
  return {
    mm,
    flags: number(1),
    start: Math.min(USER_VPN_END, number(2) / PAGE_SIZE),
    end: Math.min(USER_VPN_END, Number(end) / PAGE_SIZE),
    vec: number(5),
    vecLength: number(6),
    maxPages: fields[7] === 0n ? Infinity : number(7),
    inverted: number(8),
    mask: number(9),
    anyof: number(10),
    returned: number(11),
    regions: [],
    copied: 0,
    pages: 0,
    stoppedAt: null,
  };
}

/** One walk under mmap_lock, from a page on: 0 at the end, STOP before it, or an errno. */
export function* scanTurn(k: Kernel, scan: PagemapScan, from: number): MaySleep<number> {
  const { mm } = scan;
  if (k.m.signals.fatalPending(k.m.current!)) return -Errno.EINTR;
  if (!mm.mmapLock.tryRead()) yield* mm.mmapLock.read();
  const protects = (scan.flags & PmScan.WP_MATCHING) !== 0;
  const range: NotifierRange = { mm, startVpn: from, endVpn: scan.end, event: NotifyEvent.PROTECTION_VMA, owner: null };
  if (protects) yield* k.mmuNotifier.invalidateRangeStart(k, range);
  let result = 0;
  for (let vpn = from; vpn < scan.end && result === 0; ) {
    const i = mm.findVmaIndex(vpn);
    const vma = i < 0 ? undefined : mm.vmas[i];
    if (vma === undefined || vma.startVpn >= scan.end) break;
    const start = Math.max(vpn, vma.startVpn);
    vpn = Math.min(scan.end, vma.endVpn);
    result = yield* k.pagemapScan.scanVma(k, scan, vma, start, vpn);
  }
  if (protects) yield* k.mmuNotifier.invalidateRangeEnd(k, range);
  if (!mm.mmapLock.tryUnlock()) yield* mm.mmapLock.unlock();
  return result;
}

/** Copies what was found to where the caller wants it: how many regions, or -EFAULT. */
export function* copyRegions(k: Kernel, scan: PagemapScan): MaySleep<number> {
  const { regions } = scan;
  scan.regions = [];
  if (regions.length === 0) return 0;
  const words = new BigUint64Array(3 * regions.length);
  regions.forEach(({ start, end, categories }, i) => words.set([start * PAGE_SIZE, end * PAGE_SIZE, categories].map(BigInt), 3 * i));
  if ((yield* k.uaccess.copyToUser(k, scan.vec + scan.copied * REGION_SIZE, new Uint8Array(words.buffer))) !== 0) return -Errno.EFAULT;
  scan.copied += regions.length;
  return regions.length;
}

/** Adds pages that match; how many of them there was room for. `stoppedAt` is set where it was not all. */
function output(scan: PagemapScan, categories: number, start: number, end: number): number {
  if (scan.vecLength === 0) return end - start;
  let wanted = Math.min(end - start, scan.maxPages - scan.pages);
  const last = scan.regions.at(-1);
  const kept = categories & scan.returned;
  if (wanted === 0) scan.stoppedAt = start;
  else if (last !== undefined && last.end === start && last.categories === kept) last.end = start + wanted;
  else if (scan.regions.length < Math.min(REGIONS_MAX, scan.vecLength - scan.copied)) {
    scan.regions.push({ start, end: start + wanted, categories: kept });
  } else wanted = 0;
  scan.pages += wanted;
  if (wanted < end - start) scan.stoppedAt = start + wanted;
  return wanted;
}

function isInteresting(scan: PagemapScan, categories: number): boolean {
  const has = categories ^ scan.inverted;
  return (has & scan.mask) === scan.mask && (scan.anyof === 0 || (has & scan.anyof) !== 0);
}

/** The part of a scan that lies in one VMA. */
export function* scanVma(k: Kernel, scan: PagemapScan, vma: Vma, start: number, end: number): MaySleep<number> {
  const { m } = k;
  const allowed = isWpAsync(vma) && wpUsesMarkers(vma);
  if (!allowed && (scan.flags & PmScan.CHECK_WPASYNC) !== 0) return -Errno.EPERM;
  if (!allowed && (scan.flags & PmScan.WP_MATCHING) !== 0) return 0;
  if ((vma.flags & VM.PFNMAP) !== 0) return 0;
  const ofVma = (allowed ? PageIs.WPALLOWED : 0) | ((vma.flags & VM.SOFTDIRTY) !== 0 ? PageIs.SOFT_DIRTY : 0);
  const required = scan.mask & PageIs.WPALLOWED;
  if (((ofVma ^ scan.inverted) & required) !== required) return 0;
  let result = 0;
  for (let vpn = start; vpn < end && result === 0; ) {
    const tableEnd = Math.min(end, (vpn | (PTRS_PER_TABLE - 1)) + 1);
    if (m.point(Op.TableRead, tableObject(scan.mm.id, vpn))) yield SWITCH;
    const entry = m.pt.find(scan.mm.pgd, vpn);
    if (entry < 0) result = yield* k.pagemapScan.scanHole(k, scan, vma, vpn, tableEnd, ofVma);
    else if (m.pt.isHuge(entry)) {
      const scanned = yield* k.pagemapScan.scanHugePmd(k, scan, vma, vpn, tableEnd, entry, ofVma);
      // Split meanwhile: its pages have entries of their own.
      if (scanned === -Errno.EAGAIN) continue;
      result = scanned;
    } else result = yield* k.pagemapScan.scanTable(k, scan, vma, vpn, tableEnd, entry, ofVma);
    vpn = tableEnd;
    yield* m.sched.condResched();
  }
  return result;
}

/** Pages for which there is no table. */
export function* scanHole(k: Kernel, scan: PagemapScan, vma: Vma, vpn: number, end: number, ofVma: number): MaySleep<number> {
  // hugetlb looks at empty entries as well, where there is a table of them.
  const empty = vma.isHugetlb && k.m.pt.pmd(scan.mm.pgd, vpn) >= 0;
  // Where writes are told of, what has no marker has been written to, or was dropped (since 7.3).
  const written = !vma.isHugetlb && (vma.flags & VM.UFFD_WP) !== 0 ? PageIs.WRITTEN : 0;
  const categories = ofVma | written | (empty ? PageIs.HUGE : 0);
  if (!isInteresting(scan, categories)) return 0;
  const found = output(scan, categories, vpn, end);
  if (empty) return found < end - vpn ? STOP : 0;
  if (found > 0 && (scan.flags & PmScan.WP_MATCHING) !== 0) {
    const error = yield* k.mprotect.changePteRange(k, vma, vpn, vpn + found, UffdWp.Protect);
    if (error < 0) return error;
  }
  return found < end - vpn ? STOP : 0;
}

/** 2 MiB, or a part of them, that one entry maps; -EAGAIN where it does so no more. */
export function* scanHugePmd(k: Kernel, scan: PagemapScan, vma: Vma, vpn: number, end: number, pmd: number, ofVma: number): MaySleep<number> {
  const { m } = k;
  const ptl = m.pt.lockOf(pmd);
  if (!ptl.tryLock()) yield* ptl.lock();
  if (m.point(Op.PteRead, pmd)) yield SWITCH;
  let result = m.pt.isLeaf(pmd) ? 0 : -Errno.EAGAIN;
  let protect = false;
  if (result === 0) {
    const categories = ofVma | PageIs.HUGE | k.pagemapScan.categoriesOf(k, vma, m.pt.flags(pmd), m.pt.pfn(pmd));
    const found = isInteresting(scan, categories) ? output(scan, categories, vpn, end) : 0;
    if (isInteresting(scan, categories) && found < end - vpn) result = STOP;
    protect = found > 0 && (scan.flags & PmScan.WP_MATCHING) !== 0 && (categories & PageIs.WRITTEN) !== 0;
    if (protect && found === HPAGE_PMD_NR) {
      // A marker of hugetlb stays what it is.
      if (!vma.isHugetlb || ptePresent(m.pt.flags(pmd)) || k.swapops.isMigration(k, m.pt.flags(pmd))) yield* k.uffdWp.makeUffdWpPte(k, vma, vpn, pmd);
      yield* k.tlbflush.flushTlbRange(k, scan.mm, vpn, end);
      protect = false;
    } else if (protect) takeBack(scan, vpn, found);
  }
  if (!ptl.tryUnlock()) yield* ptl.unlock();
  if (!protect) return result;
  if (vma.isHugetlb) {
    // It cannot be split: it is left out, and the walk goes on.
    scan.stoppedAt = vpn;
    return 0;
  }
  // A part of it alone is to be protected: as if it had not been huge.
  yield* k.hugeMemory.splitHugePmd(k, vma, vpn);
  return -Errno.EAGAIN;
}

/** Undoes the last output, which began at a page. */
function takeBack(scan: PagemapScan, start: number, pages: number): void {
  const last = scan.regions.at(-1);
  if (last === undefined) return;
  scan.pages -= pages;
  if (last.start === start) scan.regions.pop();
  else last.end = start;
}

/** Entries of one last-level table. */
export function* scanTable(k: Kernel, scan: PagemapScan, vma: Vma, vpn: number, end: number, first: number, ofVma: number): Atomic<number> {
  const { m } = k;
  const protects = (scan.flags & PmScan.WP_MATCHING) !== 0;
  // Who wants nothing but protection gets it for everything: no category is looked at.
  const all = protects && scan.vecLength === 0;
  const ptl = m.pt.lockOf(first);
  if (!ptl.tryLock()) yield* ptl.lock();
  let result = 0;
  let changed = 0;
  for (let at = vpn; at < end && result === 0; at++) {
    const ptep = first + (at - vpn);
    if (m.point(Op.PteRead, ptep)) yield SWITCH;
    const categories = ofVma | k.pagemapScan.categoriesOf(k, vma, m.pt.flags(ptep), m.pt.pfn(ptep));
    if (!all && !isInteresting(scan, categories)) continue;
    if (output(scan, categories, at, at + 1) === 0) result = STOP;
    else if (protects && (categories & PageIs.WRITTEN) !== 0) {
      yield* k.uffdWp.makeUffdWpPte(k, vma, at, ptep);
      changed = at + 1;
    }
  }
  if (changed > 0) yield* k.tlbflush.flushTlbRange(k, scan.mm, vpn, changed);
  if (!ptl.tryUnlock()) yield* ptl.unlock();
  return result;
}

/** PAGE_IS_* of what one entry says. Since 7.3 only memory is written to, or accessed, that a userfaultfd has for that. */
export function categoriesOf(k: Kernel, vma: Vma, flags: number, pfn: number): number {
  const { memmap, zones, thp } = k.m;
  const tracksWrites = (vma.flags & VM.UFFD_WP) !== 0;
  // Empty, it does not say that it is write-protected, either.
  if (flags === 0) return tracksWrites ? PageIs.WRITTEN : 0;
  const unprotected = tracksWrites ? PageIs.WRITTEN : (vma.flags & VM.UFFD_RWP) !== 0 ? PageIs.ACCESSED : 0;
  let categories: number;
  let page = NO_PAGE;
  if (ptePresent(flags)) {
    categories = PageIs.PRESENT;
    if ((flags & PTE.UFFD_WP) === 0) categories |= unprotected;
    if ((flags & PTE.SOFT_DIRTY) !== 0) categories |= PageIs.SOFT_DIRTY;
    const mapped = memmap.pfnToPage(pfn);
    if (mapped === zones.zeroPage || (mapped !== NO_PAGE && mapped === thp.hugeZeroFolio)) categories |= PageIs.PFNZERO;
    if ((flags & PTE.SPECIAL) === 0) page = mapped;
  } else {
    categories = PageIs.SWAPPED;
    const marker = k.pteMarker.pteMarker(flags, pfn);
    if ((flags & PTE.SWP_UFFD_WP) === 0 && (marker & PteMarker.UFFD_WP) === 0) categories |= unprotected;
    if ((flags & PTE.SWP_SOFT_DIRTY) !== 0) categories |= PageIs.SOFT_DIRTY;
    if ((marker & PteMarker.GUARD) !== 0) categories |= PageIs.GUARD;
    page = k.taskMmu.nonPresentPage(k, flags, pfn);
  }
  if (page !== NO_PAGE && !memmap.isAnon(memmap.folioOf(page))) categories |= PageIs.FILE;
  return categories;
}
