import { ATOMIC } from "./atomic.js";
import type { Exit } from "./exit.js";
import type { Hart } from "./hart.js";
import { FLOAT } from "./float.js";
import { MULDIV } from "./muldiv.js";
import { SYSTEM } from "./system.js";

/**
 * Executes one decoded instruction. `w` holds the register numbers as `loop.ts` lays them out, `bits`
 * is the instruction itself. Returns 0 when it retired; otherwise it must have changed nothing.
 */
export type Execute = (hart: Hart, w: number, bits: number) => Exit | 0;

const illegal: Execute = (hart, _w, bits) => hart.illegal(bits);

/** Index 0 is what illegal encodings decode to. */
const NAMED: readonly (readonly [name: string, execute: Execute])[] = [
  ["illegal", illegal],
  ...Object.entries({ ...SYSTEM, ...MULDIV, ...ATOMIC, ...FLOAT }),
];

export const RARE_OPERATIONS: readonly Execute[] = NAMED.map(([, execute]) => execute);
export const RARE_INDEX: ReadonlyMap<string, number> = new Map(NAMED.map(([name], index) => [name, index]));
