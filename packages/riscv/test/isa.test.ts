import { describe, expect, it } from "vitest";
import { decode, disassemble, encode, INSTRUCTIONS, type Operands } from "../src/index.js";
import { Random } from "./random.js";
import { assemble } from "./sequences.js";

describe("the instruction table", () => {
  it("has every name once, and every expansion", () => {
    const names = INSTRUCTIONS.map(({ name }) => name);
    expect(new Set(names).size).toBe(names.length);
    for (const { size, expansion } of INSTRUCTIONS) {
      if (size === 2) expect(names).toContain(expansion);
      else expect(expansion).toBeUndefined();
    }
  });

  it("has masks that cover what they match, and no two full-size encodings that overlap", () => {
    for (const { name, match, mask } of INSTRUCTIONS) expect([name, (match & ~mask) >>> 0]).toEqual([name, 0]);
    const full = INSTRUCTIONS.filter(({ size }) => size === 4);
    for (const a of full) {
      for (const b of full) {
        if (a !== b && ((a.match ^ b.match) & a.mask & b.mask) === 0) expect.fail(`${a.name} and ${b.name} overlap`);
      }
    }
  });

  it("accounts for every bit: an operand's, or fixed", () => {
    for (const { name, mask, format, size } of INSTRUCTIONS) {
      let bits = mask;
      for (const { pieces } of Object.values(format.fields)) {
        for (const [at, width] of pieces) bits |= (2 ** width - 1) << at;
      }
      // The special cases of c.addi and c.lui fix a register that the format leaves out.
      expect([name, (size === 2 ? bits & 0xffff : bits) >>> 0]).toEqual([name, size === 2 ? 0xffff : 0xffffffff]);
    }
  });

  it("decodes what it encodes", () => {
    const random = new Random(7);
    for (const instruction of INSTRUCTIONS) {
      let found = 0;
      for (let attempt = 0; attempt < 200; attempt++) {
        const bits = (instruction.match | (random.word() & ~instruction.mask)) >>> 0;
        const word = instruction.size === 2 ? bits & 0xffff : bits;
        const decoded = decode(word);
        if (decoded?.instruction !== instruction) continue; // a special case, or reserved
        found++;
        expect([instruction.name, encode(instruction, decoded.operands)]).toEqual([instruction.name, word]);
      }
      expect([instruction.name, found > 0]).toEqual([instruction.name, true]);
    }
  });

  it.each<[bits: number, pc: number, text: string]>([
    [0xfe010113, 0, "addi sp,sp,-32"],
    [0x00000073, 0, "ecall"],
    [0x9002, 0, "c.ebreak"],
    [0x1141, 0, "c.addi sp,-16"],
    [0x7139, 0, "c.addi16sp sp,-64"],
    [0x0808, 0, "c.addi4spn a0,sp,16"],
    [0x8082, 0, "c.jr ra"],
    [0x000107b7, 0, "lui a5,0x10"],
    [0xfffff537, 0, "lui a0,0xfffff"],
    [0x00b50463, 0x1000, "beq a0,a1,0x1008"],
    [0xff5ff06f, 0x1000, "jal zero,0xff4"],
    [0x00853283, 0, "ld t0,8(a0)"],
    [0x02a5f5d3, 0, "fadd.d fa1,fa1,fa0"],
    [0x02a595d3, 0, "fadd.d fa1,fa1,fa0,rtz"],
    [0xc2051553, 0, "fcvt.w.d a0,fa0,rtz"],
    [0x1005252f, 0, "lr.w a0,(a0)"],
    [0x06b5252f, 0, "amoadd.w.aqrl a0,a1,(a0)"],
    [0xc0102573, 0, "csrrs a0,time,zero"],
    [0x00215073, 0, "csrrwi zero,frm,2"],
    [0x0000, 0, ".2byte 0x0000"],
    [0xffffffff, 0, ".4byte 0xffffffff"],
  ])("disassembles %#", (bits, pc, text) => {
    expect(disassemble(bits, pc)).toBe(text);
  });

  it.each<[what: string, bits: number]>([
    ["the all-zero halfword", 0x0000],
    ["c.addi4spn without immediate", 0x0004],
    ["c.lwsp to x0", 0x4002],
    ["c.ldsp to x0", 0x6002],
    ["c.addiw to x0", 0x2001],
    ["c.addi16sp without immediate", 0x6101],
    ["c.lui without immediate", 0x6081],
    ["c.jr x0", 0x8002],
    ["slliw by 32", assemble("slliw", { rd: 1, rs1: 1 }) | (1 << 25)],
    ["a custom opcode", 0x0000000b],
  ])("knows no instruction for %s", (_what, bits) => {
    expect(decode(bits)).toBeUndefined();
  });

  it("sign-extends and scatters immediates as the manual draws them", () => {
    const imm = (bits: number): number | undefined => decode(bits)?.operands.imm;
    const round = (name: string, operands: Partial<Operands>): number | undefined => imm(assemble(name, operands));
    for (const value of [-4096, -2, 0, 2, 2048, 4094]) expect(round("beq", { imm: value })).toBe(value);
    for (const value of [-1048576, -2, 0, 2048, 1048574]) expect(round("jal", { imm: value })).toBe(value);
    for (const value of [-2048, -1, 0, 2047]) expect(round("sd", { imm: value })).toBe(value);
    for (const value of [-2048, -2, 0, 2046]) expect(round("c.j", { imm: value })).toBe(value);
    for (const value of [-512, -16, 16, 496]) expect(round("c.addi16sp", { imm: value })).toBe(value);
  });
});
