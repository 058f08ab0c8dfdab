/** What a caller of GUP wants of a page, with the values of 6.12 and newer. */
export enum FollFlag {
  WRITE = 1 << 0,
  GET = 1 << 1,
  FORCE = 1 << 3,
  NOWAIT = 1 << 4,
  SPLIT_PMD = 1 << 6,
  TOUCH = 1 << 16,
  /** For DMA: nobody may put another page in place of this one until it is let go (pin_user_pages(9)). */
  PIN = 1 << 19,
  /** mmap_lock may be dropped meanwhile. */
  UNLOCKABLE = 1 << 21,
}
