import { RwSem, type Locks } from "../kernel/locks.js";
import { Event } from "../trace.js";

/** An address space's mmap_lock: a semaphore with tracepoints of its own. */
export class MmapLock extends RwSem {
  constructor(
    locks: Locks,
    private readonly mm: number,
  ) {
    super(locks, "mmap_lock");
  }

  protected override wanted(write: boolean): void {
    const { current, locks } = this.locks.m;
    // The callback runs below the lock.
    if (current!.invalidating?.mmapLock === this) locks.observer?.waitsInCallback?.(current!, "mmap_lock");
    this.locks.m.sink?.emit(Event.MmapLockStartLocking, this.mm, write ? 1 : 0, 0, 0);
  }

  protected override obtained(write: boolean): void {
    this.locks.m.sink?.emit(Event.MmapLockAcquireReturned, this.mm, write ? 1 : 0, 1, 0);
  }

  protected override released(write: boolean): void {
    this.locks.m.sink?.emit(Event.MmapLockReleased, this.mm, write ? 1 : 0, 0, 0);
  }
}
