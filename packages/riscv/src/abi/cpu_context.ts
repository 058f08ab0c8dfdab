import { NO_PAGE, Tlb, type Executor, type Kernel, type Machine } from "@faultline/kernel";
import { Hart } from "../cpu/hart.js";
import type { HartGroup } from "../cpu/group.js";
import { Access, type Exit } from "../cpu/exit.js";

/** A thread's registers while no hart holds them. */
export class Registers {
  readonly xlo = new Int32Array(33);
  readonly xhi = new Int32Array(33);
  readonly fw = new Int32Array(64);
  fflags = 0;
  frm = 0;
  pcLo = 0;
  pcHi = 0;
  instret = 0;

  saveFrom(hart: Hart): void {
    this.xlo.set(hart.xlo);
    this.xhi.set(hart.xhi);
    this.fw.set(hart.fw);
    this.fflags = hart.fflags;
    this.frm = hart.frm;
    this.pcLo = hart.pcLo;
    this.pcHi = hart.pcHi;
    this.instret = hart.instret;
  }

  loadInto(hart: Hart): void {
    hart.xlo.set(this.xlo);
    hart.xhi.set(this.xhi);
    hart.fw.set(this.fw);
    hart.fflags = this.fflags;
    hart.frm = this.frm;
    hart.pcLo = this.pcLo;
    hart.pcHi = this.pcHi;
    hart.instret = this.instret;
    hart.clearReservation();
  }
}

/** Nanoseconds that a table walk within an instruction costs. */
const WALK_NS = 20;

/**
 * One CPU: its hart, and whose registers are in it. The TLB belongs to the CPU, the registers to
 * the thread, so they are swapped when another thread runs.
 */
export class CpuContext {
  readonly hart: Hart;
  owner: { readonly registers: Registers; cpu: CpuContext | null } | null = null;
  /** `hart.instret` when the current run began: what it retired since has not been charged yet. */
  private runStart = 0;
  /** While checking: the instruction under way has passed the point of its access to memory. */
  private announced = false;

  /**
   * @param decoded what a frame held when code in it was decoded: anon_vma and index as one number.
   * Decoded code outlives a change of the frame's contents, so a frame that holds another page now
   * is decoded anew. A program that changes its own code says so with fence.i.
   */
  constructor(
    private readonly k: Kernel,
    readonly executor: Executor,
    private readonly group: HartGroup,
    private readonly decoded: Map<number, number>,
  ) {
    const { m } = k;
    const { checking } = m.config;
    this.hart = new Hart({
      ram: m.ram.buffer,
      // While checking, the CPU's TLB is asked anew at each access: one entry is for the page that
      // the hart executes, and a page of data takes it for no longer than the instruction lasts.
      tlb: checking ? new Tlb(1) : executor.tlb,
      time: () => m.now() + (this.hart.instret - this.runStart),
      group,
      refill: checking ? (vpn, access) => this.lookUp(vpn, access) : (vpn, access) => this.refill(vpn, access),
    });
  }

  /** As `Hart.run`, for the current task: instructions take machine time. */
  run(budget: number): Exit {
    const { hart } = this;
    const { m } = this.k;
    const start = (this.runStart = hart.instret);
    const exit = hart.run(budget);
    const retired = hart.instret - start;
    this.runStart = hart.instret;
    m.charge(retired);
    m.current!.thread.userTimeNs += retired;
    return exit;
  }

  /**
   * While checking: runs until an access to memory, which is not made: it leaves as TLB_MISS. With
   * `announced`, whoever asks has passed that access's point, and runs that one instruction.
   */
  runPrivate(budget: number, announced: boolean): Exit {
    // Whatever ran meanwhile, the page that is executed may not be there any more.
    this.hart.tlb.flushAll();
    this.announced = announced;
    const exit = this.run(budget);
    this.announced = false;
    this.k.m.sink?.registers?.(this.words());
    return exit;
  }

  /** What the thread's next instructions depend on, besides memory. */
  private *words(): Generator<number, void, void> {
    const { hart } = this;
    yield* hart.xlo;
    yield* hart.xhi;
    yield* hart.fw;
    yield hart.fflags;
    yield hart.frm;
    yield hart.pcLo;
    yield hart.pcHi;
    yield hart.reservation;
  }

  /** While checking: what the CPU's TLB has. A miss leaves the instruction: the walk has a point of its own. */
  private lookUp(vpn: number, access: Access): boolean {
    if (access !== Access.EXEC && !this.announced) return false;
    const frame = this.k.uaccess.translate(this.k, vpn, access);
    if (frame === NO_PAGE) return false;
    this.hart.tlb.fill(vpn, frame, access === Access.READ, access === Access.WRITE, access === Access.EXEC);
    this.checkCode(this.k.m, vpn);
    return true;
  }

  /** The table walk of a TLB miss, as part of the instruction. */
  private refill(vpn: number, access: Access): boolean {
    const { m } = this.k;
    m.charge(WALK_NS);
    if (!this.k.fault.walkAndFill(this.k, m.current!.mm!, vpn, access)) return false;
    this.checkCode(m, vpn);
    return true;
  }

  /** To be called whenever the TLB got a translation that may be executed. */
  checkCode(m: Machine, vpn: number): void {
    const { tlb } = this.executor;
    const slot = vpn & (tlb.entries - 1);
    if (tlb.execTag[slot] !== vpn) return;
    const frame = tlb.frame[slot]!;
    const identity = m.memmap.mapping[frame]! * 2 ** 26 + m.memmap.index[frame]!;
    if (this.decoded.get(frame) === identity) return;
    this.group.invalidateCode(frame);
    this.decoded.set(frame, identity);
  }

  /** Puts the owner's registers back where they can be taken to another CPU. */
  evict(): void {
    if (this.owner === null) return;
    this.owner.registers.saveFrom(this.hart);
    this.owner.cpu = null;
    this.owner = null;
    this.hart.clearReservation();
  }
}

/** The CPUs of a machine, by the number of the executor. */
export function cpuContexts(k: Kernel, group: HartGroup): CpuContext[] {
  const decoded = new Map<number, number>();
  return k.m.sched.executors.filter((e) => !e.isDevice).map((executor) => new CpuContext(k, executor, group, decoded));
}
