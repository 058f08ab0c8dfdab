import { Tlb } from "@faultline/kernel";
import type { Operands } from "../isa/formats.js";
import { encode, INSTRUCTIONS, type Instruction } from "../isa/table.js";
import { Exit } from "./exit.js";
import { HartGroup } from "./group.js";
import { Hart } from "./hart.js";

const PAGE = 4096;
const DATA_PAGE = 15;
const LINK = 5;
const DATA = 10;
/** Registers that `warmUp` gives values of every kind; results go to LINK. */
const SOURCES = [6, 7, 8, 0] as const;
const ROUNDS = 40;

/**
 * Executes every instruction of the table a few times on a machine of its own. That changes nothing
 * but time: V8 optimises the interpreter for what it has seen, and throws the result away whenever a
 * program first uses something else. A process that runs guest programs calls this once, for some 30 ms.
 */
export function warmUp(): void {
  const ram = new ArrayBuffer(16 * PAGE);
  const tlb = new Tlb(16);
  for (let page = 0; page < 16; page++) tlb.fill(page, page, true, true, true);
  const hart = new Hart({ ram, tlb, group: new HartGroup(ram.byteLength), time: () => 0 });

  const code = new DataView(ram);
  let end = 0;
  const emit = (bits: number): void => {
    code.setUint32(end, bits, true);
    end += 4;
  };
  const auipc = (INSTRUCTIONS.find(({ name }) => name === "auipc")?.match ?? 0) | (LINK << 7);
  for (const instruction of INSTRUCTIONS) {
    if (instruction.size === 2 || instruction.format.syntax === "") continue; // fences, ecall, ebreak
    for (const operands of variants(instruction)) {
      // A jalr continues behind itself, 8 bytes on from an auipc.
      if (instruction.name === "jalr") emit(auipc);
      emit(encode(instruction, operands));
    }
  }

  for (let round = 0; round < ROUNDS; round++) {
    hart.setX(6, 0x1234_5678_9abc_def0n);
    hart.setX(7, -3n);
    hart.setX(8, round % 2 === 0 ? 37n : 5n);
    hart.setXNumber(DATA, DATA_PAGE * PAGE + 64);
    for (let register = 0; register < 8; register++) hart.fd[register] = 1.5 + register / 7;
    hart.pc = 0;
    // Whatever an odd operand leads to is passed over.
    while (hart.pc < end) if (hart.run((end - hart.pc) / 4) !== Exit.BUDGET) hart.pc += 4;
  }
}

/** Operands for one instruction that take both ways of whatever it decides. */
function variants({ name, format }: Instruction): Partial<Operands>[] {
  const rd = LINK;
  if (format.syntax.includes("target")) {
    // Taken or not, on to the next instruction.
    return SOURCES.flatMap((rs1) => SOURCES.map((rs2) => ({ rd, rs1, rs2, imm: 4 })));
  }
  if (name === "jalr") return [{ rd, rs1: LINK, imm: 8 }];
  if (format.syntax.includes("(rs1)")) {
    return [0, 0, 1, -60].map((imm) => ({ rd, rs1: DATA, rs2: 6, imm }));
  }
  if (format.syntax.includes("fs1")) return [1, 2, 3].map((rs1) => ({ rd, rs1, rs2: 4, rs3: 6 }));
  if (format.syntax.includes("csr")) return [{ rd, rs1: 0, imm: 1 }];
  return SOURCES.flatMap((rs1) => SOURCES.map((rs2) => ({ rd, rs1, rs2, imm: rs2 === 6 ? 3 : 40 })));
}
