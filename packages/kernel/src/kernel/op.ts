/** What a point is about to do. The object's number that goes with it is given behind each. */
export enum Op {
  /** Task-local work between shared accesses (object: task id). */
  Run = 0,
  SpinLock, // lock id
  SpinUnlock, // lock id
  SemRead, // lock id
  SemWrite, // lock id
  SemRelease, // lock id
  FolioLock, // page
  FolioUnlock, // page
  VmaRead, // vma id
  VmaWrite, // vma id
  VmaRelease, // vma id
  TableRead, // vpn >>> 9: the range that one last-level table maps
  TableWrite, // page-table entry above the last level
  PteRead, // ptep
  PteWrite, // ptep
  PteHardware, // vpn: accessed or dirty bit set by a table walk
  RefGet, // page
  RefPut, // page
  MapCount, // page
  PageFlags, // page
  LruBatch, // CPU
  TlbFlush, // CPU
  NotifierStart, // mm id
  NotifierEnd, // mm id
  NotifierSeq, // interval notifier id
  UserRead, // vpn; a futex's address; a page that is copied
  UserWrite, // vpn
  DeviceTable, // device vpn
  DeviceRead, // device vpn
  DeviceWrite, // device vpn
  SwapMap, // swap offset
  SwapCache, // swap offset
  Wake, // task id
  Alloc, // page
  Counter, // memcg id or similar
  Inode, // inode number, or process id for /proc
}
