/**
 * The interpreter's inner loop. Everything here is arranged for speed: the common integer
 * instructions, branches, loads and stores are cases of one switch; what is rare, and every load or
 * store that the fast test refuses, goes through `Hart.slow`. V8 refuses to optimise a function of
 * more than 60 KB of bytecode, which is why rarer instructions must stay out of here.
 *
 * A decoded instruction is two int32 words:
 *
 *   word   bits 7:0    operation (`Op`; from RARE on, an index into the table of rare ones)
 *          bits 13:8   rd; DISCARD for integer results that go to x0
 *          bits 18:14  rs1
 *          bits 23:19  rs2
 *          bits 31:24  length in halfwords
 *   imm    the immediate; for jumps and branches in halfwords; for rare operations as they like it
 *
 * Registers are int32 halves in two arrays. x0 is never written, so it stays 0: decoding turns rd
 * into DISCARD, an extra element.
 */
import { mulhu32 } from "./arith.js";
import { Access, Exit } from "./exit.js";
import type { Hart } from "./hart.js";

/** Where results for x0 go. */
export const DISCARD = 32;

/** Operations of the switch below. The first three are not instructions. */
export const enum Op {
  DECODE = 0, // nothing decoded in this slot yet
  RESOLVE, // ran off the page: translate pc anew
  STRADDLE, // four-byte instruction whose second half is on the next page
  LI, MV, NOP, AUIPC, JAL, JALR,
  BEQ, BNE, BLT, BGE, BLTU, BGEU,
  LB, LH, LW, LD, LBU, LHU, LWU, SB, SH, SW, SD, FLW, FLD, FSW, FSD,
  ADDI, SLTI, SLTIU, XORI, ORI, ANDI, SLLI, SRLI, SRAI,
  ADD, SUB, SLL, SLT, SLTU, XOR, SRL, SRA, OR, AND,
  ADDIW, SLLIW, SRLIW, SRAIW, ADDW, SUBW, SLLW, SRLW, SRAW, MUL, MULW,
}

/** What decoding needs to know of `Op` by value (const enum members are inlined only in this file). */
export const RESOLVE: number = Op.RESOLVE;
export const STRADDLE: number = Op.STRADDLE;

/** Operations from here on are rare ones. */
export const RARE = 96;

/** Slot number from which on a pc is outside the page. */
const SLOTS = 2048;

/**
 * Runs until `budget` instructions have retired or the kernel is needed; leaves pc and instret exact.
 * @param budget 0 to 2^30
 */
export function interpret(hart: Hart, budget: number): Exit {
  const lo = hart.xlo;
  const hi = hart.xhi;
  const fw = hart.fw;
  const m8 = hart.ram8;
  const m16 = hart.ram16;
  const m32 = hart.ram32;
  const { execTag, readTag, frame: tlbFrame } = hart.tlb;
  const mask = hart.tlb.entries - 1;
  const start = hart.instret + budget; // instret is always start - left
  let writeTag = hart.writeTag();

  // pc is split into page and slot. While vpn is in range they are the truth, not hart.pcLo/pcHi.
  let left = budget;
  let vpn = (hart.pcLo >>> 12) | (hart.pcHi << 20);
  let i = (hart.pcLo >>> 1) & (SLOTS - 1);
  if (hart.pcHi >>> 6 !== 0) return left === 0 ? Exit.BUDGET : hart.fault(hart.pcLo, hart.pcHi, Access.EXEC);

  enter: for (;;) {
    // Enter the page of pc, which may have been left at either end.
    vpn = (vpn + (i >> 11)) | 0;
    i &= SLOTS - 1;
    if (left === 0) {
      hart.instret = start;
      hart.setPc(vpn, i);
      return Exit.BUDGET;
    }
    let frame = tlbFrame[vpn & mask]!;
    if (execTag[vpn & mask] !== vpn || vpn >>> 26 !== 0) {
      hart.instret = start - left;
      hart.setPc(vpn, i);
      frame = hart.translate((vpn << 12) | (i << 1), vpn >> 20, Access.EXEC);
      if (frame < 0) return Exit.TLB_MISS;
      hart.refetch = false;
      writeTag = hart.writeTag();
    }
    let code = hart.code.page(frame);

    for (;;) {
      const w = code[i << 1]!;
      const imm = code[(i << 1) + 1]!;
      if (--left < 0) {
        left = 0;
        continue enter;
      }
      const rd = (w >>> 8) & 63;
      const rs1 = (w >>> 14) & 31;
      const rs2 = (w >>> 19) & 31;
      switch (w & 255) {
        case Op.DECODE:
          left++;
          hart.decodeSlot(code, frame, i);
          continue;
        case Op.RESOLVE:
          left++;
          continue enter;
        case Op.STRADDLE: {
          left++;
          hart.instret = start - left;
          hart.setPc(vpn, i);
          if (left === 0) return Exit.BUDGET;
          const next = hart.fetchStraddling(frame, vpn + 1);
          if (next === undefined) return Exit.TLB_MISS;
          code = next;
          continue;
        }

        case Op.LI:
          lo[rd] = imm;
          hi[rd] = imm >> 31;
          i += w >>> 24;
          continue;
        case Op.MV:
          lo[rd] = lo[rs2]!;
          hi[rd] = hi[rs2]!;
          i += w >>> 24;
          continue;
        case Op.NOP:
          i += w >>> 24;
          continue;
        case Op.AUIPC: {
          const pc = (vpn << 12) | (i << 1);
          const sum = (pc + imm) | 0;
          lo[rd] = sum;
          hi[rd] = (vpn >> 20) + (imm >> 31) + (sum >>> 0 < pc >>> 0 ? 1 : 0);
          i += w >>> 24;
          continue;
        }
        case Op.JAL: {
          const link = i + (w >>> 24);
          lo[rd] = (vpn << 12) + (link << 1);
          hi[rd] = (vpn + (link >> 11)) >> 20;
          i += imm;
          if (i >>> 0 < SLOTS) continue;
          continue enter;
        }
        case Op.JALR: {
          const base = lo[rs1]!;
          const sum = (base + imm) | 0;
          const high = (hi[rs1]! + (imm >> 31) + (sum >>> 0 < base >>> 0 ? 1 : 0)) | 0;
          const link = i + (w >>> 24);
          lo[rd] = (vpn << 12) + (link << 1);
          hi[rd] = (vpn + (link >> 11)) >> 20;
          i = (sum >>> 1) & (SLOTS - 1);
          if (high >>> 6 !== 0) {
            // The jump retires; it is the fetch at its target that faults.
            hart.instret = start - left;
            hart.pcLo = sum & ~1;
            hart.pcHi = high;
            return left === 0 ? Exit.BUDGET : hart.fault(hart.pcLo, high, Access.EXEC);
          }
          const page = (sum >>> 12) | (high << 20);
          if (page === vpn) continue;
          vpn = page;
          continue enter;
        }

        case Op.BEQ:
          if (lo[rs1] === lo[rs2] && hi[rs1] === hi[rs2]) {
            i += imm;
            if (i >>> 0 < SLOTS) continue;
            continue enter;
          }
          i += w >>> 24;
          continue;
        case Op.BNE:
          if (lo[rs1] !== lo[rs2] || hi[rs1] !== hi[rs2]) {
            i += imm;
            if (i >>> 0 < SLOTS) continue;
            continue enter;
          }
          i += w >>> 24;
          continue;
        case Op.BLT: {
          const a = hi[rs1]!;
          const b = hi[rs2]!;
          if (a === b ? lo[rs1]! >>> 0 < lo[rs2]! >>> 0 : a < b) {
            i += imm;
            if (i >>> 0 < SLOTS) continue;
            continue enter;
          }
          i += w >>> 24;
          continue;
        }
        case Op.BGE: {
          const a = hi[rs1]!;
          const b = hi[rs2]!;
          if (a === b ? lo[rs1]! >>> 0 >= lo[rs2]! >>> 0 : a > b) {
            i += imm;
            if (i >>> 0 < SLOTS) continue;
            continue enter;
          }
          i += w >>> 24;
          continue;
        }
        case Op.BLTU: {
          const a = hi[rs1]!;
          const b = hi[rs2]!;
          if (a === b ? lo[rs1]! >>> 0 < lo[rs2]! >>> 0 : a >>> 0 < b >>> 0) {
            i += imm;
            if (i >>> 0 < SLOTS) continue;
            continue enter;
          }
          i += w >>> 24;
          continue;
        }
        case Op.BGEU: {
          const a = hi[rs1]!;
          const b = hi[rs2]!;
          if (a === b ? lo[rs1]! >>> 0 >= lo[rs2]! >>> 0 : a >>> 0 > b >>> 0) {
            i += imm;
            if (i >>> 0 < SLOTS) continue;
            continue enter;
          }
          i += w >>> 24;
          continue;
        }

        // Loads and stores: one tag compare, range and alignment, then the access. Else to the slow path.
        case Op.LB: {
          const base = lo[rs1]!;
          const a = (base + imm) | 0;
          const high = hi[rs1]! + (imm >> 31) + (a >>> 0 < base >>> 0 ? 1 : 0);
          const page = (a >>> 12) | (high << 20);
          const slot = page & mask;
          if (readTag[slot] === page && high >>> 6 === 0) {
            const value = (m8[((tlbFrame[slot]! << 12) | (a & 4095)) >>> 0]! << 24) >> 24;
            lo[rd] = value;
            hi[rd] = value >> 31;
            i += w >>> 24;
            continue;
          }
          break;
        }
        case Op.LH: {
          const base = lo[rs1]!;
          const a = (base + imm) | 0;
          const high = hi[rs1]! + (imm >> 31) + (a >>> 0 < base >>> 0 ? 1 : 0);
          const page = (a >>> 12) | (high << 20);
          const slot = page & mask;
          if (readTag[slot] === page && high >>> 6 === 0 && (a & 1) === 0) {
            const value = (m16[(tlbFrame[slot]! << 11) | ((a >>> 1) & 2047)]! << 16) >> 16;
            lo[rd] = value;
            hi[rd] = value >> 31;
            i += w >>> 24;
            continue;
          }
          break;
        }
        case Op.LW: {
          const base = lo[rs1]!;
          const a = (base + imm) | 0;
          const high = hi[rs1]! + (imm >> 31) + (a >>> 0 < base >>> 0 ? 1 : 0);
          const page = (a >>> 12) | (high << 20);
          const slot = page & mask;
          if (readTag[slot] === page && high >>> 6 === 0 && (a & 3) === 0) {
            const value = m32[(tlbFrame[slot]! << 10) | ((a >>> 2) & 1023)]!;
            lo[rd] = value;
            hi[rd] = value >> 31;
            i += w >>> 24;
            continue;
          }
          break;
        }
        case Op.LD: {
          const base = lo[rs1]!;
          const a = (base + imm) | 0;
          const high = hi[rs1]! + (imm >> 31) + (a >>> 0 < base >>> 0 ? 1 : 0);
          const page = (a >>> 12) | (high << 20);
          const slot = page & mask;
          if (readTag[slot] === page && high >>> 6 === 0 && (a & 7) === 0) {
            const p = (tlbFrame[slot]! << 10) | ((a >>> 2) & 1023);
            lo[rd] = m32[p]!;
            hi[rd] = m32[p + 1]!;
            i += w >>> 24;
            continue;
          }
          break;
        }
        case Op.LBU: {
          const base = lo[rs1]!;
          const a = (base + imm) | 0;
          const high = hi[rs1]! + (imm >> 31) + (a >>> 0 < base >>> 0 ? 1 : 0);
          const page = (a >>> 12) | (high << 20);
          const slot = page & mask;
          if (readTag[slot] === page && high >>> 6 === 0) {
            const value = m8[((tlbFrame[slot]! << 12) | (a & 4095)) >>> 0]!;
            lo[rd] = value;
            hi[rd] = 0;
            i += w >>> 24;
            continue;
          }
          break;
        }
        case Op.LHU: {
          const base = lo[rs1]!;
          const a = (base + imm) | 0;
          const high = hi[rs1]! + (imm >> 31) + (a >>> 0 < base >>> 0 ? 1 : 0);
          const page = (a >>> 12) | (high << 20);
          const slot = page & mask;
          if (readTag[slot] === page && high >>> 6 === 0 && (a & 1) === 0) {
            const value = m16[(tlbFrame[slot]! << 11) | ((a >>> 1) & 2047)]!;
            lo[rd] = value;
            hi[rd] = 0;
            i += w >>> 24;
            continue;
          }
          break;
        }
        case Op.LWU: {
          const base = lo[rs1]!;
          const a = (base + imm) | 0;
          const high = hi[rs1]! + (imm >> 31) + (a >>> 0 < base >>> 0 ? 1 : 0);
          const page = (a >>> 12) | (high << 20);
          const slot = page & mask;
          if (readTag[slot] === page && high >>> 6 === 0 && (a & 3) === 0) {
            const value = m32[(tlbFrame[slot]! << 10) | ((a >>> 2) & 1023)]!;
            lo[rd] = value;
            hi[rd] = 0;
            i += w >>> 24;
            continue;
          }
          break;
        }
        case Op.SB: {
          const base = lo[rs1]!;
          const a = (base + imm) | 0;
          const high = hi[rs1]! + (imm >> 31) + (a >>> 0 < base >>> 0 ? 1 : 0);
          const page = (a >>> 12) | (high << 20);
          const slot = page & mask;
          if (writeTag[slot] === page && high >>> 6 === 0) {
            m8[((tlbFrame[slot]! << 12) | (a & 4095)) >>> 0] = lo[rs2]!;
            i += w >>> 24;
            continue;
          }
          break;
        }
        case Op.SH: {
          const base = lo[rs1]!;
          const a = (base + imm) | 0;
          const high = hi[rs1]! + (imm >> 31) + (a >>> 0 < base >>> 0 ? 1 : 0);
          const page = (a >>> 12) | (high << 20);
          const slot = page & mask;
          if (writeTag[slot] === page && high >>> 6 === 0 && (a & 1) === 0) {
            m16[(tlbFrame[slot]! << 11) | ((a >>> 1) & 2047)] = lo[rs2]!;
            i += w >>> 24;
            continue;
          }
          break;
        }
        case Op.SW: {
          const base = lo[rs1]!;
          const a = (base + imm) | 0;
          const high = hi[rs1]! + (imm >> 31) + (a >>> 0 < base >>> 0 ? 1 : 0);
          const page = (a >>> 12) | (high << 20);
          const slot = page & mask;
          if (writeTag[slot] === page && high >>> 6 === 0 && (a & 3) === 0) {
            m32[(tlbFrame[slot]! << 10) | ((a >>> 2) & 1023)] = lo[rs2]!;
            i += w >>> 24;
            continue;
          }
          break;
        }
        case Op.SD: {
          const base = lo[rs1]!;
          const a = (base + imm) | 0;
          const high = hi[rs1]! + (imm >> 31) + (a >>> 0 < base >>> 0 ? 1 : 0);
          const page = (a >>> 12) | (high << 20);
          const slot = page & mask;
          if (writeTag[slot] === page && high >>> 6 === 0 && (a & 7) === 0) {
            const p = (tlbFrame[slot]! << 10) | ((a >>> 2) & 1023);
            m32[p] = lo[rs2]!;
            m32[p + 1] = hi[rs2]!;
            i += w >>> 24;
            continue;
          }
          break;
        }
        case Op.FLW: {
          const base = lo[rs1]!;
          const a = (base + imm) | 0;
          const high = hi[rs1]! + (imm >> 31) + (a >>> 0 < base >>> 0 ? 1 : 0);
          const page = (a >>> 12) | (high << 20);
          const slot = page & mask;
          if (readTag[slot] === page && high >>> 6 === 0 && (a & 3) === 0) {
            fw[rd << 1] = m32[(tlbFrame[slot]! << 10) | ((a >>> 2) & 1023)]!;
            fw[(rd << 1) + 1] = -1; // NaN-boxed
            i += w >>> 24;
            continue;
          }
          break;
        }
        case Op.FLD: {
          const base = lo[rs1]!;
          const a = (base + imm) | 0;
          const high = hi[rs1]! + (imm >> 31) + (a >>> 0 < base >>> 0 ? 1 : 0);
          const page = (a >>> 12) | (high << 20);
          const slot = page & mask;
          if (readTag[slot] === page && high >>> 6 === 0 && (a & 7) === 0) {
            const p = (tlbFrame[slot]! << 10) | ((a >>> 2) & 1023);
            fw[rd << 1] = m32[p]!;
            fw[(rd << 1) + 1] = m32[p + 1]!;
            i += w >>> 24;
            continue;
          }
          break;
        }
        case Op.FSW: {
          const base = lo[rs1]!;
          const a = (base + imm) | 0;
          const high = hi[rs1]! + (imm >> 31) + (a >>> 0 < base >>> 0 ? 1 : 0);
          const page = (a >>> 12) | (high << 20);
          const slot = page & mask;
          if (writeTag[slot] === page && high >>> 6 === 0 && (a & 3) === 0) {
            m32[(tlbFrame[slot]! << 10) | ((a >>> 2) & 1023)] = fw[rs2 << 1]!;
            i += w >>> 24;
            continue;
          }
          break;
        }
        case Op.FSD: {
          const base = lo[rs1]!;
          const a = (base + imm) | 0;
          const high = hi[rs1]! + (imm >> 31) + (a >>> 0 < base >>> 0 ? 1 : 0);
          const page = (a >>> 12) | (high << 20);
          const slot = page & mask;
          if (writeTag[slot] === page && high >>> 6 === 0 && (a & 7) === 0) {
            const p = (tlbFrame[slot]! << 10) | ((a >>> 2) & 1023);
            m32[p] = fw[rs2 << 1]!;
            m32[p + 1] = fw[(rs2 << 1) + 1]!;
            i += w >>> 24;
            continue;
          }
          break;
        }

        case Op.ADDI: {
          const a = lo[rs1]!;
          const sum = (a + imm) | 0;
          lo[rd] = sum;
          hi[rd] = hi[rs1]! + (imm >> 31) + (sum >>> 0 < a >>> 0 ? 1 : 0);
          i += w >>> 24;
          continue;
        }
        case Op.SLTI: {
          const a = hi[rs1]!;
          const b = imm >> 31;
          lo[rd] = (a === b ? lo[rs1]! >>> 0 < imm >>> 0 : a < b) ? 1 : 0;
          hi[rd] = 0;
          i += w >>> 24;
          continue;
        }
        case Op.SLTIU: {
          const a = hi[rs1]!;
          const b = imm >> 31;
          lo[rd] = (a === b ? lo[rs1]! >>> 0 < imm >>> 0 : a >>> 0 < b >>> 0) ? 1 : 0;
          hi[rd] = 0;
          i += w >>> 24;
          continue;
        }
        case Op.XORI:
          lo[rd] = lo[rs1]! ^ imm;
          hi[rd] = hi[rs1]! ^ (imm >> 31);
          i += w >>> 24;
          continue;
        case Op.ORI:
          lo[rd] = lo[rs1]! | imm;
          hi[rd] = hi[rs1]! | (imm >> 31);
          i += w >>> 24;
          continue;
        case Op.ANDI:
          lo[rd] = lo[rs1]! & imm;
          hi[rd] = hi[rs1]! & (imm >> 31);
          i += w >>> 24;
          continue;
        // Shifts by 32 - n are written as two, since JavaScript takes shift counts modulo 32.
        case Op.SLLI: {
          const low = lo[rs1]!;
          if (imm < 32) {
            hi[rd] = (hi[rs1]! << imm) | ((low >>> 1) >>> (31 - imm));
            lo[rd] = low << imm;
          } else {
            hi[rd] = low << imm;
            lo[rd] = 0;
          }
          i += w >>> 24;
          continue;
        }
        case Op.SRLI: {
          const high = hi[rs1]!;
          if (imm < 32) {
            lo[rd] = (lo[rs1]! >>> imm) | ((high << 1) << (31 - imm));
            hi[rd] = high >>> imm;
          } else {
            lo[rd] = high >>> imm;
            hi[rd] = 0;
          }
          i += w >>> 24;
          continue;
        }
        case Op.SRAI: {
          const high = hi[rs1]!;
          if (imm < 32) {
            lo[rd] = (lo[rs1]! >>> imm) | ((high << 1) << (31 - imm));
            hi[rd] = high >> imm;
          } else {
            lo[rd] = high >> imm;
            hi[rd] = high >> 31;
          }
          i += w >>> 24;
          continue;
        }

        case Op.ADD: {
          const a = lo[rs1]!;
          const sum = (a + lo[rs2]!) | 0;
          hi[rd] = hi[rs1]! + hi[rs2]! + (sum >>> 0 < a >>> 0 ? 1 : 0);
          lo[rd] = sum;
          i += w >>> 24;
          continue;
        }
        case Op.SUB: {
          const a = lo[rs1]!;
          const b = lo[rs2]!;
          hi[rd] = hi[rs1]! - hi[rs2]! - (a >>> 0 < b >>> 0 ? 1 : 0);
          lo[rd] = a - b;
          i += w >>> 24;
          continue;
        }
        case Op.SLL: {
          const n = lo[rs2]! & 63;
          const low = lo[rs1]!;
          if (n < 32) {
            hi[rd] = (hi[rs1]! << n) | ((low >>> 1) >>> (31 - n));
            lo[rd] = low << n;
          } else {
            hi[rd] = low << n;
            lo[rd] = 0;
          }
          i += w >>> 24;
          continue;
        }
        case Op.SLT: {
          const a = hi[rs1]!;
          const b = hi[rs2]!;
          lo[rd] = (a === b ? lo[rs1]! >>> 0 < lo[rs2]! >>> 0 : a < b) ? 1 : 0;
          hi[rd] = 0;
          i += w >>> 24;
          continue;
        }
        case Op.SLTU: {
          const a = hi[rs1]!;
          const b = hi[rs2]!;
          lo[rd] = (a === b ? lo[rs1]! >>> 0 < lo[rs2]! >>> 0 : a >>> 0 < b >>> 0) ? 1 : 0;
          hi[rd] = 0;
          i += w >>> 24;
          continue;
        }
        case Op.XOR:
          lo[rd] = lo[rs1]! ^ lo[rs2]!;
          hi[rd] = hi[rs1]! ^ hi[rs2]!;
          i += w >>> 24;
          continue;
        case Op.SRL: {
          const n = lo[rs2]! & 63;
          const high = hi[rs1]!;
          if (n < 32) {
            lo[rd] = (lo[rs1]! >>> n) | ((high << 1) << (31 - n));
            hi[rd] = high >>> n;
          } else {
            lo[rd] = high >>> n;
            hi[rd] = 0;
          }
          i += w >>> 24;
          continue;
        }
        case Op.SRA: {
          const n = lo[rs2]! & 63;
          const high = hi[rs1]!;
          if (n < 32) {
            lo[rd] = (lo[rs1]! >>> n) | ((high << 1) << (31 - n));
            hi[rd] = high >> n;
          } else {
            lo[rd] = high >> n;
            hi[rd] = high >> 31;
          }
          i += w >>> 24;
          continue;
        }
        case Op.OR:
          lo[rd] = lo[rs1]! | lo[rs2]!;
          hi[rd] = hi[rs1]! | hi[rs2]!;
          i += w >>> 24;
          continue;
        case Op.AND:
          lo[rd] = lo[rs1]! & lo[rs2]!;
          hi[rd] = hi[rs1]! & hi[rs2]!;
          i += w >>> 24;
          continue;

        case Op.ADDIW: {
          const value = (lo[rs1]! + imm) | 0;
          lo[rd] = value;
          hi[rd] = value >> 31;
          i += w >>> 24;
          continue;
        }
        case Op.SLLIW: {
          const value = lo[rs1]! << imm;
          lo[rd] = value;
          hi[rd] = value >> 31;
          i += w >>> 24;
          continue;
        }
        case Op.SRLIW: {
          const value = (lo[rs1]! >>> imm) | 0;
          lo[rd] = value;
          hi[rd] = value >> 31;
          i += w >>> 24;
          continue;
        }
        case Op.SRAIW: {
          const value = lo[rs1]! >> imm;
          lo[rd] = value;
          hi[rd] = value >> 31;
          i += w >>> 24;
          continue;
        }
        case Op.ADDW: {
          const value = (lo[rs1]! + lo[rs2]!) | 0;
          lo[rd] = value;
          hi[rd] = value >> 31;
          i += w >>> 24;
          continue;
        }
        case Op.SUBW: {
          const value = (lo[rs1]! - lo[rs2]!) | 0;
          lo[rd] = value;
          hi[rd] = value >> 31;
          i += w >>> 24;
          continue;
        }
        case Op.SLLW: {
          const value = lo[rs1]! << lo[rs2]!;
          lo[rd] = value;
          hi[rd] = value >> 31;
          i += w >>> 24;
          continue;
        }
        case Op.SRLW: {
          const value = (lo[rs1]! >>> lo[rs2]!) | 0;
          lo[rd] = value;
          hi[rd] = value >> 31;
          i += w >>> 24;
          continue;
        }
        case Op.SRAW: {
          const value = lo[rs1]! >> lo[rs2]!;
          lo[rd] = value;
          hi[rd] = value >> 31;
          i += w >>> 24;
          continue;
        }
        case Op.MUL: {
          const a = lo[rs1]!;
          const b = lo[rs2]!;
          hi[rd] = Math.imul(a, hi[rs2]!) + Math.imul(hi[rs1]!, b) + mulhu32(a, b);
          lo[rd] = Math.imul(a, b);
          i += w >>> 24;
          continue;
        }
        case Op.MULW: {
          const value = Math.imul(lo[rs1]!, lo[rs2]!);
          lo[rd] = value;
          hi[rd] = value >> 31;
          i += w >>> 24;
          continue;
        }

        default:
      }

      // A rare instruction, or a load or store that missed, is misaligned or out of range.
      hart.instret = start - left - 1;
      hart.setPc(vpn, i);
      const exit = hart.slow(w, imm);
      if (exit !== 0) return exit;
      i += w >>> 24;
      if (hart.refetch) {
        // Translations, decoded code or reservations changed: look at everything again.
        hart.refetch = false;
        writeTag = hart.writeTag();
        continue enter;
      }
    }
  }
}
