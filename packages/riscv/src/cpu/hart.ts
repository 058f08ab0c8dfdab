import type { Tlb } from "@faultline/kernel";
import { high32, low32, toI64, toU64 } from "./arith.js";
import { newCodePage, SLOTS, type CodeCache, type CodePage } from "./code.js";
import { Access, Exit } from "./exit.js";
import type { HartGroup } from "./group.js";
import { interpret, RARE, RESOLVE, STRADDLE } from "./loop.js";
import { accessMemory } from "./memory.js";
import { RARE_OPERATIONS } from "./rare.js";
import { translateInstruction } from "./translate.js";

/**
 * Fills the TLB for virtual page number `vpn` without leaving `run`, as a hardware page walk would.
 * False if there is no translation that permits the access.
 */
export type Refill = (vpn: number, access: Access) => boolean;

export interface HartOptions {
  /** RAM: frame n of the TLB is bytes [4096n, 4096n + 4096). A multiple of 4096, at most 4 GiB. */
  readonly ram: ArrayBuffer;
  readonly tlb: Tlb;
  /** Nanoseconds since boot, for the time CSR, which counts at 10 MHz. */
  readonly time: () => number;
  /** What the harts of one machine share. */
  readonly group: HartGroup;
  /**
   * Without it every miss leaves `run`. A kernel should have it: when code and data fall into one
   * TLB slot, only an instruction that is still under way can use both translations.
   */
  readonly refill?: Refill;
}

/** Everything that a thread has in a hart: for fork, clone, context switches and signal frames. */
export interface HartState {
  readonly pc: bigint;
  /** x0 to x31, unsigned. */
  readonly x: BigUint64Array;
  /** f0 to f31, raw. */
  readonly f: BigUint64Array;
  readonly fcsr: number;
}

/** Instructions that `interpret` may be asked for at once, so that its counter stays a small integer. */
const SLICE = 2 ** 30;

/** One RV64GC hardware thread in user mode. */
export class Hart {
  /** Integer registers, low and high halves. Element 32 takes what is written to x0. */
  readonly xlo = new Int32Array(33);
  readonly xhi = new Int32Array(33);
  /** Floating-point registers as doubles, and the same bytes as words: low half at 2n, high at 2n+1. */
  readonly fd = new Float64Array(32);
  readonly fw = new Int32Array(this.fd.buffer);
  readonly fs = new Float32Array(this.fd.buffer);
  /** For taking a double apart. */
  readonly scratch = new Float64Array(1);
  readonly scratchWords = new Int32Array(this.scratch.buffer);
  /** fcsr: accrued exceptions (5 bits) and rounding mode (3 bits). */
  fflags = 0;
  frm = 0;
  /** Halves of pc; bit 0 is always 0. */
  pcLo = 0;
  pcHi = 0;
  /** Instructions retired. */
  instret = 0;

  /** Of the last TLB_MISS or MISALIGNED_ATOMIC: the exact 64-bit address, and what was tried. */
  faultLo = 0;
  faultHi = 0;
  faultAccess: Access = Access.READ;
  /** Of the last ILLEGAL: the instruction, unsigned. */
  faultBits = 0;

  /** Aligned doubleword of RAM (physical address / 8) that LR reserved, or -1. */
  reservation = -1;

  readonly ram8: Uint8Array;
  readonly ram16: Uint16Array;
  readonly ram32: Int32Array;
  readonly tlb: Tlb;
  readonly group: HartGroup;
  readonly code: CodeCache;
  /** Set when the interpreter must look at translations and decoded code again. */
  refetch = false;

  private readonly time: () => number;
  private readonly refill: Refill | undefined;
  /** A page whose only instruction is the last straddling one, in its last slot. */
  private readonly straddling: CodePage = newCodePage();
  /** Stands in for the write tags while stores must be watched: every store takes the slow path. */
  private readonly noTag: Int32Array;

  constructor(options: HartOptions) {
    this.ram8 = new Uint8Array(options.ram);
    this.ram16 = new Uint16Array(options.ram);
    this.ram32 = new Int32Array(options.ram);
    this.tlb = options.tlb;
    this.time = options.time;
    this.refill = options.refill;
    this.group = options.group;
    this.code = options.group.code;
    this.noTag = new Int32Array(options.tlb.entries).fill(-1);
    for (let slot = 0; slot < SLOTS; slot++) this.straddling[slot * 2] = RESOLVE;
    options.group.harts.push(this);
  }

  /**
   * Executes until exactly `budget` instructions have retired, or until the kernel is needed; says
   * which. ECALL, EBREAK and faulting instructions do not retire.
   */
  run(budget: number): Exit {
    let left = budget;
    for (;;) {
      const slice = Math.min(left, SLICE);
      const exit = interpret(this, slice);
      left -= slice;
      if (exit !== Exit.BUDGET || left <= 0) return exit;
    }
  }

  // Registers, as the kernel sees them.

  /** Program counter. Exact below 2^53; see `pcBig` for wild jumps. */
  get pc(): number {
    return this.pcHi * 2 ** 32 + (this.pcLo >>> 0);
  }
  set pc(address: number) {
    this.pcLo = address & ~1;
    this.pcHi = Math.floor(address / 2 ** 32) | 0;
  }
  get pcBig(): bigint {
    return toU64(this.pcHi, this.pcLo);
  }
  set pcBig(address: bigint) {
    this.pcLo = low32(address) & ~1;
    this.pcHi = high32(address);
  }

  /** The address that faulted, as a number: exact for user addresses, negative from 2^63 on. */
  get faultAddress(): number {
    return this.faultHi * 2 ** 32 + (this.faultLo >>> 0);
  }
  get faultAddressBig(): bigint {
    return toU64(this.faultHi, this.faultLo);
  }

  /** Integer register, unsigned. */
  getX(register: number): bigint {
    return toU64(this.xhi[register] ?? 0, this.xlo[register] ?? 0);
  }
  /** Integer register, signed. */
  getXSigned(register: number): bigint {
    return toI64(this.xhi[register] ?? 0, this.xlo[register] ?? 0);
  }
  /** Integer register as a number, signed; rounded if beyond 2^53. */
  getXNumber(register: number): number {
    return (this.xhi[register] ?? 0) * 2 ** 32 + ((this.xlo[register] ?? 0) >>> 0);
  }
  /** Sets an integer register, modulo 2^64; x0 stays 0. */
  setX(register: number, value: bigint): void {
    this.setXPair(register, low32(value), high32(value));
  }
  /** Sets an integer register from a safe integer. */
  setXNumber(register: number, value: number): void {
    this.setXPair(register, value | 0, Math.floor(value / 2 ** 32) | 0);
  }
  setXPair(register: number, lo: number, hi: number): void {
    if (register === 0) return;
    this.xlo[register] = lo;
    this.xhi[register] = hi;
  }

  /** Floating-point register, raw bits. */
  getF(register: number): bigint {
    return toU64(this.fw[register * 2 + 1] ?? 0, this.fw[register * 2] ?? 0);
  }
  setF(register: number, bits: bigint): void {
    this.fw[register * 2] = low32(bits);
    this.fw[register * 2 + 1] = high32(bits);
  }

  get fcsr(): number {
    return (this.frm << 5) | this.fflags;
  }
  set fcsr(value: number) {
    this.fflags = value & 31;
    this.frm = (value >> 5) & 7;
  }

  /** A copy of what belongs to the running thread. The reservation does not: traps may lose it. */
  save(): HartState {
    const x = new BigUint64Array(32);
    for (let register = 0; register < 32; register++) x[register] = this.getX(register);
    return { pc: this.pcBig, x, f: new BigUint64Array(this.fd.buffer.slice(0)), fcsr: this.fcsr };
  }

  /** Makes a thread's state this hart's, and drops the reservation. */
  restore(state: HartState): void {
    this.pcBig = state.pc;
    for (let register = 1; register < 32; register++) this.setX(register, state.x[register] ?? 0n);
    for (let register = 0; register < 32; register++) this.setF(register, state.f[register] ?? 0n);
    this.fcsr = state.fcsr;
    this.clearReservation();
  }

  clearReservation(): void {
    this.reservation = -1;
  }

  // What the interpreter calls.

  /** The time CSR. */
  ticks(): number {
    return Math.floor(this.time() / 100);
  }

  setPc(vpn: number, slot: number): void {
    const page = vpn + (slot >> 11);
    this.pcLo = (page << 12) | ((slot & (SLOTS - 1)) << 1);
    this.pcHi = page >> 20;
  }

  /** Records a fault at an address. */
  fault(lo: number, hi: number, access: Access): Exit {
    this.faultLo = lo;
    this.faultHi = hi;
    this.faultAccess = access;
    return Exit.TLB_MISS;
  }

  /** The frame that an address translates to for this access, or -1 having recorded the fault. */
  translate(lo: number, hi: number, access: Access): number {
    if (hi >>> 6 === 0) {
      const vpn = (lo >>> 12) | (hi << 20);
      const { tlb } = this;
      const slot = vpn & (tlb.entries - 1);
      const tags = access === Access.READ ? tlb.readTag : access === Access.WRITE ? tlb.writeTag : tlb.execTag;
      if (tags[slot] === vpn) return tlb.frame[slot] ?? -1;
      if (this.refill?.(vpn, access)) {
        // Whatever the walk did, the interpreter must not go on with what it looked up before.
        this.refetch = true;
        if (tags[slot] === vpn) return tlb.frame[slot] ?? -1;
      }
    }
    this.fault(lo, hi, access);
    return -1;
  }

  /** The write tags to test, or tags that never match while another hart holds a reservation. */
  writeTag(): Int32Array {
    return this.group.reservedByOthers(this) ? this.noTag : this.tlb.writeTag;
  }

  /** Decodes one slot of a code page. An instruction that continues on the next page stays undecoded. */
  decodeSlot(page: CodePage, frame: number, slot: number): void {
    const at = (frame << 11) | slot;
    const half = this.ram16[at] ?? 0;
    if (slot === SLOTS - 1 && (half & 3) === 3) {
      page[slot * 2] = STRADDLE;
      return;
    }
    const bits = (half & 3) === 3 ? half | ((this.ram16[at + 1] ?? 0) << 16) : half;
    translateInstruction(bits, page, slot);
  }

  /**
   * Decodes the instruction whose halves are the last of `frame` and the first of virtual page `vpn`.
   * Undefined when the second half cannot be fetched. It is decoded anew at each execution because
   * what follows depends on the address space, not on the frame.
   */
  fetchStraddling(frame: number, vpn: number): CodePage | undefined {
    const next = this.translate(vpn << 12, vpn >> 20, Access.EXEC);
    if (next < 0) return undefined;
    const low = this.ram16[(frame << 11) | (SLOTS - 1)] ?? 0;
    const high = this.ram16[next << 11] ?? 0;
    translateInstruction(low | (high << 16), this.straddling, SLOTS - 1);
    return this.straddling;
  }

  /** An instruction that the fast loop does not do. 0 when it retired, else why not. */
  slow(w: number, imm: number): Exit | 0 {
    const operation = w & 255;
    if (operation < RARE) return accessMemory(this, w, imm);
    const execute = RARE_OPERATIONS[operation - RARE];
    return execute ? execute(this, w, imm) : this.illegal(imm);
  }

  illegal(bits: number): Exit {
    this.faultBits = bits >>> 0;
    return Exit.ILLEGAL;
  }
}
