import { SpinLock } from "../kernel/locks.js";
import { WaitQueue } from "../kernel/sched.js";
import type { Machine } from "../machine.js";
import type { AnonVma } from "./anon_vma.js";
import type { HugetlbVma } from "./hugetlb_reserve.js";
import type { KsmMmSlot } from "./ksm_state.js";
import type { Mempolicy } from "./mempolicy.js";
import { MmapLock } from "./mmap_lock.js";
import type { IntervalNotifier, MmuNotifier } from "./mmu_notifier.js";
import type { VmaNuma } from "../kernel/numa_balancing.js";
import type { OpenFile } from "../fs/vfs.js";
import type { XolArea } from "../kernel/uprobe_xol.js";
import type { PendingEvent, UserfaultfdCtx } from "../fs/userfaultfd_ctx.js";
import type { AddressSpace } from "./address_space.js";
import type { VmOps } from "./vm_ops.js";
import { Event } from "../trace.js";

export enum VM {
  READ = 1 << 0,
  WRITE = 1 << 1,
  EXEC = 1 << 2,
  SHARED = 1 << 3,
  MAYREAD = 1 << 4,
  MAYWRITE = 1 << 5,
  MAYEXEC = 1 << 6,
  /** Mapped MAP_SHARED, though perhaps by a descriptor that cannot write: then without SHARED. */
  MAYSHARE = 1 << 7,
  GROWSDOWN = 1 << 8,
  /** Faults on empty entries are told to a userfaultfd. */
  UFFD_MISSING = 1 << 9,
  /** Pages without a folio of their own: nothing to count, move or swap. Whatever has it is also what Linux marks VM_IO. */
  PFNMAP = 1 << 10,
  /** Guard markers have been put into it; perhaps they are gone again. */
  MAYBE_GUARD = 1 << 11,
  /** Writes to entries that a userfaultfd has protected are told to it. */
  UFFD_WP = 1 << 12,
  LOCKED = 1 << 13,
  /** Accesses to entries that a userfaultfd has protected are told to it. Above bit 31 in Linux. */
  UFFD_RWP = 1 << 14,
  SEQ_READ = 1 << 15,
  RAND_READ = 1 << 16,
  DONTCOPY = 1 << 17,
  DONTEXPAND = 1 << 18,
  /** With LOCKED: what is faulted in stays, and nothing is faulted in for it. */
  LOCKONFAULT = 1 << 19,
  /** Counts towards Committed_AS: private memory that is, or once was, writable. */
  ACCOUNT = 1 << 20,
  NORESERVE = 1 << 21,
  HUGETLB = 1 << 22,
  /** MAP_DROPPABLE. Linux has it, and SEALED, above bit 31. */
  DROPPABLE = 1 << 23,
  /** mseal(): its mapping stays as it is. */
  SEALED = 1 << 24,
  /** Faults on pages that the file has and this VMA does not map are told to a userfaultfd. Above bit 31 in Linux. */
  UFFD_MINOR = 1 << 28,
  WIPEONFORK = 1 << 25,
  DONTDUMP = 1 << 26,
  /** Counts as written to, all of it, until somebody clears it by /proc/PID/clear_refs. */
  SOFTDIRTY = 1 << 27,
  HUGEPAGE = 1 << 29,
  NOHUGEPAGE = 1 << 30,
  /** KSM may share its pages. */
  MERGEABLE = 1 << 31,
}

export const VM_ACCESS = VM.READ | VM.WRITE | VM.EXEC;
export const VM_LOCKED_MASK = VM.LOCKED | VM.LOCKONFAULT;
/** Mappings of a driver's own: never merged, locked or moved page by page. */
export const VM_SPECIAL = VM.DONTEXPAND | VM.PFNMAP;
/** Neighbours that differ in these alone merge, and all of what becomes one has them ("make VM_SOFTDIRTY a sticky VMA flag", 6.19). */
export const VM_STICKY = VM.SOFTDIRTY | VM.MAYBE_GUARD;
/** Entries may have userfaultfd's mark; which of the two it is that they are protected from stands in the VMA, which has one of them. */
export const VM_UFFD_PROTECTS = VM.UFFD_WP | VM.UFFD_RWP;
export const VM_UFFD = VM.UFFD_MISSING | VM_UFFD_PROTECTS | VM.UFFD_MINOR;

/** One mapping of an address space: [startVpn, endVpn), in 4 KiB pages. Anonymous unless it has `ops`. */
export class Vma {
  anonVma: AnonVma | null = null;
  /** Which anon_vma it would have on Linux, where a child's are not its parent's: VMAs of two do not merge. 0 without. */
  anonId = 0;
  /** Its anonVma has come by fork: nothing merges with it that has another one, or none. */
  forked = false;
  /** Who is told of faults; null exactly where `flags` has none of VM_UFFD. */
  uffd: UserfaultfdCtx | null = null;
  /** Where its memory is to be (mbind()); null where the policy of who faults it in decides. */
  policy: Mempolicy | null = null;
  /** What NUMA balancing knows of it; null until it is to be scanned. */
  numa: VmaNuma | null = null;
  /** Readers that hold the per-VMA lock. */
  readers = 0;
  /** Equal to the mm's lockSeq while a writer has this VMA locked. */
  lockSeq = -1;
  readonly lockWait: WaitQueue;
  /** Of a mapping of huge pages (HUGETLB). */
  hugetlb: HugetlbVma | null = null;
  /**
   * Of private memory of a file: the page number that it began at when a page of it was first its own, until then where
   * it begins. Neighbours must agree in it as in pgoff, since 7.3.
   */
  anonPgoff: number;
  /** Set when the VMA has left its address space: a reader that comes late backs off. */
  detached = false;
  /** What faults on a mapping of a file do; null for anonymous memory. Set by the file's `mmap`. */
  ops: VmOps | null = null;

  constructor(
    readonly mm: Mm,
    readonly id: number,
    public startVpn: number,
    public endVpn: number,
    public flags: number,
    /** File offset in pages, or for anonymous memory the page number it was mapped at. */
    public pgoff: number,
    /** What /proc/PID/maps prints: a path, "[heap]", "[stack]" or "". */
    public name: string,
    public file: OpenFile | null,
  ) {
    this.lockWait = new WaitQueue(mm.m);
    this.anonPgoff = startVpn;
  }

  get isHugetlb(): boolean {
    return (this.flags & VM.HUGETLB) !== 0;
  }

  /** Whether its use of a page says that the page will be used again: reading in or out of order does not. */
  get hasRecency(): boolean {
    return (this.flags & (VM.SEQ_READ | VM.RAND_READ)) === 0;
  }

  get pages(): number {
    return this.endVpn - this.startVpn;
  }

  /** The pages of the file that is mapped; null for anonymous memory, and for devices. */
  get mapping(): AddressSpace | null {
    return this.file?.inode.mapping ?? null;
  }

  /** A reader has the VMA's lock, without having waited; announced as a point by the caller. */
  beginRead(): void {
    const { m } = this.mm;
    this.readers++;
    m.locks.observer?.acquired(m.current!, "vma_lock", this.id, true);
  }

  /** A reader drops the VMA's lock; announced as a point by the caller. */
  endRead(): void {
    const { m } = this.mm;
    m.locks.observer?.released(m.current!, "vma_lock", this.id);
    if (--this.readers === 0) this.lockWait.wakeAll();
  }

  /** Private memory that may be written, of which pages are copied before they are. */
  get isCow(): boolean {
    return (this.flags & (VM.SHARED | VM.MAYWRITE)) === VM.MAYWRITE;
  }

  /** The linear index of a page: what `index` of an anonymous page mapped here is. */
  linearIndex(vpn: number): number {
    return this.pgoff + (vpn - this.startVpn);
  }
}

/** Resident pages by kind, as VmRSS counts them; swap entries too. */
export enum RssKind {
  file,
  anon,
  swap,
  shmem,
}

/** What prctl(PR_SET_THP_DISABLE) has made of transparent huge pages in an address space. */
export enum ThpDisabled {
  No,
  Completely,
  /** But for memory that MADV_HUGEPAGE or MADV_COLLAPSE ask them for. */
  ExceptAdvised,
}

/** An address space. `mmapLock` guards the VMAs; each page table node has its own lock. */
export class Mm {
  /** Sorted by address, never overlapping. */
  readonly vmas: Vma[] = [];
  readonly mmapLock: MmapLock;
  readonly pageTableLock: SpinLock;
  /** Bit per CPU that has this address space in its page-table register. */
  cpumask = 0;
  /** Root page-table node, or -1 once torn down. */
  pgd = -1;
  /** Advances when a writer drops mmapLock: what it had locked is free again. */
  lockSeq = 0;
  /** Indexed by RssKind, in pages. */
  readonly rss = [0, 0, 0, 0];
  pageTables = 0;
  /** Of hugetlb, in 4 KiB pages: they are counted nowhere else. */
  hugetlbPages = 0;
  /** Frames of the tables set aside for splitting huge entries: one for each. */
  readonly depositedTables: number[] = [];
  /** MMF_HAS_UPROBES: there may be breakpoints of probes; and MMF_RECALC_UPROBES: perhaps the last of them is gone. */
  hasUprobes = false;
  recalcUprobes = false;
  /** Where probed instructions are executed out of line; null until one is hit. */
  xolArea: XolArea | null = null;
  /** MMF_HAS_PINNED: whether pages were ever pinned here. */
  hasPinned = false;
  /** Odd while fork makes pages shared. */
  writeProtectSeq = 0;
  /** Whether this address space may map the huge page of zeros. */
  hasHugeZero = false;
  thpDisabled = ThpDisabled.No;
  /** PR_MDWE_*: what may not become executable. */
  mdwe = 0;
  /** The commands of membarrier(2) by which it has registered for others, as bits. */
  membarriers = 0;
  /** Whether all of it may be merged by KSM (PR_SET_MEMORY_MERGE). */
  mergeAny = false;
  /** What KSM knows of it, once some of it is mergeable. */
  ksmSlot: KsmMmSlot | null = null;
  /** Pages that ksmd has looked at, those of them that are merged, and pages of zeros that it has mapped. */
  ksmRmapItems = 0;
  ksmMergingPages = 0;
  ksmZeroPages = 0;
  /** PR_SET_DUMPABLE: 1 unless somebody has taken it away. */
  dumpable = 1;
  /** Among those that khugepaged looks through. */
  khugepaged = false;
  /** NUMA balancing: from when (machine time in nanoseconds) on it may be scanned again, from which page on, and how often all of it was. */
  numaNextScan = 0;
  numaScanOffset = 0;
  numaScanSeq = 0;
  totalVm = 0;
  lockedVm = 0;
  /** VM flags that new mappings get besides their own (mlockall with MCL_FUTURE). */
  defFlags = 0;
  /** Most pages that were resident when some went. */
  highRss = 0;
  highVm = 0;
  users = 0;
  /** Byte addresses for brk, stack and /proc. */
  startBrk = 0;
  brk = 0;
  mmapBase = 0;
  /**
   * Spares the search for room its way past everything mapped already: below mmapBase there is no
   * gap of that many pages above the page. Null when something was unmapped since.
   */
  noGapAbove: { readonly vpn: number; readonly pages: number } | null = null;
  startStack = 0;
  /** RLIMIT_STACK at exec; its default is 8 MiB. */
  stackLimitPages = 2048;
  startCode = 0;
  endCode = 0;
  startData = 0;
  endData = 0;
  /** Where the code is that calls rt_sigreturn, in the [vdso] page; 0 without a program. */
  vdso = 0;
  argStart = 0;
  argEnd = 0;
  envStart = 0;
  envEnd = 0;
  /** The auxiliary vector as /proc/PID/auxv has it, word by word. */
  savedAuxv: readonly number[] = [];
  /** /proc/PID/coredump_filter: anonymous memory, private and shared, ELF headers, and private huge pages. */
  coredumpFilter = 0x33;
  /** Entries that reclaim cleared without a flush, counted, and how many of them somebody else has flushed. */
  tlbBatchPending = 0;
  tlbBatchFlushed = 0;
  /** Notifier subscriptions: replaced rather than changed, so that an invalidation goes through the list it began with. */
  notifiers: readonly MmuNotifier[] = [];
  /** Not changed while an invalidation runs: what comes and goes meanwhile waits for its end. */
  readonly intervals: IntervalNotifier[] = [];
  readonly deferredIntervals: { readonly notifier: IntervalNotifier; readonly insert: boolean }[] = [];
  /** The sequence protocol of interval notifiers: odd while an invalidation runs. */
  invalidateSeq = 2;
  activeInvalidations = 0;
  readonly invalidateWait: WaitQueue;
  /** What userfaultfds are to be told once mmap_lock is dropped; under mmap_lock for writing. */
  readonly uffdEvents: PendingEvent[] = [];
  private nextVmaId = 1;

  constructor(
    readonly m: Machine,
    readonly id: number,
  ) {
    this.mmapLock = new MmapLock(m.locks, id);
    this.pageTableLock = new SpinLock(m.locks, "page_table_lock");
    this.invalidateWait = new WaitQueue(m);
  }

  /** Is laid out as its parent's address space. */
  inherit(parent: Mm): void {
    this.dumpable = parent.dumpable;
    this.startBrk = parent.startBrk;
    this.brk = parent.brk;
    this.mmapBase = parent.mmapBase;
    this.startStack = parent.startStack;
    this.stackLimitPages = parent.stackLimitPages;
    this.startCode = parent.startCode;
    this.endCode = parent.endCode;
    this.startData = parent.startData;
    this.endData = parent.endData;
    this.vdso = parent.vdso;
    this.argStart = parent.argStart;
    this.argEnd = parent.argEnd;
    this.envStart = parent.envStart;
    this.envEnd = parent.envEnd;
    this.savedAuxv = parent.savedAuxv;
    this.coredumpFilter = parent.coredumpFilter;
  }

  newVma(startVpn: number, endVpn: number, flags: number, pgoff: number, name = "", file: OpenFile | null = null): Vma {
    return new Vma(this, this.id * 100_000 + this.nextVmaId++, startVpn, endVpn, flags, pgoff, name, file);
  }

  /** The first VMA that ends above the page, which need not contain it; its index, or -1. */
  findVmaIndex(vpn: number): number {
    let lo = 0;
    let hi = this.vmas.length;
    while (lo < hi) {
      const mid = (lo + hi) >> 1;
      if (this.vmas[mid]!.endVpn > vpn) hi = mid;
      else lo = mid + 1;
    }
    return lo < this.vmas.length ? lo : -1;
  }

  /** The VMA that contains the page, or null. */
  vmaAt(vpn: number): Vma | null {
    const i = this.findVmaIndex(vpn);
    if (i < 0) return null;
    const vma = this.vmas[i]!;
    return vma.startVpn <= vpn ? vma : null;
  }

  /** Counts pages that are mapped now, or (negative) no more. */
  addRss(kind: RssKind, pages: number): void {
    if (pages < 0) this.highRss = Math.max(this.highRss, this.rssPages());
    this.rss[kind]! += pages;
    this.m.sink?.emit(Event.RssStat, this.id, kind, this.rss[kind]!, this.m.current?.mm === this ? 1 : 0);
  }

  rssPages(): number {
    return this.rss[RssKind.anon]! + this.rss[RssKind.file]! + this.rss[RssKind.shmem]!;
  }
}
