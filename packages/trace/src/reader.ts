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

/** A trace that was read: whole, or as far as its run got. */
export class Trace {
  constructor(
    private readonly bytes: Uint8Array,
    readonly head: TraceHead,
    private readonly table: EventTable,
    private readonly blocks: readonly Block[],
    /** How the run ended; null when it was cut off. */
    readonly end: TraceEnd | null,
  ) {}

  /** Events that can be read. */
  get events(): number {
    return this.blocks.reduce((sum, block) => sum + (block.type === BlockType.Events ? block.events : 0), 0);
  }

  /** Machine time up to which it can be read, in nanoseconds. */
  get duration(): number {
    return this.end?.duration ?? this.blocks.at(-1)?.to ?? 0;
  }

  get keyframes(): readonly KeyframeInfo[] {
    return this.ofType(BlockType.Keyframe).map(({ events, to }) => ({ events, time: to }));
  }

  /**
   * Gives everything to the consumer, in order. Null, or what is wrong with the events: then the
   * consumer has got those ahead of that. `progress` is told how far it is, from 0 to 1.
   */
  replay(consumer: TraceConsumer, progress: (done: number) => void = () => {}): string | null {
    return this.guarded((): null => {
      const blocks = this.ofType(BlockType.Events);
      for (const [i, block] of blocks.entries()) {
        progress(i / blocks.length);
        decodeBlock(inflate(this.bytes, block), consumer, this.table);
      }
      return null;
    });
  }

  /**
   * Gives the events with numbers in [from, to) to the consumer, and names as they come. Blocks are
   * read as a whole: the fewer events, the less that costs. Null, or what is wrong with them.
   */
  replayRange(from: number, to: number, consumer: TraceConsumer): string | null {
    return this.guarded((): null => {
      let at = 0;
      for (const block of this.ofType(BlockType.Events)) {
        const first = at;
        at += block.events;
        if (at <= from) continue;
        if (first >= to) break;
        let number = first;
        const wanted: TraceConsumer = {
          name: (kind, id, text) => consumer.name(kind, id, text),
          event: (...args) => {
            if (number >= from && number < to) consumer.event(...args);
            number++;
          },
        };
        decodeBlock(inflate(this.bytes, block), wanted, this.table);
        if (number !== at) throw new DamageError("a block has other events than it says");
      }
      return null;
    });
  }

  /** The hash of its events, computed anew; or what is wrong with them. */
  hash(digest: Digest = sha256Digest()): { readonly hash: string } | string {
    return this.guarded(() => {
      for (const block of this.ofType(BlockType.Events)) digest.update(inflate(this.bytes, block));
      return { hash: digest.hex() };
    });
  }

  /** The state at a keyframe, counted from 0; or what is wrong with it. */
  keyframe(index: number): Keyframe | string {
    return this.guarded(() => {
      const blocks = this.ofType(BlockType.Keyframe);
      if (index >= blocks.length) return `there is no keyframe ${index}`;
      let state: Keyframe | null = null;
      const first = index - (index % FULL_EVERY);
      for (const block of blocks.slice(first, index + 1)) state = applyKeyframe(state, inflate(this.bytes, block));
      return state!;
    });
  }

  private ofType(type: BlockType): Block[] {
    return this.blocks.filter((block) => block.type === type);
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
