/** What a fault handler may do, and why it was called. */
export enum FaultFlag {
  WRITE = 1 << 0,
  /** The handler may drop the lock and ask for another try. */
  ALLOW_RETRY = 1 << 2,
  RETRY_NOWAIT = 1 << 3,
  KILLABLE = 1 << 4,
  TRIED = 1 << 5,
  USER = 1 << 6,
  /** From GUP or hmm_range_fault, on behalf of somebody else. */
  REMOTE = 1 << 7,
  INSTRUCTION = 1 << 8,
  INTERRUPTIBLE = 1 << 9,
  UNSHARE = 1 << 10,
  /** The per-VMA lock is held, mmap_lock is not. */
  VMA_LOCK = 1 << 12,
}

/** Of broken memory, the order of the folio stands from this bit on. */
export const HWPOISON_ORDER_SHIFT = 16;

/** What came of it. */
export enum VmFault {
  OOM = 1 << 0,
  SIGBUS = 1 << 1,
  MAJOR = 1 << 2,
  /** The memory is broken. */
  HWPOISON = 1 << 4,
  SIGSEGV = 1 << 6,
  /** There is no page, nor an error: the access finds out. */
  NOPAGE = 1 << 8,
  /** Nothing was done: it must be done with smaller pages. */
  FALLBACK = 1 << 11,
  /** The lock has been dropped; look the VMA up again. */
  RETRY = 1 << 10,
  /** Done, and the lock has been dropped. */
  COMPLETED = 1 << 14,
  ERROR = OOM | SIGBUS | SIGSEGV | HWPOISON,
}
