import { Event } from "@faultline/kernel";

/**
 * What an argument is. `int` and `raw` are numbers as they are; `raw` may be any double, where all
 * others are whole and below 2^48. The rest are numbers of something: see `kernel/src/trace.ts`.
 */
export type ArgKind = "int" | "raw" | "page" | "pid" | "mm" | "vpn" | "ptep" | "executor" | "device" | "lock" | "lockClass" | "function" | "syscall";

/** One kind of event. */
export interface EventInfo {
  readonly event: Event;
  /** As the kernel's tracepoint is called, or our own name. */
  readonly name: string;
  /** The directory below /sys/kernel/tracing/events; "faultline" for what Linux does not have. */
  readonly system: string;
  /** Names and kinds of the arguments, in order. */
  readonly args: readonly (readonly [string, ArgKind])[];
  readonly doc: string;
}

function info(event: Event, name: string, args: Readonly<Record<string, ArgKind>>, doc: string): EventInfo {
  const [system, rest] = name.split(":");
  return { event, system: system!, name: rest!, args: Object.entries(args), doc };
}

const RECLAIM = { order: "int", gfp: "int" } as const;

/**
 * Every event. What each means in Linux is in Documentation/trace and in the tracepoints' own
 * format files; ours stand in the system "faultline".
 */
export const EVENTS: readonly EventInfo[] = [
  info(Event.MmPageAlloc, "kmem:mm_page_alloc", { page: "page", order: "int", migratetype: "int", gfp: "int" }, "a page leaves the allocator"),
  info(Event.MmPageFree, "kmem:mm_page_free", { page: "page", order: "int" }, "a page goes back"),
  info(Event.SetPte, "faultline:set_pte", { ptep: "ptep", flags: "int", pfn: "int", vpn: "vpn" }, "a page-table entry was written"),
  info(
    Event.UserAccess,
    "faultline:user_access",
    { executor: "executor", vpn: "vpn", page: "page", access: "int" },
    "the kernel reaches user memory (copy_to_user and the like); access: 0 read, 1 write, 2 fetch",
  ),
  info(
    Event.DeviceAccess,
    "faultline:device_access",
    { device: "device", vpn: "vpn", page: "page", write: "int" },
    "a device reaches memory through its own page table",
  ),
  info(
    Event.InvalidateStart,
    "faultline:mmu_notifier_invalidate_range_start",
    { mm: "mm", start: "vpn", end: "vpn", event: "int" },
    "entries of the range are about to change",
  ),
  info(
    Event.InvalidateEnd,
    "faultline:mmu_notifier_invalidate_range_end",
    { mm: "mm", start: "vpn", end: "vpn", event: "int" },
    "they have changed, and the TLBs are flushed",
  ),
  info(
    Event.FolioLock,
    "faultline:folio_lock",
    { folio: "page", unlock: "int", taken: "int" },
    "a folio lock is tried (taken: whether it was free) or released",
  ),
  info(Event.TableFree, "faultline:table_free", { node: "int" }, "a grace period has passed since a page table was unhooked: it is free"),
  info(Event.VmaFree, "faultline:vma_free", { vma: "int" }, "a grace period has passed since the VMA left: its memory is free"),
  info(Event.VmaReach, "faultline:vma_reach", { vma: "int" }, "a reader without mmap_lock looks into a VMA"),
  info(
    Event.DeviceInvalidate,
    "faultline:device_invalidate",
    { device: "device", start: "vpn", end: "vpn", event: "int" },
    "a device drops its translations, called by the notifier",
  ),
  info(
    Event.MakeDeviceExclusive,
    "faultline:make_device_exclusive",
    { mm: "mm", vpn: "vpn", page: "page" },
    "an entry became a device-exclusive one",
  ),
  info(Event.RssStat, "kmem:rss_stat", { mm: "mm", member: "int", pages: "int", curr: "int" }, "pages that an address space maps"),
  info(Event.MmLruInsertion, "pagemap:mm_lru_insertion", { folio: "page", lru: "int", flags: "int" }, "a batch put a folio on its list"),
  info(Event.MmLruActivate, "pagemap:mm_lru_activate", { folio: "page" }, "a folio moves to the active list"),

  info(
    Event.SchedSwitch,
    "sched:sched_switch",
    { prev: "pid", prev_state: "int", next: "pid" },
    "another task runs on this CPU or device; 0 is nobody",
  ),
  info(Event.SchedWakeup, "sched:sched_wakeup", { task: "pid", target: "executor" }, "a waiting task can run again"),
  info(Event.SchedWakeupNew, "sched:sched_wakeup_new", { task: "pid", target: "executor" }, "a new task can run"),
  info(Event.SchedProcessExit, "sched:sched_process_exit", { task: "pid", group_dead: "int" }, "a thread ends"),
  info(Event.TaskNewtask, "task:task_newtask", { task: "pid", clone_flags: "int", oom_score_adj: "int" }, "a task was made"),
  info(Event.TaskRename, "task:task_rename", { task: "pid", oom_score_adj: "int" }, "a task has another name"),

  info(
    Event.SysEnter,
    "raw_syscalls:sys_enter",
    { nr: "syscall", a0: "raw", a1: "raw", a2: "raw", a3: "raw", a4: "raw", a5: "raw" },
    "a system call begins; arguments beyond 2^53 are rounded",
  ),
  info(Event.SysExit, "raw_syscalls:sys_exit", { nr: "syscall", ret: "raw" }, "a system call returns; -512 to -516 ask for a restart"),
  info(Event.PageFaultUser, "exceptions:page_fault_user", { address: "raw", ip: "raw", scause: "int" }, "a user page fault"),
  info(
    Event.PageFaultKernel,
    "exceptions:page_fault_kernel",
    { address: "raw", ip: "raw", scause: "int" },
    "the kernel faults on user memory; ip is 0",
  ),
  info(
    Event.SignalGenerate,
    "signal:signal_generate",
    { sig: "int", errno: "int", code: "int", task: "pid", group: "int", result: "int" },
    "a signal is sent",
  ),
  info(
    Event.SignalDeliver,
    "signal:signal_deliver",
    { sig: "int", errno: "int", code: "int", handler: "raw", flags: "raw" },
    "a signal is taken",
  ),

  info(Event.MmapLockStartLocking, "mmap_lock:mmap_lock_start_locking", { mm: "mm", write: "int" }, "mmap_lock is asked for"),
  info(
    Event.MmapLockAcquireReturned,
    "mmap_lock:mmap_lock_acquire_returned",
    { mm: "mm", write: "int", success: "int" },
    "and taken",
  ),
  info(Event.MmapLockReleased, "mmap_lock:mmap_lock_released", { mm: "mm", write: "int" }, "and released"),
  info(Event.ContentionBegin, "lock:contention_begin", { lock: "lock", flags: "int", class: "lockClass" }, "a task begins to wait for a lock"),
  info(Event.ContentionEnd, "lock:contention_end", { lock: "lock", ret: "int", class: "lockClass" }, "its wait is over"),
  info(Event.LockAcquired, "lock:lock_acquired", { lock: "lock", class: "lockClass", task: "pid" }, "a lock is taken (only with --trace-functions)"),
  info(Event.LockRelease, "lock:lock_release", { lock: "lock", class: "lockClass" }, "and released (likewise)"),
  info(
    Event.TlbFlush,
    "tlb:tlb_flush",
    { pages: "raw", reason: "int", executor: "executor" },
    "a CPU's TLB loses a range (Linux has this on x86)",
  ),

  info(Event.MmVmscanKswapdSleep, "vmscan:mm_vmscan_kswapd_sleep", { nid: "int" }, "kswapd goes to sleep"),
  info(Event.MmVmscanKswapdWake, "vmscan:mm_vmscan_kswapd_wake", { nid: "int", order: "int" }, "kswapd begins to reclaim"),
  info(Event.MmVmscanWakeupKswapd, "vmscan:mm_vmscan_wakeup_kswapd", { nid: "int", order: "int", gfp: "int" }, "somebody wakes kswapd"),
  info(Event.MmVmscanDirectReclaimBegin, "vmscan:mm_vmscan_direct_reclaim_begin", RECLAIM, "an allocation reclaims for itself"),
  info(Event.MmVmscanDirectReclaimEnd, "vmscan:mm_vmscan_direct_reclaim_end", { nr_reclaimed: "int" }, "it has got so many pages"),
  info(Event.MmVmscanMemcgReclaimBegin, "vmscan:mm_vmscan_memcg_reclaim_begin", RECLAIM, "a cgroup is reclaimed from"),
  info(Event.MmVmscanMemcgReclaimEnd, "vmscan:mm_vmscan_memcg_reclaim_end", { nr_reclaimed: "int" }, "it has given so many pages"),
  info(
    Event.MmVmscanLruIsolate,
    "vmscan:mm_vmscan_lru_isolate",
    { order: "int", nr_requested: "int", nr_scanned: "int", nr_skipped: "int", nr_taken: "int", lru: "int" },
    "folios are taken off a list",
  ),
  info(
    Event.MmVmscanLruShrinkInactive,
    "vmscan:mm_vmscan_lru_shrink_inactive",
    { nid: "int", nr_scanned: "int", nr_reclaimed: "int", nr_writeback: "int", nr_activate: "int", priority: "int", file: "int" },
    "what became of a batch of inactive folios",
  ),
  info(Event.MmVmscanWriteFolio, "vmscan:mm_vmscan_write_folio", { folio: "page", file: "int" }, "reclaim writes a folio to swap"),
  info(
    Event.MarkVictim,
    "oom:mark_victim",
    {
      pid: "pid",
      total_vm: "int",
      anon_rss: "int",
      file_rss: "int",
      shmem_rss: "int",
      pgtables: "int",
      oom_score_adj: "int",
    },
    "the OOM killer has chosen",
  ),

  info(Event.FuncEntry, "faultline:funcgraph_entry", { func: "function" }, "a task enters a kernel function"),
  info(Event.FuncExit, "faultline:funcgraph_exit", { func: "function" }, "and leaves it"),

  info(Event.IntervalReadBegin, "faultline:mmu_interval_read_begin", { notifier: "int", seq: "int" }, "a driver begins to read the CPU's page tables for a mirror"),
  info(Event.IntervalReadRetry, "faultline:mmu_interval_read_retry", { notifier: "int", seq: "int", retry: "int" }, "and asks whether what it has read still holds"),
  info(Event.IntervalSetSeq, "faultline:mmu_interval_set_seq", { notifier: "int", seq: "int" }, "an invalidate callback says that it does not"),
  info(
    Event.IntervalInvalidated,
    "faultline:mmu_interval_invalidated",
    { notifier: "int", start: "vpn", end: "vpn", event: "int", owned: "int", done: "int" },
    "an invalidate callback has returned; owned: on behalf of a driver",
  ),
  info(Event.DeviceMap, "faultline:device_map", { notifier: "int", vpn: "vpn", page: "page", access: "int" }, "a translation is entered in a device's table; access: 1 write, 2 atomic"),
  info(Event.DeviceUnmap, "faultline:device_unmap", { notifier: "int", start: "vpn", end: "vpn" }, "translations are dropped from a device's table"),
  info(Event.MirrorFree, "faultline:mirror_free", { notifier: "int" }, "a device's mirror of an address space is no more"),
  info(Event.DeviceClose, "faultline:device_close", { device: "device", open: "int" }, "a file of a device is closed; open: how many are left"),
  info(Event.MmRelease, "faultline:mmu_notifier_release", { mm: "mm" }, "all subscribers have been told that an address space goes away"),
  info(
    Event.SecondaryTlbInvalidate,
    "faultline:mmu_notifier_arch_invalidate_secondary_tlbs",
    { mm: "mm", start: "vpn", end: "vpn", done: "int" },
    "devices that share a page table are told to flush their TLBs; done: they have",
  ),
].sort((a, b) => a.event - b.event);
