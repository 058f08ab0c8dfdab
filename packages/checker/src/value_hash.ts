import { Machine, Memmap, type Kernel } from "@faultline/kernel";

const DEPTH_MAX = 4;
/**
 * The sequence of an address space's invalidations starts here while states are compared, so that
 * a number that comes of it is known for one wherever it turns up.
 */
export const SEQUENCE_BASE = 2 ** 30;
const SEQUENCE_END = SEQUENCE_BASE + 2 ** 24;

/** What is known by its lock. */
interface Locked {
  readonly lock?: { readonly id?: unknown };
}

function isKernel(value: object): boolean {
  return (value as Partial<Kernel>).m instanceof Machine && "memory" in value;
}

/** Hashes values as a thread can tell them apart: two words, in `lo` and `hi`. */
export class ValueHash {
  lo = 0;
  hi = 0;
  /** A function was among the values that is no kernel function: what it reaches is not known. */
  opaque = false;

  /** Sequence numbers that were among the values. Only whether they are still current matters, not what they are. */
  readonly sequences: number[] = [];

  /** @param known functions that reach nothing but what they are given */
  constructor(private readonly known: WeakSet<object>) {}

  begin(): void {
    this.lo = 0x1b873593;
    this.hi = 0x38b34ae5;
    this.opaque = false;
    this.sequences.length = 0;
  }

  number(value: number): void {
    if (value >= SEQUENCE_BASE && value < SEQUENCE_END) {
      this.sequences.push(value);
      return this.word(17);
    }
    const low = value | 0;
    this.word(low);
    if (low === value) return;
    this.word(Math.floor(value / 2 ** 32));
    if (!Number.isInteger(value)) this.string(String(value));
  }

  word(value: number): void {
    const a = Math.imul(this.lo ^ value, 0x9e3779b1);
    const b = Math.imul((this.hi + value) | 0, 0x85ebca6b);
    this.lo = ((a ^ (a >>> 15)) + 0x7f4a7c15) | 0;
    this.hi = ((b ^ (b >>> 13)) + 0x165667b1 + (a >>> 7)) | 0;
  }

  string(value: string): void {
    let h = value.length;
    for (let i = 0; i < value.length; i++) h = Math.imul(h ^ value.charCodeAt(i), 0x01000193);
    this.word(h);
  }

  /**
   * Anything that a kernel function is called with or returns. What has a number of its own (an
   * address space, a lock) is that number: its state is the machine's. All else is its contents.
   */
  value(value: unknown, depth = 0): void {
    switch (typeof value) {
      case "number":
        return this.number(value);
      case "boolean":
        return this.word(value ? 11 : 12);
      case "string":
        return this.string(value);
      case "bigint":
        return this.string(value.toString());
      case "function":
        this.string(value.name);
        if (!this.known.has(value)) this.opaque = true;
        return;
      case "object":
        if (value !== null) return this.object(value, depth);
        break;
      default:
    }
    this.word(13);
  }

  private object(value: object, depth: number): void {
    if (value instanceof Machine || value instanceof Memmap || isKernel(value)) return;
    const { id = (value as Locked).lock?.id } = value as { readonly id?: unknown };
    if (typeof id === "number") {
      this.string(value.constructor.name);
      return this.number(id);
    }
    if (depth >= DEPTH_MAX) return;
    if (ArrayBuffer.isView(value)) {
      const words = value as unknown as ArrayLike<number>;
      this.word(words.length);
      for (let i = 0; i < words.length; i++) this.number(words[i]!);
    } else if (Array.isArray(value) || value instanceof Set) {
      for (const item of value as Iterable<unknown>) this.value(item, depth + 1);
      this.word(14);
    } else if (value instanceof Map) {
      for (const [key, item] of value as Map<unknown, unknown>) {
        this.value(key, depth + 1);
        this.value(item, depth + 1);
      }
      this.word(15);
    } else {
      for (const key in value) this.value((value as Record<string, unknown>)[key], depth + 1);
      this.word(16);
    }
  }
}
