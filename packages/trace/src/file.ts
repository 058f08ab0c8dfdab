import { sha256 } from "@noble/hashes/sha2.js";

/*
 * A .fltrace file: eight bytes of magic, then blocks, each by itself:
 *
 *   type     1   BlockType
 *   flags    1   1: the payload is deflated
 *            2   zero
 *   stored   4   bytes of the payload as it stands here
 *   raw      4   bytes of it once inflated
 *   check    4   first bytes of the SHA-256 of the other fields and the stored payload
 *   events   4   events: in the block; keyframe: ahead of it in the trace
 *   from     8   machine time of the first event, or of the keyframe, in nanoseconds
 *   to       8   and of the last event
 *
 * Numbers are little-endian. A file that ends within a block, or without an End, is what a run
 * that was killed has left: all blocks ahead of that are good.
 */

export const MAGIC = new TextEncoder().encode("FLTRACE\n");
export const HEADER_BYTES = 36;
const DEFLATED = 1;
/** No block is larger, inflated: a keyframe of a machine of 4 GiB stays well below. */
const RAW_BYTES_MAX = 1 << 28;

export enum BlockType {
  /** JSON: what ran, and the table of events. The first block. */
  Head = 1,
  /** See codec.ts. */
  Events = 2,
  /** See keyframe.ts. */
  Keyframe = 3,
  /** JSON: how it ended. The last block. */
  End = 4,
}

export interface BlockHeader {
  readonly type: BlockType;
  readonly deflated: boolean;
  readonly stored: number;
  readonly raw: number;
  readonly events: number;
  readonly from: number;
  readonly to: number;
}

export function writeHeader(header: BlockHeader, payload: Uint8Array): Uint8Array {
  const bytes = new Uint8Array(HEADER_BYTES);
  const view = new DataView(bytes.buffer);
  view.setUint8(0, header.type);
  view.setUint8(1, header.deflated ? DEFLATED : 0);
  view.setUint32(4, header.stored, true);
  view.setUint32(8, header.raw, true);
  view.setUint32(16, header.events, true);
  view.setFloat64(20, header.from, true);
  view.setFloat64(28, header.to, true);
  bytes.set(checkOf(bytes, payload), 12);
  return bytes;
}

/** The header at an offset; null where there is not enough for one, or it is none. */
export function readHeader(bytes: Uint8Array, at: number): BlockHeader | null {
  if (at + HEADER_BYTES > bytes.length) return null;
  const view = new DataView(bytes.buffer, bytes.byteOffset + at, HEADER_BYTES);
  const type = view.getUint8(0);
  const flags = view.getUint8(1);
  const stored = view.getUint32(4, true);
  const raw = view.getUint32(8, true);
  if (type < BlockType.Head || type > BlockType.End || (flags & ~DEFLATED) !== 0 || view.getUint16(2) !== 0) return null;
  if (raw > RAW_BYTES_MAX || stored > RAW_BYTES_MAX || (flags === 0 && raw !== stored)) return null;
  const [from, to] = [view.getFloat64(20, true), view.getFloat64(28, true)];
  if (!Number.isSafeInteger(from) || !Number.isSafeInteger(to)) return null;
  return { type, deflated: flags === DEFLATED, stored, raw, events: view.getUint32(16, true), from, to };
}

/** Whether a block is as it was written. */
export function checked(bytes: Uint8Array, at: number, stored: number): boolean {
  // Not slice(): a Buffer's would share its memory.
  const header = new Uint8Array(bytes.subarray(at, at + HEADER_BYTES));
  const check = checkOf(header, bytes.subarray(at + HEADER_BYTES, at + HEADER_BYTES + stored));
  return check.every((byte, i) => byte === bytes[at + 12 + i]);
}

function checkOf(header: Uint8Array, payload: Uint8Array): Uint8Array {
  header.fill(0, 12, 16);
  return sha256.create().update(header).update(payload).digest().subarray(0, 4);
}
