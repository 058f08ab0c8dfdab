/**
 * The F and D instructions: register access, NaN boxing and rounding modes here, exact arithmetic in
 * `fpu/softfloat.ts`, and before that the host's doubles where `fpu/fast.ts` can vouch for them.
 */
import * as soft from "../fpu/softfloat.js";
import { DOUBLE, SINGLE, type FloatEnv, type Format } from "../fpu/softfloat.js";
import * as fast from "../fpu/fast.js";
import { high32, low32, toI64, toU64 } from "./arith.js";
import type { Hart } from "./hart.js";
import { rdOf, rs1Of, rs2Of, setResult } from "./operands.js";
import type { Execute } from "./rare.js";

/** Dynamic rounding: take the mode from frm. */
const DYN = 7;

const rs3Of = (bits: number): number => bits >>> 27;

/** The rounding mode an instruction asks for, or -1 if it is a reserved one. */
function roundingOf(hart: Hart, bits: number): number {
  const rm = (bits >>> 12) & 7;
  const mode = rm === DYN ? hart.frm : rm;
  return mode > soft.RMM ? -1 : mode;
}

/** Raw operand. A single that is not NaN-boxed counts as the canonical NaN. */
function read(hart: Hart, format: Format, register: number): bigint {
  if (format === DOUBLE) return hart.getF(register);
  return hart.fw[register * 2 + 1] === -1
    ? BigInt((hart.fw[register * 2] ?? 0) >>> 0)
    : soft.canonicalNaN(SINGLE);
}

function write(hart: Hart, format: Format, w: number, bits: bigint): 0 {
  const register = rdOf(w);
  hart.fw[register * 2] = low32(bits);
  hart.fw[register * 2 + 1] = format === DOUBLE ? high32(bits) : -1;
  return 0;
}

/** An operation with a rounding mode, by way of softfloat. */
const rounded =
  (body: (hart: Hart, w: number, bits: number, env: FloatEnv) => void): Execute =>
  (hart, w, bits) => {
    const rounding = roundingOf(hart, bits);
    if (rounding < 0) return hart.illegal(bits);
    const env = { rounding, flags: 0 };
    body(hart, w, bits, env);
    hart.fflags |= env.flags;
    return 0;
  };

/** An operation that does not round but may raise flags. */
const flagged =
  (body: (hart: Hart, w: number, env: FloatEnv) => void): Execute =>
  (hart, w) => {
    const env = { rounding: soft.RTZ, flags: 0 };
    body(hart, w, env);
    hart.fflags |= env.flags;
    return 0;
  };

/** Tries the host's arithmetic, which answers false when it cannot be sure, then softfloat. */
const first =
  (attempt: fast.Attempt, otherwise: Execute): Execute =>
  (hart, w, bits) => {
    const rounding = roundingOf(hart, bits);
    return rounding === soft.RNE && attempt(hart, rdOf(w), rs1Of(w), rs2Of(w), rs3Of(bits))
      ? 0
      : otherwise(hart, w, bits);
  };

type Binary = (format: Format, a: bigint, b: bigint, env: FloatEnv) => bigint;
const binary = (format: Format, operation: Binary): Execute =>
  rounded((hart, w, _bits, env) => {
    write(hart, format, w, operation(format, read(hart, format, rs1Of(w)), read(hart, format, rs2Of(w)), env));
  });

/** fmadd and its kin: the product and the addend negated or not. */
const fused = (format: Format, negateProduct: boolean, negateAddend: boolean): Execute =>
  rounded((hart, w, bits, env) => {
    const a = read(hart, format, rs1Of(w));
    const c = read(hart, format, rs3Of(bits));
    write(
      hart, format, w,
      soft.fma(
        format,
        negateProduct ? soft.negate(format, a) : a,
        read(hart, format, rs2Of(w)),
        negateAddend ? soft.negate(format, c) : c,
        env,
      ),
    );
  });

/** fsgnj and its kin, on the words that hold the signs. */
const signInjection =
  (format: Format, sign: (a: number, b: number) => number): Execute =>
  (hart, w) => {
    const a = read32(hart, format, rs1Of(w));
    const b = read32(hart, format, rs2Of(w));
    const top = (a & 0x7fffffff) | (sign(a, b) & 0x80000000);
    const rd = rdOf(w);
    if (format === DOUBLE) hart.fw[rd * 2] = hart.fw[rs1Of(w) * 2] ?? 0;
    hart.fw[rd * 2 + 1] = format === DOUBLE ? top : -1;
    if (format === SINGLE) hart.fw[rd * 2] = top;
    return 0;
  };
const CANONICAL_SINGLE = 0x7fc00000;
/** The word of an operand that has its sign. */
function read32(hart: Hart, format: Format, register: number): number {
  const high = hart.fw[register * 2 + 1] ?? 0;
  if (format === DOUBLE) return high;
  return high === -1 ? (hart.fw[register * 2] ?? 0) : CANONICAL_SINGLE;
}

/** The operand as a host number; NaN for a single that is not boxed, as it should be. */
const number = (hart: Hart, format: Format, register: number): number =>
  format === DOUBLE ? fast.double(hart, register) : fast.single(hart, register);

/** A comparison: the host's unless a NaN is involved. */
const compare = (
  format: Format,
  host: (a: number, b: number) => boolean,
  exact: (format: Format, a: bigint, b: bigint, env: FloatEnv) => boolean,
): Execute => {
  const otherwise = flagged((hart, w, env) => {
    const holds = exact(format, read(hart, format, rs1Of(w)), read(hart, format, rs2Of(w)), env);
    setResult(hart, w, holds ? 1 : 0, 0);
  });
  return (hart, w, bits) => {
    const a = number(hart, format, rs1Of(w));
    const b = number(hart, format, rs2Of(w));
    if (Number.isNaN(a) || Number.isNaN(b)) return otherwise(hart, w, bits);
    return setResult(hart, w, host(a, b) ? 1 : 0, 0);
  };
};

const minMax = (format: Format, max: boolean): Execute =>
  flagged((hart, w, env) => {
    write(
      hart, format, w,
      soft.minMax(format, read(hart, format, rs1Of(w)), read(hart, format, rs2Of(w)), max, env),
    );
  });

/** fcvt to an integer. What C casts do, truncation of a number in range, is done by the host. */
const toInteger = (format: Format, bits: 32 | 64, signed: boolean): Execute => {
  const min = signed ? -(2 ** (bits - 1)) : 0;
  const end = signed ? 2 ** (bits - 1) : 2 ** bits;
  const otherwise = rounded((hart, w, _bits, env) => {
    const value = soft.toInteger(format, read(hart, format, rs1Of(w)), bits, signed, env);
    const low = low32(value);
    // Also fcvt.wu sign-extends its 32-bit result.
    setResult(hart, w, low, bits === 32 ? low >> 31 : high32(value));
  });
  return (hart, w, insn) => {
    const value = number(hart, format, rs1Of(w));
    const whole = Math.trunc(value);
    if (roundingOf(hart, insn) !== soft.RTZ || !(whole >= min && whole < end)) return otherwise(hart, w, insn);
    if (whole !== value) hart.fflags |= soft.NX;
    const low = whole | 0;
    return setResult(hart, w, low, bits === 32 ? low >> 31 : Math.floor(whole / 2 ** 32));
  };
};

/** fcvt from an integer. Integers below 2^53 in magnitude are doubles; singles need a look. */
const fromInteger = (format: Format, bits: 32 | 64, signed: boolean): Execute => {
  const otherwise = rounded((hart, w, _bits, env) => {
    const [lo, hi] = integerOperand(hart, w, bits, signed);
    write(hart, format, w, soft.fromInteger(format, signed ? toI64(hi, lo) : toU64(hi, lo), env));
  });
  return (hart, w, insn) => {
    const [lo, hi] = integerOperand(hart, w, bits, signed);
    const value = hi * 2 ** 32 + (lo >>> 0);
    const exact = format === DOUBLE ? hi >= -(2 ** 20) && hi < 2 ** 20 : Math.fround(value) === value && hi >> 16 === hi >> 31;
    if ((!signed && hi < 0) || !exact || roundingOf(hart, insn) < 0) return otherwise(hart, w, insn);
    const rd = rdOf(w);
    if (format === DOUBLE) hart.fd[rd] = value;
    else {
      hart.fs[rd * 2] = value;
      hart.fw[rd * 2 + 1] = -1;
    }
    return 0;
  };
};
function integerOperand(hart: Hart, w: number, bits: 32 | 64, signed: boolean): [lo: number, hi: number] {
  const lo = hart.xlo[rs1Of(w)] ?? 0;
  return [lo, bits === 64 ? (hart.xhi[rs1Of(w)] ?? 0) : signed ? lo >> 31 : 0];
}

/** The instructions that F and D have alike. */
function family(format: Format, suffix: "s" | "d", host: fast.Operations): Record<string, Execute> {
  const operations: Record<string, Execute> = {
    fadd: first(host.add, binary(format, soft.add)),
    fsub: first(host.sub, binary(format, soft.sub)),
    fmul: first(host.mul, binary(format, soft.mul)),
    fdiv: first(host.div, binary(format, soft.div)),
    fsqrt: first(host.sqrt, rounded((hart, w, _bits, env) => {
      write(hart, format, w, soft.sqrt(format, read(hart, format, rs1Of(w)), env));
    })),
    fmadd: first(host.fmadd, fused(format, false, false)),
    fmsub: first(host.fmsub, fused(format, false, true)),
    fnmsub: first(host.fnmsub, fused(format, true, false)),
    fnmadd: first(host.fnmadd, fused(format, true, true)),
    fsgnj: signInjection(format, (_a, b) => b),
    fsgnjn: signInjection(format, (_a, b) => ~b),
    fsgnjx: signInjection(format, (a, b) => a ^ b),
    fmin: minMax(format, false),
    fmax: minMax(format, true),
    feq: compare(format, (a, b) => a === b, soft.equal),
    flt: compare(format, (a, b) => a < b, (f, a, b, env) => soft.less(f, a, b, false, env)),
    fle: compare(format, (a, b) => a <= b, (f, a, b, env) => soft.less(f, a, b, true, env)),
    fclass: (hart, w) => setResult(hart, w, soft.classify(format, read(hart, format, rs1Of(w))), 0),
  };
  const named = Object.fromEntries(Object.entries(operations).map(([name, execute]) => [`${name}.${suffix}`, execute]));
  for (const [name, bits, signed] of [["w", 32, true], ["wu", 32, false], ["l", 64, true], ["lu", 64, false]] as const) {
    named[`fcvt.${name}.${suffix}`] = toInteger(format, bits, signed);
    named[`fcvt.${suffix}.${name}`] = fromInteger(format, bits, signed);
  }
  return named;
}

export const FLOAT: Readonly<Record<string, Execute>> = {
  ...family(SINGLE, "s", fast.SINGLE_OPERATIONS),
  ...family(DOUBLE, "d", fast.DOUBLE_OPERATIONS),
  "fcvt.s.d": first(fast.doubleToSingle, rounded((hart, w, _bits, env) => {
    write(hart, SINGLE, w, soft.convert(DOUBLE, SINGLE, read(hart, DOUBLE, rs1Of(w)), env));
  })),
  "fcvt.d.s": rounded((hart, w, _bits, env) => {
    write(hart, DOUBLE, w, soft.convert(SINGLE, DOUBLE, read(hart, SINGLE, rs1Of(w)), env));
  }),
  // Moves take the bits as they are; fmv.x.w sign-extends whether or not the register is NaN-boxed.
  "fmv.x.w": (hart, w) => {
    const bits = hart.fw[rs1Of(w) * 2] ?? 0;
    return setResult(hart, w, bits, bits >> 31);
  },
  "fmv.x.d": (hart, w) => setResult(hart, w, hart.fw[rs1Of(w) * 2] ?? 0, hart.fw[rs1Of(w) * 2 + 1] ?? 0),
  "fmv.w.x": (hart, w) => {
    hart.fw[rdOf(w) * 2] = hart.xlo[rs1Of(w)] ?? 0;
    hart.fw[rdOf(w) * 2 + 1] = -1;
    return 0;
  },
  "fmv.d.x": (hart, w) => {
    hart.fw[rdOf(w) * 2] = hart.xlo[rs1Of(w)] ?? 0;
    hart.fw[rdOf(w) * 2 + 1] = hart.xhi[rs1Of(w)] ?? 0;
    return 0;
  },
};
