/**
 * The instruction table: RV64IMAFDC with Zicsr, Zicntr and Zifencei, as the RISC-V unprivileged
 * manual's "RV32/64G Instruction Set Listings" and "Compressed" chapters give the encodings. The
 * decoder, the disassembler and the tests' random generators are derived from it and from nothing else.
 */
import { extract, FORMATS, insert, type Format, type FormatName, type OperandName, type Operands } from "./formats.js";

export type Extension = "I" | "M" | "A" | "F" | "D" | "C" | "Zicsr" | "Zifencei";

export interface Instruction {
  readonly name: string;
  /** Bits that are set in `mask` must equal those of `match`. */
  readonly match: number;
  readonly mask: number;
  readonly format: Format;
  readonly extension: Extension;
  /** For a compressed instruction, the name of the instruction that it is short for. */
  readonly expansion?: string;
  /** Operands for which zero is a reserved encoding, hence an illegal instruction. */
  readonly nonzero: readonly OperandName[];
  /** Bytes: 4, or 2 for a compressed instruction. */
  readonly size: 2 | 4;
}

const entry =
  (extension: Extension) =>
  (name: string, match: number, mask: number, format: FormatName): Instruction => ({
    name, match, mask, format: FORMATS[format], extension, nonzero: [], size: 4,
  });
const i = entry("I");
const m = entry("M");
const a = entry("A");
const f = entry("F");
const d = entry("D");
const zicsr = entry("Zicsr");
const zifencei = entry("Zifencei");
const c = (
  name: string, match: number, mask: number, format: FormatName, expansion: string, nonzero: readonly OperandName[] = [],
): Instruction => ({ name, match, mask, format: FORMATS[format], extension: "C", expansion, nonzero, size: 2 });

export const INSTRUCTIONS: readonly Instruction[] = [
  // RV64I
  i("lui", 0x00000037, 0x0000007f, "u"),
  i("auipc", 0x00000017, 0x0000007f, "u"),
  i("jal", 0x0000006f, 0x0000007f, "j"),
  i("jalr", 0x00000067, 0x0000707f, "load"),
  i("beq", 0x00000063, 0x0000707f, "branch"),
  i("bne", 0x00001063, 0x0000707f, "branch"),
  i("blt", 0x00004063, 0x0000707f, "branch"),
  i("bge", 0x00005063, 0x0000707f, "branch"),
  i("bltu", 0x00006063, 0x0000707f, "branch"),
  i("bgeu", 0x00007063, 0x0000707f, "branch"),
  i("lb", 0x00000003, 0x0000707f, "load"),
  i("lh", 0x00001003, 0x0000707f, "load"),
  i("lw", 0x00002003, 0x0000707f, "load"),
  i("ld", 0x00003003, 0x0000707f, "load"),
  i("lbu", 0x00004003, 0x0000707f, "load"),
  i("lhu", 0x00005003, 0x0000707f, "load"),
  i("lwu", 0x00006003, 0x0000707f, "load"),
  i("sb", 0x00000023, 0x0000707f, "store"),
  i("sh", 0x00001023, 0x0000707f, "store"),
  i("sw", 0x00002023, 0x0000707f, "store"),
  i("sd", 0x00003023, 0x0000707f, "store"),
  i("addi", 0x00000013, 0x0000707f, "i"),
  i("slti", 0x00002013, 0x0000707f, "i"),
  i("sltiu", 0x00003013, 0x0000707f, "i"),
  i("xori", 0x00004013, 0x0000707f, "i"),
  i("ori", 0x00006013, 0x0000707f, "i"),
  i("andi", 0x00007013, 0x0000707f, "i"),
  i("slli", 0x00001013, 0xfc00707f, "shift64"),
  i("srli", 0x00005013, 0xfc00707f, "shift64"),
  i("srai", 0x40005013, 0xfc00707f, "shift64"),
  i("add", 0x00000033, 0xfe00707f, "r"),
  i("sll", 0x00001033, 0xfe00707f, "r"),
  i("slt", 0x00002033, 0xfe00707f, "r"),
  i("sltu", 0x00003033, 0xfe00707f, "r"),
  i("xor", 0x00004033, 0xfe00707f, "r"),
  i("srl", 0x00005033, 0xfe00707f, "r"),
  i("or", 0x00006033, 0xfe00707f, "r"),
  i("and", 0x00007033, 0xfe00707f, "r"),
  i("sub", 0x40000033, 0xfe00707f, "r"),
  i("sra", 0x40005033, 0xfe00707f, "r"),
  i("addiw", 0x0000001b, 0x0000707f, "i"),
  i("slliw", 0x0000101b, 0xfe00707f, "shift32"),
  i("srliw", 0x0000501b, 0xfe00707f, "shift32"),
  i("sraiw", 0x4000501b, 0xfe00707f, "shift32"),
  i("addw", 0x0000003b, 0xfe00707f, "r"),
  i("sllw", 0x0000103b, 0xfe00707f, "r"),
  i("srlw", 0x0000503b, 0xfe00707f, "r"),
  i("subw", 0x4000003b, 0xfe00707f, "r"),
  i("sraw", 0x4000503b, 0xfe00707f, "r"),
  i("fence", 0x0000000f, 0x0000707f, "fence"),
  i("ecall", 0x00000073, 0xffffffff, "none"),
  i("ebreak", 0x00100073, 0xffffffff, "none"),

  // Zifencei and Zicsr (Zicntr adds CSRs, not instructions)
  zifencei("fence.i", 0x0000100f, 0x0000707f, "fence"),
  zicsr("csrrw", 0x00001073, 0x0000707f, "csr"),
  zicsr("csrrs", 0x00002073, 0x0000707f, "csr"),
  zicsr("csrrc", 0x00003073, 0x0000707f, "csr"),
  zicsr("csrrwi", 0x00005073, 0x0000707f, "csri"),
  zicsr("csrrsi", 0x00006073, 0x0000707f, "csri"),
  zicsr("csrrci", 0x00007073, 0x0000707f, "csri"),

  // M
  m("mul", 0x02000033, 0xfe00707f, "r"),
  m("mulh", 0x02001033, 0xfe00707f, "r"),
  m("mulhsu", 0x02002033, 0xfe00707f, "r"),
  m("mulhu", 0x02003033, 0xfe00707f, "r"),
  m("div", 0x02004033, 0xfe00707f, "r"),
  m("divu", 0x02005033, 0xfe00707f, "r"),
  m("rem", 0x02006033, 0xfe00707f, "r"),
  m("remu", 0x02007033, 0xfe00707f, "r"),
  m("mulw", 0x0200003b, 0xfe00707f, "r"),
  m("divw", 0x0200403b, 0xfe00707f, "r"),
  m("divuw", 0x0200503b, 0xfe00707f, "r"),
  m("remw", 0x0200603b, 0xfe00707f, "r"),
  m("remuw", 0x0200703b, 0xfe00707f, "r"),

  // A
  a("lr.w", 0x1000202f, 0xf9f0707f, "lr"),
  a("sc.w", 0x1800202f, 0xf800707f, "amo"),
  a("amoswap.w", 0x0800202f, 0xf800707f, "amo"),
  a("amoadd.w", 0x0000202f, 0xf800707f, "amo"),
  a("amoxor.w", 0x2000202f, 0xf800707f, "amo"),
  a("amoand.w", 0x6000202f, 0xf800707f, "amo"),
  a("amoor.w", 0x4000202f, 0xf800707f, "amo"),
  a("amomin.w", 0x8000202f, 0xf800707f, "amo"),
  a("amomax.w", 0xa000202f, 0xf800707f, "amo"),
  a("amominu.w", 0xc000202f, 0xf800707f, "amo"),
  a("amomaxu.w", 0xe000202f, 0xf800707f, "amo"),
  a("lr.d", 0x1000302f, 0xf9f0707f, "lr"),
  a("sc.d", 0x1800302f, 0xf800707f, "amo"),
  a("amoswap.d", 0x0800302f, 0xf800707f, "amo"),
  a("amoadd.d", 0x0000302f, 0xf800707f, "amo"),
  a("amoxor.d", 0x2000302f, 0xf800707f, "amo"),
  a("amoand.d", 0x6000302f, 0xf800707f, "amo"),
  a("amoor.d", 0x4000302f, 0xf800707f, "amo"),
  a("amomin.d", 0x8000302f, 0xf800707f, "amo"),
  a("amomax.d", 0xa000302f, 0xf800707f, "amo"),
  a("amominu.d", 0xc000302f, 0xf800707f, "amo"),
  a("amomaxu.d", 0xe000302f, 0xf800707f, "amo"),

  // F
  f("flw", 0x00002007, 0x0000707f, "fload"),
  f("fsw", 0x00002027, 0x0000707f, "fstore"),
  f("fmadd.s", 0x00000043, 0x0600007f, "fr4"),
  f("fmsub.s", 0x00000047, 0x0600007f, "fr4"),
  f("fnmsub.s", 0x0000004b, 0x0600007f, "fr4"),
  f("fnmadd.s", 0x0000004f, 0x0600007f, "fr4"),
  f("fadd.s", 0x00000053, 0xfe00007f, "frm"),
  f("fsub.s", 0x08000053, 0xfe00007f, "frm"),
  f("fmul.s", 0x10000053, 0xfe00007f, "frm"),
  f("fdiv.s", 0x18000053, 0xfe00007f, "frm"),
  f("fsqrt.s", 0x58000053, 0xfff0007f, "fsqrt"),
  f("fsgnj.s", 0x20000053, 0xfe00707f, "fr"),
  f("fsgnjn.s", 0x20001053, 0xfe00707f, "fr"),
  f("fsgnjx.s", 0x20002053, 0xfe00707f, "fr"),
  f("fmin.s", 0x28000053, 0xfe00707f, "fr"),
  f("fmax.s", 0x28001053, 0xfe00707f, "fr"),
  f("fle.s", 0xa0000053, 0xfe00707f, "fcmp"),
  f("flt.s", 0xa0001053, 0xfe00707f, "fcmp"),
  f("feq.s", 0xa0002053, 0xfe00707f, "fcmp"),
  f("fclass.s", 0xe0001053, 0xfff0707f, "fclass"),
  f("fmv.x.w", 0xe0000053, 0xfff0707f, "fclass"),
  f("fmv.w.x", 0xf0000053, 0xfff0707f, "fmvToF"),
  f("fcvt.w.s", 0xc0000053, 0xfff0007f, "fcvtToX"),
  f("fcvt.s.w", 0xd0000053, 0xfff0007f, "fcvtToF"),
  f("fcvt.wu.s", 0xc0100053, 0xfff0007f, "fcvtToX"),
  f("fcvt.s.wu", 0xd0100053, 0xfff0007f, "fcvtToF"),
  f("fcvt.l.s", 0xc0200053, 0xfff0007f, "fcvtToX"),
  f("fcvt.s.l", 0xd0200053, 0xfff0007f, "fcvtToF"),
  f("fcvt.lu.s", 0xc0300053, 0xfff0007f, "fcvtToX"),
  f("fcvt.s.lu", 0xd0300053, 0xfff0007f, "fcvtToF"),

  // D
  d("fld", 0x00003007, 0x0000707f, "fload"),
  d("fsd", 0x00003027, 0x0000707f, "fstore"),
  d("fmadd.d", 0x02000043, 0x0600007f, "fr4"),
  d("fmsub.d", 0x02000047, 0x0600007f, "fr4"),
  d("fnmsub.d", 0x0200004b, 0x0600007f, "fr4"),
  d("fnmadd.d", 0x0200004f, 0x0600007f, "fr4"),
  d("fadd.d", 0x02000053, 0xfe00007f, "frm"),
  d("fsub.d", 0x0a000053, 0xfe00007f, "frm"),
  d("fmul.d", 0x12000053, 0xfe00007f, "frm"),
  d("fdiv.d", 0x1a000053, 0xfe00007f, "frm"),
  d("fsqrt.d", 0x5a000053, 0xfff0007f, "fsqrt"),
  d("fsgnj.d", 0x22000053, 0xfe00707f, "fr"),
  d("fsgnjn.d", 0x22001053, 0xfe00707f, "fr"),
  d("fsgnjx.d", 0x22002053, 0xfe00707f, "fr"),
  d("fmin.d", 0x2a000053, 0xfe00707f, "fr"),
  d("fmax.d", 0x2a001053, 0xfe00707f, "fr"),
  d("fle.d", 0xa2000053, 0xfe00707f, "fcmp"),
  d("flt.d", 0xa2001053, 0xfe00707f, "fcmp"),
  d("feq.d", 0xa2002053, 0xfe00707f, "fcmp"),
  d("fclass.d", 0xe2001053, 0xfff0707f, "fclass"),
  d("fmv.x.d", 0xe2000053, 0xfff0707f, "fclass"),
  d("fmv.d.x", 0xf2000053, 0xfff0707f, "fmvToF"),
  d("fcvt.w.d", 0xc2000053, 0xfff0007f, "fcvtToX"),
  d("fcvt.d.w", 0xd2000053, 0xfff0007f, "fcvtToF"),
  d("fcvt.wu.d", 0xc2100053, 0xfff0007f, "fcvtToX"),
  d("fcvt.d.wu", 0xd2100053, 0xfff0007f, "fcvtToF"),
  d("fcvt.l.d", 0xc2200053, 0xfff0007f, "fcvtToX"),
  d("fcvt.d.l", 0xd2200053, 0xfff0007f, "fcvtToF"),
  d("fcvt.lu.d", 0xc2300053, 0xfff0007f, "fcvtToX"),
  d("fcvt.d.lu", 0xd2300053, 0xfff0007f, "fcvtToF"),
  d("fcvt.s.d", 0x40100053, 0xfff0007f, "fsqrt"),
  d("fcvt.d.s", 0x42000053, 0xfff0007f, "fsqrt"),

  // C. The first entry that matches counts, so special cases stand before the general ones.
  c("c.addi4spn", 0x0000, 0xe003, "c4spn", "addi", ["imm"]),
  c("c.fld", 0x2000, 0xe003, "cfld", "fld"),
  c("c.lw", 0x4000, 0xe003, "clw", "lw"),
  c("c.ld", 0x6000, 0xe003, "cld", "ld"),
  c("c.fsd", 0xa000, 0xe003, "cfsd", "fsd"),
  c("c.sw", 0xc000, 0xe003, "csw", "sw"),
  c("c.sd", 0xe000, 0xe003, "csd", "sd"),
  c("c.nop", 0x0001, 0xef83, "cNop", "addi"),
  c("c.addi", 0x0001, 0xe003, "ci", "addi"),
  c("c.addiw", 0x2001, 0xe003, "ci", "addiw", ["rd"]),
  c("c.li", 0x4001, 0xe003, "cli", "addi"),
  c("c.addi16sp", 0x6101, 0xef83, "c16sp", "addi", ["imm"]),
  c("c.lui", 0x6001, 0xe003, "clui", "lui", ["imm"]),
  c("c.srli", 0x8001, 0xec03, "cshift", "srli"),
  c("c.srai", 0x8401, 0xec03, "cshift", "srai"),
  c("c.andi", 0x8801, 0xec03, "candi", "andi"),
  c("c.sub", 0x8c01, 0xfc63, "ca", "sub"),
  c("c.xor", 0x8c21, 0xfc63, "ca", "xor"),
  c("c.or", 0x8c41, 0xfc63, "ca", "or"),
  c("c.and", 0x8c61, 0xfc63, "ca", "and"),
  c("c.subw", 0x9c01, 0xfc63, "ca", "subw"),
  c("c.addw", 0x9c21, 0xfc63, "ca", "addw"),
  c("c.j", 0xa001, 0xe003, "cj", "jal"),
  c("c.beqz", 0xc001, 0xe003, "cb", "beq"),
  c("c.bnez", 0xe001, 0xe003, "cb", "bne"),
  c("c.slli", 0x0002, 0xe003, "cslli", "slli"),
  c("c.fldsp", 0x2002, 0xe003, "cfldsp", "fld"),
  c("c.lwsp", 0x4002, 0xe003, "clwsp", "lw", ["rd"]),
  c("c.ldsp", 0x6002, 0xe003, "cldsp", "ld", ["rd"]),
  c("c.jr", 0x8002, 0xf07f, "cjr", "jalr", ["rs1"]),
  c("c.mv", 0x8002, 0xf003, "cmv", "add"),
  c("c.ebreak", 0x9002, 0xffff, "none", "ebreak"),
  c("c.jalr", 0x9002, 0xf07f, "cjalr", "jalr"),
  c("c.add", 0x9002, 0xf003, "cadd", "add"),
  c("c.fsdsp", 0xa002, 0xe003, "cfsdsp", "fsd"),
  c("c.swsp", 0xc002, 0xe003, "cswsp", "sw"),
  c("c.sdsp", 0xe002, 0xe003, "csdsp", "sd"),
];

/** An instruction with its operands filled in. */
export interface Decoded {
  readonly instruction: Instruction;
  readonly operands: Operands;
}

// An index over the table: by opcode, and for compressed instructions by quadrant and funct3.
const bucket16 = (bits: number): number => (bits & 3) | ((bits >>> 11) & 0x1c);
const bucket32 = (bits: number): number => bits & 0x7f;
const BUCKETS: ReadonlyMap<number, readonly Instruction[]> = bucketise(INSTRUCTIONS);

function bucketise(table: readonly Instruction[]): Map<number, Instruction[]> {
  const buckets = new Map<number, Instruction[]>();
  for (const one of table) {
    const key = one.size === 2 ? bucket16(one.match) : bucket32(one.match);
    const list = buckets.get(key);
    if (list) list.push(one);
    else buckets.set(key, [one]);
  }
  return buckets;
}

/** Whether the instruction that starts with this halfword is 2 or 4 bytes long. */
export function instructionSize(halfword: number): 2 | 4 {
  return (halfword & 3) === 3 ? 4 : 2;
}

/**
 * Decodes an instruction of either length; for a compressed one only the low 16 bits count.
 * Returns undefined for an illegal or reserved encoding.
 */
export function decode(bits: number): Decoded | undefined {
  const word = instructionSize(bits) === 2 ? bits & 0xffff : bits;
  const candidates = BUCKETS.get(instructionSize(bits) === 2 ? bucket16(word) : bucket32(word)) ?? [];
  // The masks are compared as 32-bit integers: a table constant may have bit 31 set.
  const instruction = candidates.find((one) => ((word ^ one.match) & one.mask) === 0);
  if (!instruction) return undefined;
  const operands = operandsOf(instruction, word);
  if (instruction.nonzero.some((name) => operands[name] === 0)) return undefined;
  return { instruction, operands };
}

function operandsOf(instruction: Instruction, bits: number): Operands {
  const { fields, fixed } = instruction.format;
  const operands: Operands = { rd: 0, rs1: 0, rs2: 0, rs3: 0, imm: 0, rm: 0, aqrl: 0, ...fixed };
  for (const [name, field] of Object.entries(fields)) operands[name as OperandName] = extract(field, bits);
  return operands;
}

/** The bits of an instruction, unsigned. Operands left out are zero; values that do not fit are cut. */
export function encode(instruction: Instruction, operands: Partial<Operands>): number {
  let bits = instruction.match;
  for (const [name, field] of Object.entries(instruction.format.fields)) {
    bits |= insert(field, operands[name as OperandName] ?? field.base ?? 0);
  }
  return bits >>> 0;
}
