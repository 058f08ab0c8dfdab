import { Op, Space, SPACE_OF, type Machine } from "@faultline/kernel";

/** Entries of one page table. */
const PTRS = 512;
const PAGE_SHIFT = 12;

/** What a step is about to do, in words: "write PTE of 0x3ff7fff000". */
export function describeStep(m: Machine, op: Op, object: number): string {
  return VERBS[op].replace("%", objectOf(m, SPACE_OF[op]!, object));
}

/** `%` is where the object goes. */
const VERBS: Record<Op, string> = {
  [Op.Run]: "run",
  [Op.SpinLock]: "lock %",
  [Op.SpinUnlock]: "unlock %",
  [Op.SemRead]: "lock % for reading",
  [Op.SemWrite]: "lock % for writing",
  [Op.SemRelease]: "unlock %",
  [Op.GuardedRead]: "look at what % guards",
  [Op.FolioLock]: "lock folio of %",
  [Op.FolioUnlock]: "unlock folio of %",
  [Op.PageFlags]: "flags of %",
  [Op.VmaFind]: "look up a VMA of %",
  [Op.VmaTree]: "change VMAs of %",
  [Op.VmaRead]: "lock % for reading",
  [Op.VmaWrite]: "lock % for writing",
  [Op.VmaRelease]: "unlock %",
  [Op.VmaSeqRead]: "read VMA sequence of %",
  [Op.VmaSeqAdvance]: "unlock all VMAs of %",
  [Op.TableRead]: "read page-table tree",
  [Op.TableWrite]: "change page-table tree",
  [Op.PteRead]: "read PTE of %",
  [Op.PteWrite]: "write PTE of %",
  [Op.PteHardware]: "CPU sets A/D in PTE of %",
  [Op.RefGet]: "get reference to %",
  [Op.RefPut]: "put reference to %",
  [Op.RefCompare]: "count references to %",
  [Op.MapCount]: "map count of %",
  [Op.LruBatch]: "LRU batch of %",
  [Op.TlbRead]: "TLB of % read",
  [Op.TlbFill]: "TLB of % filled",
  [Op.TlbFlush]: "TLB of % flushed",
  [Op.TlbBatchRead]: "read TLB batch of %",
  [Op.TlbBatchSet]: "set TLB batch of %",
  [Op.NotifierStart]: "invalidation of % starts",
  [Op.NotifierEnd]: "invalidation of % ends",
  [Op.NotifierSubscribe]: "notifiers of % change",
  [Op.NotifierActive]: "is % under invalidation?",
  [Op.NotifierListRead]: "read subscribers of %",
  [Op.NotifierListWrite]: "change subscribers of %",
  [Op.NotifierSeqRead]: "read sequence of %",
  [Op.NotifierSeqSet]: "set sequence of %",
  [Op.UserRead]: "load from %",
  [Op.UserWrite]: "store to %",
  [Op.DeviceRead]: "device reads %",
  [Op.DeviceWrite]: "device writes %",
  [Op.FrameRead]: "kernel reads %",
  [Op.FrameWrite]: "kernel writes %",
  [Op.DeviceLookup]: "read device table",
  [Op.DeviceTable]: "change device table",
  [Op.SwapMap]: "count of swap %",
  [Op.SwapCache]: "swap cache at %",
  [Op.SwapRead]: "read %",
  [Op.SwapWrite]: "write %",
  [Op.PageCacheRead]: "read page cache",
  [Op.PageCacheWrite]: "change page cache",
  [Op.Wake]: "wake %",
  [Op.Process]: "state of %",
  [Op.Pcp]: "free pages of %",
  [Op.Pgmap]: "memory of devices",
  [Op.Memcg]: "charge of %",
  [Op.MmCounter]: "counters of %",
  [Op.MmUsers]: "count users of %",
  [Op.Thp]: "queues of huge pages",
  [Op.Stats]: "statistics",
  [Op.Inode]: "state of %",
  [Op.Userfault]: "state of %",
  [Op.RcuRead]: "RCU read section",
  [Op.RcuPeriod]: "RCU grace period",
  [Op.Uprobe]: "probes of user space",
  [Op.Device]: "files and jobs of %",
  [Op.Ksm]: "what KSM looks through",
};

function objectOf(m: Machine, space: Space, object: number): string {
  switch (space) {
    case Space.Lock:
      return m.locks.byId[object]?.cls ?? `lock ${object}`;
    case Space.Pte:
      return addressOf(m, object);
    case Space.FolioFlags:
    case Space.RefCount:
    case Space.MapCount:
    case Space.Frame:
      return object < 0 ? "memory" : `frame ${object}`;
    case Space.VmaLock:
      return `VMA ${object}`;
    case Space.Tlb:
    case Space.LruBatch:
    case Space.Pcp:
      return `CPU ${object}`;
    case Space.NotifierSeq:
      return m.mirrors.find(({ notifier }) => notifier.id === object)?.device.name ?? `notifier ${object}`;
    case Space.SwapMap:
    case Space.SwapCache:
    case Space.SwapSlot:
      return `slot ${object}`;
    case Space.Task:
      return m.tasks.get(object)?.comm ?? `task ${object}`;
    case Space.Process:
      return object === 0 ? "all processes" : `process ${object}`;
    case Space.Inode:
      return `inode ${object}`;
    case Space.Userfault:
      return `userfaultfd ${object}`;
    case Space.Device:
      return m.devices[object]?.name ?? `device ${object}`;
    case Space.Memcg:
      return `memcg ${object}`;
    default:
      return `mm ${object}`;
  }
}

/** The address that a page-table entry is for; no table points from an entry to its place. */
function addressOf(m: Machine, ptep: number): string {
  const node = Math.floor(ptep / PTRS);
  const index = ptep % PTRS;
  for (const { pgd } of m.mms) {
    if (pgd < 0) continue;
    const vpn = vpnIn(m, pgd, 2, 0, node, index);
    if (vpn >= 0) return `0x${(vpn * 2 ** PAGE_SHIFT).toString(16)}`;
  }
  return `entry ${ptep}`;
}

/** The page number of entry `index` of `wanted`, searched below `node`; -1 when it is not there. */
function vpnIn(m: Machine, node: number, level: number, base: number, wanted: number, index: number): number {
  const { pt } = m;
  const span = PTRS ** level;
  if (node === wanted) return base + index * span;
  for (let i = level === 0 ? PTRS : pt.nextUsed(node, 0); i < PTRS; i = pt.nextUsed(node, i + 1)) {
    const entry = node * PTRS + i;
    if (pt.isLeaf(entry)) continue;
    const child = pt.child(entry);
    const vpn = child < 0 ? -1 : vpnIn(m, child, level - 1, base + i * span, wanted, index);
    if (vpn >= 0) return vpn;
  }
  return -1;
}
