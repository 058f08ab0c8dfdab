/**
 * What a step is about to do. Every operation has one kind of object, given behind it, and belongs
 * to one space (`SPACE_OF` below): two accesses conflict when their spaces and objects are the same
 * and one of them writes. A step that touches more than the point before it could say announces
 * the rest with `Machine.touches`.
 */
export enum Op {
  /** Task-local work between shared accesses (object: task id). */
  Run = 0,
  SpinLock, // lock id
  SpinUnlock, // lock id
  SemRead, // lock id
  SemWrite, // lock id
  SemRelease, // lock id
  GuardedRead, // lock id: somebody looks without the lock at what it guards
  FolioLock, // folio
  FolioUnlock, // folio
  PageFlags, // folio
  VmaFind, // mm id: a lookup by address
  VmaTree, // mm id: VMAs come, go, or change their bounds
  VmaRead, // vma id: a reader takes the lock of the VMA
  VmaWrite, // vma id
  VmaRelease, // vma id
  VmaSeqRead, // mm id: whether the locks of writers stand
  VmaSeqAdvance, // mm id: the locks of a writer all go at once
  TableRead, // tableObject(): the range that one last-level table maps
  TableWrite, // tableObject(): of the entry that is set or cleared
  PteRead, // ptep
  PteWrite, // ptep
  PteHardware, // ptep: accessed or dirty bit set by a table walk
  RefGet, // folio
  RefPut, // folio
  RefCompare, // folio: somebody looks how many references there are, and may freeze it
  MapCount, // folio
  LruBatch, // CPU
  TlbRead, // CPU
  TlbFill, // CPU
  TlbFlush, // CPU
  TlbBatchRead, // mm id: whether reclaim owes it a flush
  TlbBatchSet, // mm id
  NotifierStart, // mm id
  NotifierEnd, // mm id
  NotifierSubscribe, // mm id: a subscription comes or goes
  NotifierActive, // mm id: whether an invalidation runs
  NotifierListRead, // mm id: who is subscribed to all of the address space
  NotifierListWrite, // mm id
  NotifierSeqRead, // interval notifier id
  NotifierSeqSet, // interval notifier id
  UserRead, // page
  UserWrite, // page
  DeviceRead, // page
  DeviceWrite, // page
  FrameRead, // page: the kernel copies it, or a disk
  FrameWrite, // page
  DeviceLookup, // lock id of the driver's table
  DeviceTable, // lock id of the driver's table
  SwapMap, // swap offset
  SwapCache, // swap offset
  SwapRead, // swap offset: what is in the slot
  SwapWrite, // swap offset
  PageCacheRead, // AddressSpace.object(): what a file has at an index
  PageCacheWrite,
  Wake, // task id
  Process, // pid of a thread group; 0 for the list of all
  Pcp, // CPU: its lists of free pages, and its stock of charged ones
  Pgmap, // 0: which memory of devices there is, and how much of it is used
  Memcg, // memcg id
  MmCounter, // mm id: sizes as /proc shows them, and what is known of all of it
  MmUsers, // mm id: how many use it; it is torn down with the last
  Thp, // 0: settings and queues of transparent huge pages
  Stats, // 0: counters of the whole machine
  Inode, // inode number
  Userfault, // userfaultfd context: its queues, and whether the address space is changing under it
  RcuRead, // 0 for RCU, or the number of an SRCU domain: a section begins, or ends unnoticed
  RcuPeriod, // the same: a grace period begins or ends
  Device, // device: who has it open, and the jobs of its engine
  Ksm, // 0: settings of KSM, and which address spaces it looks through
  Uprobe, // probe of user space: its consumers and references; 0 for which there are
}

/** What objects are counted in: numbers of different spaces have nothing to do with each other. */
export enum Space {
  /** Nobody else sees it. */
  Private,
  Lock,
  FolioFlags,
  VmaTree,
  VmaLock,
  VmaSeq,
  Table,
  Pte,
  RefCount,
  MapCount,
  LruBatch,
  Tlb,
  TlbBatch,
  Notifier,
  NotifierList,
  NotifierSeq,
  Frame,
  DeviceTable,
  SwapMap,
  SwapCache,
  SwapSlot,
  PageCache,
  Task,
  Process,
  Pcp,
  Pgmap,
  Memcg,
  MmCounter,
  MmUsers,
  Thp,
  Stats,
  Inode,
  Userfault,
  Rcu,
  Device,
  Ksm,
  Uprobe,
}

/** The space of each operation, by its number. */
export const SPACE_OF: readonly Space[] = Object.values({
  [Op.Run]: Space.Private,
  [Op.SpinLock]: Space.Lock,
  [Op.SpinUnlock]: Space.Lock,
  [Op.SemRead]: Space.Lock,
  [Op.SemWrite]: Space.Lock,
  [Op.SemRelease]: Space.Lock,
  [Op.GuardedRead]: Space.Lock,
  [Op.FolioLock]: Space.FolioFlags,
  [Op.FolioUnlock]: Space.FolioFlags,
  [Op.PageFlags]: Space.FolioFlags,
  [Op.VmaFind]: Space.VmaTree,
  [Op.VmaTree]: Space.VmaTree,
  [Op.VmaRead]: Space.VmaLock,
  [Op.VmaWrite]: Space.VmaLock,
  [Op.VmaRelease]: Space.VmaLock,
  [Op.VmaSeqRead]: Space.VmaSeq,
  [Op.VmaSeqAdvance]: Space.VmaSeq,
  [Op.TableRead]: Space.Table,
  [Op.TableWrite]: Space.Table,
  [Op.PteRead]: Space.Pte,
  [Op.PteWrite]: Space.Pte,
  [Op.PteHardware]: Space.Pte,
  [Op.RefGet]: Space.RefCount,
  [Op.RefPut]: Space.RefCount,
  [Op.RefCompare]: Space.RefCount,
  [Op.MapCount]: Space.MapCount,
  [Op.LruBatch]: Space.LruBatch,
  [Op.TlbRead]: Space.Tlb,
  [Op.TlbFill]: Space.Tlb,
  [Op.TlbFlush]: Space.Tlb,
  [Op.TlbBatchRead]: Space.TlbBatch,
  [Op.TlbBatchSet]: Space.TlbBatch,
  [Op.NotifierStart]: Space.Notifier,
  [Op.NotifierEnd]: Space.Notifier,
  [Op.NotifierSubscribe]: Space.Notifier,
  [Op.NotifierActive]: Space.Notifier,
  [Op.NotifierListRead]: Space.NotifierList,
  [Op.NotifierListWrite]: Space.NotifierList,
  [Op.NotifierSeqRead]: Space.NotifierSeq,
  [Op.NotifierSeqSet]: Space.NotifierSeq,
  [Op.UserRead]: Space.Frame,
  [Op.UserWrite]: Space.Frame,
  [Op.DeviceRead]: Space.Frame,
  [Op.DeviceWrite]: Space.Frame,
  [Op.FrameRead]: Space.Frame,
  [Op.FrameWrite]: Space.Frame,
  [Op.DeviceLookup]: Space.DeviceTable,
  [Op.DeviceTable]: Space.DeviceTable,
  [Op.SwapMap]: Space.SwapMap,
  [Op.SwapCache]: Space.SwapCache,
  [Op.SwapRead]: Space.SwapSlot,
  [Op.SwapWrite]: Space.SwapSlot,
  [Op.PageCacheRead]: Space.PageCache,
  [Op.PageCacheWrite]: Space.PageCache,
  [Op.Wake]: Space.Task,
  [Op.Process]: Space.Process,
  [Op.Pcp]: Space.Pcp,
  [Op.Pgmap]: Space.Pgmap,
  [Op.Memcg]: Space.Memcg,
  [Op.MmCounter]: Space.MmCounter,
  [Op.MmUsers]: Space.MmUsers,
  [Op.Thp]: Space.Thp,
  [Op.Stats]: Space.Stats,
  [Op.Inode]: Space.Inode,
  [Op.Userfault]: Space.Userfault,
  [Op.RcuRead]: Space.Rcu,
  [Op.RcuPeriod]: Space.Rcu,
  [Op.Device]: Space.Device,
  [Op.Ksm]: Space.Ksm,
  [Op.Uprobe]: Space.Uprobe,
} satisfies Record<Op, Space>);

/** Operations that change nothing that their own kind would see. All others write. */
const READS: ReadonlySet<Op> = new Set([
  Op.SemRead,
  Op.GuardedRead,
  Op.VmaFind,
  Op.VmaSeqRead,
  Op.TableRead,
  Op.PteRead,
  Op.TlbRead,
  Op.TlbBatchRead,
  Op.NotifierActive,
  Op.NotifierListRead,
  Op.NotifierSeqRead,
  Op.UserRead,
  Op.DeviceRead,
  Op.FrameRead,
  Op.DeviceLookup,
  Op.SwapRead,
  Op.PageCacheRead,
  Op.RcuRead,
]);

/** Operations after which the contents of a frame may be others. */
export const FRAME_WRITES: ReadonlySet<Op> = new Set([Op.UserWrite, Op.DeviceWrite, Op.FrameWrite]);

/** Whether the order of two accesses by different executors can matter. */
export function conflicts(a: Op, objectOfA: number, b: Op, objectOfB: number): boolean {
  // A negative object is nothing yet: a translation that is missing, say.
  if (objectOfA < 0 || objectOfA !== objectOfB || SPACE_OF[a] !== SPACE_OF[b] || SPACE_OF[a] === Space.Private) return false;
  return !READS.has(a) || !READS.has(b);
}

const RANGES_PER_MM = 2 ** 17;

/**
 * The object of an upper-level entry: the 2 MiB range that it maps, for level 1. The table that a
 * level 2 entry points to is empty when it comes and when it goes, so lookups cannot tell; those
 * entries have objects of their own, behind.
 */
export function tableObject(mmId: number, vpn: number, level: 1 | 2 = 1): number {
  return level === 1 ? 2 * mmId * RANGES_PER_MM + (vpn >>> 9) : (2 * mmId + 1) * RANGES_PER_MM + (vpn >>> 18);
}
