/**
 * Tracepoints: the only way out of the engine. Names follow the kernel's tracepoints where those
 * exist. Arguments are numbers; what they are stands behind each name. `packages/trace` has their
 * names, their text, and what is Linux's among them.
 *
 * A tracepoint costs one test while nobody listens: `m.sink?.emit(…)`.
 */
export enum Event {
  /** page, order, migratetype, gfp */
  MmPageAlloc,
  /** page, order */
  MmPageFree,
  /** ptep, flags, pfn, vpn: an entry was written */
  SetPte,
  /** executor, vpn, page, write (0 or 1): a user access reached memory */
  UserAccess,
  /** device, vpn, page, write: a device access reached memory */
  DeviceAccess,
  /** mm, start vpn, end vpn, NotifyEvent */
  InvalidateStart,
  /** mm, start vpn, end vpn, NotifyEvent */
  InvalidateEnd,
  /** page, unlock (0 or 1), got it (0 or 1): somebody tries or releases the lock of a folio */
  FolioLock,
  /** node: nobody may walk through this page table from here on */
  TableFree,
  /** VMA: its memory may be anything from here on */
  VmaFree,
  /** VMA: a reader without mmap_lock looks into it */
  VmaReach,
  /** device, start vpn, end vpn, NotifyEvent: a device drops its translations, inside the notifier */
  DeviceInvalidate,
  /** mm, vpn, page: the entry is a device-exclusive one now */
  MakeDeviceExclusive,
  /** mm, RssKind, pages, whether it is the current task's (0 or 1) */
  RssStat,
  /** folio, list, PagemapFlag */
  MmLruInsertion,
  /** folio */
  MmLruActivate,

  /** previous task (0: idle), its TaskState, next task (0: idle): on the current executor */
  SchedSwitch,
  /** task, executor */
  SchedWakeup,
  /** task, executor: runnable for the first time */
  SchedWakeupNew,
  /** task, group dead (0 or 1) */
  SchedProcessExit,
  /** task, clone flags, oom_score_adj */
  TaskNewtask,
  /** task, oom_score_adj: its name has changed */
  TaskRename,

  /** number, six arguments */
  SysEnter,
  /** number, result */
  SysExit,
  /** address, instruction's address, scause */
  PageFaultUser,
  /** address, 0, scause: the kernel reaches for user memory */
  PageFaultKernel,
  /** signal, errno, code, task, to the group (0 or 1), TraceSignalResult */
  SignalGenerate,
  /** signal, errno, code, handler, sa_flags */
  SignalDeliver,

  /** mm, write (0 or 1) */
  MmapLockStartLocking,
  /** mm, write, success */
  MmapLockAcquireReturned,
  /** mm, write */
  MmapLockReleased,
  /** lock id, flags, lock class: somebody begins to wait */
  ContentionBegin,
  /** lock id, result, lock class */
  ContentionEnd,
  /** lock id, lock class, task that has it now */
  LockAcquired,
  /** lock id, lock class */
  LockRelease,
  /** pages, TlbFlushReason, executor whose TLB it is */
  TlbFlush,

  /** node */
  MmVmscanKswapdSleep,
  /** node, order */
  MmVmscanKswapdWake,
  /** node, order, gfp */
  MmVmscanWakeupKswapd,
  /** order, gfp */
  MmVmscanDirectReclaimBegin,
  /** pages reclaimed */
  MmVmscanDirectReclaimEnd,
  /** order, gfp */
  MmVmscanMemcgReclaimBegin,
  /** pages reclaimed */
  MmVmscanMemcgReclaimEnd,
  /** order, requested, scanned, skipped, taken, list */
  MmVmscanLruIsolate,
  /** node, scanned, reclaimed, in writeback, activated, priority, file (0 or 1) */
  MmVmscanLruShrinkInactive,
  /** folio, file (0 or 1) */
  MmVmscanWriteFolio,
  /** process, total-vm, anon-rss, file-rss, shmem-rss, page tables (kB each), oom_score_adj */
  MarkVictim,

  /** function: entered by the current task (see kernel/ftrace) */
  FuncEntry,
  /** function: left by the current task */
  FuncExit,

  /** interval notifier, sequence: somebody begins to read the CPU's page tables for a mirror */
  IntervalReadBegin,
  /** interval notifier, sequence, retry (0 or 1): and asks whether what he has read still holds */
  IntervalReadRetry,
  /** interval notifier, sequence: a callback says that what was read before does not */
  IntervalSetSeq,
  /** interval notifier, start vpn, end vpn, NotifyEvent, on behalf of a driver (0 or 1), done (0 or 1): a callback has returned */
  IntervalInvalidated,
  /** interval notifier, vpn, page, write (1) and atomic (2): a translation is entered in a device's table */
  DeviceMap,
  /** interval notifier, start vpn, end vpn: translations are dropped */
  DeviceUnmap,
  /** interval notifier: its mirror is no more */
  MirrorFree,
  /** device, files of it that are still open */
  DeviceClose,
  /** mm: every subscriber has been told that the address space goes away */
  MmRelease,
  /** mm, start vpn, end vpn, done (0 or 1): devices that have cached translations are told to flush them, and have been */
  SecondaryTlbInvalidate,
}

/** Why `TlbFlush` happens, numbered as enum tlb_flush_reason. */
export enum TlbFlushReason {
  TASK_SWITCH = 0,
  REMOTE_SHOOTDOWN = 1,
  LOCAL_SHOOTDOWN = 2,
  LOCAL_MM_SHOOTDOWN = 3,
  REMOTE_SEND_IPI = 4,
}

/** Bits of `MmLruInsertion`'s flags, as the kernel's PAGEMAP_*. */
export enum PagemapFlag {
  MAPPED = 1 << 0,
  ANONYMOUS = 1 << 1,
  FILE = 1 << 2,
  SWAPCACHE = 1 << 3,
  SWAPBACKED = 1 << 4,
}

/** Bits of `ContentionBegin`'s flags, as the kernel's LCB_F_*. */
export enum Contention {
  SPIN = 1 << 0,
  READ = 1 << 1,
  WRITE = 1 << 2,
  MUTEX = 1 << 5,
}

/** What came of a signal that was sent, as TRACE_SIGNAL_*. */
export enum TraceSignalResult {
  DELIVERED,
  IGNORED,
  ALREADY_PENDING,
  OVERFLOW_FAIL,
  LOSE_INFO,
}

export interface EventSink {
  point(executor: number, op: number, object: number): void;
  /** What else the step since the last point touches, while checking. */
  touches?(executor: number, op: number, object: number): void;
  /** While checking: all that the current task, a program in user mode, knows: its registers, word by word. */
  registers?(words: Iterable<number>): void;
  /** Arguments as `Event` says, 0 where an event has fewer. */
  emit(event: Event, a: number, b: number, c: number, d: number, e?: number, f?: number, g?: number): void;
}
