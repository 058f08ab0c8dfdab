/**
 * The translation cache of one CPU: direct mapped, one tag array for each kind of access, so that
 * the interpreter's hit test is one load and one compare. A hit never looks at the page table
 * again, exactly as in hardware: a translation stays usable until it is flushed.
 */
export class Tlb {
  /** Power of two; slot = vpn & (entries - 1). */
  readonly entries: number;
  /** Virtual page number cached for loads in this slot, or -1. Likewise for stores and fetches. */
  readonly readTag: Int32Array;
  readonly writeTag: Int32Array;
  readonly execTag: Int32Array;
  /** RAM frame number (byte address / 4096) that the slot translates to. */
  readonly frame: Int32Array;

  constructor(entries: number) {
    this.entries = entries;
    this.readTag = new Int32Array(entries).fill(-1);
    this.writeTag = new Int32Array(entries).fill(-1);
    this.execTag = new Int32Array(entries).fill(-1);
    this.frame = new Int32Array(entries);
  }

  /** Caches a translation for the permitted kinds of access; the others miss. */
  fill(vpn: number, frame: number, read: boolean, write: boolean, exec: boolean): void {
    const slot = vpn & (this.entries - 1);
    this.readTag[slot] = read ? vpn : -1;
    this.writeTag[slot] = write ? vpn : -1;
    this.execTag[slot] = exec ? vpn : -1;
    this.frame[slot] = frame;
  }

  flushPage(vpn: number): void {
    const slot = vpn & (this.entries - 1);
    if (this.readTag[slot] === vpn) this.readTag[slot] = -1;
    if (this.writeTag[slot] === vpn) this.writeTag[slot] = -1;
    if (this.execTag[slot] === vpn) this.execTag[slot] = -1;
  }

  /** Flushes [start, end), in virtual page numbers. */
  flushRange(start: number, end: number): void {
    if (end - start >= this.entries) this.flushAll();
    else for (let vpn = start; vpn < end; vpn++) this.flushPage(vpn);
  }

  flushAll(): void {
    this.readTag.fill(-1);
    this.writeTag.fill(-1);
    this.execTag.fill(-1);
  }
}
