export { Access } from "./arch/fault.js";
export { PTE, ptePresent, swapType, USER_VPN_END } from "./arch/pgtable.js";
export { Tlb } from "./arch/tlb.js";
export { FileTable, makedev, O, OpenFile, pathOf, type CharDevice, type FileOps, type Inode, type InodeKind, type Stat, type StatFs, type Vfs } from "./fs/vfs.js";
export { assembleKernel, MAINLINE, type Kernel, type KernelModules, type Overlay, type OverlayFactory } from "./kernel.js";
export { SeededChoices, type Choices } from "./kernel/choices.js";
export { BLOCK, SWITCH, type Atomic, type Block, type MaySleep, type Switch } from "./kernel/coroutine.js";
export { describeErrno, Errno } from "./kernel/errno.js";
export { FUTEX_OWNER_DIED, FUTEX_TID_MASK, FUTEX_WAITERS } from "./kernel/futex.js";
export { Mutex, RwSem, SpinLock, type LockObserver } from "./kernel/locks.js";
export { Op } from "./kernel/op.js";
export { Process, SS_AUTODISARM, SS_DISABLE, SS_ONSTACK, ThreadState } from "./kernel/process.js";
export { Executor, RoundRobin, Scheduler, Task, TaskState, WaitQueue, type RunEnd, type Strategy, type TimerHandle } from "./kernel/sched.js";
export {
  NSIG,
  Restart,
  SA,
  SI,
  Sig,
  SIG_DFL,
  SIG_IGN,
  signalBit,
  SignalHandlers,
  signalName,
  Signals,
  SIGRTMIN,
  type Delivery,
  type SignalAction,
  type SignalInfo,
} from "./kernel/signal.js";
export { NSEC_PER_SEC, REALTIME_AT_BOOT_S } from "./kernel/time.js";
export { Machine, type MachineConfig } from "./machine.js";
export { FrameMemory, PAGE_SHIFT, PAGE_SIZE } from "./mm/frame_memory.js";
export type { Memcg } from "./mm/memcontrol.js";
export { Mm, RssKind, VM, Vma } from "./mm/mm_types.js";
export { NO_PAGE, PG } from "./mm/page.js";
export { Event, type EventSink } from "./trace.js";
export { DEFAULT_RELEASE, PATCHES, RELEASES, resolvePatches, type Patch, type PatchStatus, type Release, type UserPatch } from "./patches/index.js";
export { mountAll, type MountOptions } from "./fs/mount_all.js";
export { StdStreams, type HostStreams } from "./fs/stdio.js";
export { startSwapDisk } from "./mm/page_io.js";
export { Madv } from "./mm/madvise.js";
export { MapFlag } from "./mm/mmap.js";
export { Prot } from "./mm/mprotect.js";
export { DeviceTable, type DeviceEntry } from "./drivers/device_table.js";
export { Dmirror, DmirrorDevice } from "./drivers/dmirror.js";
export { Dcmd } from "./drivers/test_hmm.js";
export type { Vmf } from "./mm/memory.js";
