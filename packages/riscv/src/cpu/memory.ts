import { Access, Exit } from "./exit.js";
import type { Hart } from "./hart.js";
import { DISCARD, Op } from "./loop.js";

/** What each load and store does, by operation. */
interface Kind {
  readonly bytes: 1 | 2 | 4 | 8;
  readonly store: boolean;
  readonly float: boolean;
  readonly unsigned: boolean;
}

const kind = (bytes: 1 | 2 | 4 | 8, traits: Partial<Kind> = {}): Kind => ({
  bytes, store: false, float: false, unsigned: false, ...traits,
});

const KINDS: readonly (Kind | undefined)[] = (() => {
  const kinds: (Kind | undefined)[] = [];
  kinds[Op.LB] = kind(1);
  kinds[Op.LH] = kind(2);
  kinds[Op.LW] = kind(4);
  kinds[Op.LD] = kind(8);
  kinds[Op.LBU] = kind(1, { unsigned: true });
  kinds[Op.LHU] = kind(2, { unsigned: true });
  kinds[Op.LWU] = kind(4, { unsigned: true });
  kinds[Op.FLW] = kind(4, { float: true });
  kinds[Op.FLD] = kind(8, { float: true });
  kinds[Op.SB] = kind(1, { store: true });
  kinds[Op.SH] = kind(2, { store: true });
  kinds[Op.SW] = kind(4, { store: true });
  kinds[Op.SD] = kind(8, { store: true });
  kinds[Op.FSW] = kind(4, { store: true, float: true });
  kinds[Op.FSD] = kind(8, { store: true, float: true });
  return kinds;
})();

/**
 * A load or store of any alignment, byte by byte. Linux lets user programs access misaligned data,
 * also across two pages; both are translated before a byte is moved, so that a fault finds nothing done.
 */
export function accessMemory(hart: Hart, w: number, imm: number): Exit | 0 {
  const what = KINDS[w & 255];
  if (!what) return hart.illegal(imm);
  const rs1 = (w >>> 14) & 31;
  const base = hart.xlo[rs1] ?? 0;
  const lo = (base + imm) | 0;
  const hi = ((hart.xhi[rs1] ?? 0) + (imm >> 31) + (lo >>> 0 < base >>> 0 ? 1 : 0)) | 0;
  const access = what.store ? Access.WRITE : Access.READ;

  const offset = lo & 4095;
  const first = hart.translate(lo, hi, access);
  if (first < 0) return Exit.TLB_MISS;
  let second = first;
  if (offset + what.bytes > 4096) {
    const next = (lo | 4095) + 1;
    second = hart.translate(next | 0, hi + (next === 0 ? 1 : 0), access);
    if (second < 0) return Exit.TLB_MISS;
  }
  // Unsigned: RAM may be 4 GiB.
  const byteAt = (n: number): number =>
    (offset + n < 4096 ? (first << 12) | (offset + n) : (second << 12) | (offset + n - 4096)) >>> 0;
  if (what.store) store(hart, what, (w >>> 19) & 31, byteAt);
  else load(hart, what, (w >>> 8) & 63, byteAt);
  return 0;
}

function load(hart: Hart, what: Kind, rd: number, byteAt: (n: number) => number): void {
  let lo = 0;
  let hi = 0;
  for (let n = 0; n < what.bytes; n++) {
    const byte = hart.ram8[byteAt(n)] ?? 0;
    if (n < 4) lo |= byte << (n * 8);
    else hi |= byte << (n * 8 - 32);
  }
  if (what.bytes < 4 && !what.unsigned) {
    const unused = 32 - what.bytes * 8;
    lo = (lo << unused) >> unused;
  }
  if (what.bytes < 8) hi = what.unsigned ? 0 : lo >> 31;
  if (what.float) {
    hart.fw[rd * 2] = lo;
    hart.fw[rd * 2 + 1] = what.bytes === 4 ? -1 : hi; // a single is NaN-boxed
  } else if (rd !== DISCARD) {
    hart.xlo[rd] = lo;
    hart.xhi[rd] = hi;
  }
}

function store(hart: Hart, what: Kind, rs2: number, byteAt: (n: number) => number): void {
  const lo = (what.float ? hart.fw[rs2 * 2] : hart.xlo[rs2]) ?? 0;
  const hi = (what.float ? hart.fw[rs2 * 2 + 1] : hart.xhi[rs2]) ?? 0;
  for (let n = 0; n < what.bytes; n++) hart.ram8[byteAt(n)] = n < 4 ? lo >>> (n * 8) : hi >>> (n * 8 - 32);
  hart.group.stored(hart, byteAt(0) >>> 3);
  if ((byteAt(0) >>> 3) !== (byteAt(what.bytes - 1) >>> 3)) hart.group.stored(hart, byteAt(what.bytes - 1) >>> 3);
}
