/** A running hash of two 32-bit words: a chain of everything it was given, in order. */
export class HashChains {
  readonly lo: Int32Array;
  readonly hi: Int32Array;

  constructor(chains: number) {
    this.lo = new Int32Array(chains);
    this.hi = new Int32Array(chains);
  }

  /** Makes each chain what it is before anything was added. */
  reset(): void {
    for (let i = 0; i < this.lo.length; i++) {
      this.lo[i] = 0x2545f491 ^ i;
      this.hi[i] = 0x4f6cdd1d + i;
    }
  }

  /** Adds an integer to a chain. */
  add(chain: number, value: number): void {
    const a = Math.imul(this.lo[chain]! ^ value, 0x9e3779b1);
    const b = Math.imul((this.hi[chain]! + value) | 0, 0x85ebca6b);
    this.lo[chain] = (a ^ (a >>> 15)) + 0x7f4a7c15;
    this.hi[chain] = (b ^ (b >>> 13)) + 0x165667b1 + (a >>> 7);
  }
}

/** A hash of two 32-bit words of everything it was given, in order. */
export class Hash64 {
  lo = 0;
  hi = 0;

  /** Forgets what it was given. */
  begin(): void {
    this.lo = 0x1b873593;
    this.hi = 0x38b34ae5;
  }

  /** Any number at all. */
  number(value: number): void {
    const low = value | 0;
    this.word(low);
    if (low === value) return;
    this.word(Math.floor(value / 2 ** 32));
    if (!Number.isInteger(value)) this.string(String(value));
  }

  /** A 32-bit integer. */
  word(value: number): void {
    const a = Math.imul(this.lo ^ value, 0x9e3779b1);
    const b = Math.imul((this.hi + value) | 0, 0x85ebca6b);
    this.lo = ((a ^ (a >>> 15)) + 0x7f4a7c15) | 0;
    this.hi = ((b ^ (b >>> 13)) + 0x165667b1 + (a >>> 7)) | 0;
  }

  string(value: string): void {
    this.word(hashOf(value));
  }
}

/** A string as 32 bits. */
export function hashOf(text: string): number {
  let h = text.length;
  for (let i = 0; i < text.length; i++) h = Math.imul(h ^ text.charCodeAt(i), 0x01000193);
  return h;
}

const MIN_SLOTS = 1 << 12;

/**
 * A set of 64-bit hashes, 16 bytes for each at most. It takes equal hashes for equal things: among
 * ten million, one pair of different things has the same hash with a probability of 3 in a million.
 */
export class HashSet {
  size = 0;
  /** Two words a slot; both 0 where it is empty. Of memory that other threads may share, where there is such. */
  words: Int32Array;
  private slots: number;

  /** @param saved what `save` returned */
  constructor(saved: Int32Array = new Int32Array(0)) {
    this.slots = MIN_SLOTS;
    this.words = sharedWords(2 * MIN_SLOTS);
    for (let at = 0; at < saved.length; at += 2) this.add(saved[at]!, saved[at + 1]!);
  }

  /** The set that another thread has, to look into. */
  static of(words: Int32Array): HashSet {
    const set = new HashSet();
    set.words = words;
    set.slots = words.length / 2;
    return set;
  }

  has(lo: number, hi: number): boolean {
    const at = this.find(lo, hi === 0 ? 1 : hi);
    return this.words[at + 1] !== 0;
  }

  /** False when it was there. */
  add(lo: number, hi: number): boolean {
    const second = hi === 0 ? 1 : hi;
    const at = this.find(lo, second);
    if (this.words[at + 1] !== 0) return false;
    this.words[at] = lo;
    this.words[at + 1] = second;
    if (++this.size * 2 > this.slots) this.grow();
    return true;
  }

  /** All hashes, two words each, to be saved. */
  save(): Int32Array {
    const saved = new Int32Array(2 * this.size);
    let n = 0;
    for (let at = 0; at < this.words.length; at += 2) {
      if (this.words[at + 1] === 0) continue;
      saved[n++] = this.words[at]!;
      saved[n++] = this.words[at + 1]!;
    }
    return saved;
  }

  /** Where a hash is, or would go. */
  private find(lo: number, hi: number): number {
    const mask = this.slots - 1;
    let slot = (lo ^ (lo >>> 16)) & mask;
    for (;;) {
      const at = slot * 2;
      const there = this.words[at + 1];
      if (there === 0 || (there === hi && this.words[at] === lo)) return at;
      slot = (slot + 1) & mask;
    }
  }

  private grow(): void {
    const { words } = this;
    this.slots *= 2;
    this.words = sharedWords(2 * this.slots);
    for (let at = 0; at < words.length; at += 2) {
      if (words[at + 1] === 0) continue;
      const to = this.find(words[at]!, words[at + 1]!);
      this.words[to] = words[at]!;
      this.words[to + 1] = words[at + 1]!;
    }
  }
}

function sharedWords(length: number): Int32Array {
  return typeof SharedArrayBuffer === "undefined" ? new Int32Array(length) : new Int32Array(new SharedArrayBuffer(4 * length));
}
