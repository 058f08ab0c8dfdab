/** Upper 32 bits of the 64-bit product of two unsigned 32-bit integers, as an int32. */
export function mulhu32(a: number, b: number): number {
  const a0 = a & 0xffff;
  const a1 = a >>> 16;
  const b0 = b & 0xffff;
  const b1 = b >>> 16;
  const low = Math.imul(a0, b0) >>> 16;
  const mid = ((Math.imul(a1, b0) >>> 0) + low) >>> 0; // at most 0xffff_0000
  const mid2 = ((Math.imul(a0, b1) >>> 0) + (mid & 0xffff)) >>> 0;
  return (Math.imul(a1, b1) + (mid >>> 16) + (mid2 >>> 16)) | 0;
}

/** A 64-bit register given as two int32 halves, unsigned. */
export function toU64(hi: number, lo: number): bigint {
  return (BigInt(hi >>> 0) << 32n) | BigInt(lo >>> 0);
}

/** A 64-bit register given as two int32 halves, signed. */
export function toI64(hi: number, lo: number): bigint {
  return (BigInt(hi) << 32n) | BigInt(lo >>> 0);
}

/** The low and high int32 halves of an integer taken modulo 2^64. */
export function low32(value: bigint): number {
  return Number(BigInt.asIntN(32, value));
}
export function high32(value: bigint): number {
  return Number(BigInt.asIntN(32, value >> 32n));
}
