/* A machine and its kernel. */
export { assembleKernel, MAINLINE, type Instrument, type Kernel, type KernelModules, type Overlay, type OverlayFactory } from "./kernel.js";
export { Machine, type MachineConfig } from "./machine.js";
export { Contention, Event, PagemapFlag, TlbFlushReason, TraceSignalResult, type EventSink } from "./trace.js";
export { DEFAULT_RELEASE, PATCHES, RELEASES, resolvePatches, type Patch, type PatchStatus, type Release, type UserPatch } from "./patches/index.js";

/* What kernel code is written with, overlays among it. */
export { Access } from "./arch/fault.js";
export { HPAGE_PMD_NR, HPAGE_PMD_ORDER, PTE, PTRS_PER_TABLE, ptePresent, tableIndex, swapType, USER_VPN_END, type SavedTables } from "./arch/pgtable.js";
export { Tlb } from "./arch/tlb.js";
export { DeviceTable, type DeviceEntry } from "./drivers/device_table.js";
export { Dmirror, DmirrorDevice } from "./drivers/dmirror.js";
export { Dcmd } from "./drivers/test_hmm.js";
export { BLOCK, SWITCH, type Atomic, type Block, type MaySleep, type Switch } from "./kernel/coroutine.js";
export { Ftrace } from "./kernel/ftrace.js";
export { describeErrno, Errno } from "./kernel/errno.js";
export { Mutex, RwSem, SpinLock, type LockObserver } from "./kernel/locks.js";
export { conflicts, Op, Space, SPACE_OF, tableObject } from "./kernel/op.js";
export { AddressSpace, isSwapEntry, swapEntry, swapEntrySlot } from "./mm/address_space.js";
export { FallocFl } from "./fs/fallocate.js";
export { addSeals, MfdFlag, memfdCreate, SHMEM_MAX_BYTES, shmemFileSetup, truncateShmem } from "./mm/shmem_file.js";
export { Seal, ShmemInode } from "./mm/shmem_inode.js";
export { FaultFlag, VmFault } from "./mm/fault_flags.js";
export { BatchKind } from "./mm/folio_batch.js";
export { FrameMemory, PAGE_SHIFT, PAGE_SIZE } from "./mm/frame_memory.js";
export { FollFlag } from "./mm/gup_flags.js";
export { Gfp, gfpText } from "./mm/gfp.js";
export { HPG, type Hstate } from "./mm/hstate.js";
export { HmmPfn, type HmmRange } from "./mm/hmm.js";
export { Lru, type Lruvec } from "./mm/lruvec.js";
export { Scan, type CollapseControl } from "./mm/collapse.js";
export { Madv } from "./mm/madvise.js";
export type { Memcg } from "./mm/memcontrol.js";
export type { Vmf } from "./mm/memory.js";
export type { IoVec } from "./mm/access_remote.js";
export { Mm, RssKind, VM, Vma } from "./mm/mm_types.js";
export { MigrateMode } from "./mm/migrate_mode.js";
export { Mcl, MLOCK_ONFAULT } from "./mm/mlock.js";
export { MapFlag } from "./mm/mmap.js";
export { PTE_MARKER_FLAGS, PteMarker, pteMarker } from "./mm/pte_marker.js";
export { NotifyEvent, type IntervalNotifier, type MmuNotifier, type NotifierRange } from "./mm/mmu_notifier.js";
export type { MmuGather } from "./mm/mmu_gather.js";
export { Prot } from "./mm/mprotect.js";
export { Mremap } from "./mm/mremap.js";
export { Memmap, NO_PAGE, PG } from "./mm/page.js";
export { startSwapDisk, SwapDisk } from "./mm/page_io.js";
export type { SavedSlots } from "./mm/swap_device.js";
export { Fill, type FillRequest } from "./mm/uffd_fill.js";
export type { Move } from "./mm/uffd_move.js";
export { UffdWp } from "./mm/uffd_wp.js";
export { releaseWalk, startWalk, type PageVmaMappedWalk } from "./mm/page_vma_mapped.js";
export { ZoneId } from "./mm/zone.js";
export type { ExclusivePage, RmapOne } from "./mm/rmap.js";
export { makeSwap, restoredBits } from "./mm/swapops.js";
export { maybeMkwrite, vmPageProt } from "./mm/vm_prot.js";

/* Tasks, processes and time, for who runs programs or scenarios on it. */
export { Copied } from "./mm/copy_range.js";
export type { WaitFor } from "./kernel/exit.js";
export { SeededChoices, type Choices } from "./kernel/choices.js";
export { Process, SS_AUTODISARM, SS_DISABLE, SS_ONSTACK, ThreadState } from "./kernel/process.js";
export { Ratelimit } from "./kernel/ratelimit.js";
export { Retries } from "./kernel/retry.js";
export { Cap, CAP_FULL_SET, capable, type Capabilities } from "./kernel/capability.js";
export { initialLimits, maxThreads, RLIM_INFINITY, RLIM_NLIMITS, Rlimit, STACK_LIMIT, type ResourceLimit } from "./kernel/rlimit.js";
export { Executor, Scheduler, Task, TaskState, WaitQueue, type RunEnd, type Strategy, type TimerHandle } from "./kernel/sched.js";
export { NSIG, Restart, SA, SI, Sig, signalBit, SignalHandlers, signalName, Signals, SIGRTMIN, type SignalAction, type SignalInfo } from "./kernel/signal.js";
export { NSEC_PER_SEC, REALTIME_AT_BOOT_S } from "./kernel/time.js";

/* Files. */
export { UffdEvent, UffdFeature, UffdPagefault, UserfaultfdCtx, type EventWait, type UffdMsg } from "./fs/userfaultfd_ctx.js";
export { KPF, stablePageFlags } from "./fs/proc/page.js";
export { PM } from "./fs/proc/pagemap.js";
export { hostFile, type HostNode } from "./fs/host_fs.js";
export { mountAll, type MountOptions } from "./fs/mount_all.js";
export { StdStreams, type HostStreams } from "./fs/stdio.js";
export { makePipe, PIPE_CAPACITY } from "./fs/pipe.js";
export { FileTable, O, OpenFile, pathOf, Poll, type CharDevice, type FileOps, type Inode, type PathNode, type Stat, type StatFs, type Vfs } from "./fs/vfs.js";
