/**
 * Tracepoints: the only way out of the engine. Names follow the kernel's tracepoints where those
 * exist. Arguments are numbers; what they are stands behind each name.
 */
export enum Event {
  /** page, order */
  MmPageAlloc,
  /** page, order */
  MmPageFree,
  /** ptep, flags, pfn: an entry was written */
  SetPte,
  /** executor, vpn, page, write (0 or 1): a user access reached memory */
  UserAccess,
  /** device, vpn, page, write: a device access reached memory */
  DeviceAccess,
  /** mm, start vpn, end vpn */
  InvalidateStart,
  /** mm, start vpn, end vpn */
  InvalidateEnd,
  /** page: somebody acts on the lock of a folio */
  FolioLock,
  /** vpn, major (0 or 1) */
  PageFaultUser,
  /** page, scanned */
  VmscanIsolate,
}

export interface EventSink {
  point(executor: number, op: number, object: number): void;
  emit(event: Event, a: number, b: number, c: number, d: number): void;
}
