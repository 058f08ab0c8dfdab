/**
 * @linux arch/riscv/kernel/probes/decode-insn.c, arch/riscv/kernel/probes/simulate-insn.c
 * @own riscvSimulateInsn
 */
import type { Kernel } from "../kernel.js";

/** The registers of a thread that has trapped (struct pt_regs). Values are unsigned. */
export interface PtRegs {
  pcBig: bigint;
  getX(register: number): bigint;
  setX(register: number, value: bigint): void;
}

/** What comes of an instruction that is to be probed. */
export enum ProbeInsn {
  /** It may not be. */
  Rejected,
  /** A copy of it does elsewhere what it would have done in its place. */
  Good,
  /** What it does depends on where it lies: the kernel does it. */
  GoodNoSlot,
}

/** What the kernel puts where a probe is: c.ebreak, so that it fits wherever an instruction begins. */
export const SWBP_INSN = 0x9002;
export const SWBP_INSN_BYTES = 2;
/** The 32-bit ebreak behind what is executed elsewhere. */
export const BUG_INSN_32 = 0x0010_0073;

/** The length of an instruction in bytes. */
export function insnLength(insn: number): number {
  return (insn & 3) === 3 ? 4 : 2;
}

const OPCODE = { BRANCH: 0x63, JALR: 0x67, FENCE: 0x0f, JAL: 0x6f, SYSTEM: 0x73, AUIPC: 0x17 } as const;
const REG_RA = 1;

/** Quadrant and funct3 of compressed instructions. */
const C = { J: 0xa001, BEQZ: 0xc001, BNEZ: 0xe001 } as const;
/** c.jr and c.jalr: funct4 and quadrant, without a second register. */
const CR = { JR: 0x8002, JALR: 0x9002 } as const;

/** What can be done about an instruction. */
export function riscvProbeDecodeInsn(_k: Kernel, insn: number): ProbeInsn {
  if (insnLength(insn) === 4) {
    const opcode = insn & 0x7f;
    if (opcode === OPCODE.SYSTEM || opcode === OPCODE.FENCE) return ProbeInsn.Rejected;
    const { JAL, JALR, AUIPC, BRANCH } = OPCODE;
    return opcode === JAL || opcode === JALR || opcode === AUIPC || opcode === BRANCH ? ProbeInsn.GoodNoSlot : ProbeInsn.Good;
  }
  if ((insn & 0xffff) === SWBP_INSN) return ProbeInsn.Rejected;
  const funct = insn & 0xe003;
  const register = insn & 0xf07f;
  const jumps = funct === C.J || funct === C.BEQZ || funct === C.BNEZ || register === CR.JR || register === CR.JALR;
  return jumps ? ProbeInsn.GoodNoSlot : ProbeInsn.Good;
}

/** Does what an instruction does that goes by its own address: `regs` stand at it, and behind it then. One that is none changes nothing. */
export function riscvSimulateInsn(_k: Kernel, insn: number, regs: PtRegs): void {
  if (insnLength(insn) === 2) simulateCompressed(insn, regs);
  else simulateFull(insn, regs);
}

function simulateFull(insn: number, regs: PtRegs): void {
  const at = regs.pcBig;
  const rd = (insn >>> 7) & 31;
  const rs1 = (insn >>> 15) & 31;
  switch (insn & 0x7f) {
    case OPCODE.JAL:
      regs.setX(rd, at + 4n);
      return goTo(regs, at + BigInt(immJ(insn)));
    case OPCODE.JALR: {
      const target = (regs.getX(rs1) + BigInt(insn >> 20)) & ~1n;
      regs.setX(rd, at + 4n);
      return goTo(regs, target);
    }
    case OPCODE.AUIPC:
      regs.setX(rd, BigInt.asUintN(64, at + BigInt(insn & ~0xfff)));
      return goTo(regs, at + 4n);
    case OPCODE.BRANCH: {
      const taken = compare((insn >>> 12) & 7, regs.getX(rs1), regs.getX((insn >>> 20) & 31));
      if (taken !== null) goTo(regs, at + (taken ? BigInt(immB(insn)) : 4n));
    }
  }
}

function simulateCompressed(insn: number, regs: PtRegs): void {
  const at = regs.pcBig;
  const rs1 = (insn >>> 7) & 31;
  if ((insn & 0xe003) === C.J) return goTo(regs, at + BigInt(immCJ(insn)));
  if ((insn & 3) === 1) {
    const isZero = regs.getX(8 + ((insn >>> 7) & 7)) === 0n;
    return goTo(regs, at + (isZero === ((insn & 0xe003) === C.BEQZ) ? BigInt(immCB(insn)) : 2n));
  }
  if (rs1 === 0) return;
  const target = regs.getX(rs1);
  if ((insn & 0xf07f) === CR.JALR) regs.setX(REG_RA, at + 2n);
  goTo(regs, target);
}

function goTo(regs: PtRegs, address: bigint): void {
  regs.pcBig = BigInt.asUintN(64, address);
}

/** Whether a branch is taken; null for one that there is not. */
function compare(funct3: number, a: bigint, b: bigint): boolean | null {
  switch (funct3) {
    case 0:
      return a === b;
    case 1:
      return a !== b;
    case 4:
      return BigInt.asIntN(64, a) < BigInt.asIntN(64, b);
    case 5:
      return BigInt.asIntN(64, a) >= BigInt.asIntN(64, b);
    case 6:
      return a < b;
    case 7:
      return a >= b;
    default:
      return null;
  }
}

/* Immediates, from the sign bit down. */

function immJ(insn: number): number {
  return ((insn >> 31) << 20) | (insn & 0xff000) | (((insn >>> 20) & 1) << 11) | (((insn >>> 21) & 0x3ff) << 1);
}

function immB(insn: number): number {
  return ((insn >> 31) << 12) | (((insn >>> 7) & 1) << 11) | (((insn >>> 25) & 0x3f) << 5) | (((insn >>> 8) & 15) << 1);
}

function bits(insn: number, from: number, count: number, to: number): number {
  return ((insn >>> from) & ((1 << count) - 1)) << to;
}

function immCJ(insn: number): number {
  const sign = ((insn << 19) >> 31) << 11;
  return sign | bits(insn, 11, 1, 4) | bits(insn, 9, 2, 8) | bits(insn, 8, 1, 10) | bits(insn, 7, 1, 6) | bits(insn, 6, 1, 7) | bits(insn, 3, 3, 1) | bits(insn, 2, 1, 5);
}

function immCB(insn: number): number {
  const sign = ((insn << 19) >> 31) << 8;
  return sign | bits(insn, 10, 2, 3) | bits(insn, 5, 2, 6) | bits(insn, 3, 2, 1) | bits(insn, 2, 1, 5);
}
