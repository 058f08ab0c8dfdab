/** What a device's page table has for a page. */
export interface DevicePage {
  readonly page: number;
  readonly write: boolean;
  readonly atomic: boolean;
}

/** Pages that a part of the table is for: those of one of the CPUs' last tables. */
const CHUNK = 512;
const WRITE = 1;
const ATOMIC = 2;

/** A part: words as keyframes have them, and one more: 0 is none. */
interface Chunk {
  readonly words: Uint32Array;
  filled: number;
  /** Grows with each change. */
  version: number;
}

/** Translations of a device by virtual page number. It is written to by who puts events on top of a keyframe, and nobody else. */
export class DeviceTable implements Iterable<[number, DevicePage]> {
  private readonly chunks = new Map<number, Chunk>();
  private filled = 0;

  /** @param words pairs of virtual page number and word, as a keyframe has them */
  constructor(words: Uint32Array) {
    for (let i = 0; i + 1 < words.length; i += 2) this.put(words[i]!, (words[i + 1]! + 1) >>> 0);
  }

  get size(): number {
    return this.filled;
  }

  get(vpn: number): DevicePage | undefined {
    return pageOf(this.word(vpn));
  }

  has(vpn: number): boolean {
    return this.word(vpn) !== 0;
  }

  *[Symbol.iterator](): MapIterator<[number, DevicePage]> {
    for (const [index, { words }] of this.chunks) {
      for (let i = 0; i < CHUNK; i++) if (words[i] !== 0) yield [index * CHUNK + i, pageOf(words[i]!)!];
    }
  }

  /** How often what is there for the 2 MiB around a page has changed; -1 where nothing has ever been. */
  version(vpn: number): number {
    return this.chunks.get(Math.floor(vpn / CHUNK))?.version ?? -1;
  }

  /** Whether it has anything for the 2 MiB around a page. */
  hasAny(vpn: number): boolean {
    return (this.chunks.get(Math.floor(vpn / CHUNK))?.filled ?? 0) > 0;
  }

  /** 0: none. */
  word(vpn: number): number {
    return this.chunks.get(Math.floor(vpn / CHUNK))?.words[vpn % CHUNK] ?? 0;
  }

  put(vpn: number, word: number): void {
    const index = Math.floor(vpn / CHUNK);
    let chunk = this.chunks.get(index);
    if (chunk === undefined) {
      if (word === 0) return;
      this.chunks.set(index, (chunk = { words: new Uint32Array(CHUNK), filled: 0, version: 0 }));
    }
    const at = vpn % CHUNK;
    const change = (word === 0 ? 0 : 1) - (chunk.words[at] === 0 ? 0 : 1);
    chunk.filled += change;
    this.filled += change;
    chunk.words[at] = word;
    chunk.version++;
  }

  /** Pages in [start, end) that have a translation. */
  *within(start: number, end: number): Generator<number> {
    for (const [index, { words, filled }] of this.chunks) {
      const first = index * CHUNK;
      if (filled === 0 || first >= end || first + CHUNK <= start) continue;
      for (let vpn = Math.max(first, start); vpn < Math.min(first + CHUNK, end); vpn++) if (words[vpn - first] !== 0) yield vpn;
    }
  }
}

/** A word as `DeviceTable.put` takes it. */
export function wordOf(page: number, access: number): number {
  return (page * 4 + (access & (WRITE | ATOMIC)) + 1) >>> 0;
}

function pageOf(word: number): DevicePage | undefined {
  if (word === 0) return undefined;
  const entry = word - 1;
  return { page: entry >>> 2, write: (entry & WRITE) !== 0, atomic: (entry & ATOMIC) !== 0 };
}
