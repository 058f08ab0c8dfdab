/**
 * @linux mm/mmap.c, mm/vma.c
 * @omits The VMAs of an address space are in a sorted array rather than in a maple tree.
 * @omits `->mmap()` and `->mmap_prepare()` of drivers, but for those that are here; perf and `special_mapping`s
 *   other than the vDSO's.
 * @omits Stacks that grow up, shadow stacks, `MAP_SYNC` on DAX, 32-bit and legacy layouts.
 * @omits A VMA is merged with one neighbour at a time, the lower one first; `vma_merge()` takes both at once.
 * @own account, checkMapType, doBrk, getUnmappedAlignedArea, getUnmappedAnonArea, indexesContinue, insertVma,
 *   isolateRange, linkFileVma, lockRmap, mayGrowStack, mergeAround, mergeBelow, rangeFree, setBrk, setupStack,
 *   unlinkAnonVma, unlinkFileVma, unlockRmap, unmapRange, vmAreaGone, vmFlagsFor
 */
import { SWITCH, type Atomic, type MaySleep } from "../kernel/coroutine.js";
import { Errno } from "../kernel/errno.js";
import { Op } from "../kernel/op.js";
import { Cap, capable } from "../kernel/capability.js";
import type { Kernel } from "../kernel.js";
import { isHugetlbFile, type HugetlbInode } from "../fs/hugetlbfs.js";
import { EventRank } from "../fs/userfaultfd_events.js";
import { fput, type OpenFile } from "../fs/vfs.js";
import { HPAGE_PMD_NR, USER_VPN_END } from "../arch/pgtable.js";
import { Event } from "../trace.js";
import { deniesWriteExec } from "./mdwe.js";
import { Mm, VM, VM_ACCESS, VM_LOCKED_MASK, VM_SPECIAL, VM_STICKY, type Vma } from "./mm_types.js";
import { NotifyEvent, type NotifierRange } from "./mmu_notifier.js";
import { NO_PAGE } from "./page.js";
import { Overcommit } from "./vm_sysctl.js";
import { isWriteSealed, shmemZeroSetup } from "./shmem_file.js";
import { shmemInode } from "./shmem_inode.js";
import { samePolicy } from "./mempolicy.js";

/** MAP_* as the generic ABI has them. */
export enum MapFlag {
  SHARED = 0x01,
  PRIVATE = 0x02,
  SHARED_VALIDATE = 0x03,
  DROPPABLE = 0x08,
  TYPE = 0x0f,
  FIXED = 0x10,
  ANONYMOUS = 0x20,
  GROWSDOWN = 0x0100,
  /** Of no meaning any more. */
  DENYWRITE = 0x0800,
  EXECUTABLE = 0x1000,
  LOCKED = 0x2000,
  NORESERVE = 0x4000,
  POPULATE = 0x8000,
  NONBLOCK = 0x10000,
  STACK = 0x20000,
  HUGETLB = 0x40000,
  FIXED_NOREPLACE = 0x100000,
  /** Of no meaning where there is an MMU. */
  UNINITIALIZED = 0x4000000,
}

/** Distance kept below a stack: 256 pages. */
export const STACK_GUARD_PAGES = 256;

/** A new address space with an empty page table and one user; null when memory is out. */
export function* mmAlloc(k: Kernel): MaySleep<Mm | null> {
  const { m } = k;
  const page = yield* k.pageAlloc.allocTable(k);
  if (page === NO_PAGE) return null;
  const mm = new Mm(m, m.nextMmId++);
  mm.pgd = m.pt.allocateNode(page, 2);
  mm.pageTables = 1;
  mm.users = 1;
  // A child has what its parent has, and a new program what the old one had.
  mm.thpDisabled = m.current?.mm?.thpDisabled ?? mm.thpDisabled;
  mm.mergeAny = m.current?.mm?.mergeAny ?? mm.mergeAny;
  // 128 MiB and a random gap below the top for the stack, as mmap_base() leaves them.
  mm.mmapBase = (USER_VPN_END - (1 << 15) - m.choices.pick("mmap_base", 1 << 12)) * 4096;
  m.mms.push(mm);
  return mm;
}

/** Tears an address space down when its last user has gone. */
export function* exitMmap(k: Kernel, mm: Mm): MaySleep<void> {
  const { m } = k;
  if (mm.xolArea !== null) yield* k.uprobeXol.uprobeClearState(k, mm);
  if (mm.ksmSlot !== null) yield* k.ksm.ksmExit(k, mm);
  if (mm.khugepaged) yield* k.khugepaged.khugepagedExit(k, mm);
  yield* k.mmuNotifier.mmuNotifierRelease(k, mm);
  if (!mm.mmapLock.tryWrite()) yield* mm.mmapLock.write();
  const tlb = k.mmGather.tlbGather(k, mm);
  tlb.dropsMarkers = true;
  for (const vma of mm.vmas) {
    yield* k.memory.vmaStartWrite(k, vma);
    yield* k.zap.unmapPageRange(k, tlb, vma, vma.startVpn, vma.endVpn);
  }
  for (const vma of mm.vmas) {
    yield* k.mmap.unlinkAnonVma(k, vma);
    yield* k.mmap.unlinkFileVma(k, vma);
  }
  yield* k.zap.freePgtables(k, tlb, mm, 0, USER_VPN_END);
  yield* k.mmGather.tlbFinish(k, tlb);
  for (const vma of mm.vmas) yield* k.mmap.removeVma(k, vma);
  mm.vmas.length = 0;
  yield* k.memory.mmapWriteUnlock(k, mm);
  yield* k.hugeMemory.mmPutHugeZero(k, mm);
  for (const cpu of m.sched.executors) {
    if (cpu.activeMm !== mm) continue;
    cpu.tlb.flushAll();
    cpu.activeMm = null;
  }
  mm.cpumask = 0;
  m.mms.splice(m.mms.indexOf(mm), 1);
  // Before the frame can be another's table: nobody walks it as this one's any more.
  const root = mm.pgd;
  mm.pgd = -1;
  yield* k.pageAlloc.freeTable(k, m.pt.releaseNode(root));
}

/* Finding room. */

/** True when [start, start + pages) is free. */
export function rangeFree(_k: Kernel, mm: Mm, start: number, pages: number): boolean {
  const i = mm.findVmaIndex(start);
  return i < 0 || mm.vmas[i]!.startVpn >= start + pages;
}

/** Whether a mapping that may lie anywhere may lie there: nothing is mapped, and no stack grows into it. */
function suits(mm: Mm, start: number, pages: number): boolean {
  const next = mm.vmas[mm.findVmaIndex(start)];
  return next === undefined || start + pages <= next.startVpn - ((next.flags & VM.GROWSDOWN) !== 0 ? STACK_GUARD_PAGES : 0);
}

/** The lowest page that a mapping of whose address nobody has a say may have. */
function minVpn(k: Kernel): number {
  return Math.max(1, Math.ceil(k.m.vmSysctl.mmapMinAddr / 4096));
}

/** Where a mapping without a fixed address goes: top down from mmap_base, else bottom up. -1: no room. */
export function getUnmappedArea(k: Kernel, mm: Mm, hint: number, pages: number): number {
  const min = minVpn(k);
  if (hint >= min && hint + pages <= USER_VPN_END && suits(mm, hint, pages)) return hint;
  const known = mm.noGapAbove;
  let end = known !== null && pages >= known.pages ? known.vpn : Math.floor(mm.mmapBase / 4096);
  const above = mm.findVmaIndex(end);
  for (let i = above < 0 ? mm.vmas.length - 1 : above; i >= 0; i--) {
    const vma = mm.vmas[i]!;
    if (vma.startVpn >= end) continue;
    if (end - vma.endVpn >= pages) {
      mm.noGapAbove = { vpn: end, pages };
      return end - pages;
    }
    end = Math.min(end, vma.startVpn - ((vma.flags & VM.GROWSDOWN) !== 0 ? STACK_GUARD_PAGES : 0));
  }
  if (end - min >= pages) return end - pages;
  let start = Math.floor(mm.mmapBase / 4096);
  for (const vma of mm.vmas) {
    if (vma.endVpn <= start) continue;
    const limit = vma.startVpn - ((vma.flags & VM.GROWSDOWN) !== 0 ? STACK_GUARD_PAGES : 0);
    if (limit - start >= pages) return start;
    start = vma.endVpn;
  }
  return USER_VPN_END - start >= pages ? start : -1;
}

/**
 * Room for anonymous memory of whole 2 MiB, aligned so that huge pages can map it; anywhere when
 * there is no such room. Since 6.7.
 */
export function thpGetUnmappedArea(k: Kernel, mm: Mm, pages: number): number {
  const padded = k.mmap.getUnmappedArea(k, mm, 0, pages + HPAGE_PMD_NR);
  if (padded < 0) return k.mmap.getUnmappedArea(k, mm, 0, pages);
  // Top down, what is aligned already is taken from the upper end.
  const below = padded & (HPAGE_PMD_NR - 1);
  return below === 0 ? padded + HPAGE_PMD_NR : padded + HPAGE_PMD_NR - below;
}

/** Room that begins at a multiple of so many pages: at the hint, rounded up, where that is free, else anywhere. -1: no room. */
export function getUnmappedAlignedArea(k: Kernel, mm: Mm, hint: number, pages: number, align: number): number {
  const at = Math.ceil(hint / align) * align;
  if (at >= minVpn(k) && at + pages <= USER_VPN_END && k.mmap.rangeFree(k, mm, at, pages)) return at;
  const padded = k.mmap.getUnmappedArea(k, mm, 0, pages + align - 1);
  // Top down, what is aligned already is taken from the upper end.
  return padded < 0 ? -1 : Math.floor((padded + align - 1) / align) * align;
}

/** Room for private anonymous memory: at the hint, a page, where that is free, else anywhere. -1: no room. */
export function getUnmappedAnonArea(k: Kernel, mm: Mm, hint: number, pages: number): number {
  const couldBeHuge = hint === 0 && pages % HPAGE_PMD_NR === 0;
  return couldBeHuge ? k.mmap.thpGetUnmappedArea(k, mm, pages) : k.mmap.getUnmappedArea(k, mm, hint, pages);
}

/* Changing the list of VMAs. All under mmap_lock for writing. */

/** Puts a VMA into its place; the caller has announced it. */
export function insertVma(_k: Kernel, mm: Mm, vma: Vma): void {
  const i = mm.findVmaIndex(vma.startVpn);
  if (i < 0) mm.vmas.push(vma);
  else mm.vmas.splice(i, 0, vma);
}

/** Counts pages that a VMA has got, or (negative) has no more. */
export function account(_k: Kernel, { mm, flags }: Vma, pages: number): void {
  mm.totalVm += pages;
  if ((flags & VM.LOCKED) !== 0) mm.lockedVm += pages;
  if (mm.totalVm > mm.highVm) mm.highVm = mm.totalVm;
}

/** Cuts a VMA in two at a page; returns the upper part. Both stay on the same anon_vma. */
export function* splitVma(k: Kernel, mm: Mm, vma: Vma, vpn: number): MaySleep<Vma> {
  yield* k.memory.vmaStartWrite(k, vma);
  yield* k.hugeMemory.vmaAdjustTransHuge(k, vma, vpn);
  const upper = mm.newVma(vpn, vma.endVpn, vma.flags, vma.linearIndex(vpn), vma.name, vma.file);
  // Locked before anybody can find it, else a fault would get in between the split and what follows.
  upper.lockSeq = mm.lockSeq;
  upper.uffd = vma.uffd;
  upper.policy = vma.policy;
  upper.anonPgoff = vma.anonPgoff + (vpn - vma.startVpn);
  if (vma.file !== null) vma.file.references++;
  if (vma.isHugetlb) k.hugetlbVma.inherit(k, upper, vma);
  upper.ops = vma.ops;
  if (vma.ops?.open !== undefined) yield* vma.ops.open(k);
  const { mapping, anonVma } = vma;
  yield* k.mmap.lockRmap(k, vma);
  if (anonVma !== null) {
    upper.anonVma = anonVma;
    upper.anonId = vma.anonId;
    upper.forked = vma.forked;
    anonVma.vmas.add(upper);
  }
  mapping?.vmas.add(upper);
  if (k.m.point(Op.VmaTree, mm.id)) yield SWITCH;
  vma.endVpn = vpn;
  k.mmap.insertVma(k, mm, upper);
  yield* k.mmap.unlockRmap(k, vma);
  if (!k.uprobes.noUprobeEvents(k)) yield* k.uprobes.uprobeMmap(k, vma);
  return upper;
}

/** Splits so that one VMA covers exactly [start, end) of a VMA; returns it. */
export function* isolateRange(k: Kernel, mm: Mm, vma: Vma, start: number, end: number): MaySleep<Vma> {
  let middle = vma;
  if (start > middle.startVpn) middle = yield* k.mmap.splitVma(k, mm, middle, start);
  if (end < middle.endVpn) yield* k.mmap.splitVma(k, mm, middle, end);
  return middle;
}

/** Whether the pages of two neighbours have indexes in a row, those of the file and those that copies would have. */
export function indexesContinue(_k: Kernel, lower: Vma, upper: Vma): boolean {
  if (lower.linearIndex(lower.endVpn) !== upper.pgoff) return false;
  return lower.file === null || !lower.isCow || lower.anonPgoff + lower.pages === upper.anonPgoff;
}

/** Whether two neighbours can be one: same attributes, continuing offsets, no conflict of anon_vmas. */
export function canMerge(k: Kernel, lower: Vma, upper: Vma): boolean {
  return (
    lower.endVpn === upper.startVpn &&
    ((lower.flags ^ upper.flags) & ~VM_STICKY) === 0 &&
    lower.file === upper.file &&
    lower.ops === upper.ops &&
    lower.uffd === upper.uffd &&
    samePolicy(lower.policy, upper.policy) &&
    lower.ops?.close === undefined &&
    lower.name === upper.name &&
    (lower.flags & VM_SPECIAL) === 0 &&
    k.mmap.indexesContinue(k, lower, upper) &&
    (lower.anonId === upper.anonId || (lower.anonId === 0 && !upper.forked) || (upper.anonId === 0 && !lower.forked))
  );
}

/**
 * Merges a VMA with its neighbours where that is possible; returns what covers it now. The lower
 * one comes first: where the two belong to different anon_vmas, it is the one that is merged with.
 */
export function* mergeAround(k: Kernel, mm: Mm, vma: Vma): MaySleep<Vma> {
  let result = vma;
  const i = mm.findVmaIndex(vma.startVpn);
  const upper = mm.vmas[i + 1];
  result = yield* k.mmap.mergeBelow(k, mm, result);
  if (upper !== undefined && k.mmap.canMerge(k, result, upper)) result = yield* mergePair(k, mm, result, upper);
  return result;
}

/** Merges a VMA with its lower neighbour where that is possible; returns what covers it now. */
export function* mergeBelow(k: Kernel, mm: Mm, vma: Vma): MaySleep<Vma> {
  const lower = mm.vmas[mm.findVmaIndex(vma.startVpn) - 1];
  return lower !== undefined && k.mmap.canMerge(k, lower, vma) ? yield* mergePair(k, mm, lower, vma) : vma;
}

function* mergePair(k: Kernel, mm: Mm, lower: Vma, upper: Vma): MaySleep<Vma> {
  yield* k.memory.vmaStartWrite(k, lower);
  yield* k.memory.vmaStartWrite(k, upper);
  const anonVma = lower.anonVma ?? upper.anonVma;
  const { mapping } = lower;
  if (mapping !== null && !mapping.lock.tryWrite()) yield* mapping.lock.write();
  if (anonVma !== null && !anonVma.lock.tryWrite()) yield* anonVma.lock.write();
  mapping?.vmas.delete(upper);
  if (anonVma !== null) {
    if (lower.anonVma === null) {
      lower.anonId = upper.anonId;
      lower.forked = upper.forked;
    }
    lower.anonVma = anonVma;
    anonVma.vmas.add(lower);
    anonVma.vmas.delete(upper);
    upper.anonVma = null;
  }
  if (k.m.point(Op.VmaTree, mm.id)) yield SWITCH;
  lower.endVpn = upper.endVpn;
  lower.flags |= upper.flags & VM_STICKY;
  upper.detached = true;
  mm.vmas.splice(mm.vmas.indexOf(upper, mm.findVmaIndex(lower.startVpn)), 1);
  if (upper.file !== null) upper.file.references--;
  if (anonVma !== null && !anonVma.lock.tryUnlock()) yield* anonVma.lock.unlock();
  if (mapping !== null && !mapping.lock.tryUnlock()) yield* mapping.lock.unlock();
  yield* k.mmap.vmAreaFree(k, upper);
  return lower;
}

/** A neighbour that this VMA could merge with later, were it to share its anon_vma. */
export function findMergeableAnonVma(k: Kernel, mm: Mm, vma: Vma): Vma | null {
  const i = mm.findVmaIndex(vma.startVpn);
  for (const other of [mm.vmas[i + 1], mm.vmas[i - 1]]) {
    if (other?.anonVma == null || other.forked) continue;
    const [lower, upper] = other.startVpn < vma.startVpn ? [other, vma] : [vma, other];
    const alike =
      lower.endVpn === upper.startVpn &&
      lower.file === upper.file &&
      samePolicy(lower.policy, upper.policy) &&
      // Permissions may differ now and agree later.
      ((lower.flags ^ upper.flags) & ~(VM_ACCESS | VM_STICKY)) === 0 &&
      k.mmap.indexesContinue(k, lower, upper);
    if (alike) return other;
  }
  return null;
}

/** Reverse walks no longer come to this VMA. */
export function* unlinkAnonVma(k: Kernel, vma: Vma): MaySleep<void> {
  if (vma.anonVma === null) return;
  const { lock } = vma.anonVma;
  if (!lock.tryWrite()) yield* lock.write();
  k.m.anonVmas.unlink(vma);
  vma.anonId = 0;
  vma.forked = false;
  if (!lock.tryUnlock()) yield* lock.unlock();
}

/** Reverse walks from the pages of its file come to this VMA from here on. */
export function* linkFileVma(_k: Kernel, vma: Vma): MaySleep<void> {
  const { mapping } = vma;
  if (mapping === null) return;
  if (!mapping.lock.tryWrite()) yield* mapping.lock.write();
  mapping.vmas.add(vma);
  if (!mapping.lock.tryUnlock()) yield* mapping.lock.unlock();
}

/** Reverse walks from the pages of its file no longer come to this VMA. */
export function* unlinkFileVma(_k: Kernel, vma: Vma): MaySleep<void> {
  const { mapping } = vma;
  if (mapping === null) return;
  if (!mapping.lock.tryWrite()) yield* mapping.lock.write();
  mapping.vmas.delete(vma);
  if (!mapping.lock.tryUnlock()) yield* mapping.lock.unlock();
}

/** No reverse walk looks at the VMA: while its bounds change, or while entries move. */
export function* lockRmap(_k: Kernel, vma: Vma): MaySleep<void> {
  const { mapping, anonVma } = vma;
  if (mapping !== null && !mapping.lock.tryWrite()) yield* mapping.lock.write();
  if (anonVma !== null && !anonVma.lock.tryWrite()) yield* anonVma.lock.write();
}

export function* unlockRmap(_k: Kernel, vma: Vma): MaySleep<void> {
  const { mapping, anonVma } = vma;
  if (anonVma !== null && !anonVma.lock.tryUnlock()) yield* anonVma.lock.unlock();
  if (mapping !== null && !mapping.lock.tryUnlock()) yield* mapping.lock.unlock();
}

/** A VMA has left its address space. */
export function* removeVma(k: Kernel, vma: Vma, later: OpenFile[] | null = null): MaySleep<void> {
  vma.detached = true;
  if (vma.isHugetlb) yield* k.hugetlbVma.closeVma(k, vma);
  if (vma.ops?.close !== undefined) yield* vma.ops.close(k);
  if (vma.file !== null) {
    if (later !== null) later.push(vma.file);
    else yield* fput(k, vma.file);
  }
  yield* k.mmap.vmAreaFree(k, vma);
}

/**
 * The memory of a VMA stays one until a grace period is over (SLAB_TYPESAFE_BY_RCU): a reader that
 * found it before it left may look into it yet.
 */
export function* vmAreaFree(k: Kernel, vma: Vma): Atomic<void> {
  yield* k.rcu.callRcu(k, () => k.mmap.vmAreaGone(k, vma));
}

/** From here on nobody may look into the VMA. */
export function* vmAreaGone(k: Kernel, vma: Vma): Atomic<void> {
  if (k.m.point(Op.VmaWrite, vma.id)) yield SWITCH;
  k.m.sink?.emit(Event.VmaFree, vma.id, 0, 0, 0);
}

/* System calls. */

function protToFlags(prot: number): number {
  return prot & VM_ACCESS;
}

/** What MAP_SHARED_VALIDATE lets through of a file. */
const LEGACY_MAP_MASK =
  MapFlag.TYPE |
  MapFlag.FIXED |
  MapFlag.ANONYMOUS |
  MapFlag.GROWSDOWN |
  MapFlag.DENYWRITE |
  MapFlag.EXECUTABLE |
  MapFlag.LOCKED |
  MapFlag.NORESERVE |
  MapFlag.POPULATE |
  MapFlag.NONBLOCK |
  MapFlag.STACK |
  MapFlag.HUGETLB |
  MapFlag.UNINITIALIZED |
  // The size of huge pages, in the upper bits.
  (-1 << 26);

/**
 * Whether a type of mapping (MapFlag.TYPE) can be had with the other flags, of what is open so: 0, or the errno
 * that says no. Without a file it is of private memory.
 */
export function checkMapType(_k: Kernel, flags: number, prot: number, file: OpenFile | null): number {
  const type = flags & MapFlag.TYPE;
  const growsDown = (flags & MapFlag.GROWSDOWN) !== 0;
  if (file !== null) {
    const shared = type === MapFlag.SHARED || type === MapFlag.SHARED_VALIDATE;
    if (type === MapFlag.SHARED_VALIDATE && (flags & ~LEGACY_MAP_MASK) !== 0) return -Errno.EOPNOTSUPP;
    if (!shared && type !== MapFlag.PRIVATE) return -Errno.EINVAL;
    if (!file.readable || (shared && (prot & VM.WRITE) !== 0 && !file.writable)) return -Errno.EACCES;
    if (file.ops.mmap === undefined) return -Errno.ENODEV;
    return growsDown ? -Errno.EINVAL : 0;
  }
  if (type === MapFlag.DROPPABLE) return growsDown || (flags & (MapFlag.LOCKED | MapFlag.HUGETLB)) !== 0 ? -Errno.EINVAL : 0;
  return type === MapFlag.PRIVATE ? 0 : -Errno.EINVAL;
}

/** mmap(2): the address, or a negated errno. `pgoff` in pages. */
export function* doMmap(
  k: Kernel,
  mm: Mm,
  addr: number,
  len: number,
  prot: number,
  flags: number,
  file: OpenFile | null,
  pgoff: number,
): MaySleep<number> {
  if ((flags & MapFlag.HUGETLB) !== 0 && file === null) return yield* k.hugetlbVma.mmapAnonHugetlb(k, mm, addr, len, prot, flags, pgoff);
  const h = isHugetlbFile(file) ? (file.inode as HugetlbInode).fs.hstate : null;
  if (file !== null && h === null && (flags & MapFlag.HUGETLB) !== 0) return -Errno.EINVAL;
  if (len === 0) return -Errno.EINVAL;
  const pages = h === null ? Math.ceil(len / 4096) : Math.ceil(len / h.bytes) * h.pages;
  if (len < 0 || pages > USER_VPN_END) return -Errno.ENOMEM;
  const fixed = (flags & (MapFlag.FIXED | MapFlag.FIXED_NOREPLACE)) !== 0;
  if (fixed && (addr < 0 || addr + pages * 4096 > USER_VPN_END * 4096)) return -Errno.ENOMEM;
  if (fixed && addr % 4096 !== 0) return -Errno.EINVAL;
  if (fixed && h !== null && addr % h.bytes !== 0) return -Errno.EINVAL;
  if (fixed && addr < k.m.vmSysctl.mmapMinAddr && !capable(k, Cap.SYS_RAWIO)) return -Errno.EPERM;
  // Offsets end below 2^63 bytes.
  if (file !== null && (pgoff < 0 || pgoff + pages > 2 ** 51)) return -Errno.EOVERFLOW;
  let backing = file;
  if (file === null && (flags & MapFlag.TYPE) === MapFlag.SHARED) {
    if ((flags & MapFlag.NORESERVE) === 0 && !k.overcommit.enoughMemory(k, mm, pages)) return -Errno.ENOMEM;
    backing = shmemZeroSetup(k, pages * 4096);
  }
  if (!mm.mmapLock.tryWrite()) yield* mm.mmapLock.write();
  const replaced: OpenFile[] = [];
  const result = yield* k.mmap.mmapRegion(k, mm, addr, pages, prot, flags, backing, pgoff, replaced);
  const events = k.uffdEvents.takeEvents(k, mm);
  yield* k.memory.mmapWriteUnlock(k, mm);
  // The mapping has a reference of its own.
  if (backing !== file) yield* fput(k, backing!);
  yield* k.uffdEvents.tellEvents(k, events);
  // NONBLOCK is for what the page cache has, and takes the effect of POPULATE for everything else.
  const populate = (mm.defFlags & VM.LOCKED) !== 0 || (flags & MapFlag.LOCKED) !== 0 || (flags & (MapFlag.POPULATE | MapFlag.NONBLOCK)) === MapFlag.POPULATE;
  if (populate && result >= 0) yield* k.populate.mmPopulate(k, mm, result / 4096, result / 4096 + pages, true);
  // On the way back to the program: until then what was mapped there has its pages, and what it has reserved.
  for (const gone of replaced) yield* fput(k, gone);
  return result;
}

/** The call itself, under mmap_lock for writing: the address, or a negated errno. Files whose mappings it has replaced go to `replaced`. */
export function* mmapRegion(
  k: Kernel,
  mm: Mm,
  addr: number,
  pages: number,
  prot: number,
  flags: number,
  file: OpenFile | null,
  pgoff: number,
  replaced: OpenFile[],
): MaySleep<number> {
  let start: number;
  if ((flags & (MapFlag.FIXED | MapFlag.FIXED_NOREPLACE)) !== 0) {
    start = addr / 4096;
    if ((flags & MapFlag.FIXED_NOREPLACE) !== 0 && !k.mmap.rangeFree(k, mm, start, pages)) return -Errno.EEXIST;
  } else {
    // A hint too low is one for the lowest address.
    const asked = Math.floor(addr / 4096);
    const hint = asked <= 0 || asked >= USER_VPN_END ? 0 : Math.max(asked, minVpn(k));
    const inode = shmemInode(file);
    if (inode !== null) start = k.shmemHuge.shmemGetUnmappedArea(k, mm, hint, pages, inode, pgoff);
    else if (isHugetlbFile(file)) start = k.mmap.getUnmappedAlignedArea(k, mm, hint, pages, (file.inode as HugetlbInode).fs.hstate.pages);
    else if (file === null) start = k.mmap.getUnmappedAnonArea(k, mm, hint, pages);
    else start = k.mmap.getUnmappedArea(k, mm, hint, pages);
    if (start < 0) return -Errno.ENOMEM;
  }
  if (mm.vmas.length > k.m.vmSysctl.maxMapCount) return -Errno.ENOMEM;
  if ((flags & MapFlag.LOCKED) !== 0 && !k.mlock.canDoMlock(k)) return -Errno.EPERM;
  let vmFlags = k.mmap.vmFlagsFor(k, mm, prot, flags, file);
  if (!k.mlock.mlockFutureOk(k, mm, vmFlags, pages)) return -Errno.EAGAIN;
  const refused = k.mmap.checkMapType(k, flags, prot, file);
  if (refused !== 0) return refused;
  if (file !== null && k.m.point(Op.Inode, file.inode.ino)) yield SWITCH;
  if (isWriteSealed(file?.inode.seals) && (vmFlags & VM.SHARED) !== 0) {
    if ((vmFlags & VM.WRITE) !== 0) return -Errno.EPERM;
    // A mapping to look at stays one.
    vmFlags &= ~VM.MAYWRITE;
  }
  if (deniesWriteExec(mm, vmFlags, vmFlags)) return -Errno.EACCES;
  const isFree = k.mmap.rangeFree(k, mm, start, pages);
  if (!isFree) {
    // What is in the way is cut out first, and stays so when there is no room.
    const error = yield* k.mmap.cutOut(k, mm, start, start + pages);
    if (error !== 0) return error;
  }
  if (!k.overcommit.mayExpandVm(k, mm, vmFlags, pages - mappedPages(mm, start, pages))) return -Errno.ENOMEM;
  // Address space that nobody can write, or that came with MAP_NORESERVE, promises no memory.
  if ((vmFlags & VM.ACCOUNT) !== 0 && !k.overcommit.enoughMemory(k, mm, pages)) return -Errno.ENOMEM;
  if (!isFree) {
    const error = yield* k.mmap.unmapRange(k, mm, start, start + pages, EventRank.Unmap, replaced);
    if (error !== 0) return error;
  }

  // The linear index of private memory is the address it was mapped at.
  const vma = mm.newVma(start, start + pages, vmFlags, file === null ? start : pgoff, file?.path ?? "", file);
  vma.lockSeq = mm.lockSeq;
  if (file !== null) {
    file.references++;
    const error = yield* file.ops.mmap!(k, file, vma);
    if (error < 0) {
      file.references--;
      return error;
    }
    yield* k.mmap.linkFileVma(k, vma);
  }
  if (!k.mlock.vmaSupportsMlock(k, vma)) vma.flags &= ~VM_LOCKED_MASK;
  if (k.m.point(Op.VmaTree, mm.id)) yield SWITCH;
  k.mmap.insertVma(k, mm, vma);
  k.mmap.account(k, vma, pages);
  const merged = yield* k.mmap.mergeAround(k, mm, vma);
  if (!k.uprobes.noUprobeEvents(k)) yield* k.uprobes.uprobeMmap(k, merged);
  return start * 4096;
}

/** The VM flags of a mapping that is asked for so. */
export function vmFlagsFor(k: Kernel, mm: Mm, prot: number, flags: number, file: OpenFile | null): number {
  let vmFlags = protToFlags(prot) | VM.MAYREAD | VM.MAYWRITE | VM.MAYEXEC | VM.SOFTDIRTY | mm.defFlags;
  const type = flags & MapFlag.TYPE;
  if (type === MapFlag.SHARED || type === MapFlag.SHARED_VALIDATE) {
    vmFlags |= VM.SHARED | VM.MAYSHARE;
    // What came with a descriptor that cannot write is shared to look at.
    if (file !== null && !file.writable) vmFlags &= ~(VM.SHARED | VM.MAYWRITE);
  }
  if ((flags & MapFlag.GROWSDOWN) !== 0) vmFlags |= VM.GROWSDOWN;
  if ((flags & MapFlag.LOCKED) !== 0) vmFlags |= VM.LOCKED;
  // Since 6.7: stacks of threads are not worth huge pages.
  if ((flags & MapFlag.STACK) !== 0) vmFlags |= VM.NOHUGEPAGE;
  if ((flags & MapFlag.NORESERVE) !== 0 && k.m.vmSysctl.overcommitMemory !== Overcommit.Never) vmFlags |= VM.NORESERVE;
  // What may go at any time promises nothing, and is not worth copying to a child or a core file.
  if (type === MapFlag.DROPPABLE) vmFlags |= VM.DROPPABLE | VM.NORESERVE | VM.WIPEONFORK | VM.DONTDUMP;
  if ((vmFlags & (VM.NORESERVE | VM.SHARED | VM.WRITE)) === VM.WRITE && !isHugetlbFile(file)) vmFlags |= VM.ACCOUNT;
  return k.ksm.ksmVmaFlags(k, mm, vmFlags);
}

/** Pages of [start, start + pages) that are mapped. */
function mappedPages(mm: Mm, start: number, pages: number): number {
  let mapped = 0;
  for (let i = mm.findVmaIndex(start); i >= 0 && i < mm.vmas.length && mm.vmas[i]!.startVpn < start + pages; i++) {
    const { startVpn, endVpn } = mm.vmas[i]!;
    mapped += Math.min(endVpn, start + pages) - Math.max(startVpn, start);
  }
  return mapped;
}

/** munmap(2). */
export function* doMunmap(k: Kernel, mm: Mm, addr: number, len: number): MaySleep<number> {
  if (addr % 4096 !== 0 || addr < 0 || len <= 0) return -Errno.EINVAL;
  const start = addr / 4096;
  const end = start + Math.ceil(len / 4096);
  if (end > USER_VPN_END) return -Errno.EINVAL;
  if (!mm.mmapLock.tryWrite()) yield* mm.mmapLock.write();
  const result = yield* k.mmap.unmapRange(k, mm, start, end);
  const events = k.uffdEvents.takeEvents(k, mm);
  yield* k.memory.mmapWriteUnlock(k, mm);
  yield* k.uffdEvents.tellEvents(k, events);
  return result;
}

/** Where a range of VMAs begins and ends in `mm.vmas`, of those that have a page in [start, end). */
function indexesOf(mm: Mm, start: number, end: number): [from: number, to: number] {
  const from = mm.findVmaIndex(start);
  if (from < 0) return [0, 0];
  let to = from;
  while (to < mm.vmas.length && mm.vmas[to]!.startVpn < end) to++;
  return [from, to];
}

/**
 * Cuts VMAs at both ends of [start, end), which is about to be unmapped: 0, -EINVAL inside a huge page of hugetlb, -EPERM
 * where something is sealed, -ENOMEM where a hole would make too many VMAs. A cut that was made stays.
 */
export function* cutOut(k: Kernel, mm: Mm, start: number, end: number): MaySleep<number> {
  const first = mm.vmaAt(start);
  if (first !== null && first.startVpn < start) {
    if (first.endVpn > end && mm.vmas.length >= k.m.vmSysctl.maxMapCount) return -Errno.ENOMEM;
    if ((first.flags & VM.SEALED) !== 0) return -Errno.EPERM;
    if (k.hugetlbVma.maySplit(k, first, start) !== 0) return -Errno.EINVAL;
    yield* k.mmap.splitVma(k, mm, first, start);
  }
  const [from, to] = indexesOf(mm, start, end);
  for (const vma of mm.vmas.slice(from, to)) {
    if ((vma.flags & VM.SEALED) !== 0) return -Errno.EPERM;
    if (vma.endVpn <= end) continue;
    if (k.hugetlbVma.maySplit(k, vma, end) !== 0) return -Errno.EINVAL;
    yield* k.mmap.splitVma(k, mm, vma, end);
  }
  return 0;
}

/**
 * Unmaps [start, end), splitting what sticks out; mmap_lock is held for writing. 0, or what `cutOut` answers, with nothing
 * unmapped. References to files go to `later`, where it is given, for the caller to drop.
 */
export function* unmapRange(k: Kernel, mm: Mm, start: number, end: number, rank = EventRank.Unmap, later: OpenFile[] | null = null): MaySleep<number> {
  const error = yield* k.mmap.cutOut(k, mm, start, end);
  if (error !== 0) return error;
  const [from, to] = indexesOf(mm, start, end);
  const gone = mm.vmas.slice(from, to);
  if (gone.length === 0) return 0;
  mm.noGapAbove = null;
  for (const vma of gone) {
    yield* k.memory.vmaStartWrite(k, vma);
    yield* k.uffdEvents.unmapPrep(k, vma, start, end, rank);
    vma.detached = true;
    k.mmap.account(k, vma, -vma.pages);
  }
  if (k.m.point(Op.VmaTree, mm.id)) yield SWITCH;
  mm.vmas.splice(mm.vmas.indexOf(gone[0]!, from), gone.length);

  yield* k.swap.lruAddDrain(k);
  const tlb = k.mmGather.tlbGather(k, mm);
  tlb.dropsMarkers = true;
  for (const vma of gone) {
    const range: NotifierRange = {
      mm,
      startVpn: vma.startVpn,
      endVpn: vma.endVpn,
      event: NotifyEvent.UNMAP,
      owner: null,
    };
    yield* k.mmuNotifier.invalidateRangeStart(k, range);
    if (!k.uprobes.noUprobeEvents(k)) yield* k.uprobes.uprobeMunmap(k, vma);
    yield* k.zap.unmapPageRange(k, tlb, vma, vma.startVpn, vma.endVpn);
    yield* k.mmuNotifier.invalidateRangeEnd(k, range);
  }
  // Nobody may walk to these pages any more before the tables go that lead to them.
  for (const vma of gone) {
    yield* k.mmap.unlinkAnonVma(k, vma);
    yield* k.mmap.unlinkFileVma(k, vma);
  }
  // Tables that only this range used go too.
  const i = mm.findVmaIndex(start);
  const floor = i < 0 ? (mm.vmas.at(-1)?.endVpn ?? 0) : i === 0 ? 0 : mm.vmas[i - 1]!.endVpn;
  const ceiling = i < 0 ? USER_VPN_END : mm.vmas[i]!.startVpn;
  yield* k.zap.freePgtables(k, tlb, mm, floor, ceiling);
  yield* k.mmGather.tlbFinish(k, tlb);
  for (const vma of gone) yield* k.mmap.removeVma(k, vma, later);
  return 0;
}

/** brk(2): the new break, or the old one when it cannot be. */
export function* doBrk(k: Kernel, mm: Mm, brk: number): MaySleep<number> {
  if (!mm.mmapLock.tryWrite()) yield* mm.mmapLock.write();
  const old = Math.ceil(mm.brk / 4096);
  const result = yield* k.mmap.setBrk(k, mm, brk);
  const events = k.uffdEvents.takeEvents(k, mm);
  yield* k.memory.mmapWriteUnlock(k, mm);
  yield* k.uffdEvents.tellEvents(k, events);
  if (result > old * 4096 && (mm.defFlags & VM.LOCKED) !== 0) yield* k.populate.mmPopulate(k, mm, old, Math.ceil(result / 4096), true);
  return result;
}

export function* setBrk(k: Kernel, mm: Mm, brk: number): MaySleep<number> {
  if (brk < mm.startBrk || !k.overcommit.brkWithinLimit(k, mm, brk)) return mm.brk;
  const oldEnd = Math.ceil(mm.brk / 4096);
  const newEnd = Math.ceil(brk / 4096);
  // Where nothing is mapped there is no heap to make shorter.
  if (newEnd < oldEnd && (k.mmap.rangeFree(k, mm, newEnd, oldEnd - newEnd) || (yield* k.mmap.unmapRange(k, mm, newEnd, oldEnd)) !== 0)) return mm.brk;
  if (newEnd > oldEnd) {
    const pages = newEnd - oldEnd;
    if (newEnd > USER_VPN_END || !k.mlock.mlockFutureOk(k, mm, mm.defFlags, pages)) return mm.brk;
    // A page is left free above, and a stack there has room to grow.
    if (!k.mmap.rangeFree(k, mm, oldEnd, pages) || !suits(mm, oldEnd, pages + 1)) return mm.brk;
    const flags = k.ksm.ksmVmaFlags(k, mm, VM.READ | VM.WRITE | VM.MAYREAD | VM.MAYWRITE | VM.MAYEXEC | VM.ACCOUNT | VM.SOFTDIRTY | mm.defFlags);
    if (!k.overcommit.mayExpandVm(k, mm, flags, pages) || mm.vmas.length > k.m.vmSysctl.maxMapCount || !k.overcommit.enoughMemory(k, mm, pages)) return mm.brk;
    const vma = mm.newVma(oldEnd, newEnd, flags, oldEnd);
    vma.lockSeq = mm.lockSeq;
    if (k.m.point(Op.VmaTree, mm.id)) yield SWITCH;
    k.mmap.insertVma(k, mm, vma);
    k.mmap.account(k, vma, pages);
    // With what there is of the heap below, and with nothing above.
    if (oldEnd * 4096 > mm.startBrk) yield* k.mmap.mergeBelow(k, mm, vma);
  }
  mm.brk = brk;
  return brk;
}

/**
 * Maps the initial stack, 132 KiB as exec leaves it, and returns the address above it. It grows on
 * demand up to `limit` bytes (RLIMIT_STACK).
 */
export function* setupStack(k: Kernel, mm: Mm, limit: number, executable = false): MaySleep<number> {
  mm.stackLimitPages = Math.floor(Math.min(limit, USER_VPN_END * 4096) / 4096);
  const top = USER_VPN_END - 1 - k.m.choices.pick("stack", 1 << 11);
  if (!mm.mmapLock.tryWrite()) yield* mm.mmapLock.write();
  const access = VM.READ | VM.WRITE | (executable ? VM.EXEC : 0);
  const flags = access | VM.MAYREAD | VM.MAYWRITE | VM.MAYEXEC | VM.GROWSDOWN | VM.ACCOUNT | VM.SOFTDIRTY;
  const vma = mm.newVma(top - 33, top, flags, top - 33, "[stack]");
  vma.lockSeq = mm.lockSeq;
  if (k.m.point(Op.VmaTree, mm.id)) yield SWITCH;
  k.mmap.insertVma(k, mm, vma);
  k.mmap.account(k, vma, 33);
  yield* k.memory.mmapWriteUnlock(k, mm);
  return top * 4096;
}

/** Whether limits let a stack grow down to a page. */
export function mayGrowStack(k: Kernel, { mm, flags, startVpn, endVpn }: Vma, vpn: number): boolean {
  const pages = startVpn - vpn;
  return (
    vpn >= minVpn(k) &&
    endVpn - vpn <= mm.stackLimitPages &&
    k.overcommit.mayExpandVm(k, mm, flags, pages) &&
    k.mlock.mlockFutureOk(k, mm, flags, pages) &&
    ((flags & VM.ACCOUNT) === 0 || k.overcommit.enoughMemory(k, mm, pages))
  );
}

/**
 * A fault below a stack: grows it down to the page when limit and guard gap allow. mmap_lock is
 * held for reading on entry and on return; it is dropped and taken for writing in between.
 */
export function* expandStack(k: Kernel, mm: Mm, vpn: number): MaySleep<Vma | null> {
  const candidate = (): Vma | null => {
    const i = mm.findVmaIndex(vpn);
    const vma = i < 0 ? undefined : mm.vmas[i];
    return vma !== undefined && (vma.flags & VM.GROWSDOWN) !== 0 ? vma : null;
  };
  if (candidate() === null) return null;
  if (!mm.mmapLock.tryUnlock()) yield* mm.mmapLock.unlock();
  if (!mm.mmapLock.tryWrite()) yield* mm.mmapLock.write();
  const vma = candidate();
  if (vma !== null && vma.startVpn > vpn) {
    const below = mm.vmas[mm.findVmaIndex(vma.startVpn) - 1];
    const gap = below === undefined || (below.flags & VM_ACCESS) === 0 || (below.flags & VM.GROWSDOWN) !== 0 ? 0 : STACK_GUARD_PAGES;
    if (below === undefined || vpn - below.endVpn >= gap) {
      // One that then must not grow has its anon_vma all the same.
      yield* k.rmap.anonVmaPrepare(k, vma);
      if (k.mmap.mayGrowStack(k, vma, vpn)) {
        yield* k.memory.vmaStartWrite(k, vma);
        if (k.m.point(Op.VmaTree, mm.id)) yield SWITCH;
        k.mmap.account(k, vma, vma.startVpn - vpn);
        vma.pgoff -= vma.startVpn - vpn;
        vma.startVpn = vpn;
      }
    }
  }
  yield* k.memory.mmapWriteUnlock(k, mm);
  if (!mm.mmapLock.tryRead()) yield* mm.mmapLock.read();
  return mm.vmaAt(vpn);
}
