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
  TableRead, // page-table entry above the last level
  TableWrite,
  PteRead, // ptep
  PteWrite, // ptep
  PteHardware, // ptep: accessed or dirty bit set by a table walk
  RefGet, // page
  RefPut, // page
  MapCount, // page
  PageFlags, // page
  LruBatch, // CPU
  TlbFill, // vpn
  TlbFlush, // CPU
  NotifierStart, // mm id
  NotifierEnd, // mm id
  NotifierSeq, // interval notifier id
  UserRead, // physical word number
  UserWrite, // physical word number
  UserAtomic, // physical word number
  DeviceTable, // device vpn
  DeviceRead, // physical word number
  DeviceWrite, // physical word number
  SwapMap, // swap offset
  SwapCache, // swap offset
  Wake, // task id
  Alloc, // zone
  Counter, // memcg id or similar
  Inode, // inode number, or process id for /proc
}
