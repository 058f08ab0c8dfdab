import { high32, low32, mulhu32, toI64, toU64 } from "./arith.js";
import type { Hart } from "./hart.js";
import { rs1Of, rs2Of, setResult } from "./operands.js";
import type { Execute } from "./rare.js";

/** High 64 bits of a product, from 32-bit partial products; `signedA` and `signedB` as in mulh/mulhsu. */
const multiplyHigh =
  (signedA: boolean, signedB: boolean): Execute =>
  (hart, w) => {
    const al = hart.xlo[rs1Of(w)] ?? 0;
    const ah = hart.xhi[rs1Of(w)] ?? 0;
    const bl = hart.xlo[rs2Of(w)] ?? 0;
    const bh = hart.xhi[rs2Of(w)] ?? 0;
    const mid = (mulhu32(al, bl) >>> 0) + (Math.imul(al, bh) >>> 0) + (Math.imul(ah, bl) >>> 0);
    let low =
      (Math.imul(ah, bh) >>> 0) + (mulhu32(al, bh) >>> 0) + (mulhu32(ah, bl) >>> 0) + Math.floor(mid / 2 ** 32);
    let high = mulhu32(ah, bh);
    // A negative operand was taken as 2^64 more than it is.
    if (signedA && ah < 0) {
      low -= bl >>> 0;
      high -= bh;
    }
    if (signedB && bh < 0) {
      low -= al >>> 0;
      high -= ah;
    }
    return setResult(hart, w, low, high + Math.floor(low / 2 ** 32));
  };

/** Operands below this divide exactly as doubles: the quotient cannot round up to an integer. */
const EXACT_HI = 2 ** 20;

type Divide = (dividend: bigint, divisor: bigint) => bigint;
const quotient: Divide = (a, b) => (b === 0n ? -1n : a / b);
const remainder: Divide = (a, b) => (b === 0n ? a : a % b);

/** 64-bit division. By zero: all ones, and the dividend as remainder; -2^63 / -1 wraps (manual, "M"). */
const divide =
  (operation: Divide, signed: boolean): Execute =>
  (hart, w) => {
    const al = hart.xlo[rs1Of(w)] ?? 0;
    const ah = hart.xhi[rs1Of(w)] ?? 0;
    const bl = hart.xlo[rs2Of(w)] ?? 0;
    const bh = hart.xhi[rs2Of(w)] ?? 0;
    if (ah >>> 0 < EXACT_HI && bh >>> 0 < EXACT_HI && (bl | bh) !== 0) {
      const a = ah * 2 ** 32 + (al >>> 0);
      const b = bh * 2 ** 32 + (bl >>> 0);
      const result = operation === quotient ? Math.floor(a / b) : a % b;
      return setResult(hart, w, result, Math.floor(result / 2 ** 32));
    }
    const widen = signed ? toI64 : toU64;
    const result = operation(widen(ah, al), widen(bh, bl));
    return setResult(hart, w, low32(result), high32(result));
  };

/** 32-bit division on the low halves, result sign-extended. Doubles hold every such quotient exactly. */
const divideWord =
  (operation: (a: number, b: number) => number): Execute =>
  (hart, w) => {
    const result = operation(word(hart, rs1Of(w)), word(hart, rs2Of(w))) | 0;
    return setResult(hart, w, result, result >> 31);
  };
const word = (hart: Hart, register: number): number => hart.xlo[register] ?? 0;

export const MULDIV = {
  mulh: multiplyHigh(true, true),
  mulhsu: multiplyHigh(true, false),
  mulhu: multiplyHigh(false, false),
  div: divide(quotient, true),
  divu: divide(quotient, false),
  rem: divide(remainder, true),
  remu: divide(remainder, false),
  divw: divideWord((a, b) => (b === 0 ? -1 : a / b)),
  divuw: divideWord((a, b) => (b === 0 ? -1 : (a >>> 0) / (b >>> 0))),
  remw: divideWord((a, b) => (b === 0 ? a : a % b)),
  remuw: divideWord((a, b) => (b === 0 ? a : (a >>> 0) % (b >>> 0))),
} satisfies Record<string, Execute>;
