import type { Hart } from "./hart.js";

/** Register numbers in the first word of a decoded instruction; see `loop.ts`. */
export const rdOf = (w: number): number => (w >>> 8) & 63;
export const rs1Of = (w: number): number => (w >>> 14) & 31;
export const rs2Of = (w: number): number => (w >>> 19) & 31;

/** Writes an integer result; rd may be DISCARD. */
export function setResult(hart: Hart, w: number, lo: number, hi: number): 0 {
  const rd = rdOf(w);
  hart.xlo[rd] = lo;
  hart.xhi[rd] = hi;
  return 0;
}
