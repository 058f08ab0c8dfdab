/**
 * @linux fs/proc/task_mmu.c
 * @omits Reading maps under the VMAs' own locks: mmap_lock is held while a file's contents are made.
 * @own mapsLine, nonPresentPage, showSmaps, smapsMappings, smapsPmdCounts, vmaKernelPageSize, vmaName
 */
import { SWITCH, type MaySleep } from "../../kernel/coroutine.js";
import { Errno } from "../../kernel/errno.js";
import { isAnonName } from "../../mm/anon_name.js";
import { Op, tableObject } from "../../kernel/op.js";
import type { Kernel } from "../../kernel.js";
import { PTE, PTRS_PER_TABLE, ptePresent } from "../../arch/pgtable.js";
import { PAGE_SIZE } from "../../mm/frame_memory.js";
import { hstateOf } from "../../mm/hugetlb_reserve.js";
import { VM, type Mm, type Vma } from "../../mm/mm_types.js";
import { NO_PAGE, PG } from "../../mm/page.js";
import { majorOf, minorOf, pathOf } from "../vfs.js";

/** Shares of pages are summed in bytes with this many bits behind the point, as Linux rounds them. */
const PSS_ONE = 4096;
/** Column of the name in a line of maps. */
const NAME_COLUMN = 73;

/** Bytes of one VMA, or of several, by kind; shares are scaled by PSS_ONE. */
export class MemSizeStats {
  resident = 0;
  sharedClean = 0;
  sharedDirty = 0;
  privateClean = 0;
  privateDirty = 0;
  referenced = 0;
  anonymous = 0;
  ksm = 0;
  lazyfree = 0;
  /** Of anonymous folios mapped by PMD entries. */
  anonymousThp = 0;
  /** Of folios of files in memory mapped by PMD entries. */
  shmemThp = 0;
  swap = 0;
  pss = 0;
  pssAnon = 0;
  pssFile = 0;
  pssShmem = 0;
  pssDirty = 0;
  pssLocked = 0;
  swapPss = 0;
  /** Of hugetlb, which counts nowhere else. */
  sharedHugetlb = 0;
  privateHugetlb = 0;
}

/** The page behind an entry that is not present but names one: of device-private memory, exclusive to a device, or on its way. */
export function nonPresentPage(k: Kernel, flags: number, pfn: number): number {
  return k.swapops.holdsMapping(k, flags) || k.swapops.isMigration(k, flags) || k.swapops.isHwpoison(k, flags) ? k.m.memmap.pfnToPage(pfn) : NO_PAGE;
}

/** Adds what one entry stands for. Page-table lock held; the caller has announced the accesses. */
export function smapsPteEntry(k: Kernel, mss: MemSizeStats, vma: Vma, flags: number, pfn: number, huge: boolean): void {
  if (flags === 0) return;
  const locked = (vma.flags & VM.LOCKED) !== 0;
  if (ptePresent(flags)) {
    // The zero page belongs to nobody.
    if ((flags & PTE.SPECIAL) !== 0) return;
    const page = k.m.memmap.pfnToPage(pfn);
    smapsAccount(k, mss, page, (flags & PTE.A) !== 0, (flags & PTE.D) !== 0, locked, k.taskMmu.smapsMappings(k, flags, page, huge));
    return;
  }
  if (k.swapops.isSwapEntry(k, flags)) {
    const users = k.m.swap.count[pfn]!;
    mss.swap += PAGE_SIZE;
    mss.swapPss += Math.floor((PAGE_SIZE * PSS_ONE) / Math.max(1, users));
    return;
  }
  const page = k.taskMmu.nonPresentPage(k, flags, pfn);
  if (page !== NO_PAGE) smapsAccount(k, mss, page, false, false, locked, k.taskMmu.smapsMappings(k, flags, page, huge));
}

/**
 * How many mappings of its page an entry, or that for 2 MiB which it is a part of, counts as one of. 0 where that is not asked, and the page
 * may be others' as well: of what is not present, but for entries of one page of device-private memory.
 */
export function smapsMappings(k: Kernel, flags: number, page: number, huge: boolean): number {
  return ptePresent(flags) || (!huge && k.swapops.isDevicePrivate(k, flags)) ? Math.max(1, k.m.memmap.pageMapcount(page)) : 0;
}

/** Whether an entry for 2 MiB stands for memory: for a page that is not the one of zeros, whatever the entry grants. */
export function smapsPmdCounts(_k: Kernel, flags: number): boolean {
  return flags !== 0 && (flags & PTE.SPECIAL) === 0;
}

function smapsAccount(
  k: Kernel,
  mss: MemSizeStats,
  page: number,
  young: boolean,
  dirty: boolean,
  locked: boolean,
  mappings: number,
): void {
  const { memmap } = k.m;
  const folio = memmap.folioOf(page);
  const anon = memmap.isAnon(folio);
  const isDirty = dirty || memmap.has(folio, PG.dirty);
  if (anon) {
    mss.anonymous += PAGE_SIZE;
    if (memmap.isKsm(folio)) mss.ksm += PAGE_SIZE;
    if (!memmap.has(folio, PG.swapbacked) && !isDirty) mss.lazyfree += PAGE_SIZE;
  }
  mss.resident += PAGE_SIZE;
  if (young || memmap.has(folio, PG.young | PG.referenced)) mss.referenced += PAGE_SIZE;
  const share = Math.floor((PAGE_SIZE * PSS_ONE) / Math.max(1, mappings));
  mss.pss += share;
  if (anon) mss.pssAnon += share;
  else if (memmap.has(folio, PG.swapbacked)) mss.pssShmem += share;
  else mss.pssFile += share;
  if (locked) mss.pssLocked += share;
  if (isDirty) {
    mss.pssDirty += share;
    if (mappings !== 1) mss.sharedDirty += PAGE_SIZE;
    else mss.privateDirty += PAGE_SIZE;
  } else if (mappings !== 1) mss.sharedClean += PAGE_SIZE;
  else mss.privateClean += PAGE_SIZE;
}

/** Adds the huge pages of a VMA, by whether others map them. */
function* smapsHugetlbRange(k: Kernel, vma: Vma, mss: MemSizeStats): MaySleep<void> {
  const { m } = k;
  const h = hstateOf(vma);
  for (let vpn = vma.startVpn; vpn < vma.endVpn; vpn += h.pages) {
    if (m.point(Op.TableRead, tableObject(vma.mm.id, vpn))) yield SWITCH;
    const entry = k.hugetlb.hugetlbWalk(k, vma.mm, vpn, h);
    if (entry < 0 || !m.pt.isLeaf(entry)) continue;
    const ptl = m.pt.lockOf(entry);
    if (!ptl.tryLock()) yield* ptl.lock();
    if (m.point(Op.PteRead, entry)) yield SWITCH;
    const flags = m.pt.flags(entry);
    const page = ptePresent(flags) ? m.memmap.pfnToPage(m.pt.pfn(entry)) : k.taskMmu.nonPresentPage(k, flags, m.pt.pfn(entry));
    if (page !== NO_PAGE) {
      m.touches(Op.MapCount, page);
      // A migration entry does not say who else has the page.
      if (!ptePresent(flags) || m.memmap.folioMapcount(page) > 1) mss.sharedHugetlb += h.bytes;
      else mss.privateHugetlb += h.bytes;
    }
    if (!ptl.tryUnlock()) yield* ptl.unlock();
    yield* m.sched.condResched();
  }
}

/** Adds the pages of a VMA. mmap_lock is held for reading. */
export function* smapGatherStats(k: Kernel, vma: Vma, mss: MemSizeStats): MaySleep<void> {
  const { m } = k;
  if (vma.isHugetlb) {
    yield* smapsHugetlbRange(k, vma, mss);
    return;
  }
  for (let vpn = vma.startVpn; vpn < vma.endVpn; ) {
    const end = Math.min(vma.endVpn, (vpn | (PTRS_PER_TABLE - 1)) + 1);
    if (m.point(Op.TableRead, tableObject(vma.mm.id, vpn))) yield SWITCH;
    const first = m.pt.find(vma.mm.pgd, vpn);
    if (first >= 0) {
      const huge = m.pt.isHuge(first);
      const ptl = m.pt.lockOf(first);
      if (!ptl.tryLock()) yield* ptl.lock();
      // Split while the lock was waited for: the pages have entries of their own now.
      if (huge && m.pt.child(first) >= 0) {
        if (!ptl.tryUnlock()) yield* ptl.unlock();
        continue;
      }
      for (let at = vpn; at < end; at++) {
        const ptep = huge ? first : first + (at - vpn);
        if (m.point(Op.PteRead, ptep)) yield SWITCH;
        const flags = m.pt.flags(ptep);
        if (huge && !k.taskMmu.smapsPmdCounts(k, flags)) continue;
        k.taskMmu.smapsPteEntry(k, mss, vma, flags, m.pt.pfnFor(ptep, at), huge);
        if (huge) {
          if (vma.ops === null) mss.anonymousThp += PAGE_SIZE;
          else mss.shmemThp += PAGE_SIZE;
        }
      }
      if (!ptl.tryUnlock()) yield* ptl.unlock();
    }
    vpn = end;
    yield* m.sched.condResched();
  }
}

/** What stands in the last column of maps. */
export function vmaName(vma: Vma): string {
  if (vma.file !== null) return vma.file.node === null ? vma.file.path : pathOf(vma.file.node);
  if (vma.name !== "" && vma.name !== "[stack]" && !isAnonName(vma.name)) return vma.name;
  const { mm } = vma;
  const start = vma.startVpn * PAGE_SIZE;
  const end = vma.endVpn * PAGE_SIZE;
  if (mm.startBrk < mm.brk && start <= mm.brk && end >= mm.startBrk) return "[heap]";
  // Of a stack that was cut up, the part that the program began with.
  if (mm.startStack !== 0 && start <= mm.startStack && end >= mm.startStack) return "[stack]";
  return mm.startStack !== 0 && vma.name === "[stack]" ? "" : vma.name;
}

function headerPrefix(start: number, end: number, flags: number, offset: number, dev: number, ino: number): string {
  const hex = (n: number, width: number) => n.toString(16).padStart(width, "0");
  const permissions =
    ((flags & VM.READ) !== 0 ? "r" : "-") +
    ((flags & VM.WRITE) !== 0 ? "w" : "-") +
    ((flags & VM.EXEC) !== 0 ? "x" : "-") +
    ((flags & VM.MAYSHARE) !== 0 ? "s" : "p");
  return (
    `${hex(start, 8)}-${hex(end, 8)} ${permissions} ${hex(offset, 8)} ` +
    `${hex(majorOf(dev), 2)}:${hex(minorOf(dev), 2)} ${ino} `
  );
}

/** One line of maps, its newline included. */
export function mapsLine(vma: Vma): string {
  const inode = vma.file?.inode;
  const offset = inode === undefined ? 0 : vma.pgoff * PAGE_SIZE;
  const prefix = headerPrefix(
    vma.startVpn * PAGE_SIZE,
    vma.endVpn * PAGE_SIZE,
    vma.flags,
    offset,
    inode?.dev ?? 0,
    inode?.ino ?? 0,
  );
  const name = vmaName(vma);
  return name === "" ? `${prefix}\n` : `${prefix.padEnd(NAME_COLUMN)}${name.replaceAll("\n", "\\012")}\n`;
}

/** /proc/PID/maps. */
export function* showMap(k: Kernel, mm: Mm): MaySleep<string> {
  if (!(yield* k.fork.mmgetNotZero(k, mm))) return "";
  if (!mm.mmapLock.tryRead()) yield* mm.mmapLock.read();
  let text = "";
  for (const vma of mm.vmas) text += mapsLine(vma);
  if (!mm.mmapLock.tryUnlock()) yield* mm.mmapLock.unlock();
  yield* k.fork.mmput(k, mm);
  return text;
}

function kbLine(name: string, bytes: number): string {
  return `${`${name}:`.padEnd(16)}${String(Math.floor(bytes / 1024)).padStart(8)} kB\n`;
}

function showSmap(mss: MemSizeStats, rollup: boolean): string {
  const share = (pss: number) => pss / PSS_ONE;
  return (
    kbLine("Rss", mss.resident) +
    kbLine("Pss", share(mss.pss)) +
    kbLine("Pss_Dirty", share(mss.pssDirty)) +
    (rollup
      ? kbLine("Pss_Anon", share(mss.pssAnon)) +
        kbLine("Pss_File", share(mss.pssFile)) +
        kbLine("Pss_Shmem", share(mss.pssShmem))
      : "") +
    kbLine("Shared_Clean", mss.sharedClean) +
    kbLine("Shared_Dirty", mss.sharedDirty) +
    kbLine("Private_Clean", mss.privateClean) +
    kbLine("Private_Dirty", mss.privateDirty) +
    kbLine("Referenced", mss.referenced) +
    kbLine("Anonymous", mss.anonymous) +
    kbLine("KSM", mss.ksm) +
    kbLine("LazyFree", mss.lazyfree) +
    kbLine("AnonHugePages", mss.anonymousThp) +
    kbLine("ShmemPmdMapped", mss.shmemThp) +
    kbLine("FilePmdMapped", 0) +
    kbLine("Shared_Hugetlb", mss.sharedHugetlb) +
    kbLine("Private_Hugetlb", mss.privateHugetlb) +
    kbLine("Swap", mss.swap) +
    kbLine("SwapPss", share(mss.swapPss)) +
    kbLine("Locked", share(mss.pssLocked))
  );
}

/** The two-letter names of VMA flags, in the order of Linux's bits. */
const VM_FLAG_NAMES: readonly (readonly [flag: number, name: string])[] = [
  [VM.READ, "rd"],
  [VM.WRITE, "wr"],
  [VM.EXEC, "ex"],
  [VM.SHARED, "sh"],
  [VM.MAYREAD, "mr"],
  [VM.MAYWRITE, "mw"],
  [VM.MAYEXEC, "me"],
  [VM.MAYSHARE, "ms"],
  [VM.GROWSDOWN, "gd"],
  [VM.UFFD_MISSING, "um"],
  [VM.PFNMAP, "pf"],
  [VM.MAYBE_GUARD, "gu"],
  [VM.UFFD_WP, "uw"],
  [VM.LOCKED, "lo"],
  [VM.PFNMAP, "io"],
  [VM.SEQ_READ, "sr"],
  [VM.RAND_READ, "rr"],
  [VM.DONTCOPY, "dc"],
  [VM.DONTEXPAND, "de"],
  [VM.LOCKONFAULT, "lf"],
  [VM.ACCOUNT, "ac"],
  [VM.NORESERVE, "nr"],
  [VM.HUGETLB, "ht"],
  [VM.WIPEONFORK, "wf"],
  [VM.DONTDUMP, "dd"],
  [VM.SOFTDIRTY, "sd"],
  [VM.HUGEPAGE, "hg"],
  [VM.NOHUGEPAGE, "nh"],
  [VM.MERGEABLE, "mg"],
  [VM.DROPPABLE, "dp"],
  [VM.UFFD_MINOR, "ui"],
  [VM.SEALED, "sl"],
  [VM.UFFD_RWP, "ur"],
];

function vmFlagsLine(vma: Vma): string {
  let line = "VmFlags: ";
  for (const [flag, name] of VM_FLAG_NAMES) {
    if ((vma.flags & flag) !== 0 || (name === "io" && vma.ops?.isIo === true)) line += `${name} `;
  }
  return `${line}\n`;
}

/** What a mapping's pages have, in bytes (vma_kernel_pagesize()). */
export function vmaKernelPageSize(vma: Vma): number {
  return vma.isHugetlb ? hstateOf(vma).bytes : PAGE_SIZE;
}

/** /proc/PID/smaps. */
export function* showSmaps(k: Kernel, mm: Mm): MaySleep<string> {
  if (!(yield* k.fork.mmgetNotZero(k, mm))) return "";
  if (!mm.mmapLock.tryRead()) yield* mm.mmapLock.read();
  let text = "";
  for (const vma of mm.vmas) {
    const mss = new MemSizeStats();
    yield* k.taskMmu.smapGatherStats(k, vma, mss);
    text +=
      mapsLine(vma) +
      kbLine("Size", vma.pages * PAGE_SIZE) +
      kbLine("KernelPageSize", vmaKernelPageSize(vma)) +
      kbLine("MMUPageSize", vmaKernelPageSize(vma)) +
      showSmap(mss, false) +
      `${"THPeligible:".padEnd(16)}${(k.hugeMemory.thpEligible(k, vma) ? "1" : "0").padStart(8)}\n` +
      vmFlagsLine(vma);
  }
  if (!mm.mmapLock.tryUnlock()) yield* mm.mmapLock.unlock();
  yield* k.fork.mmput(k, mm);
  return text;
}

/** /proc/PID/smaps_rollup; -ESRCH when the address space is gone. */
export function* showSmapsRollup(k: Kernel, mm: Mm): MaySleep<string | number> {
  if (!(yield* k.fork.mmgetNotZero(k, mm))) return -Errno.ESRCH;
  if (!mm.mmapLock.tryRead()) yield* mm.mmapLock.read();
  const mss = new MemSizeStats();
  const start = mm.vmas[0]?.startVpn ?? 0;
  let end = 0;
  for (const vma of mm.vmas) {
    yield* k.taskMmu.smapGatherStats(k, vma, mss);
    end = vma.endVpn;
  }
  if (!mm.mmapLock.tryUnlock()) yield* mm.mmapLock.unlock();
  yield* k.fork.mmput(k, mm);
  const header = headerPrefix(start * PAGE_SIZE, end * PAGE_SIZE, 0, 0, 0, 0);
  return `${header.padEnd(NAME_COLUMN)}[rollup]\n${showSmap(mss, true)}`;
}
