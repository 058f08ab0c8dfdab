/**
 * What a driver is written with, and all that it needs: `@faultline/kernel/driver`. `docs/drivers.md` builds one. The test
 * driver (drivers/test_hmm) is an instance of this, and imports nothing else; what it has beyond is that its functions are
 * modules of the kernel (`k.testHmm`, `k.testHmmMemory`), so that overlays can replace them.
 */

/* The driver, its devices, their page tables, engines and memory. */
export { Device, driver, type DeviceFileOps, type DeviceSettings, type Driver, type DriverFile, type DriverMemory, type EngineOperation } from "./drivers/device.js";
export { DeviceEngine, type EngineJob } from "./drivers/device_engine.js";
export { DevicePool } from "./drivers/device_memory.js";
export { DeviceMirror, hmmRange, type Invalidate, type MirrorSettings } from "./drivers/device_mirror.js";
export { DeviceTable, type DeviceEntry } from "./drivers/device_table.js";

/* Its files. */
export { O, OpenFile, Poll, type FileOps } from "./fs/vfs.js";
export type { Vma } from "./mm/mm_types.js";
export type { VmOps } from "./mm/vm_ops.js";

/* What the kernel says to it, and what it asks of the kernel. */
export { HmmPfn, type HmmRange } from "./mm/hmm.js";
export { DMA_MAPPING_ERROR, type HmmDmaMap } from "./mm/hmm_dma.js";
export { IommuDomain, type IovaEntry, type IovaState } from "./drivers/iommu.js";
export { SecondaryTlb, type SecondaryEntry } from "./drivers/iommu_sva.js";
export { NotifyEvent, type IntervalNotifier, type MmuNotifier, type MmuNotifierOps, type NotifierRange } from "./mm/mmu_notifier.js";
export { MemoryType, type DevPagemap, type DevPagemapOps } from "./mm/dev_pagemap.js";
export { migrateArrays, MigratePfn, MigrateVmaSelect, type MigrateDevice, type MigrateVma } from "./mm/migrate_device.js";
export { VmFault } from "./mm/fault_flags.js";
export type { Vmf } from "./mm/memory.js";
export { VM, type Mm } from "./mm/mm_types.js";
export { NO_PAGE, PG } from "./mm/page.js";
export { FollFlag } from "./mm/gup_flags.js";
export { Gfp, GFP_HIGHUSER, GFP_KERNEL, GFP_TRANSHUGE } from "./mm/gfp.js";
export { HPAGE_PMD_NR, HPAGE_PMD_ORDER, ptePresent } from "./arch/pgtable.js";

/* What kernel code is written with. */
export type { Kernel } from "./kernel.js";
export { SWITCH, type Atomic, type MaySleep } from "./kernel/coroutine.js";
export { Errno } from "./kernel/errno.js";
export { Mutex, RwSem, SpinLock } from "./kernel/locks.js";
export { Op, tableObject } from "./kernel/op.js";
export { TaskState, WaitQueue, type Task } from "./kernel/sched.js";
export { Event } from "./trace.js";
