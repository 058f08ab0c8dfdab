import { BLOCK, Errno, Event, Op, PAGE_SIZE, Restart, SA, SI, Sig, SWITCH, type Atomic, type Kernel, type MaySleep, type PtRegs, type SignalInfo, type Task } from "@faultline/kernel";
import { Access, Exit } from "../cpu/exit.js";
import type { Hart, HartState } from "../cpu/hart.js";
import { Registers, type CpuContext } from "./cpu_context.js";
import type { Entry } from "./exec.js";
import type { GuestHost } from "./guest_host.js";
import { REG_A0, REG_A7, REG_SP } from "./registers.js";
import { setupFrame } from "./signal_frame.js";
import { SYSCALLS } from "./syscalls/table.js";

/** Machine time of entering and leaving the kernel, in nanoseconds. */
const SYSCALL_NS = 100;
/** Instructions without an access to memory after which there is a point all the same, while checking. */
const PRIVATE_RUN = 1000;

const ILL_ILLOPC = 1;
const TRAP_BRKPT = 1;
const BUS_ADRALN = 1;

/** What seccomp in strict mode lets through: read, write, exit, rt_sigreturn. */
const STRICT_CALLS = new Set([63, 64, 93, 139]);

/** A user thread: a task's registers, and what it does between two entries into the kernel. */
export class GuestThread implements PtRegs {
  readonly registers = new Registers();
  /** The CPU whose hart holds the registers; null while they are in `registers`. */
  cpu: CpuContext | null = null;
  task!: Task;
  /** Set by exit(2) and exit_group(2): the status as wait(2) reports it. */
  exiting: number | null = null;
  /** The system call has set all registers itself (rt_sigreturn). */
  keepRegisters = false;
  /** When the timed sleep that a signal has interrupted was to end, for the call that goes on with it; null for one that begins. */
  resumes: number | null = null;
  /** An interrupted system call that may have to be made again: its first argument. */
  private restart: { readonly code: number; readonly a0Lo: number; readonly a0Hi: number } | null = null;

  /** The page fault that is being resolved: when it began (ns and retired instructions), and where. */
  private readonly fault = { start: 0, instret: -1, address: 0, lo: 0, hi: 0 };
  /** The signal that ends the process, where this thread is the one that got it. */
  death: SignalInfo | null = null;

  constructor(
    readonly linux: GuestHost,
    readonly k: Kernel,
  ) {}

  /** The hart of the CPU that the task is on, with this thread's registers in it. */
  load(): Hart {
    const cpu = this.linux.cpus[this.k.m.executor!.id]!;
    if (cpu.owner !== this) {
      cpu.evict();
      this.cpu?.evict();
      this.registers.loadInto(cpu.hart);
      cpu.owner = this;
      this.cpu = cpu;
    }
    return cpu.hart;
  }

  /** Goes to where a program starts, with nothing in the other registers. */
  enter({ pc, sp }: Entry): void {
    const hart = this.load();
    hart.restore({ pc: BigInt(pc), x: new BigUint64Array(32), f: new BigUint64Array(32), fcsr: 0 });
    hart.setXNumber(REG_SP, sp);
  }

  /** The body of the task. `begin` sets up the address space and the registers; false: it failed. */
  *body(begin: () => MaySleep<boolean>): MaySleep<void> {
    const { k } = this;
    this.linux.threads.set(this.task.id, this);
    if (yield* begin()) yield* this.userMode();
    const status = this.exiting ?? 0;
    this.linux.strace?.exited(this, status);
    this.leaveCpu();
    this.linux.threads.delete(this.task.id);
    yield* k.exit.doExit(k, status);
    this.linux.threadGone(this);
  }

  private leaveCpu(): void {
    if (this.cpu !== null && this.cpu.owner === this) {
      this.cpu.owner = null;
      this.cpu.hart.clearReservation();
    }
    this.cpu = null;
  }

  private *userMode(): MaySleep<void> {
    const { m } = this.k;
    const { task } = this;
    const { checking } = m.config;
    while (this.exiting === null) {
      if ((m.signals.pending(task) || this.restart !== null || task.thread.savedSigmask !== null) && (yield* this.mayDeliver())) {
        yield* this.deliverSignals();
        continue;
      }
      if (task.pagesOverHigh > 0) yield* this.k.memcgHigh.handleOverHigh(this.k);
      const hart = this.load();
      const exit = checking ? yield* this.runAnnounced() : this.cpu!.run(m.instructionBudget());
      if (exit === Exit.ECALL) yield* this.systemCall(hart);
      else if (exit === Exit.TLB_MISS) {
        // The hottest way into the kernel: no generator of its own.
        this.enterFault(hart);
        this.leaveFault(yield* this.k.fault.handleUserFault(this.k, hart.faultAddress, hart.faultAccess));
      }
      else if (exit === Exit.EBREAK) yield* this.breakpoint();
      else if (exit !== Exit.BUDGET) this.trap(hart, exit);
      if (task.process!.cpuTimers !== null) this.k.cpuTimers.runCpuTimers(this.k);
      if (m.numa.enabled && this.exiting === null) yield* this.k.numaBalancing.taskTickNuma(this.k, task.thread.userTimeNs + task.thread.systemTimeNs);
      // Also what never enters the kernel by itself gives way here.
      if (!checking && m.point(Op.Run, task.id)) {
        hart.clearReservation();
        yield SWITCH;
      }
      if (m.sched.needResched()) {
        hart.clearReservation();
        yield BLOCK;
      }
    }
  }

  /**
   * While checking: runs the thread up to and with its next access to memory, which has a point; what
   * comes before it is the thread's own, and has none. Fetches are part of whatever step they fall
   * into: they look at the CPU's TLB again after each point, and tell what they touch.
   */
  private *runAnnounced(): Atomic<Exit> {
    const { k } = this;
    const { m } = k;
    const cpu = this.cpu!;
    const { hart } = cpu;
    const exit = cpu.runPrivate(PRIVATE_RUN, false);
    if (exit === Exit.BUDGET) {
      if (m.point(Op.Run, this.task.id)) yield SWITCH;
      return exit;
    }
    if (exit !== Exit.TLB_MISS || hart.faultAccess === Access.EXEC) return exit;
    const op = hart.faultAccess === Access.WRITE ? Op.UserWrite : Op.UserRead;
    const frame = k.uaccess.cachedFrame(k, Math.floor(hart.faultAddress / PAGE_SIZE), hart.faultAccess);
    if (m.point(op, frame)) yield SWITCH;
    return cpu.runPrivate(1, true);
  }

  /** Remembers what faulted, since other threads may run on the hart before the fault is resolved. */
  private enterFault(hart: Hart): void {
    const { fault } = this;
    // The fault before this one was about the same access, and did not help.
    if (fault.instret === hart.instret && fault.address === hart.faultAddress) this.k.m.retries.again("user_access");
    fault.instret = hart.instret;
    fault.start = this.k.m.now();
    fault.address = hart.faultAddress;
    fault.lo = hart.faultLo;
    fault.hi = hart.faultHi;
    hart.clearReservation();
    this.task.thread.faultPc = hart.pc;
  }

  private leaveFault(signal: SignalInfo | null): void {
    const { k, fault } = this;
    this.task.thread.faultPc = -1;
    if (signal !== null) this.force({ ...signal, addrBig: (BigInt(fault.hi >>> 0) << 32n) | BigInt(fault.lo >>> 0) });
    else this.linux.cpus[k.m.executor!.id]!.checkCode(k.m, Math.floor(fault.address / 4096));
    this.task.thread.systemTimeNs += k.m.now() - fault.start;
  }

  /** Exceptions that are the program's own fault, or its breakpoint. */
  private trap(hart: Hart, exit: Exit): void {
    const addr = exit === Exit.MISALIGNED_ATOMIC ? hart.faultAddress : hart.pc;
    const addrBig = exit === Exit.MISALIGNED_ATOMIC ? hart.faultAddressBig : hart.pcBig;
    if (exit === Exit.EBREAK) this.force({ signo: Sig.SIGTRAP, code: TRAP_BRKPT, addr, addrBig });
    else if (exit === Exit.ILLEGAL) this.force({ signo: Sig.SIGILL, code: ILL_ILLOPC, addr, addrBig });
    else this.force({ signo: Sig.SIGBUS, code: BUS_ADRALN, addr, addrBig });
  }

  /** A breakpoint: a probe's, or one that the program has for itself. */
  private *breakpoint(): MaySleep<void> {
    const info = yield* this.k.uprobeHit.hitBreakpoint(this.k, this);
    if (info === "not ours") this.trap(this.load(), Exit.EBREAK);
    else if (info !== null) this.force(info);
  }

  private force(info: SignalInfo): void {
    const { utask } = this.task.thread;
    if (utask !== null) utask.trapped = true;
    this.k.signal.forceSignal(this.k, info);
  }

  /** Not while a probed instruction is executed out of line; where that must end first, it is to be executed again. */
  private *mayDeliver(): Atomic<boolean> {
    const { k } = this;
    const { utask } = this.task.thread;
    if (utask === null || utask.active === null) return true;
    if (!k.uprobeHit.stopsStepping(k, utask)) return false;
    yield* k.uprobeHit.abortXol(k, utask, this);
    return true;
  }

  /* The registers of the thread, whichever CPU it is on (struct pt_regs). */

  get pcBig(): bigint {
    return this.load().pcBig;
  }
  set pcBig(address: bigint) {
    this.load().pcBig = address;
  }

  getX(register: number): bigint {
    return this.load().getX(register);
  }

  setX(register: number, value: bigint): void {
    this.load().setX(register, value);
  }

  private *systemCall(entered: Hart): MaySleep<void> {
    let hart = entered;
    const { k, task } = this;
    const { m } = k;
    const start = m.now();
    m.charge(SYSCALL_NS);
    hart.clearReservation();
    if (task.thread.tracee !== null) {
      yield* k.ptrace.syscallStop(k);
      hart = this.load();
    }
    const nr = hart.getXNumber(REG_A7);
    const args: number[] = [];
    for (let i = 0; i < 6; i++) args.push(hart.getXNumber(REG_A0 + i));
    const a0Lo = hart.xlo[REG_A0]!;
    const a0Hi = hart.xhi[REG_A0]!;
    hart.pcBig += 4n;

    if (task.thread.seccompStrict && !STRICT_CALLS.has(nr)) {
      m.signals.send(task.process!, task, { signo: Sig.SIGKILL, code: SI.USER, addr: 0 });
      return;
    }
    const call = SYSCALLS.get(nr);
    task.thread.syscall = call?.name ?? `syscall_${nr}`;
    this.linux.strace?.entering(this, nr, args);
    m.sink?.emit(Event.SysEnter, nr, args[0]!, args[1]!, args[2]!, args[3], args[4], args[5]);
    let result: number;
    if (call === undefined || call.handler === null) {
      const name = call === undefined ? `number ${nr}` : call.name;
      m.dmesg.printOnce(`${task.comm}[${task.id}]: system call ${name} is not implemented`);
      result = -Errno.ENOSYS;
    } else result = yield* call.handler(this, args);
    if (result !== -Restart.ERESTART_RESTARTBLOCK) this.resumes = null;
    task.thread.syscall = "";
    task.thread.systemTimeNs += m.now() - start;
    if (this.exiting !== null) return;
    this.linux.strace?.returned(this, nr, args, result);
    m.sink?.emit(Event.SysExit, nr, result, 0, 0);
    if (this.keepRegisters) {
      this.keepRegisters = false;
      return;
    }
    if (result <= -Restart.ERESTARTSYS && result >= -Restart.ERESTART_RESTARTBLOCK) {
      this.restart = { code: -result, a0Lo, a0Hi };
      return;
    }
    this.load().setXNumber(REG_A0, result);
    if (task.thread.tracee !== null) yield* k.ptrace.syscallStop(k);
  }

  /** Registers while it does not run: a copy, or what they are from now on. An interrupted call is not made again then. */
  exchange(registers: HartState | null): HartState {
    const hart = this.load();
    if (registers !== null) {
      hart.restore(registers);
      this.restart = null;
    }
    return hart.save();
  }

  /** Acts on one signal, on the way back to user mode. */
  private *deliverSignals(): MaySleep<void> {
    const { k, task, restart } = this;
    if (k.m.point(Op.Process, task.process!.pid)) yield SWITCH;
    const delivery = k.signal.getSignal(k);
    if (delivery === null) {
      this.restart = null;
      if (restart !== null) this.callAgain(restart.a0Lo, restart.a0Hi);
      if (task.thread.savedSigmask !== null) k.signal.setBlocked(k, task.thread.savedSigmask);
      task.thread.savedSigmask = null;
      return;
    }
    if (delivery.kind === "stop") return yield* k.jobControl.doSignalStop(k);
    if (delivery.kind === "trace") return yield* k.ptrace.traceStop(k, delivery.code, delivery.info);
    if (delivery.kind === "leave") {
      this.exiting = 0;
      return;
    }
    if (delivery.kind === "die") {
      if (delivery.info !== null && (delivery.status & 127) !== 0) {
        this.death = delivery.info;
        this.logUnhandled(delivery.info);
        this.linux.strace?.signal(this, delivery.info);
      }
      yield* k.exit.startGroupExit(k, delivery.status);
      this.exiting = task.process!.exitStatus;
      return;
    }
    this.linux.strace?.signal(this, delivery.info);
    this.restart = null;
    this.resumes = null;
    if (restart !== null) {
      const again =
        restart.code === Restart.ERESTARTNOINTR ||
        (restart.code === Restart.ERESTARTSYS && (delivery.action.flags & SA.RESTART) !== 0);
      if (again) this.callAgain(restart.a0Lo, restart.a0Hi);
      else this.load().setXNumber(REG_A0, -Errno.EINTR);
    }
    if (!(yield* setupFrame(this, delivery.info, delivery.action))) {
      // No stack to run the handler on: that cannot be handled either if it was about this.
      if (delivery.info.signo === Sig.SIGSEGV) task.process!.handlers.actions.delete(Sig.SIGSEGV);
      this.force({ signo: Sig.SIGSEGV, code: 0x80, addr: 0 });
    }
  }

  /** The kernel log tells of exceptions that nobody handles, and where the program was. */
  private logUnhandled({ signo, code, addr, addrBig }: SignalInfo): void {
    if (code <= 0 || code === SI.KERNEL) return;
    const { m } = this.k;
    const { pc } = this.load();
    const vma = this.task.mm?.vmaAt(Math.floor(pc / PAGE_SIZE)) ?? null;
    const name = vma === null ? "" : vma.name.slice(vma.name.lastIndexOf("/") + 1);
    const where =
      vma === null || name === "" ? "" : ` in ${name}[${(vma.startVpn * PAGE_SIZE).toString(16)}+${(vma.pages * PAGE_SIZE).toString(16)}]`;
    const address = BigInt.asUintN(64, addrBig ?? BigInt(addr)).toString(16).padStart(16, "0");
    m.dmesg.print(`${this.task.comm}[${this.task.id}]: unhandled signal ${signo} code 0x${code.toString(16)} at 0x${address}${where}`);
  }

  /** Points the program back at its system call. */
  private callAgain(a0Lo: number, a0Hi: number): void {
    const hart = this.load();
    hart.setXPair(REG_A0, a0Lo, a0Hi);
    hart.pcBig -= 4n;
  }
}
