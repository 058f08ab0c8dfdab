import { describe, expect, it } from "vitest";
import { Exit, INSTRUCTIONS } from "../src/index.js";
import * as soft from "../src/fpu/softfloat.js";
import { DOUBLE, SINGLE, type FloatEnv, type Format } from "../src/fpu/softfloat.js";
import { FlatMachine } from "./flat.js";
import { Random } from "./random.js";
import { assemble } from "./sequences.js";

const BOX = 0xffffffff00000000n;
const raw = (value: number): bigint => new BigUint64Array(new Float64Array([value]).buffer)[0] ?? 0n;

/** What each instruction is by softfloat alone, the hart's shortcuts aside. */
const EXACT: Record<string, (f: Format, a: bigint, b: bigint, c: bigint, env: FloatEnv) => bigint> = {
  fadd: (f, a, b, _c, env) => soft.add(f, a, b, env),
  fsub: (f, a, b, _c, env) => soft.sub(f, a, b, env),
  fmul: (f, a, b, _c, env) => soft.mul(f, a, b, env),
  fdiv: (f, a, b, _c, env) => soft.div(f, a, b, env),
  fsqrt: (f, a, _b, _c, env) => soft.sqrt(f, a, env),
  fmadd: (f, a, b, c, env) => soft.fma(f, a, b, c, env),
  fmsub: (f, a, b, c, env) => soft.fma(f, a, b, soft.negate(f, c), env),
  fnmsub: (f, a, b, c, env) => soft.fma(f, soft.negate(f, a), b, c, env),
  fnmadd: (f, a, b, c, env) => soft.fma(f, soft.negate(f, a), b, soft.negate(f, c), env),
};

/** Operands close to each other, with few or many digits, near the limits too: where rounding is delicate. */
function operand(random: Random, format: Format): bigint {
  const fractionBits = BigInt(format.precision - 1);
  const sign = BigInt(random.below(2)) << BigInt(format.width - 1);
  const spread = random.pick([1, 3, 30, 60, format.emax - 1]);
  const exponent = random.chance(20) ? BigInt(random.below(3)) : BigInt(format.emax + random.range(-spread, spread));
  const digits = BigInt(random.pick([0, 2, 12, format.precision - 1]));
  const fraction = digits === 0n ? 0n : (random.u64() >> (64n - digits)) << (fractionBits - digits);
  // A few ones at the very end make ties and near-ties.
  const tail = random.chance(4) ? BigInt(random.below(4)) : 0n;
  if (random.chance(15)) return sign;
  return sign | (exponent << fractionBits) | fraction | tail;
}

describe("floating point", () => {
  it.each(Object.keys(EXACT).flatMap((name) => [`${name}.s`, `${name}.d`]))("%s by the host's arithmetic is what it is exactly", (name) => {
    const format = name.endsWith("d") ? DOUBLE : SINGLE;
    const exact = EXACT[name.slice(0, -2)];
    const machine = new FlatMachine(0x4000);
    machine.assemble(0x1000, assemble(name, { rd: 4, rs1: 1, rs2: 2, rs3: 3, rm: 7 }));
    const { hart } = machine;
    const random = new Random(name.length * 31 + name.charCodeAt(3));
    for (let n = 0; n < 3000; n++) {
      const [a, b, c] = [operand(random, format), operand(random, format), operand(random, format)];
      const env = { rounding: random.chance(4) ? random.below(5) : soft.RNE, flags: random.chance(3) ? soft.NX : 0 };
      const box = format === SINGLE ? BOX : 0n;
      [a, b, c].forEach((bits, index) => hart.setF(index + 1, box | bits));
      hart.fcsr = (env.rounding << 5) | env.flags;
      hart.pc = 0x1000;
      expect(hart.run(1)).toBe(Exit.BUDGET);
      const want = exact?.(format, a, b, c, env) ?? 0n;
      const seen = { name, n, bits: hart.getF(4).toString(16), flags: hart.fflags };
      expect(seen).toEqual({ name, n, bits: (box | want).toString(16), flags: env.flags });
    }
  });

  it("by softfloat is what the host computes, for doubles in any binade", () => {
    const random = new Random(5);
    for (let n = 0; n < 3000; n++) {
      const [a, b] = [random.u64(), random.u64()];
      const [x, y] = new Float64Array(new BigUint64Array([a, b]).buffer);
      if (x === undefined || y === undefined || Number.isNaN(x) || Number.isNaN(y)) continue;
      const env = { rounding: soft.RNE, flags: 0 };
      expect([soft.add(DOUBLE, a, b, env), soft.mul(DOUBLE, a, b, env), soft.div(DOUBLE, a, b, env)])
        .toEqual([raw(x + y), raw(x * y), raw(x / y)]);
      if (x > 0) expect(soft.sqrt(DOUBLE, a, env)).toBe(raw(Math.sqrt(x)));
    }
  });

  it("detects tininess after rounding", () => {
    // The largest product below the smallest normal that rounds up to it, and one ulp less.
    const smallest = 0x0010000000000000n;
    const below = (bits: bigint): number => {
      const env = { rounding: soft.RNE, flags: 0 };
      soft.mul(DOUBLE, smallest, bits, env);
      return env.flags;
    };
    expect(below(0x3fefffffffffffffn)).toBe(soft.UF | soft.NX); // 1 - 2^-53: a tie at 53 bits of the subnormal
    const env = { rounding: soft.RNE, flags: 0 };
    // 2^-1022 * (1 - 2^-54), as a fused sum: with an unbounded exponent it rounds up to 2^-1022, hence is not tiny.
    expect(soft.fma(DOUBLE, raw(2 ** -500), raw(-(2 ** -576)), smallest, env)).toBe(smallest);
    expect(env.flags).toBe(soft.NX);
  });

  it("has every instruction of F and D", () => {
    const count = (extension: string): number => INSTRUCTIONS.filter((one) => one.extension === extension).length;
    expect([count("F"), count("D")]).toEqual([30, 32]); // as many as the manual's listing for RV64
  });
});
