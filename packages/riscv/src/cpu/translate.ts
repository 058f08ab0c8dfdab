import { decode, instructionSize } from "../isa/table.js";
import type { Decoded } from "../isa/table.js";
import type { CodePage } from "./code.js";
import { DISCARD, Op, RARE } from "./loop.js";
import { RARE_INDEX } from "./rare.js";

/** The instructions that the interpreter's switch does itself. */
const FAST: ReadonlyMap<string, Op> = new Map([
  ["lui", Op.LI], ["auipc", Op.AUIPC], ["jal", Op.JAL], ["jalr", Op.JALR],
  ["beq", Op.BEQ], ["bne", Op.BNE], ["blt", Op.BLT], ["bge", Op.BGE], ["bltu", Op.BLTU], ["bgeu", Op.BGEU],
  ["lb", Op.LB], ["lh", Op.LH], ["lw", Op.LW], ["ld", Op.LD], ["lbu", Op.LBU], ["lhu", Op.LHU], ["lwu", Op.LWU],
  ["sb", Op.SB], ["sh", Op.SH], ["sw", Op.SW], ["sd", Op.SD],
  ["flw", Op.FLW], ["fld", Op.FLD], ["fsw", Op.FSW], ["fsd", Op.FSD],
  ["addi", Op.ADDI], ["slti", Op.SLTI], ["sltiu", Op.SLTIU], ["xori", Op.XORI], ["ori", Op.ORI], ["andi", Op.ANDI],
  ["slli", Op.SLLI], ["srli", Op.SRLI], ["srai", Op.SRAI],
  ["add", Op.ADD], ["sub", Op.SUB], ["sll", Op.SLL], ["slt", Op.SLT], ["sltu", Op.SLTU],
  ["xor", Op.XOR], ["srl", Op.SRL], ["sra", Op.SRA], ["or", Op.OR], ["and", Op.AND],
  ["addiw", Op.ADDIW], ["slliw", Op.SLLIW], ["srliw", Op.SRLIW], ["sraiw", Op.SRAIW],
  ["addw", Op.ADDW], ["subw", Op.SUBW], ["sllw", Op.SLLW], ["srlw", Op.SRLW], ["sraw", Op.SRAW],
  ["mul", Op.MUL], ["mulw", Op.MULW], ["fence", Op.NOP],
]);

const FLOAT_LOADS: ReadonlySet<string> = new Set(["flw", "fld"]);
const JUMPS: ReadonlySet<string> = new Set(["jal", "beq", "bne", "blt", "bge", "bltu", "bgeu"]);

/** Decodes an instruction of either length into one slot of a code page. */
export function translateInstruction(bits: number, page: CodePage, slot: number): void {
  const size = instructionSize(bits);
  const raw = size === 2 ? bits & 0xffff : bits;
  const decoded = decode(raw);
  const name = decoded ? (decoded.instruction.expansion ?? decoded.instruction.name) : "illegal";
  const fast = FAST.get(name);
  let word: number;
  let imm: number;
  if (decoded && fast !== undefined) {
    [word, imm] = fastWords(name, fast, decoded);
  } else {
    // Rare instructions get their own bits, for the fields that few of them have.
    word = RARE + (RARE_INDEX.get(name) ?? 0);
    imm = raw | 0;
    if (decoded) {
      const { rd, rs1, rs2 } = decoded.operands;
      const integerResult = !decoded.instruction.format.syntax.startsWith("fd");
      word |= ((rd === 0 && integerResult ? DISCARD : rd) << 8) | (rs1 << 14) | (rs2 << 19);
    }
  }
  page[slot * 2 + 1] = imm;
  page[slot * 2] = word | ((size / 2) << 24);
}

function fastWords(name: string, fast: Op, { operands }: Decoded): [word: number, imm: number] {
  const { rd, rs1, imm } = operands;
  let { rs2 } = operands;
  let operation = fast;
  // Copies and constants are so common that they have operations of their own.
  if (fast === Op.ADDI && rs1 === 0) operation = Op.LI;
  else if (fast === Op.ADDI && imm === 0) {
    operation = Op.MV;
    rs2 = rs1;
  } else if (fast === Op.ADD && rs1 === 0) operation = Op.MV;
  const target = rd === 0 && !FLOAT_LOADS.has(name) ? DISCARD : rd;
  return [operation | (target << 8) | (rs1 << 14) | (rs2 << 19), JUMPS.has(name) ? imm >> 1 : imm];
}
