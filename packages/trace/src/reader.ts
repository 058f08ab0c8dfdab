import { inflateSync } from "fflate";
import { DamageError, decodeBlock, type EventTable } from "./codec.js";
import { BlockType, checked, HEADER_BYTES, MAGIC, readHeader, type BlockHeader } from "./file.js";
import { sha256Digest, type Digest } from "./hash.js";
import { decodeEnd, decodeHead, type TraceEnd, type TraceHead } from "./head.js";
import { applyKeyframe, FULL_EVERY, type Keyframe } from "./keyframe.js";
import type { TraceConsumer } from "./tracer.js";

/** A block whose bytes are as they were written. */
interface Block extends BlockHeader {
  /** Where its payload begins. */
  readonly at: number;
}

/** Where a keyframe stands in its trace. */
export interface KeyframeInfo {
  /** Events ahead of it. */
  readonly events: number;
  /** Machine time, in nanoseconds. */
  readonly time: number;
}

/** Inflated blocks of keyframes that are kept, in bytes: those of a seek, and of the one before. */
const KEPT_BYTES = 96 << 20;
/** And of events: a search through all of them does not drive out the keyframes. */
const KEPT_EVENT_BYTES = 8 << 20;
/** Keyframes that are kept ready: the one at a step, the one behind it, and those between which one goes to and fro. */
const KEPT_KEYFRAMES = 6;

/** A trace that was read: whole, or as far as its run got. */
export class Trace {
  /** Events that can be read. */
  readonly events: number;
  readonly keyframes: readonly KeyframeInfo[];
  private readonly eventBlocks: readonly Block[];
  private readonly keyframeBlocks: readonly Block[];
  /** Events ahead of each block of them. */
  private readonly firsts: readonly number[];
  private readonly inflated = new Kept<Block, Uint8Array>(KEPT_BYTES, (bytes) => bytes.length);
  private readonly inflatedEvents = new Kept<Block, Uint8Array>(KEPT_EVENT_BYTES, (bytes) => bytes.length);
  private readonly states = new Kept<number, Keyframe>(KEPT_KEYFRAMES, () => 1);

  constructor(
    private readonly bytes: Uint8Array,
    readonly head: TraceHead,
    private readonly table: EventTable,
    private readonly blocks: readonly Block[],
    /** How the run ended; null when it was cut off. */
    readonly end: TraceEnd | null,
  ) {
    this.eventBlocks = blocks.filter(({ type }) => type === BlockType.Events);
    this.keyframeBlocks = blocks.filter(({ type }) => type === BlockType.Keyframe);
    this.keyframes = this.keyframeBlocks.map(({ events, to }) => ({ events, time: to }));
    const firsts: number[] = [];
    let at = 0;
    for (const { events } of this.eventBlocks) {
      firsts.push(at);
      at += events;
    }
    this.firsts = firsts;
    this.events = at;
  }

  /** Machine time up to which it can be read, in nanoseconds. */
  get duration(): number {
    return this.end?.duration ?? this.blocks.at(-1)?.to ?? 0;
  }

  /**
   * Gives everything to the consumer, in order, and computes the hash where a digest is given. Null, or
   * what is wrong with the events: then the consumer has got those ahead of that. `progress` is told
   * how far it is, from 0 to 1.
   */
  replay(consumer: TraceConsumer, progress: (done: number) => void = () => {}, digest?: Digest): string | null {
    return this.guarded((): null => {
      for (const [i, block] of this.eventBlocks.entries()) {
        progress(i / this.eventBlocks.length);
        const raw = inflate(this.bytes, block);
        digest?.update(raw);
        decodeBlock(raw, consumer, this.table);
      }
      return null;
    });
  }

  /**
   * Gives the events with numbers in [from, to) to the consumer, and names as they come. Blocks are
   * read from their beginning: the fewer events, the less that costs. Null, or what is wrong with them.
   */
  replayRange(from: number, to: number, consumer: TraceConsumer): string | null {
    return this.guarded((): null => {
      for (let i = this.blockOf(from); i < this.eventBlocks.length && this.firsts[i]! < to; i++) {
        const block = this.eventBlocks[i]!;
        const first = this.firsts[i]!;
        if (first + block.events <= from) continue;
        const read = decodeBlock(this.raw(block), consumer, this.table, from - first, to - first);
        if (read < Math.min(block.events, to - first) || (to - first > block.events && read !== block.events)) throw new DamageError("a block has other events than it says");
      }
      return null;
    });
  }

  /** The hash of its events, computed anew; or what is wrong with them. */
  hash(digest: Digest = sha256Digest()): { readonly hash: string } | string {
    return this.guarded(() => {
      for (const block of this.eventBlocks) digest.update(inflate(this.bytes, block));
      return { hash: digest.hex() };
    });
  }

  /** The state at a keyframe, counted from 0; or what is wrong with it. */
  keyframe(index: number): Keyframe | string {
    return this.guarded(() => {
      if (!(index >= 0 && index < this.keyframeBlocks.length)) return `there is no keyframe ${index}`;
      const group = index - (index % FULL_EVERY);
      let at = index;
      while (at > group && !this.states.has(at)) at--;
      let state = this.states.get(at) ?? null;
      if (state === null) state = applyKeyframe(null, this.raw(this.keyframeBlocks[at]!));
      while (at < index) state = applyKeyframe(state, this.raw(this.keyframeBlocks[++at]!));
      this.states.set(index, state);
      return state;
    });
  }

  /**
   * Has the platform inflate what `keyframe(index)` will need, which is several times as fast as our own;
   * then `keyframe` finds it. Whatever is wrong is for `keyframe` to report.
   */
  async prepare(index: number): Promise<void> {
    if (typeof DecompressionStream === "undefined") return;
    const needed: Block[] = [];
    for (let at = Math.min(index, this.keyframeBlocks.length - 1); at >= 0 && !this.states.has(at); at--) {
      const block = this.keyframeBlocks[at]!;
      if (block.deflated && block.raw >= NATIVE_BYTES && !this.inflated.has(block)) needed.push(block);
      if (at % FULL_EVERY === 0) break;
    }
    await Promise.all(
      needed.map(async (block) => {
        const raw = await inflateNatively(this.bytes, block);
        if (raw !== null) this.inflated.set(block, raw);
      }),
    );
  }

  /** The block of events that has an event, or the last. */
  private blockOf(event: number): number {
    let low = 0;
    let high = this.firsts.length - 1;
    while (low < high) {
      const middle = (low + high + 1) >> 1;
      if (this.firsts[middle]! <= event) low = middle;
      else high = middle - 1;
    }
    return Math.max(0, low);
  }

  /** What a block has, kept for the next who asks. */
  private raw(block: Block): Uint8Array {
    const kept = block.type === BlockType.Events ? this.inflatedEvents : this.inflated;
    let raw = kept.get(block);
    if (raw === undefined) kept.set(block, (raw = inflate(this.bytes, block)));
    return raw;
  }

  private guarded<T>(read: () => T): T | string {
    try {
      return read();
    } catch (error) {
      if (error instanceof DamageError) return error.message;
      throw error;
    }
  }
}

/** What was used last, up to a size. */
class Kept<K, V> {
  private readonly values = new Map<K, V>();
  private size = 0;

  constructor(
    private readonly max: number,
    private readonly sizeOf: (value: V) => number,
  ) {}

  has(key: K): boolean {
    return this.values.has(key);
  }

  get(key: K): V | undefined {
    const value = this.values.get(key);
    if (value === undefined) return undefined;
    this.values.delete(key);
    this.values.set(key, value);
    return value;
  }

  set(key: K, value: V): void {
    const old = this.values.get(key);
    if (old !== undefined) this.size -= this.sizeOf(old);
    this.values.delete(key);
    this.values.set(key, value);
    this.size += this.sizeOf(value);
    for (const [oldest, one] of this.values) {
      if (this.size <= this.max || oldest === key) break;
      this.values.delete(oldest);
      this.size -= this.sizeOf(one);
    }
  }
}

/** Below this, a block is inflated sooner than a stream is set up. */
const NATIVE_BYTES = 1 << 18;

/** Null where it does not inflate to what it says. */
async function inflateNatively(bytes: Uint8Array, block: Block): Promise<Uint8Array | null> {
  const raw = new Uint8Array(block.raw);
  let at = 0;
  try {
    const stream = new DecompressionStream("deflate-raw");
    const writer = stream.writable.getWriter();
    const stored = new Uint8Array(bytes.subarray(block.at, block.at + block.stored));
    // Its failure is that of the reader.
    void writer.write(stored).catch(() => {});
    void writer.close().catch(() => {});
    const reader = stream.readable.getReader() as ReadableStreamDefaultReader<Uint8Array>;
    for (;;) {
      const { done, value } = await reader.read();
      if (done) break;
      // A damaged one could go on for as long as it likes.
      if (at + value.length > raw.length) {
        await reader.cancel();
        return null;
      }
      raw.set(value, at);
      at += value.length;
    }
  } catch {
    return null;
  }
  return at === raw.length ? raw : null;
}

function inflate(bytes: Uint8Array, block: Block): Uint8Array {
  const stored = bytes.subarray(block.at, block.at + block.stored);
  if (!block.deflated) return stored;
  let raw: Uint8Array;
  try {
    raw = inflateSync(stored, { out: new Uint8Array(block.raw) });
  } catch {
    throw new DamageError("a block does not inflate");
  }
  if (raw.length !== block.raw) throw new DamageError("a block inflates to another size");
  return raw;
}

/**
 * Reads a .fltrace file. A string says in a few words what is wrong with it. One whose run was cut
 * off is read up to its last complete block: then `end` is null.
 */
export function readTrace(bytes: Uint8Array): Trace | string {
  const foreign = bytes.length === 0 || bytes.subarray(0, MAGIC.length).some((byte, i) => byte !== MAGIC[i]);
  if (foreign) return bytes.length === 0 ? "it is empty" : "it is no trace of Faultline";
  const blocks: Block[] = [];
  let at = MAGIC.length;
  let ended = false;
  while (at + HEADER_BYTES <= bytes.length) {
    if (ended) return `it goes on after its end, at byte ${at}`;
    const header = readHeader(bytes, at);
    if (header === null) return `it is damaged at byte ${at}`;
    if (at + HEADER_BYTES + header.stored > bytes.length) break;
    if (!checked(bytes, at, header.stored)) return `it is damaged between bytes ${at} and ${at + HEADER_BYTES + header.stored}`;
    if ((header.type === BlockType.Head) !== (blocks.length === 0)) return `it is damaged at byte ${at}: a block in the wrong place`;
    blocks.push({ ...header, at: at + HEADER_BYTES });
    at += HEADER_BYTES + header.stored;
    ended = header.type === BlockType.End;
  }
  if (ended && at < bytes.length) return `it goes on after its end, at byte ${at}`;
  const first = blocks[0];
  if (first === undefined) return "it ends before it says what ran";
  try {
    const text = (block: Block): string => new TextDecoder().decode(inflate(bytes, block));
    const head = decodeHead(text(first));
    if (typeof head === "string") return head;
    const end = ended ? decodeEnd(text(blocks.at(-1)!)) : null;
    if (ended && end === null) return "its end is damaged";
    return new Trace(bytes, head.head, head.table, blocks, end);
  } catch (error) {
    if (error instanceof DamageError) return error.message;
    throw error;
  }
}
