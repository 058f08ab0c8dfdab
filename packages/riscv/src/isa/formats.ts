/**
 * Where operands stand in an instruction. One description serves decoding, encoding and printing:
 * a field is a list of pieces, each saying which run of instruction bits is which run of value bits.
 */

/** Operands that an instruction may have. `imm` is also the CSR number and the shift amount. */
export type OperandName = "rd" | "rs1" | "rs2" | "rs3" | "imm" | "rm" | "aqrl";

/** Operand values; those the format lacks are 0. Immediates are signed and already scaled to bytes. */
export type Operands = Record<OperandName, number>;

/** [lowest bit in the instruction, width in bits, lowest bit in the value] */
type Piece = readonly [at: number, width: number, to: number];

export interface Field {
  readonly pieces: readonly Piece[];
  /** Sign-extend from the highest value bit described. */
  readonly signed?: boolean;
  /** Added to the raw value: 8 for the three-bit register fields of compressed instructions. */
  readonly base?: number;
}

export interface Format {
  readonly fields: Partial<Record<OperandName, Field>>;
  /** Operands that a compressed instruction implies: `sp`, `ra`, `zero`. */
  readonly fixed?: Partial<Operands>;
  /**
   * Assembler syntax. `rd rs1 rs2 rs3` are integer registers, `fd fs1 fs2 fs3` floating-point ones,
   * `imm` a signed immediate, `uimm` the upper 20 bits, `target` pc-relative, `zimm` the rs1 field
   * as a number, `csr` a CSR, `rm` a rounding mode.
   */
  readonly syntax: string;
}

const at = (low: number, width: number): Field => ({ pieces: [[low, width, 0]] });
const signed = (...pieces: Piece[]): Field => ({ pieces, signed: true });
const unsigned = (...pieces: Piece[]): Field => ({ pieces });
const prime = (low: number): Field => ({ pieces: [[low, 3, 0]], base: 8 });

const rd = at(7, 5);
const rs1 = at(15, 5);
const rs2 = at(20, 5);
const rs3 = at(27, 5);
const rm = at(12, 3);
const aqrl = at(25, 2);
const immI = signed([20, 12, 0]);
const immS = signed([25, 7, 5], [7, 5, 0]);
const immB = signed([31, 1, 12], [7, 1, 11], [25, 6, 5], [8, 4, 1]);
const immU = signed([12, 20, 12]);
const immJ = signed([31, 1, 20], [12, 8, 12], [20, 1, 11], [21, 10, 1]);

// Compressed immediates, in the order in which the manual's tables list their pieces.
const crs2 = at(2, 5);
const immCI = signed([12, 1, 5], [2, 5, 0]);
const immCLui = signed([12, 1, 17], [2, 5, 12]);
const immC16sp = signed([12, 1, 9], [6, 1, 4], [5, 1, 6], [3, 2, 7], [2, 1, 5]);
const immC4spn = unsigned([11, 2, 4], [7, 4, 6], [6, 1, 2], [5, 1, 3]);
const shamtC = unsigned([12, 1, 5], [2, 5, 0]);
const immCLw = unsigned([10, 3, 3], [6, 1, 2], [5, 1, 6]);
const immCLd = unsigned([10, 3, 3], [5, 2, 6]);
const immCLwsp = unsigned([12, 1, 5], [4, 3, 2], [2, 2, 6]);
const immCLdsp = unsigned([12, 1, 5], [5, 2, 3], [2, 3, 6]);
const immCSwsp = unsigned([9, 4, 2], [7, 2, 6]);
const immCSdsp = unsigned([10, 3, 3], [7, 3, 6]);
const immCJ = signed([12, 1, 11], [11, 1, 4], [9, 2, 8], [8, 1, 10], [7, 1, 6], [6, 1, 7], [3, 3, 1], [2, 1, 5]);
const immCB = signed([12, 1, 8], [10, 2, 3], [5, 2, 6], [3, 2, 1], [2, 1, 5]);

export const FORMATS = {
  none: { fields: {}, syntax: "" },
  r: { fields: { rd, rs1, rs2 }, syntax: "rd, rs1, rs2" },
  i: { fields: { rd, rs1, imm: immI }, syntax: "rd, rs1, imm" },
  shift64: { fields: { rd, rs1, imm: at(20, 6) }, syntax: "rd, rs1, imm" },
  shift32: { fields: { rd, rs1, imm: at(20, 5) }, syntax: "rd, rs1, imm" },
  load: { fields: { rd, rs1, imm: immI }, syntax: "rd, imm(rs1)" },
  store: { fields: { rs1, rs2, imm: immS }, syntax: "rs2, imm(rs1)" },
  branch: { fields: { rs1, rs2, imm: immB }, syntax: "rs1, rs2, target" },
  u: { fields: { rd, imm: immU }, syntax: "rd, uimm" },
  j: { fields: { rd, imm: immJ }, syntax: "rd, target" },
  // Bits 31:20 are fm, pred and succ; rd and rs1 are reserved and ignored (manual, "FENCE").
  fence: { fields: { rd, rs1, imm: immI }, syntax: "" },
  csr: { fields: { rd, rs1, imm: at(20, 12) }, syntax: "rd, csr, rs1" },
  csri: { fields: { rd, rs1, imm: at(20, 12) }, syntax: "rd, csr, zimm" },
  lr: { fields: { rd, rs1, aqrl }, syntax: "rd, (rs1)" },
  amo: { fields: { rd, rs1, rs2, aqrl }, syntax: "rd, rs2, (rs1)" },
  fload: { fields: { rd, rs1, imm: immI }, syntax: "fd, imm(rs1)" },
  fstore: { fields: { rs1, rs2, imm: immS }, syntax: "fs2, imm(rs1)" },
  fr: { fields: { rd, rs1, rs2 }, syntax: "fd, fs1, fs2" },
  frm: { fields: { rd, rs1, rs2, rm }, syntax: "fd, fs1, fs2, rm" },
  fr4: { fields: { rd, rs1, rs2, rs3, rm }, syntax: "fd, fs1, fs2, fs3, rm" },
  fsqrt: { fields: { rd, rs1, rm }, syntax: "fd, fs1, rm" },
  fcmp: { fields: { rd, rs1, rs2 }, syntax: "rd, fs1, fs2" },
  fclass: { fields: { rd, rs1 }, syntax: "rd, fs1" },
  fmvToF: { fields: { rd, rs1 }, syntax: "fd, rs1" },
  fcvtToX: { fields: { rd, rs1, rm }, syntax: "rd, fs1, rm" },
  fcvtToF: { fields: { rd, rs1, rm }, syntax: "fd, rs1, rm" },

  cNop: { fields: { imm: immCI }, fixed: { rd: 0, rs1: 0 }, syntax: "" },
  ci: { fields: { rd, rs1: rd, imm: immCI }, syntax: "rd, imm" },
  cli: { fields: { rd, imm: immCI }, fixed: { rs1: 0 }, syntax: "rd, imm" },
  clui: { fields: { rd, imm: immCLui }, syntax: "rd, uimm" },
  c16sp: { fields: { imm: immC16sp }, fixed: { rd: 2, rs1: 2 }, syntax: "rd, imm" },
  c4spn: { fields: { rd: prime(2), imm: immC4spn }, fixed: { rs1: 2 }, syntax: "rd, rs1, imm" },
  cslli: { fields: { rd, rs1: rd, imm: shamtC }, syntax: "rd, imm" },
  cshift: { fields: { rd: prime(7), rs1: prime(7), imm: shamtC }, syntax: "rd, imm" },
  candi: { fields: { rd: prime(7), rs1: prime(7), imm: immCI }, syntax: "rd, imm" },
  ca: { fields: { rd: prime(7), rs1: prime(7), rs2: prime(2) }, syntax: "rd, rs2" },
  clw: { fields: { rd: prime(2), rs1: prime(7), imm: immCLw }, syntax: "rd, imm(rs1)" },
  cld: { fields: { rd: prime(2), rs1: prime(7), imm: immCLd }, syntax: "rd, imm(rs1)" },
  cfld: { fields: { rd: prime(2), rs1: prime(7), imm: immCLd }, syntax: "fd, imm(rs1)" },
  csw: { fields: { rs2: prime(2), rs1: prime(7), imm: immCLw }, syntax: "rs2, imm(rs1)" },
  csd: { fields: { rs2: prime(2), rs1: prime(7), imm: immCLd }, syntax: "rs2, imm(rs1)" },
  cfsd: { fields: { rs2: prime(2), rs1: prime(7), imm: immCLd }, syntax: "fs2, imm(rs1)" },
  clwsp: { fields: { rd, imm: immCLwsp }, fixed: { rs1: 2 }, syntax: "rd, imm(rs1)" },
  cldsp: { fields: { rd, imm: immCLdsp }, fixed: { rs1: 2 }, syntax: "rd, imm(rs1)" },
  cfldsp: { fields: { rd, imm: immCLdsp }, fixed: { rs1: 2 }, syntax: "fd, imm(rs1)" },
  cswsp: { fields: { rs2: crs2, imm: immCSwsp }, fixed: { rs1: 2 }, syntax: "rs2, imm(rs1)" },
  csdsp: { fields: { rs2: crs2, imm: immCSdsp }, fixed: { rs1: 2 }, syntax: "rs2, imm(rs1)" },
  cfsdsp: { fields: { rs2: crs2, imm: immCSdsp }, fixed: { rs1: 2 }, syntax: "fs2, imm(rs1)" },
  cj: { fields: { imm: immCJ }, fixed: { rd: 0 }, syntax: "target" },
  cb: { fields: { rs1: prime(7), imm: immCB }, fixed: { rs2: 0 }, syntax: "rs1, target" },
  cjr: { fields: { rs1: rd }, fixed: { rd: 0, imm: 0 }, syntax: "rs1" },
  cjalr: { fields: { rs1: rd }, fixed: { rd: 1, imm: 0 }, syntax: "rs1" },
  cmv: { fields: { rd, rs2: crs2 }, fixed: { rs1: 0 }, syntax: "rd, rs2" },
  cadd: { fields: { rd, rs1: rd, rs2: crs2 }, syntax: "rd, rs2" },
} as const satisfies Record<string, Format>;

export type FormatName = keyof typeof FORMATS;

/** The value of one field of an instruction. */
export function extract(field: Field, bits: number): number {
  let value = 0;
  let top = 0;
  for (const [low, width, to] of field.pieces) {
    value |= ((bits >>> low) & ((1 << width) - 1)) << to;
    top = Math.max(top, to + width);
  }
  if (field.signed) value = (value << (32 - top)) >> (32 - top);
  return value + (field.base ?? 0);
}

/** The instruction bits that hold `value`; the inverse of `extract` for values the field can hold. */
export function insert(field: Field, value: number): number {
  const raw = value - (field.base ?? 0);
  let bits = 0;
  for (const [low, width, to] of field.pieces) bits |= ((raw >>> to) & ((1 << width) - 1)) << low;
  return bits;
}
