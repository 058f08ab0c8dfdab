/** Bytes of a part of a table. */
export const PART = 4096;

/** A table as parts, many of which other keyframes have as well; a part that is absent is zero. */
export class PartedTable {
  private whole: Uint8Array | null = null;

  private constructor(
    private readonly size: number,
    private readonly parts: (Uint8Array | undefined)[],
  ) {}

  /** The same with another size: cut off, or zero behind. Null is no table yet. */
  static resized(before: PartedTable | null, size: number): PartedTable {
    const parts = before?.parts.slice(0, Math.ceil(size / PART)) ?? [];
    const last = Math.ceil(size / PART) - 1;
    // What was cut off does not come back with the next that is larger.
    if (parts[last] !== undefined) parts[last] = parts[last].subarray(0, PartedTable.lengthOf(size, last));
    return new PartedTable(size, parts);
  }

  /** Bytes that a part has. */
  static lengthOf(size: number, index: number): number {
    return Math.min(PART, size - index * PART);
  }

  /** For who makes it, ahead of anybody who reads it. */
  set(index: number, part: Uint8Array): void {
    this.parts[index] = part;
  }

  /** In one piece, which is kept. */
  bytes(): Uint8Array {
    if (this.whole !== null) return this.whole;
    const whole = new Uint8Array(this.size);
    for (let i = 0; i < this.parts.length; i++) {
      const part = this.parts[i];
      if (part !== undefined) whole.set(part, i * PART);
    }
    return (this.whole = whole);
  }
}

/** Tables by name. One becomes a piece of memory when it is asked for, not before: a viewer needs few of those that it passes by. */
export class PartedTables implements ReadonlyMap<string, Uint8Array> {
  constructor(private readonly parted: ReadonlyMap<string, PartedTable>) {}

  get size(): number {
    return this.parted.size;
  }

  get(name: string): Uint8Array | undefined {
    return this.parted.get(name)?.bytes();
  }

  has(name: string): boolean {
    return this.parted.has(name);
  }

  /** As parts, for the keyframe behind. */
  part(name: string): PartedTable | null {
    return this.parted.get(name) ?? null;
  }

  forEach(look: (bytes: Uint8Array, name: string, map: ReadonlyMap<string, Uint8Array>) => void): void {
    for (const [name, bytes] of this) look(bytes, name, this);
  }

  keys(): MapIterator<string> {
    return this.parted.keys();
  }

  *values(): MapIterator<Uint8Array> {
    for (const table of this.parted.values()) yield table.bytes();
  }

  *entries(): MapIterator<[string, Uint8Array]> {
    for (const [name, table] of this.parted) yield [name, table.bytes()];
  }

  [Symbol.iterator](): MapIterator<[string, Uint8Array]> {
    return this.entries();
  }
}
