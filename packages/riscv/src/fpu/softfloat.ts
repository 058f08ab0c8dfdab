/**
 * IEEE 754-2008 binary arithmetic on raw bits, exact by construction: operations are done on
 * integers of any size and rounded once. Slow; `float.ts` comes here when the host's doubles
 * cannot be shown to give the same. RISC-V's choices are in: canonical NaN results, tininess
 * detected after rounding (manual, "F", "NaN Generation and Propagation", "Subnormal Arithmetic").
 */

export interface Format {
  /** Bits of the significand, the implicit one included: 24 or 53. */
  readonly precision: number;
  /** Exponent of the smallest normal number's leading bit. */
  readonly emin: number;
  /** Exponent of the largest number's leading bit; also the bias. */
  readonly emax: number;
  /** Total bits: 32 or 64. */
  readonly width: number;
}
export const SINGLE: Format = { precision: 24, emin: -126, emax: 127, width: 32 };
export const DOUBLE: Format = { precision: 53, emin: -1022, emax: 1023, width: 64 };

/** Rounding modes, as encoded in frm. */
export const RNE = 0;
export const RTZ = 1;
export const RDN = 2;
export const RUP = 3;
export const RMM = 4;

/** Exception flags, as in fflags. */
export const NX = 1;
export const UF = 2;
export const OF = 4;
export const DZ = 8;
export const NV = 16;

/** What operations round by, and where their exceptions accrue. */
export interface FloatEnv {
  rounding: number;
  flags: number;
}

/**
 * A finite value: sig * 2^exp, negated if `negative`; zero if sig is 0. `sticky` says that the exact
 * value is a little larger in magnitude, by less than one unit of sig.
 */
interface Finite {
  readonly kind: "finite";
  readonly negative: boolean;
  readonly sig: bigint;
  readonly exp: number;
  readonly sticky?: boolean;
}
type Value =
  | Finite
  | { readonly kind: "infinite"; readonly negative: boolean }
  | { readonly kind: "nan"; readonly negative: boolean; readonly signalling: boolean };

const fractionBits = (format: Format): bigint => BigInt(format.precision - 1);
const exponentMask = (format: Format): bigint => BigInt(2 * format.emax + 1);
const signBit = (format: Format): bigint => 1n << BigInt(format.width - 1);

export function infinity(format: Format, negative: boolean): bigint {
  return (exponentMask(format) << fractionBits(format)) | (negative ? signBit(format) : 0n);
}
/** The canonical NaN: positive, quiet, no payload. */
export function canonicalNaN(format: Format): bigint {
  return infinity(format, false) | (1n << (fractionBits(format) - 1n));
}
function zero(format: Format, negative: boolean): bigint {
  return negative ? signBit(format) : 0n;
}

function unpack(format: Format, bits: bigint): Value {
  const negative = (bits & signBit(format)) !== 0n;
  const fraction = bits & ((1n << fractionBits(format)) - 1n);
  const biased = (bits >> fractionBits(format)) & exponentMask(format);
  if (biased === exponentMask(format)) {
    if (fraction === 0n) return { kind: "infinite", negative };
    return { kind: "nan", negative, signalling: fraction >> (fractionBits(format) - 1n) === 0n };
  }
  const exp = Math.max(Number(biased), 1) - format.emax - (format.precision - 1);
  return { kind: "finite", negative, sig: biased === 0n ? fraction : fraction | (1n << fractionBits(format)), exp };
}

function bitLength(value: bigint): number {
  return value === 0n ? 0 : value.toString(2).length;
}

/** sig / 2^drop to an integer by rounding mode. */
function roundShift(
  sig: bigint, drop: number, sticky: boolean, negative: boolean, rounding: number,
): { sig: bigint; inexact: boolean } {
  if (drop <= 0) {
    // Callers with a sticky bit have digits to spare, so nothing lies between it and the last place.
    return { sig: sig << BigInt(-drop), inexact: false };
  }
  const shift = BigInt(drop);
  const kept = sig >> shift;
  const rest = sig & ((1n << shift) - 1n);
  const half = 1n << (shift - 1n);
  if (rest === 0n && !sticky) return { sig: kept, inexact: false };
  let up: boolean;
  switch (rounding) {
    case RNE: up = rest > half || (rest === half && (sticky || (kept & 1n) === 1n)); break;
    case RMM: up = rest >= half; break;
    case RDN: up = negative; break;
    case RUP: up = !negative; break;
    default: up = false;
  }
  return { sig: up ? kept + 1n : kept, inexact: true };
}

/** Rounds a finite value to a format, raising NX, UF and OF. */
function round(format: Format, value: Finite, env: FloatEnv): bigint {
  const { negative, sig, exp, sticky = false } = value;
  if (sig === 0n) return zero(format, negative);
  const { precision, emin, emax } = format;
  const leading = exp + bitLength(sig) - 1;
  const lastPlace = Math.max(leading, emin) - (precision - 1);
  const rounded = roundShift(sig, lastPlace - exp, sticky, negative, env.rounding);
  if (rounded.inexact) {
    env.flags |= NX;
    if (leading < emin) {
      // Tiny unless rounding with an unbounded exponent range would carry it up to 2^emin.
      const unbounded = roundShift(sig, leading - (precision - 1) - exp, sticky, negative, env.rounding);
      if (leading < emin - 1 || bitLength(unbounded.sig) <= precision) env.flags |= UF;
    }
  }
  // A carry into the next power of two changes the exponent but not the bits below it.
  const length = bitLength(rounded.sig);
  if (lastPlace + length - 1 > emax) {
    env.flags |= OF | NX;
    const toInfinity =
      env.rounding === RNE || env.rounding === RMM || env.rounding === (negative ? RDN : RUP);
    return toInfinity ? infinity(format, negative) : (infinity(format, negative) - 1n);
  }
  // Subnormals have biased exponent 0 and no implicit bit; adding makes a carry into it come out right.
  const biased = BigInt(lastPlace + (precision - 1) + emax - 1);
  return zero(format, negative) | ((biased << fractionBits(format)) + rounded.sig);
}

function invalid(format: Format, env: FloatEnv): bigint {
  env.flags |= NV;
  return canonicalNaN(format);
}

/** The result if an operand is NaN: canonical, invalid if any of them signals. */
function propagate(format: Format, operands: readonly Value[], env: FloatEnv): bigint | undefined {
  let result: bigint | undefined;
  for (const one of operands) {
    if (one.kind !== "nan") continue;
    result = canonicalNaN(format);
    if (one.signalling) env.flags |= NV;
  }
  return result;
}

/** Exact sum. A zero sum of opposite signs is +0, or -0 when rounding down. */
function addExact(a: Finite, b: Finite, rounding: number): Finite {
  const exp = Math.min(a.exp, b.exp);
  const scaled = (v: Finite): bigint => (v.negative ? -v.sig : v.sig) << BigInt(v.exp - exp);
  const sum = scaled(a) + scaled(b);
  const negative = sum === 0n ? (a.negative && b.negative) || (a.negative !== b.negative && rounding === RDN) : sum < 0n;
  return { kind: "finite", negative, sig: sum < 0n ? -sum : sum, exp };
}

export function add(format: Format, a: bigint, b: bigint, env: FloatEnv): bigint {
  const x = unpack(format, a);
  const y = unpack(format, b);
  const nan = propagate(format, [x, y], env);
  if (nan !== undefined) return nan;
  if (x.kind === "infinite") {
    return y.kind === "infinite" && y.negative !== x.negative ? invalid(format, env) : a;
  }
  if (y.kind === "infinite") return b;
  if (x.kind === "nan" || y.kind === "nan") return canonicalNaN(format);
  return round(format, addExact(x, y, env.rounding), env);
}

export function sub(format: Format, a: bigint, b: bigint, env: FloatEnv): bigint {
  return add(format, a, negate(format, b), env);
}

export function mul(format: Format, a: bigint, b: bigint, env: FloatEnv): bigint {
  const x = unpack(format, a);
  const y = unpack(format, b);
  const nan = propagate(format, [x, y], env);
  if (nan !== undefined) return nan;
  const product = multiplyExact(x, y);
  if (product === undefined) return invalid(format, env);
  if (product.kind === "infinite") return infinity(format, product.negative);
  return round(format, product, env);
}

/** The exact product of two operands that are not NaN; undefined for infinity times zero. */
function multiplyExact(x: Value, y: Value): Finite | { kind: "infinite"; negative: boolean } | undefined {
  const negative = x.negative !== y.negative;
  if (x.kind === "finite" && y.kind === "finite") {
    return { kind: "finite", negative, sig: x.sig * y.sig, exp: x.exp + y.exp };
  }
  const zeroOperand = (x.kind === "finite" && x.sig === 0n) || (y.kind === "finite" && y.sig === 0n);
  return zeroOperand ? undefined : { kind: "infinite", negative };
}

/** a * b + c, rounded once. Infinity times zero is invalid even when c is a quiet NaN. */
export function fma(format: Format, a: bigint, b: bigint, c: bigint, env: FloatEnv): bigint {
  const x = unpack(format, a);
  const y = unpack(format, b);
  const z = unpack(format, c);
  if (x.kind !== "nan" && y.kind !== "nan" && multiplyExact(x, y) === undefined) return invalid(format, env);
  const nan = propagate(format, [x, y, z], env);
  if (nan !== undefined) return nan;
  const product = multiplyExact(x, y);
  if (product === undefined || z.kind === "nan") return canonicalNaN(format);
  if (product.kind === "infinite") {
    return z.kind === "infinite" && z.negative !== product.negative
      ? invalid(format, env)
      : infinity(format, product.negative);
  }
  if (z.kind === "infinite") return c;
  return round(format, addExact(product, z, env.rounding), env);
}

export function div(format: Format, a: bigint, b: bigint, env: FloatEnv): bigint {
  const x = unpack(format, a);
  const y = unpack(format, b);
  const nan = propagate(format, [x, y], env);
  if (nan !== undefined) return nan;
  const negative = x.negative !== y.negative;
  if (x.kind === "infinite") return y.kind === "infinite" ? invalid(format, env) : infinity(format, negative);
  if (y.kind === "infinite") return zero(format, negative);
  if (x.kind === "nan" || y.kind === "nan") return canonicalNaN(format);
  if (y.sig === 0n) {
    if (x.sig === 0n) return invalid(format, env);
    env.flags |= DZ;
    return infinity(format, negative);
  }
  // Enough quotient bits that the remainder only matters as a sticky bit.
  const extra = 2 * format.precision + 4;
  const dividend = x.sig << BigInt(extra);
  return round(
    format,
    { kind: "finite", negative, sig: dividend / y.sig, exp: x.exp - y.exp - extra, sticky: dividend % y.sig !== 0n },
    env,
  );
}

export function sqrt(format: Format, a: bigint, env: FloatEnv): bigint {
  const x = unpack(format, a);
  const nan = propagate(format, [x], env);
  if (nan !== undefined) return nan;
  if (x.kind === "finite" && x.sig === 0n) return a;
  if (x.negative) return invalid(format, env);
  if (x.kind !== "finite") return a;
  // An even exponent, and twice the bits that the root needs.
  const extra = 2 * format.precision + 4 + ((x.exp - (2 * format.precision + 4)) & 1);
  const radicand = x.sig << BigInt(extra);
  const root = integerSqrt(radicand);
  return round(
    format,
    { kind: "finite", negative: false, sig: root, exp: (x.exp - extra) / 2, sticky: root * root !== radicand },
    env,
  );
}

/** Floor of the square root, by Newton's iteration from above. */
function integerSqrt(value: bigint): bigint {
  let root = 1n << BigInt((bitLength(value) + 1) >> 1);
  for (;;) {
    const next = (root + value / root) >> 1n;
    if (next >= root) return root;
    root = next;
  }
}

export function negate(format: Format, a: bigint): bigint {
  return a ^ signBit(format);
}

/** feq: quiet, only signalling NaNs are invalid. */
export function equal(format: Format, a: bigint, b: bigint, env: FloatEnv): boolean {
  const x = unpack(format, a);
  const y = unpack(format, b);
  if (propagate(format, [x, y], env) !== undefined) return false;
  return order(format, a) === order(format, b);
}

/** flt, fle: any NaN is invalid. */
export function less(format: Format, a: bigint, b: bigint, orEqual: boolean, env: FloatEnv): boolean {
  if (unpack(format, a).kind === "nan" || unpack(format, b).kind === "nan") {
    env.flags |= NV;
    return false;
  }
  return orEqual ? order(format, a) <= order(format, b) : order(format, a) < order(format, b);
}

/** An integer ordered as the numbers are; both zeros are 0. */
function order(format: Format, bits: bigint): bigint {
  const magnitude = bits & (signBit(format) - 1n);
  return (bits & signBit(format)) !== 0n ? -magnitude : magnitude;
}

/** fmin, fmax: minimumNumber and maximumNumber; -0 is less than +0, a NaN loses to a number. */
export function minMax(format: Format, a: bigint, b: bigint, max: boolean, env: FloatEnv): bigint {
  const x = unpack(format, a);
  const y = unpack(format, b);
  propagate(format, [x, y], env);
  if (x.kind === "nan") return y.kind === "nan" ? canonicalNaN(format) : b;
  if (y.kind === "nan") return a;
  const aIsLess = order(format, a) < order(format, b) || (order(format, a) === order(format, b) && x.negative);
  return aIsLess !== max ? a : b;
}

/** The fclass mask: one of ten bits (manual, "Single-Precision Floating-Point Classify Instruction"). */
export function classify(format: Format, a: bigint): number {
  const x = unpack(format, a);
  if (x.kind === "nan") return x.signalling ? 1 << 8 : 1 << 9;
  if (x.kind === "infinite") return x.negative ? 1 << 0 : 1 << 7;
  if (x.sig === 0n) return x.negative ? 1 << 3 : 1 << 4;
  const subnormal = bitLength(x.sig) < format.precision;
  if (x.negative) return subnormal ? 1 << 2 : 1 << 1;
  return subnormal ? 1 << 5 : 1 << 6;
}

/** From one format to another. */
export function convert(from: Format, to: Format, a: bigint, env: FloatEnv): bigint {
  const x = unpack(from, a);
  const nan = propagate(to, [x], env);
  if (nan !== undefined) return nan;
  if (x.kind !== "finite") return infinity(to, x.negative);
  return round(to, x, env);
}

/** From an integer. */
export function fromInteger(format: Format, value: bigint, env: FloatEnv): bigint {
  const negative = value < 0n;
  return round(format, { kind: "finite", negative, sig: negative ? -value : value, exp: 0 }, env);
}

/** To an integer of 32 or 64 bits; out of range saturates and is invalid, NaN counts as +infinity. */
export function toInteger(format: Format, a: bigint, bits: 32 | 64, isSigned: boolean, env: FloatEnv): bigint {
  const x = unpack(format, a);
  const min = isSigned ? -(1n << BigInt(bits - 1)) : 0n;
  const max = (1n << BigInt(isSigned ? bits - 1 : bits)) - 1n;
  if (x.kind !== "finite") {
    env.flags |= NV;
    return x.kind === "infinite" && x.negative ? min : max;
  }
  const rounded = roundShift(x.sig, -x.exp, false, x.negative, env.rounding);
  const value = x.negative ? -rounded.sig : rounded.sig;
  if (value < min || value > max) {
    env.flags |= NV;
    return value < min ? min : max;
  }
  if (rounded.inexact) env.flags |= NX;
  return value;
}
