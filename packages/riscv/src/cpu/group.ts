import { CodeCache } from "./code.js";
import type { Hart } from "./hart.js";

/**
 * What the harts of one machine share: the code decoded from its RAM, and the knowledge of each
 * other's LR/SC reservations. Harts run one at a time.
 */
export class HartGroup {
  readonly code: CodeCache;
  readonly harts: Hart[] = [];

  /** @param ramBytes size of the machine's RAM */
  constructor(ramBytes: number) {
    this.code = new CodeCache(Math.ceil(ramBytes / 4096));
  }

  /** To be called when the contents of a frame change other than by a guest's own stores. */
  invalidateCode(frame: number): void {
    this.code.invalidateFrame(frame);
  }

  reservedByOthers(hart: Hart): boolean {
    for (const other of this.harts) if (other !== hart && other.reservation >= 0) return true;
    return false;
  }

  /** A hart stored into this doubleword (physical address / 8): the others' reservations of it end. */
  stored(by: Hart, doubleword: number): void {
    for (const other of this.harts) {
      if (other !== by && other.reservation === doubleword) {
        other.reservation = -1;
        by.refetch = true; // fast stores may be possible again
      }
    }
  }

  /** The kernel, a device or the hart `by` wrote to this frame, or it was moved or freed: the others' reservations inside it end. */
  breakReservations(frame: number, by: Hart | null = null): void {
    for (const hart of this.harts) if (hart !== by && hart.reservation >> 9 === frame) hart.reservation = -1;
  }
}
