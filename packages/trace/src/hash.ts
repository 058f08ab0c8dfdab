import { sha256 } from "@noble/hashes/sha2.js";
import { bytesToHex } from "@noble/hashes/utils.js";
import type { Event, EventSink, Machine } from "@faultline/kernel";
import { EventEncoder } from "./codec.js";
import { Tracer } from "./tracer.js";

/** SHA-256, a part at a time: `@noble/hashes` here, what the platform has where that is faster. */
export interface Digest {
  update(bytes: Uint8Array): unknown;
  /** Lower-case hexadecimal digits. */
  hex(): string;
}

export function sha256Digest(): Digest {
  const hash = sha256.create();
  return { update: (bytes) => hash.update(bytes), hex: () => bytesToHex(hash.digest()) };
}

/**
 * Hashes all that happens on a machine, and keeps none of it. Its result is the hash that
 * `faultline trace` prints for a recording of the same run: SHA-256 of the events as `EventEncoder`
 * writes them, with their times, places, tasks and names.
 *
 *     const sink = new HashingSink(linux.m);
 *     linux.m.sink = sink;
 *     linux.run();
 *     sink.hash();
 */
export class HashingSink implements EventSink {
  /** Events so far. */
  events = 0;
  private readonly digest: Digest;
  private readonly encoder: EventEncoder;
  private readonly tracer: Tracer;

  constructor(m: Machine, digest = sha256Digest()) {
    this.digest = digest;
    this.encoder = new EventEncoder(({ bytes }) => {
      digest.update(bytes);
    });
    this.tracer = new Tracer(m, this.encoder);
  }

  point(): void {}

  emit(event: Event, a: number, b: number, c: number, d: number, e?: number, f?: number, g?: number): void {
    this.events++;
    this.tracer.emit(event, a, b, c, d, e, f, g);
  }

  /** The hash of everything so far, in hexadecimal. Once only, at the end. */
  hash(): string {
    this.encoder.flush();
    return this.digest.hex();
  }
}
