import type { Event } from "@faultline/kernel";
import { NAME_KINDS, type NameKind } from "./names.js";
import { EVENTS } from "./schema.js";
import type { TraceConsumer } from "./tracer.js";

/*
 * Events as bytes. A block can be read without those before it, names apart:
 *
 *   event   kind (bit 7: on the same executor, in the same task as the one before),
 *           executor and task unless bit 7 is set, time and arguments as differences
 *   name    0x7f, NameKind, number, length, UTF-8
 *
 * Numbers are varints, seven bits a byte, lowest first; differences are zigzag and to the last
 * event (time) or the last event of the same kind (arguments), 0 ahead of the first of a block.
 * `raw` arguments are doubles, little-endian.
 */

/** Arguments of an event at most. */
export const ARGS_MAX = 7;
const NAME = 0x7f;
const SAME_PLACE = 0x80;
/** A block ends with the event that reaches this many bytes. */
const BLOCK_BYTES = 1 << 16;
/** What one more event or name can take. */
const SLACK = 256;
const NAME_BYTES_MAX = 128;

/** For each event, whether each argument is a double rather than a difference. */
const RAW: readonly (readonly boolean[])[] = EVENTS.map(({ args }) => args.map(([, kind]) => kind === "raw"));

/** How the events of a trace are written: those of another build may have other numbers. */
export interface EventTable {
  /** For each number in the trace, as `RAW`. */
  readonly raw: readonly (readonly boolean[])[];
  /** For each number in the trace, the event that it is here. */
  readonly events: readonly Event[];
}

const OWN_TABLE: EventTable = { raw: RAW, events: EVENTS.map(({ event }) => event) };

/** A block of events that is complete. */
export interface EventBlock {
  readonly bytes: Uint8Array;
  readonly events: number;
  /** Machine time of the first and the last event, in nanoseconds. */
  readonly from: number;
  readonly to: number;
}

/** Turns events into blocks, which `onBlock` must use before it returns: the bytes are reused. */
export class EventEncoder implements TraceConsumer {
  private readonly buffer = new Uint8Array(BLOCK_BYTES + SLACK);
  private readonly view = new DataView(this.buffer.buffer);
  private readonly last = new Float64Array(EVENTS.length * ARGS_MAX);
  private readonly text = new TextEncoder();
  private size = 0;
  private events = 0;
  private from = 0;
  private time = 0;
  private executor = -1;
  private task = -1;

  constructor(private readonly onBlock: (block: EventBlock) => void) {}

  name(kind: NameKind, id: number, text: string): void {
    const bytes = this.text.encode(text).subarray(0, NAME_BYTES_MAX);
    this.buffer[this.size++] = NAME;
    this.buffer[this.size++] = kind;
    this.varint(id);
    this.varint(bytes.length);
    this.buffer.set(bytes, this.size);
    this.size += bytes.length;
    if (this.size >= BLOCK_BYTES) this.flush();
  }

  event(
    time: number,
    executor: number,
    task: number,
    event: Event,
    a: number,
    b: number,
    c: number,
    d: number,
    e: number,
    f: number,
    g: number,
  ): void {
    if (this.events++ === 0) this.from = time;
    if (executor === this.executor && task === this.task) this.buffer[this.size++] = event | SAME_PLACE;
    else {
      this.buffer[this.size++] = event;
      this.varint(executor);
      this.varint(task);
      this.executor = executor;
      this.task = task;
    }
    this.difference(time - this.time);
    this.time = time;
    const raw = RAW[event]!;
    const n = raw.length;
    const base = event * ARGS_MAX;
    if (n > 0) this.argument(raw[0]!, base, a);
    if (n > 1) this.argument(raw[1]!, base + 1, b);
    if (n > 2) this.argument(raw[2]!, base + 2, c);
    if (n > 3) this.argument(raw[3]!, base + 3, d);
    if (n > 4) this.argument(raw[4]!, base + 4, e);
    if (n > 5) this.argument(raw[5]!, base + 5, f);
    if (n > 6) this.argument(raw[6]!, base + 6, g);
    if (this.size >= BLOCK_BYTES) this.flush();
  }

  /** Ends the block that has been begun, if any. */
  flush(): void {
    if (this.size === 0) return;
    this.onBlock({ bytes: this.buffer.subarray(0, this.size), events: this.events, from: this.from, to: this.time });
    this.size = this.events = this.time = 0;
    this.executor = this.task = -1;
    this.last.fill(0);
  }

  private argument(raw: boolean, index: number, value: number): void {
    if (raw) {
      this.view.setFloat64(this.size, value, true);
      this.size += 8;
      return;
    }
    this.difference(value - this.last[index]!);
    this.last[index] = value;
  }

  private difference(value: number): void {
    this.varint(value < 0 ? -2 * value - 1 : 2 * value);
  }

  private varint(value: number): void {
    const { buffer } = this;
    if (value >= 0x8000_0000) {
      if (!Number.isSafeInteger(value)) throw new RangeError(`an event has an argument that is no whole number, or too large: ${value}`);
      do {
        buffer[this.size++] = (value % 128) | 128;
        value = Math.floor(value / 128);
      } while (value >= 0x8000_0000);
    }
    while (value >= 128) {
      buffer[this.size++] = (value & 127) | 128;
      value >>>= 7;
    }
    buffer[this.size++] = value;
  }
}

/** What is wrong with a block, in a few words. */
export class DamageError extends Error {
  override readonly name = "DamageError";
}

/**
 * Reads one block; of its events, counted from 0, those in [from, to) only, and nothing behind them.
 * Returns how many events it has read, those ahead of `from` among them.
 * @throws DamageError for bytes that no encoder has written; what came before has been consumed
 */
export function decodeBlock(bytes: Uint8Array, consumer: TraceConsumer, table = OWN_TABLE, from = 0, to = Infinity): number {
  return new BlockDecoder(bytes, consumer, table).run(from, to);
}

class BlockDecoder {
  private readonly view: DataView;
  private readonly last: Float64Array;
  private readonly args = new Float64Array(ARGS_MAX);
  private at = 0;
  private time = 0;
  private executor = -1;
  private task = -1;

  constructor(
    private readonly bytes: Uint8Array,
    private readonly consumer: TraceConsumer,
    private readonly table: EventTable,
  ) {
    this.last = new Float64Array(table.raw.length * ARGS_MAX);
    this.view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  }

  run(from: number, to: number): number {
    let number = 0;
    while (this.at < this.bytes.length && number < to) {
      const head = this.bytes[this.at++]!;
      if (head === NAME) this.name();
      else this.event(head, number++ >= from);
    }
    return number;
  }

  private name(): void {
    const kind = this.varint();
    const id = this.varint();
    const length = this.varint();
    if (kind >= NAME_KINDS || length > NAME_BYTES_MAX || this.at + length > this.bytes.length) throw new DamageError("a name that is none");
    const text = new TextDecoder().decode(this.bytes.subarray(this.at, this.at + length));
    this.at += length;
    this.consumer.name(kind, id, text);
  }

  private event(head: number, wanted: boolean): void {
    const event = head & ~SAME_PLACE;
    const raw = this.table.raw[event];
    if (raw === undefined) throw new DamageError(`an event of unknown kind ${event}`);
    if ((head & SAME_PLACE) === 0) {
      this.executor = this.varint();
      this.task = this.varint();
    } else if (this.executor < 0) throw new DamageError("an event without a place");
    this.time += this.difference();
    const { args, last } = this;
    for (let i = 0; i < ARGS_MAX; i++) {
      if (i >= raw.length) args[i] = 0;
      else if (raw[i]!) {
        if (this.at + 8 > this.bytes.length) throw new DamageError("the block ends within an event");
        args[i] = this.view.getFloat64(this.at, true);
        this.at += 8;
      } else args[i] = last[event * ARGS_MAX + i]! += this.difference();
    }
    if (this.time < 0) throw new DamageError("a time ahead of the machine's");
    if (wanted) this.consumer.event(this.time, this.executor, this.task, this.table.events[event]!, args[0]!, args[1]!, args[2]!, args[3]!, args[4]!, args[5]!, args[6]!);
  }

  private difference(): number {
    const z = this.varint();
    return z % 2 === 0 ? z / 2 : -(z + 1) / 2;
  }

  private varint(): number {
    // Behind the end there is undefined, which is not less than anything.
    const byte = this.bytes[this.at++]!;
    return byte < 128 ? byte : this.longVarint(byte);
  }

  private longVarint(byte: number): number {
    let value = 0;
    let scale = 1;
    for (;;) {
      if (this.at > this.bytes.length) throw new DamageError("the block ends within a number");
      value += (byte & 127) * scale;
      if (byte < 128) return value;
      scale *= 128;
      if (scale > 2 ** 49) throw new DamageError("a number that is too long");
      byte = this.bytes[this.at++]!;
    }
  }
}
