import { RwSem } from "../kernel/locks.js";
import { WaitQueue, type Task } from "../kernel/sched.js";
import type { Machine } from "../machine.js";
import type { Mm } from "../mm/mm_types.js";

/** Of userfaultfd(2), beside O_CLOEXEC and O_NONBLOCK. */
export const UFFD_USER_MODE_ONLY = 1;

/** UFFD_FEATURE_*. */
export enum UffdFeature {
  PAGEFAULT_FLAG_WP = 1 << 0,
  EVENT_FORK = 1 << 1,
  EVENT_REMAP = 1 << 2,
  EVENT_REMOVE = 1 << 3,
  MISSING_HUGETLBFS = 1 << 4,
  MISSING_SHMEM = 1 << 5,
  EVENT_UNMAP = 1 << 6,
  SIGBUS = 1 << 7,
  THREAD_ID = 1 << 8,
  MINOR_HUGETLBFS = 1 << 9,
  MINOR_SHMEM = 1 << 10,
  EXACT_ADDRESS = 1 << 11,
  WP_HUGETLBFS_SHMEM = 1 << 12,
  WP_UNPOPULATED = 1 << 13,
  POISON = 1 << 14,
  WP_ASYNC = 1 << 15,
  MOVE = 1 << 16,
  RWP = 1 << 17,
  RWP_ASYNC = 1 << 18,
}

/** What a message tells of. */
export enum UffdEvent {
  PAGEFAULT = 0x12,
  FORK = 0x13,
  REMAP = 0x14,
  REMOVE = 0x15,
  UNMAP = 0x16,
}

/** UFFD_PAGEFAULT_FLAG_*. */
export enum UffdPagefault {
  WRITE = 1 << 0,
  WP = 1 << 1,
  MINOR = 1 << 2,
  RWP = 1 << 3,
}

/** A message as read(2) gives it. Addresses and lengths in bytes. */
export type UffdMsg =
  | { readonly event: UffdEvent.PAGEFAULT; readonly flags: number; readonly address: number; readonly ptid: number }
  | { readonly event: UffdEvent.FORK; readonly child: UserfaultfdCtx }
  | { readonly event: UffdEvent.REMAP; readonly from: number; readonly to: number; readonly len: number }
  | { readonly event: UffdEvent.REMOVE | UffdEvent.UNMAP; readonly start: number; readonly end: number };

/** A task that waits until somebody wakes its address. */
export interface Userfault {
  readonly task: Task;
  readonly msg: Extract<UffdMsg, { event: UffdEvent.PAGEFAULT }>;
}

/** A task that waits until its event has been read. */
export interface EventWait {
  readonly task: Task;
  readonly msg: UffdMsg;
  /** Somebody reads it: it is not for others. */
  taken: boolean;
  /** It has been read. */
  done: boolean;
}

/** An event that is told once mmap_lock is dropped, those of a lower rank first. */
export interface PendingEvent {
  readonly ctx: UserfaultfdCtx;
  readonly msg: UffdMsg;
  readonly rank: number;
}

/**
 * What one userfaultfd(2) made, or a fork of such a process. The file holds a reference, and so does
 * who waits; VMAs that are registered hold none, since the last close takes them back first.
 * Queues, counts and flags are announced by Op.Userfault.
 */
export class UserfaultfdCtx {
  readonly id: number;
  /** UffdFeature bits; they mean something once `initialized`. */
  features = 0;
  /** UFFDIO_API has been called. */
  initialized = false;
  /** The file is gone: nobody will answer any more. */
  released = false;
  /** Events that are on their way: until they have been read, nothing is filled in. */
  mmapChanging = 0;
  references = 1;
  /** Faults that nobody has read yet, and those that somebody has, oldest first. */
  readonly pending: Userfault[] = [];
  readonly faults: Userfault[] = [];
  readonly events: EventWait[] = [];
  readonly readers: WaitQueue;
  /** Held for reading by who fills memory in, so that an event comes before or after all of that. */
  readonly mapChangingLock: RwSem;

  constructor(
    m: Machine,
    readonly mm: Mm,
    /** UFFD_USER_MODE_ONLY, O_CLOEXEC, O_NONBLOCK. */
    readonly flags: number,
  ) {
    this.id = m.nextUserfaultfdId++;
    this.readers = new WaitQueue(m);
    this.mapChangingLock = new RwSem(m.locks, "map_changing_lock");
    m.userfaultfds.push(this);
  }

  has(feature: UffdFeature): boolean {
    return (this.features & feature) !== 0;
  }
}
