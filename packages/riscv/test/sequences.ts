/**
 * Random instruction sequences for running on two processors. Each has an arena of one page: initial
 * registers, memory to work on, and the registers at the end. One integer register, a different one
 * from sequence to sequence, points to the arena's middle throughout and is never written.
 */
import { decode, encode, INSTRUCTIONS, type Instruction, type Operands } from "../src/index.js";
import { writeElf } from "./elf-file.js";
import { Random } from "./random.js";

const CODE = 0x10000;
export const ARENA = 4096;
/** Offsets from the arena's middle, all within reach of a load or store. */
const MIDDLE = 2048;
const INITIAL_X = -2048;
const INITIAL_F = -1792;
const INITIAL_FCSR = -1536;
const SCRATCH = 1000; // memory operands stay within this distance
export const FINAL_X = 1024;
export const FINAL_F = 1280;
export const FINAL_FCSR = 1536;

/** Two sequences have this address for what they are tested on. */
export interface Sequence {
  readonly body: readonly number[];
  readonly bodyAddress: number;
  readonly base: number;
}

export interface Program {
  readonly file: Uint8Array;
  readonly sequences: readonly Sequence[];
  /** How often each instruction was generated. */
  readonly coverage: ReadonlyMap<string, number>;
  readonly end: number;
}

const BY_NAME = new Map(INSTRUCTIONS.map((one) => [one.name, one]));

/** Bits of an instruction by name. */
export function assemble(name: string, operands: Partial<Operands> = {}): number {
  const instruction = BY_NAME.get(name);
  if (!instruction) throw new Error(`no instruction ${name}`);
  return encode(instruction, operands);
}

const sizeOf = (bits: number): number => ((bits & 3) === 3 ? 4 : 2);
const baseName = (instruction: Instruction): string => instruction.expansion ?? instruction.name;
const writesInteger = (instruction: Instruction): boolean => !instruction.format.syntax.startsWith("fd");

const MEMORY = new Set("lb lh lw ld lbu lhu lwu sb sh sw sd flw fld fsw fsd".split(" "));
const BRANCHES = new Set("beq bne blt bge bltu bgeu jal".split(" "));
/** These end a program, or trap in an emulator of user programs; the unit tests have them. */
export const NOT_RANDOM = new Set(["ecall", "ebreak", "c.ebreak"]);

const INTEGERS: readonly bigint[] = [
  0n, 1n, 2n, 0xffffffffffffffffn, 0x8000000000000000n, 0x7fffffffffffffffn, 0x80000000n, 0x7fffffffn,
  0xffffffffn, 0x100000000n, 0xffffffff80000000n, 0x1fffffffffffffn, 0x20000000000001n, 63n, 32n, 31n,
];
/** Raw doubles and singles at the edges of every kind. */
const DOUBLES: readonly bigint[] = [
  0n, 0x8000000000000000n, 0x3ff0000000000000n, 0xbff0000000000000n, 0x3ff8000000000000n, 0x4000000000000000n,
  0x7ff0000000000000n, 0xfff0000000000000n, 0x7ff8000000000000n, 0x7ff0000000000001n, 0xfff8000000000123n,
  1n, 0x8000000000000001n, 0x000fffffffffffffn, 0x0010000000000000n, 0x7fefffffffffffffn, 0xffefffffffffffffn,
  0x3fe0000000000000n, 0xbfe0000000000000n, 0x3fefffffffffffffn, 0x3ff0000000000001n, 0x41dfffffffc00000n,
  0x41e0000000000000n, 0xc1e0000000000000n, 0x41f0000000000000n, 0x43e0000000000000n, 0xc3e0000000000000n,
  0x43f0000000000000n, 0x4330000000000001n, 0x36a0000000000000n, 0x3810000000000000n, 0x380fffffffffffffn,
  0x47efffffe0000000n, 0x47effffff0000000n, 0x3690000000000000n, 0x4008000000000000n,
];
const SINGLES: readonly number[] = [
  0, 0x80000000, 0x3f800000, 0xbf800000, 0x3fc00000, 0x40000000, 0x7f800000, 0xff800000, 0x7fc00000, 0x7f800001,
  0xffc00123, 1, 0x80000001, 0x007fffff, 0x00800000, 0x80800000, 0x7f7fffff, 0xff7fffff, 0x3f000000, 0x3f7fffff,
  0x3f800001, 0x4effffff, 0x4f000000, 0xcf000000, 0x4f800000, 0x5f000000, 0xdf000000, 0x5f800000, 0x40400000, 0x34000000,
];

function randomInteger(random: Random): bigint {
  if (random.chance(3)) return random.u64();
  if (random.chance(3)) return BigInt.asUintN(64, BigInt(random.range(-300, 300)));
  return random.pick(INTEGERS);
}

/** A double whose exponent is near 1, so that sums and products with others are interesting. */
function moderate(random: Random, exponentBits: bigint, fractionBits: bigint): bigint {
  const bias = (1n << (exponentBits - 1n)) - 1n;
  const exponent = bias + BigInt(random.range(-30, 30));
  const fraction = random.u64() & ((1n << fractionBits) - 1n);
  const trimmed = random.chance(2) ? fraction : (fraction >> (fractionBits - 8n)) << (fractionBits - 8n);
  return (BigInt(random.below(2)) << (exponentBits + fractionBits)) | (exponent << fractionBits) | trimmed;
}

function randomFloat(random: Random, singles: boolean): bigint {
  if (random.chance(40)) return random.u64();
  if (singles) {
    const boxed = 0xffffffff00000000n;
    if (random.chance(12)) return random.u64();
    if (random.chance(8)) return boxed | BigInt(random.word());
    return boxed | (random.chance(3) ? BigInt(random.pick(SINGLES)) : moderate(random, 8n, 23n));
  }
  if (random.chance(8)) return random.u64();
  return random.chance(3) ? random.pick(DOUBLES) : moderate(random, 11n, 52n);
}

/** Generates the bodies; counts what it used. */
class Generator {
  readonly coverage = new Map<string, number>();
  constructor(
    private readonly random: Random,
    /** The register that points to the arena. */
    private readonly base: number,
  ) {}

  /** An integer register that may be written and is not x0. */
  private temporary(except = 0): number {
    for (;;) {
      const register = this.random.range(1, 31);
      if (register !== this.base && register !== except) return register;
    }
  }

  private emit(name: string, operands: Partial<Operands>): number {
    this.coverage.set(name, (this.coverage.get(name) ?? 0) + 1);
    return assemble(name, operands);
  }

  /** One instruction, with what must surround it; [] if it cannot be had with this base register. */
  instruction(one: Instruction): number[] {
    const name = baseName(one);
    if (BRANCHES.has(name)) return this.branch(one);
    if (name === "jalr") return this.indirect(one);
    if (one.extension === "Zicsr") return this.csr(one);
    if (one.extension === "A") return this.atomic(one);
    return this.plain(one);
  }

  /** Random operands, until they are what is wanted and encode this very instruction. */
  private plain(one: Instruction): number[] {
    const memory = MEMORY.has(baseName(one));
    for (let attempt = 0; attempt < 50; attempt++) {
      const operands = this.operands(one);
      if (memory) {
        if (one.format.fields.rs1) operands.rs1 = this.base;
        if (one.size === 4) operands.imm = this.random.range(-SCRATCH, SCRATCH - 8) & (this.random.chance(4) ? -1 : -8);
      }
      const bits = encode(one, operands);
      const decoded = decode(bits);
      if (decoded?.instruction !== one) continue;
      if (memory && decoded.operands.rs1 !== this.base) return [];
      if (writesInteger(one) && decoded.operands.rd === this.base) continue;
      return [this.emit(one.name, operands)];
    }
    return [];
  }

  private operands(one: Instruction): Partial<Operands> {
    const operands: Partial<Operands> = {};
    const { fields } = one.format;
    for (const [name, field] of Object.entries(fields)) {
      const width = field.pieces.reduce((sum, [, bits]) => sum + bits, 0);
      const low = Math.min(...field.pieces.map(([, , to]) => to));
      const raw = this.random.below(2 ** width) * 2 ** low;
      operands[name as keyof Operands] = (raw | 0) + ("base" in field ? (field.base ?? 0) : 0);
    }
    if (operands.rm !== undefined) operands.rm = this.random.pick([0, 0, 1, 2, 3, 4, 7, 7]);
    // Compressed instructions that name rd and rs1 in one field.
    if (one.size === 2 && operands.rd !== undefined && "rd" in fields && "rs1" in fields &&
        fields.rd.pieces[0]?.[0] === fields.rs1.pieces[0]?.[0]) delete operands.rs1;
    return operands;
  }

  /** A few instructions to jump over. */
  private filler(): number[] {
    const names = ["addi", "xor", "c.addi", "slli", "c.mv", "lw"];
    return Array.from({ length: this.random.below(4) }, () => BY_NAME.get(this.random.pick(names)))
      .flatMap((one) => (one ? this.plain(one) : []));
  }

  private branch(one: Instruction): number[] {
    const skipped = this.filler();
    const operands = this.operands(one);
    operands.imm = one.size + skipped.reduce((sum, bits) => sum + sizeOf(bits), 0);
    if (one.format.fields.rd) operands.rd = this.random.chance(3) ? 0 : this.temporary();
    return [this.emit(one.name, operands), ...skipped];
  }

  private indirect(one: Instruction): number[] {
    const skipped = this.filler();
    const length = skipped.reduce((sum, bits) => sum + sizeOf(bits), 0);
    const pointer = this.temporary();
    const here = this.emit("auipc", { rd: pointer, imm: 0 });
    if (one.size === 4) {
      const rd = this.random.chance(3) ? 0 : this.temporary();
      return [here, this.emit(one.name, { rd, rs1: pointer, imm: 8 + length + this.random.below(2) }), ...skipped];
    }
    if (one.name === "c.jalr" && this.base === 1) return []; // it would link over the base
    return [
      here, this.emit("addi", { rd: pointer, rs1: pointer, imm: 10 + length }),
      this.emit(one.name, { rs1: pointer }), ...skipped,
    ];
  }

  /** Only the floating-point CSRs are the same everywhere; afterwards frm is made valid again. */
  private csr(one: Instruction): number[] {
    const csr = this.random.pick([1, 2, 3]);
    const rd = this.random.chance(4) ? 0 : this.temporary();
    const valid = this.emit("csrrwi", { rd: 0, imm: 2, rs1: this.random.below(5) });
    return [this.emit(one.name, { rd, imm: csr, rs1: this.random.below(32) }), valid];
  }

  private atomic(one: Instruction): number[] {
    const width = one.name.endsWith(".w") ? 4 : 8;
    const pointer = this.temporary();
    const offset = (this.random.range(-SCRATCH, SCRATCH - 8) & -width) | 0;
    const point = this.emit("addi", { rd: pointer, rs1: this.base, imm: offset });
    const rd = (): number => (this.random.chance(6) ? 0 : this.temporary(pointer));
    const source = (): number => this.random.below(32);
    const aqrl = this.random.below(4);
    if (!one.name.startsWith("lr") && !one.name.startsWith("sc")) {
      return [point, this.emit(one.name, { rd: rd(), rs1: pointer, rs2: source(), aqrl })];
    }
    // Pairs that succeed, pairs at different addresses, and SC alone, which must fail. Nothing in
    // between writes memory: an emulator that compares values would not see it.
    const suffix = width === 4 ? "w" : "d";
    const sc = this.emit(`sc.${suffix}`, { rd: rd(), rs1: pointer, rs2: source(), aqrl });
    if (one.name.startsWith("sc") && this.random.chance(2)) return [point, sc];
    const lr = this.emit(`lr.${suffix}`, { rd: rd(), rs1: pointer, aqrl: 0 });
    const moved = this.random.chance(3)
      ? [this.emit("addi", { rd: pointer, rs1: this.base, imm: offset > 0 ? offset - 128 : offset + 128 })]
      : [];
    return [point, lr, ...moved, sc];
  }
}

/** A static program of `count` sequences that writes all its arenas to standard output and exits. */
export function generateProgram(seed: number, count: number): Program {
  const random = new Random(seed);
  const candidates = INSTRUCTIONS.filter((one) => !NOT_RANDOM.has(one.name));
  const coverage = new Map<string, number>();
  const sequences: Sequence[] = [];
  const code: number[] = [];
  let pc = CODE;
  const emit = (...bits: number[]): void => {
    code.push(...bits);
    for (const one of bits) pc += sizeOf(one);
  };
  // Far enough that the code, at most some 900 bytes a sequence, ends before it.
  const arenas = CODE + Math.ceil((count * 1024 + 4096) / 4096) * 4096;
  const data = new Uint8Array(count * ARENA);
  const view = new DataView(data.buffer);

  const pointTo = (register: number, address: number): void => {
    const distance = address - pc;
    const low = (distance << 20) >> 20;
    emit(assemble("auipc", { rd: register, imm: distance - low }), assemble("addi", { rd: register, rs1: register, imm: low }));
  };

  for (let index = 0; index < count; index++) {
    const middle = index * ARENA + MIDDLE;
    const singles = random.chance(2);
    for (let n = 0; n < 32; n++) view.setBigUint64(middle + INITIAL_X + n * 8, randomInteger(random), true);
    for (let n = 0; n < 32; n++) view.setBigUint64(middle + INITIAL_F + n * 8, randomFloat(random, singles), true);
    view.setUint32(middle + INITIAL_FCSR, (random.below(5) << 5) | (random.chance(2) ? 0 : random.below(32)), true);
    for (let at = -SCRATCH; at < SCRATCH; at += 4) view.setUint32(middle + at, random.word(), true);

    // Compressed memory operands exist for the stack pointer and for x8 to x15 only.
    const base = random.chance(5) ? 2 : random.chance(2) ? random.range(8, 15) : random.range(1, 31);
    const other = base === 31 ? 30 : base + 1;
    const registers = Array.from({ length: 32 }, (_, n) => n);
    const integers = registers.filter((n) => n !== 0 && n !== base);
    pointTo(base, arenas + middle);
    emit(assemble("lw", { rd: other, rs1: base, imm: INITIAL_FCSR }), assemble("csrrw", { rd: 0, imm: 3, rs1: other }));
    emit(...registers.map((n) => assemble("fld", { rd: n, rs1: base, imm: INITIAL_F + n * 8 })));
    emit(...integers.map((n) => assemble("ld", { rd: n, rs1: base, imm: INITIAL_X + n * 8 })));

    const generator = new Generator(random, base);
    const bodyAddress = pc;
    const body: number[] = [];
    while (body.length < 16) body.push(...generator.instruction(random.pick(candidates)));
    emit(...body);
    for (const [name, times] of generator.coverage) coverage.set(name, (coverage.get(name) ?? 0) + times);
    sequences.push({ body, bodyAddress, base });

    emit(...integers.map((n) => assemble("sd", { rs2: n, rs1: base, imm: FINAL_X + n * 8 })));
    emit(...registers.map((n) => assemble("fsd", { rs2: n, rs1: base, imm: FINAL_F + n * 8 })));
    emit(assemble("csrrs", { rd: other, imm: 3, rs1: 0 }), assemble("sd", { rs2: other, rs1: base, imm: FINAL_FCSR }));
  }

  // write(1, arenas, size); exit_group(0)
  pointTo(11, arenas);
  emit(assemble("lui", { rd: 12, imm: data.length }), assemble("addi", { rd: 10, imm: 1 }), assemble("addi", { rd: 17, imm: 64 }));
  emit(assemble("ecall"), assemble("addi", { rd: 10, imm: 0 }), assemble("addi", { rd: 17, imm: 94 }), assemble("ecall"));
  if (pc > arenas) throw new Error("the code does not fit before the arenas");

  const text = new Uint8Array(pc - CODE);
  let at = 0;
  for (const bits of code) {
    for (let byte = 0; byte < sizeOf(bits); byte++) text[at++] = bits >>> (byte * 8);
  }
  const file = writeElf({
    entry: CODE,
    segments: [{ vaddr: CODE, bytes: text, flags: 5 }, { vaddr: arenas, bytes: data, flags: 6 }],
  });
  return { file, sequences, coverage, end: arenas + data.length };
}
