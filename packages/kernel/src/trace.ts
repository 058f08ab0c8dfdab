/**
 * Tracepoints: the only way out of the engine. Names follow the kernel's tracepoints where those
 * exist. Arguments are numbers; what they are stands behind each name.
 */
export enum Event {
  /** page, order */
  MmPageAlloc,
  /** page, order */
  MmPageFree,
  /** ptep, flags, pfn, vpn: an entry was written */
  SetPte,
  /** executor, vpn, page, write (0 or 1): a user access reached memory */
  UserAccess,
  /** device, vpn, page, write: a device access reached memory */
  DeviceAccess,
  /** mm, start vpn, end vpn, NotifyEvent */
  InvalidateStart,
  /** mm, start vpn, end vpn, NotifyEvent */
  InvalidateEnd,
  /** page, unlock (0 or 1): somebody tries or releases the lock of a folio */
  FolioLock,
}

export interface EventSink {
  point(executor: number, op: number, object: number): void;
  /** What else the step since the last point touches, while checking. */
  touches?(executor: number, op: number, object: number): void;
  emit(event: Event, a: number, b: number, c: number, d: number): void;
}
