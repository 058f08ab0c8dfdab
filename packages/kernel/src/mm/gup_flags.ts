/** What a caller of GUP wants of a page, with the values of 6.3 and newer. */
export enum FollFlag {
  WRITE = 1 << 0,
  /** With a reference. */
  GET = 1 << 1,
  /** For a core dump: -EFAULT where there is nothing but zeros. */
  DUMP = 1 << 2,
  /** Past what the VMA permits, as a debugger does, as far as mprotect() could permit it. */
  FORCE = 1 << 3,
  /** Rather none than waiting for a disk. */
  NOWAIT = 1 << 4,
  /** -EFAULT where a fault would be needed. */
  NOFAULT = 1 << 5,
  /** -EHWPOISON for broken memory, instead of -EFAULT. */
  HWPOISON = 1 << 6,
  /** -EFAULT for what is of a file. */
  ANON = 1 << 7,
  /** The pin may be kept for as long as user space likes: not of memory that must be able to move. */
  LONGTERM = 1 << 8,
  /** 2 MiB that are mapped as one are mapped page by page first. */
  SPLIT_PMD = 1 << 9,
  PCI_P2PDMA = 1 << 10,
  /** Any signal ends it, not only a fatal one. */
  INTERRUPTIBLE = 1 << 11,
  /** Entries that wait for a NUMA hinting fault are faulted in, rather than used as they are. */
  HONOR_NUMA_FAULT = 1 << 12,

  /* Of GUP itself: never from a caller. */
  TOUCH = 1 << 16,
  /** The fault has dropped the lock once already. */
  TRIED = 1 << 17,
  /** Of an address space that may be another's. */
  REMOTE = 1 << 18,
  /** For DMA: nobody may put another page in place of this one until it is let go (pin_user_pages(9)). */
  PIN = 1 << 19,
  /** Without locks or not at all. */
  FAST_ONLY = 1 << 20,
  /** mmap_lock may be dropped meanwhile. */
  UNLOCKABLE = 1 << 21,
  MADV_POPULATE = 1 << 22,
}

export const INTERNAL_GUP_FLAGS =
  FollFlag.TOUCH | FollFlag.TRIED | FollFlag.REMOTE | FollFlag.PIN | FollFlag.FAST_ONLY | FollFlag.UNLOCKABLE | FollFlag.MADV_POPULATE;
