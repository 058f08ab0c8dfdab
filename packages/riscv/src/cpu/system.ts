import { Exit } from "./exit.js";
import type { Hart } from "./hart.js";
import { rs1Of, setResult } from "./operands.js";
import type { Execute } from "./rare.js";

/** CSR numbers (manual, "Zicsr", "F", "Zicntr"). */
const FFLAGS = 0x001;
const FRM = 0x002;
const FCSR = 0x003;
const CYCLE = 0xc00;
const TIME = 0xc01;
const INSTRET = 0xc02;

/** The value of a CSR that user mode may read, a safe integer; undefined for any other. */
function readCsr(hart: Hart, csr: number): number | undefined {
  switch (csr) {
    case FFLAGS: return hart.fflags;
    case FRM: return hart.frm;
    case FCSR: return hart.fcsr;
    case TIME: return hart.ticks();
    case CYCLE: // one instruction a cycle
    case INSTRET: return hart.instret;
    default: return undefined;
  }
}

function writeCsr(hart: Hart, csr: number, value: number): void {
  if (csr === FFLAGS) hart.fflags = value & 31;
  else if (csr === FRM) hart.frm = value & 7;
  else hart.fcsr = value & 255;
}

type Update = (old: number, operand: number) => number;
const write: Update = (_old, operand) => operand;
const set: Update = (old, operand) => old | operand;
const clear: Update = (old, operand) => old & ~operand;

/** A CSR instruction. Set and clear write nothing, and so may name a read-only CSR, if rs1 is x0 or 0. */
const csr =
  (update: Update, immediate: boolean): Execute =>
  (hart, w, bits) => {
    const number = bits >>> 20;
    const rs1 = rs1Of(w);
    const old = readCsr(hart, number);
    const writes = update === write || rs1 !== 0;
    const readOnly = number >>> 10 === 3;
    if (old === undefined || (writes && readOnly)) return hart.illegal(bits);
    // All writable CSRs have at most 8 bits, so the low half of rs1 is all that matters.
    if (writes) writeCsr(hart, number, update(old, immediate ? rs1 : (hart.xlo[rs1] ?? 0)));
    return setResult(hart, w, old | 0, Math.floor(old / 2 ** 32));
  };

export const SYSTEM = {
  ecall: () => Exit.ECALL,
  ebreak: () => Exit.EBREAK,
  "fence.i": (hart) => {
    hart.code.invalidateAll();
    hart.refetch = true;
    return 0;
  },
  csrrw: csr(write, false),
  csrrs: csr(set, false),
  csrrc: csr(clear, false),
  csrrwi: csr(write, true),
  csrrsi: csr(set, true),
  csrrci: csr(clear, true),
} satisfies Record<string, Execute>;
