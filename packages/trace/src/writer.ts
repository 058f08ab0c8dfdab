import { deflateSync } from "fflate";
import type { Event } from "@faultline/kernel";
import { EventEncoder } from "./codec.js";
import { BlockType, MAGIC, writeHeader } from "./file.js";
import { sha256Digest, type Digest } from "./hash.js";
import type { TraceFinding } from "./finding.js";
import { encodeHead, type TraceEnd, type TraceHead } from "./head.js";
import type { NameKind } from "./names.js";
import type { TraceConsumer } from "./tracer.js";

/** Where a trace is written to, and with what: a platform may have faster ways than the default. */
export interface TraceOutput {
  /** Takes bytes at the end of the file. It must be done with them when it returns. */
  write(bytes: Uint8Array): void;
  /** Raw DEFLATE. */
  deflate?(bytes: Uint8Array): Uint8Array;
  digest?: Digest;
}

/** Writes a .fltrace file, block by block: it holds one block of events and nothing else. */
export class TraceWriter implements TraceConsumer {
  /** Events so far. */
  events = 0;
  private keyframes = 0;
  private readonly encoder: EventEncoder;
  private readonly digest: Digest;

  constructor(
    private readonly output: TraceOutput,
    head: TraceHead,
  ) {
    this.digest = output.digest ?? sha256Digest();
    output.write(MAGIC);
    this.block(BlockType.Head, new TextEncoder().encode(encodeHead(head)), 0, 0, 0);
    this.encoder = new EventEncoder(({ bytes, events, from, to }) => {
      this.digest.update(bytes);
      this.block(BlockType.Events, bytes, events, from, to);
    });
  }

  name(kind: NameKind, id: number, text: string): void {
    this.encoder.name(kind, id, text);
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
    this.events++;
    this.encoder.event(time, executor, task, event, a, b, c, d, e, f, g);
  }

  /** A keyframe of `KeyframeTaker`, at a machine time: what it has is what all events so far have led to. */
  keyframe(bytes: Uint8Array, time: number): void {
    this.keyframes++;
    this.block(BlockType.Keyframe, bytes, this.events, time, time);
  }

  /** Completes the file. `duration` is the machine time in nanoseconds. */
  end(how: TraceEnd["end"], duration: number, finding?: TraceFinding): TraceEnd {
    this.encoder.flush();
    const end: TraceEnd = { end: how, events: this.events, keyframes: this.keyframes, duration: Math.floor(duration), hash: this.digest.hex(), ...(finding === undefined ? {} : { finding }) };
    this.block(BlockType.End, new TextEncoder().encode(JSON.stringify(end)), 0, end.duration, end.duration);
    return end;
  }

  private block(type: BlockType, raw: Uint8Array, events: number, from: number, to: number): void {
    const packed = this.output.deflate?.(raw) ?? deflateSync(raw, { level: 1 });
    const deflated = packed.length < raw.length;
    const payload = deflated ? packed : raw;
    const header = { type, deflated, stored: payload.length, raw: raw.length, events, from, to };
    this.output.write(writeHeader(header, payload));
    this.output.write(payload);
  }
}
