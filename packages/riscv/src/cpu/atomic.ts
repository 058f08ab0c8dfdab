import { Access, Exit } from "./exit.js";
import type { Hart } from "./hart.js";
import { rs1Of, rs2Of, setResult } from "./operands.js";
import type { Execute } from "./rare.js";

/**
 * Index into `ram32` of an atomic's operand, or -1 when it is misaligned (`MISALIGNED_ATOMIC`) or
 * not accessible. The aq and rl bits ask for nothing: harts run one at a time.
 */
function locate(hart: Hart, w: number, bytes: 4 | 8, access: Access): number {
  const lo = hart.xlo[rs1Of(w)] ?? 0;
  const hi = hart.xhi[rs1Of(w)] ?? 0;
  if ((lo & (bytes - 1)) !== 0) {
    hart.fault(lo, hi, access);
    return -1;
  }
  const frame = hart.translate(lo, hi, access);
  return frame < 0 ? -1 : (frame << 10) | ((lo >>> 2) & 1023);
}

/** What `locate` returned -1 for. */
function refusal(hart: Hart, bytes: 4 | 8): Exit {
  return (hart.faultLo & (bytes - 1)) !== 0 ? Exit.MISALIGNED_ATOMIC : Exit.TLB_MISS;
}

/** A word sign-extends into the register; a doubleword fills it. */
function setLoaded(hart: Hart, w: number, bytes: 4 | 8, at: number): 0 {
  const lo = hart.ram32[at] ?? 0;
  return setResult(hart, w, lo, bytes === 4 ? lo >> 31 : (hart.ram32[at + 1] ?? 0));
}

/**
 * LR reserves the aligned doubleword that holds its operand: the smallest reservation set the
 * manual allows for both widths (manual, "Load-Reserved/Store-Conditional Instructions").
 */
const loadReserved =
  (bytes: 4 | 8): Execute =>
  (hart, w) => {
    const at = locate(hart, w, bytes, Access.READ);
    if (at < 0) return refusal(hart, bytes);
    hart.reservation = at >>> 1;
    return setLoaded(hart, w, bytes, at);
  };

/** SC stores and returns 0 iff its operand lies in the reservation; it ends the reservation either way. */
const storeConditional =
  (bytes: 4 | 8): Execute =>
  (hart, w) => {
    const at = locate(hart, w, bytes, Access.WRITE);
    if (at < 0) return refusal(hart, bytes);
    const succeeds = hart.reservation === at >>> 1;
    hart.reservation = -1;
    if (succeeds) {
      hart.ram32[at] = hart.xlo[rs2Of(w)] ?? 0;
      if (bytes === 8) hart.ram32[at + 1] = hart.xhi[rs2Of(w)] ?? 0;
      hart.group.stored(hart, at >>> 1);
    }
    return setResult(hart, w, succeeds ? 0 : 1, 0);
  };

/** New value of half a register, given both halves of memory (m) and register (r). */
type Combine = (mlo: number, mhi: number, rlo: number, rhi: number) => number;

/** An AMO from how it makes the low and the high half. Words are sign-extended first. */
const amo =
  (bytes: 4 | 8, low: Combine, high: Combine): Execute =>
  (hart, w) => {
    const at = locate(hart, w, bytes, Access.WRITE);
    if (at < 0) return refusal(hart, bytes);
    const rlo = hart.xlo[rs2Of(w)] ?? 0;
    const rhi = bytes === 4 ? rlo >> 31 : (hart.xhi[rs2Of(w)] ?? 0);
    const mlo = hart.ram32[at] ?? 0;
    const mhi = bytes === 4 ? mlo >> 31 : (hart.ram32[at + 1] ?? 0);
    hart.ram32[at] = low(mlo, mhi, rlo, rhi);
    if (bytes === 8) hart.ram32[at + 1] = high(mlo, mhi, rlo, rhi);
    hart.group.stored(hart, at >>> 1);
    return setResult(hart, w, mlo, mhi);
  };

/** Comparisons of memory with register. Sign-extension of words keeps the unsigned order too. */
const less = (mlo: number, mhi: number, rlo: number, rhi: number): boolean =>
  mhi === rhi ? mlo >>> 0 < rlo >>> 0 : mhi < rhi;
const lessUnsigned = (mlo: number, mhi: number, rlo: number, rhi: number): boolean =>
  mhi === rhi ? mlo >>> 0 < rlo >>> 0 : mhi >>> 0 < rhi >>> 0;

const keepIf = (memoryWins: (...halves: [number, number, number, number]) => boolean): [Combine, Combine] => [
  (mlo, mhi, rlo, rhi) => (memoryWins(mlo, mhi, rlo, rhi) ? mlo : rlo),
  (mlo, mhi, rlo, rhi) => (memoryWins(mlo, mhi, rlo, rhi) ? mhi : rhi),
];

const OPERATIONS = {
  amoswap: [(_mlo, _mhi, rlo) => rlo, (_mlo, _mhi, _rlo, rhi) => rhi],
  amoadd: [
    (mlo, _mhi, rlo) => mlo + rlo,
    (mlo, mhi, rlo, rhi) => mhi + rhi + ((mlo + rlo) >>> 0 < mlo >>> 0 ? 1 : 0),
  ],
  amoxor: [(mlo, _mhi, rlo) => mlo ^ rlo, (_mlo, mhi, _rlo, rhi) => mhi ^ rhi],
  amoand: [(mlo, _mhi, rlo) => mlo & rlo, (_mlo, mhi, _rlo, rhi) => mhi & rhi],
  amoor: [(mlo, _mhi, rlo) => mlo | rlo, (_mlo, mhi, _rlo, rhi) => mhi | rhi],
  amomin: keepIf(less),
  amomax: keepIf((...halves) => !less(...halves)),
  amominu: keepIf(lessUnsigned),
  amomaxu: keepIf((...halves) => !lessUnsigned(...halves)),
} satisfies Record<string, [low: Combine, high: Combine]>;

const amos = (suffix: "w" | "d"): Record<string, Execute> =>
  Object.fromEntries(
    Object.entries(OPERATIONS).map(([name, [low, high]]) => [`${name}.${suffix}`, amo(suffix === "w" ? 4 : 8, low, high)]),
  );

export const ATOMIC: Readonly<Record<string, Execute>> = {
  "lr.w": loadReserved(4),
  "lr.d": loadReserved(8),
  "sc.w": storeConditional(4),
  "sc.d": storeConditional(8),
  ...amos("w"),
  ...amos("d"),
};
