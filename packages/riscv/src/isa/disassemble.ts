import { CSR_NAMES, F_NAMES, ROUNDING_NAMES, X_NAMES } from "./registers.js";
import { decode, instructionSize } from "./table.js";
import type { Operands } from "./formats.js";

/** Prints the operand that a token of a format's syntax names. */
function operand(token: string, operands: Operands, pc: number): string {
  switch (token) {
    case "rd": return X_NAMES[operands.rd] ?? "?";
    case "rs1": return X_NAMES[operands.rs1] ?? "?";
    case "rs2": return X_NAMES[operands.rs2] ?? "?";
    case "fd": return F_NAMES[operands.rd] ?? "?";
    case "fs1": return F_NAMES[operands.rs1] ?? "?";
    case "fs2": return F_NAMES[operands.rs2] ?? "?";
    case "fs3": return F_NAMES[operands.rs3] ?? "?";
    case "imm": return String(operands.imm);
    case "uimm": return `0x${((operands.imm >>> 12) & 0xfffff).toString(16)}`;
    case "target": return `0x${(pc + operands.imm).toString(16)}`;
    case "zimm": return String(operands.rs1);
    case "csr": return CSR_NAMES.get(operands.imm) ?? `0x${operands.imm.toString(16)}`;
    case "rm": return ROUNDING_NAMES[operands.rm] ?? "?";
    default: return token;
  }
}

const ORDERINGS: readonly string[] = ["", ".rl", ".aq", ".aqrl"];

/**
 * One instruction as assembler text, e.g. `addi sp,sp,-16`. `pc` is its address, for branch targets.
 * Bits that are no instruction print as `.2byte` or `.4byte`.
 */
export function disassemble(bits: number, pc: number): string {
  const decoded = decode(bits);
  if (!decoded) {
    const size = instructionSize(bits);
    const raw = size === 2 ? bits & 0xffff : bits >>> 0;
    return `.${size}byte 0x${raw.toString(16).padStart(size * 2, "0")}`;
  }
  const { instruction, operands } = decoded;
  const text = instruction.format.syntax
    .replaceAll(", ", ",")
    .replace(/,rm$/, operands.rm === 7 ? "" : ",rm") // the assembler leaves the dynamic mode out
    .replace(/[a-z]+\d?/g, (token) => operand(token, operands, pc));
  const name = instruction.name + (ORDERINGS[operands.aqrl] ?? "");
  return text === "" ? name : `${name} ${text}`;
}
