import { NO_PAGE } from "./page.js";

/** A zone is passed over 2^6 times at most after compacting it has failed. */
const DEFER_SHIFT_MAX = 6;

/** Where compaction of a zone stands, from one time to the next. The zone's lock guards it. */
export class CompactScanners {
  /** The pageblock that the migrate scanner comes to next, upwards, and the free scanner, downwards; NO_PAGE: from the ends. */
  migrate = NO_PAGE;
  free = NO_PAGE;
  /* After a failure the zone is passed over for a while, for orders not below the one that failed. */
  considered = 0;
  deferShift = 0;
  failedOrder = 0;

  /** Whether compaction for an order is put off this time. */
  isDeferred(order: number): boolean {
    if (order < this.failedOrder) return false;
    if (++this.considered < 1 << this.deferShift) return true;
    this.considered = 1 << this.deferShift;
    return false;
  }

  defer(order: number): void {
    this.considered = 0;
    this.deferShift = Math.min(DEFER_SHIFT_MAX, this.deferShift + 1);
    if (this.failedOrder === 0 || order < this.failedOrder) this.failedOrder = order;
  }

  succeeded(order: number): void {
    this.considered = this.deferShift = 0;
    if (order >= this.failedOrder) this.failedOrder = order + 1;
  }
}
