import { DeviceMirror, Machine, Memmap, type Kernel } from "@faultline/kernel";
import { Hash64, hashOf } from "./hash64.js";

const DEPTH_MAX = 4;
/**
 * The sequence of an address space's invalidations starts here while states are compared, so that
 * a number that comes of it is known for one wherever it turns up.
 */
export const SEQUENCE_BASE = 2 ** 30;
const SEQUENCE_END = SEQUENCE_BASE + 2 ** 24;

function isKernel(value: object): boolean {
  return (value as Partial<Kernel>).m instanceof Machine && "memory" in value;
}

/** Hashes values as a thread can tell them apart: two words, in `lo` and `hi`. */
export class ValueHash extends Hash64 {
  /** A function was among the values that is no kernel function: what it reaches is not known. */
  opaque = false;

  private readonly shapes = new Map<unknown, { readonly shape: Shape; readonly name: number }>();
  /** The kernel that functions are called with: the first argument of nearly every call. */
  private kernel: object | null = null;
  /** Sequence numbers that were among the values. Only whether they are still current matters, not what they are. */
  readonly sequences: number[] = [];

  /** @param known functions that reach nothing but what they are given */
  constructor(private readonly known: WeakSet<object>) {
    super();
  }

  override begin(): void {
    super.begin();
    this.opaque = false;
    if (this.sequences.length > 0) this.sequences.length = 0;
  }

  override number(value: number): void {
    if (value < SEQUENCE_BASE || value >= SEQUENCE_END) return super.number(value);
    this.sequences.push(value);
    this.word(17);
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
    if (value === this.kernel) return;
    const { shape, name } = this.shapeOf(value);
    switch (shape) {
      case Shape.Nothing:
        return;
      case Shape.Numbered:
        this.word(name);
        return this.number((value as Numbered).id);
      case Shape.Locked:
        this.word(name);
        return this.number((value as Locked).lock.id);
      case Shape.Mirror:
        return this.number((value as DeviceMirror).notifier.id);
      case Shape.Words: {
        const words = value as ArrayLike<number>;
        this.word(words.length);
        for (let i = 0; i < words.length; i++) this.number(words[i]!);
        return;
      }
      case Shape.List:
        if (depth < DEPTH_MAX) for (const item of value as Iterable<unknown>) this.value(item, depth + 1);
        return this.word(14);
      case Shape.Contents:
        if (isKernel(value)) {
          this.kernel = value;
          return;
        }
        // An interval notifier, say: no class, and yet with a number.
        if (typeof (value as Numbered).id === "number") return this.number((value as Numbered).id);
        if (depth < DEPTH_MAX) for (const key in value) this.value((value as Record<string, unknown>)[key], depth + 1);
        return this.word(16);
    }
  }

  private shapeOf(value: object): { readonly shape: Shape; readonly name: number } {
    const { constructor } = value;
    let known = this.shapes.get(constructor);
    if (known === undefined) {
      known = { shape: shapeOf(value), name: hashOf(constructor.name) };
      this.shapes.set(constructor, known);
    }
    return known;
  }
}

/** How objects of a class are told apart. */
enum Shape {
  /** There is one, or what is in it is the machine's. */
  Nothing,
  Numbered,
  /** By the number of their lock. */
  Locked,
  Mirror,
  Words,
  List,
  Contents,
}

interface Numbered {
  readonly id: number;
}

interface Locked {
  readonly lock: Numbered;
}

function shapeOf(value: object): Shape {
  if (value instanceof Machine || value instanceof Memmap) return Shape.Nothing;
  if (value instanceof DeviceMirror) return Shape.Mirror;
  if (ArrayBuffer.isView(value)) return Shape.Words;
  if (Array.isArray(value) || value instanceof Set || value instanceof Map) return Shape.List;
  if (value.constructor === Object) return Shape.Contents;
  if (typeof (value as Partial<Numbered>).id === "number") return Shape.Numbered;
  return typeof (value as Partial<Locked>).lock?.id === "number" ? Shape.Locked : Shape.Contents;
}
