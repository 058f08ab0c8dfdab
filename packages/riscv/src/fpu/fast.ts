/**
 * Floating-point by the host's doubles. An attempt either does the whole instruction, flags
 * included, or changes nothing and returns false. It is asked only when rounding to nearest even,
 * and answers only where result and flags are certain:
 *
 *  - operands and result finite, and large enough that nothing underflowed on the way;
 *  - NX is the only flag that can then arise. It is sticky: once set, nothing need be shown. Before
 *    that, an error-free transformation (Knuth's sum, Dekker's product) tells whether the result is exact.
 */
import type { Hart } from "../cpu/hart.js";
import { NX } from "./softfloat.js";

export type Attempt = (hart: Hart, rd: number, rs1: number, rs2: number, rs3: number) => boolean;

export interface Operations {
  readonly add: Attempt;
  readonly sub: Attempt;
  readonly mul: Attempt;
  readonly div: Attempt;
  readonly sqrt: Attempt;
  readonly fmadd: Attempt;
  readonly fmsub: Attempt;
  readonly fnmsub: Attempt;
  readonly fnmadd: Attempt;
}

/**
 * Results of this magnitude are far from over- and underflow, and so are the intermediate values of
 * the transformations below, whose smallest parts are 2^-106 times a product.
 */
const SMALL = 2 ** -400;
const LARGE = 2 ** 400;
const safe = (value: number): boolean => {
  const magnitude = Math.abs(value);
  return magnitude > SMALL && magnitude < LARGE;
};

/** a + b - s exactly, for s = a + b rounded (Knuth's two-sum). */
function sumError(a: number, b: number, s: number): number {
  const part = s - a;
  return a - (s - part) + (b - part);
}

/** Veltkamp's split: the upper 26 bits of a double. */
function upper(a: number): number {
  const scaled = a * 134217729; // 2^27 + 1
  return scaled - (scaled - a);
}

/** a * b - p exactly, for p = a * b rounded (Dekker's product); all of them safe. */
function productError(a: number, b: number, p: number): number {
  const ah = upper(a);
  const al = a - ah;
  const bh = upper(b);
  const bl = b - bh;
  return al * bl - (p - ah * bh - al * bh - ah * bl);
}

function setDouble(hart: Hart, rd: number, value: number, exact: boolean): true {
  hart.fd[rd] = value;
  if (!exact) hart.fflags |= NX;
  return true;
}

/** A double operand is any bits, hence NaN too; NaN fails every magnitude test. */
export const double = (hart: Hart, register: number): number => hart.fd[register] ?? 0;

/** Whether a product is an exact zero: of a zero and a finite number. */
const isZeroProduct = (a: number, b: number): boolean =>
  (a === 0 && Math.abs(b) < LARGE) || (b === 0 && Math.abs(a) < LARGE);

/** A zero that is a sum is exact, and its sign under RNE is the host's. */
function addDoubles(hart: Hart, rd: number, a: number, b: number): boolean {
  const s = a + b;
  if (!(Math.abs(a) < LARGE && Math.abs(b) < LARGE)) return false;
  return setDouble(hart, rd, s, (hart.fflags & NX) !== 0 || sumError(a, b, s) === 0);
}

/**
 * a * b + c with one rounding (Boldo and Melquiond, "Emulation of FMA and correctly rounded sums"):
 * the exact value as a sum of three, whose smaller two are added with rounding to odd.
 */
function fusedDoubles(hart: Hart, rd: number, a: number, b: number, c: number): boolean {
  const p = a * b;
  if (!(c === 0 || safe(c))) return false;
  if (isZeroProduct(a, b)) return setDouble(hart, rd, p + c, true);
  if (!(safe(a) && safe(b) && safe(p))) return false;
  const pe = productError(a, b, p);
  const t = pe + c;
  const te = sumError(pe, c, t);
  const v = p + t;
  const ve = sumError(p, t, v);
  const tail = addToOdd(hart, te, ve);
  const result = v + tail;
  if (!safe(result)) return false;
  return setDouble(hart, rd, result, sumError(te, ve, te + ve) === 0 && sumError(v, tail, result) === 0);
}

/** a + b rounded to odd: the exact sum, or the neighbour of it whose last bit is 1. */
function addToOdd(hart: Hart, a: number, b: number): number {
  const s = a + b;
  const error = sumError(a, b, s);
  if (!(error > 0 || error < 0)) return s;
  const { scratch, scratchWords } = hart;
  scratch[0] = s;
  const low = scratchWords[0] ?? 0;
  const high = scratchWords[1] ?? 0;
  if ((low & 1) === 1) return s;
  // Even: the exact value lies between s and the odd neighbour on error's side.
  if (error > 0 === s > 0) scratchWords[0] = low | 1;
  else {
    scratchWords[0] = low - 1;
    if (low === 0) scratchWords[1] = high - 1;
  }
  return scratch[0];
}

export const DOUBLE_OPERATIONS: Operations = {
  add: (hart, rd, rs1, rs2) => addDoubles(hart, rd, double(hart, rs1), double(hart, rs2)),
  sub: (hart, rd, rs1, rs2) => addDoubles(hart, rd, double(hart, rs1), -double(hart, rs2)),
  mul: (hart, rd, rs1, rs2) => {
    const a = double(hart, rs1);
    const b = double(hart, rs2);
    const p = a * b;
    if (isZeroProduct(a, b)) return setDouble(hart, rd, p, true);
    if (!(safe(p) && safe(a) && safe(b))) return false;
    return setDouble(hart, rd, p, (hart.fflags & NX) !== 0 || productError(a, b, p) === 0);
  },
  div: (hart, rd, rs1, rs2) => {
    const a = double(hart, rs1);
    const b = double(hart, rs2);
    const q = a / b;
    if (a === 0 && safe(b)) return setDouble(hart, rd, q, true);
    if (!(safe(q) && safe(a) && safe(b))) return false;
    return setDouble(hart, rd, q, (hart.fflags & NX) !== 0 || (q * b === a && productError(q, b, a) === 0));
  },
  sqrt: (hart, rd, rs1) => {
    const a = double(hart, rs1);
    if (!(a > 0 && safe(a))) return false;
    const root = Math.sqrt(a);
    return setDouble(hart, rd, root, (hart.fflags & NX) !== 0 || (root * root === a && productError(root, root, a) === 0));
  },
  fmadd: (hart, rd, rs1, rs2, rs3) => fusedDoubles(hart, rd, double(hart, rs1), double(hart, rs2), double(hart, rs3)),
  fmsub: (hart, rd, rs1, rs2, rs3) => fusedDoubles(hart, rd, double(hart, rs1), double(hart, rs2), -double(hart, rs3)),
  fnmsub: (hart, rd, rs1, rs2, rs3) => fusedDoubles(hart, rd, -double(hart, rs1), double(hart, rs2), double(hart, rs3)),
  fnmadd: (hart, rd, rs1, rs2, rs3) => fusedDoubles(hart, rd, -double(hart, rs1), double(hart, rs2), -double(hart, rs3)),
};

/** A single operand; one that is not NaN-boxed reads as NaN, which no attempt accepts. */
export const single = (hart: Hart, register: number): number =>
  hart.fw[register * 2 + 1] === -1 ? (hart.fs[register * 2] ?? 0) : NaN;

/** Singles above this are normal, below OVERFLOW finite after rounding. */
const SINGLE_SMALL = 2 ** -125;
const SINGLE_LARGE = 2 ** 127;
const safeSingle = (value: number): boolean => {
  const magnitude = Math.abs(value);
  return magnitude > SINGLE_SMALL && magnitude < SINGLE_LARGE;
};

function setSingle(hart: Hart, rd: number, value: number, exact: boolean): true {
  hart.fs[rd * 2] = value;
  hart.fw[rd * 2 + 1] = -1;
  if (!exact) hart.fflags |= NX;
  return true;
}

/**
 * Sum of an exact double and a single, rounded to single. Going through a double rounded to odd,
 * which has more than twice a single's digits and two more, rounds as if once.
 */
function sumSingle(hart: Hart, rd: number, a: number, b: number): boolean {
  const s = addToOdd(hart, a, b);
  if (s !== 0 && !safeSingle(s)) return false; // a zero is exact, with the host's sign
  const result = Math.fround(s);
  return setSingle(hart, rd, result, result === s && a + b === s && sumError(a, b, s) === 0);
}

/** The product of two singles is exact in a double. */
const fusedSingles = (hart: Hart, rd: number, a: number, b: number, c: number): boolean => sumSingle(hart, rd, a * b, c);

export const SINGLE_OPERATIONS: Operations = {
  add: (hart, rd, rs1, rs2) => sumSingle(hart, rd, single(hart, rs1), single(hart, rs2)),
  sub: (hart, rd, rs1, rs2) => sumSingle(hart, rd, single(hart, rs1), -single(hart, rs2)),
  mul: (hart, rd, rs1, rs2) => {
    const p = single(hart, rs1) * single(hart, rs2);
    if (p !== 0 && !safeSingle(p)) return false; // no product of singles is too small for a double
    const result = Math.fround(p);
    return setSingle(hart, rd, result, result === p);
  },
  // Quotients and roots of singles never lie so close to a rounding boundary that a double misses it.
  div: (hart, rd, rs1, rs2) => {
    const a = single(hart, rs1);
    const b = single(hart, rs2);
    const q = a / b;
    if (!safeSingle(q) || !safeSingle(b)) return false;
    const result = Math.fround(q);
    return setSingle(hart, rd, result, result * b === a);
  },
  sqrt: (hart, rd, rs1) => {
    const a = single(hart, rs1);
    if (!(a > 0 && safeSingle(a))) return false;
    const result = Math.fround(Math.sqrt(a));
    return setSingle(hart, rd, result, result * result === a);
  },
  fmadd: (hart, rd, rs1, rs2, rs3) => fusedSingles(hart, rd, single(hart, rs1), single(hart, rs2), single(hart, rs3)),
  fmsub: (hart, rd, rs1, rs2, rs3) => fusedSingles(hart, rd, single(hart, rs1), single(hart, rs2), -single(hart, rs3)),
  fnmsub: (hart, rd, rs1, rs2, rs3) => fusedSingles(hart, rd, -single(hart, rs1), single(hart, rs2), single(hart, rs3)),
  fnmadd: (hart, rd, rs1, rs2, rs3) => fusedSingles(hart, rd, -single(hart, rs1), single(hart, rs2), -single(hart, rs3)),
};

export const doubleToSingle: Attempt = (hart, rd, rs1) => {
  const a = double(hart, rs1);
  if (!safeSingle(a)) return false;
  const result = Math.fround(a);
  return setSingle(hart, rd, result, result === a);
};
