export { Access, Exit } from "./cpu/exit.js";
export { HartGroup } from "./cpu/group.js";
export { warmUp } from "./cpu/warmup.js";
export { Hart, type HartOptions, type HartState, type Refill } from "./cpu/hart.js";
export { ElfError, parseElf, type ElfImage, type ElfSegment } from "./elf/load.js";
export { disassemble } from "./isa/disassemble.js";
export type { OperandName, Operands } from "./isa/formats.js";
export { CSR_NAMES, F_NAMES, X_NAMES } from "./isa/registers.js";
export { decode, encode, INSTRUCTIONS, instructionSize, type Decoded, type Extension, type Instruction } from "./isa/table.js";
