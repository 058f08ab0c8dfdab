import { Access, MapFlag, Op, Prot, SWITCH, UprobeAction, type MaySleep, type Uprobe, type UprobeConsumer } from "@faultline/kernel";
import { DriverApi } from "./driver_api.js";
import { ScenarioError } from "./scenario_error.js";

/** `c.jr ra`: what code in a scenario consists of. The kernel does it itself where it is probed. */
const RETURN = 0x8082;
/** `c.ebreak`. */
const BREAKPOINT = 0x9002;
const REG_RA = 1;
/** Where functions of a scenario return to. */
const CALLER = 4096n;

/** Counts what hits a probe, in the address spaces that it wants. Announced by the probe's Op.Uprobe. */
class ScenarioProbe implements UprobeConsumer {
  hits = 0;
  wanted = true;

  constructor(readonly id: number) {}

  filter(): boolean {
    return this.wanted;
  }

  handler(): UprobeAction {
    if (!this.wanted) return UprobeAction.Remove;
    this.hits++;
    return UprobeAction.Keep;
  }
}

/** What a scenario does with probes of user space. */
export class ProbeApi extends DriverApi {
  /** Code: a page of a new file in memory, mapped privately to be read and executed. Its first instruction returns. Its address, or a negated errno. */
  *mmapCode(): MaySleep<number> {
    const { k, mm } = this;
    const shared = yield* k.mmap.doMmap(k, mm, 0, 4096, Prot.READ | Prot.WRITE, MapFlag.SHARED | MapFlag.ANONYMOUS, null, 0);
    if (shared < 0) return shared;
    yield* k.uaccess.putUser32(k, shared, RETURN);
    const code = yield* k.mmap.doMmap(k, mm, 0, 4096, Prot.READ | Prot.EXEC, MapFlag.PRIVATE, mm.vmaAt(shared / 4096)!.file, 0);
    yield* k.mmap.doMunmap(k, mm, shared, 4096);
    return code;
  }

  /**
   * Probes what the file has that is mapped at an address, for every address space (uprobe_register()): a number for the calls below, or a
   * negated errno.
   * @throws ScenarioError where no file is mapped
   */
  *uprobeRegister(addr: number): MaySleep<number> {
    const { k, mm } = this;
    const vma = mm.vmaAt(Math.floor(addr / 4096));
    if (vma?.file == null) throw new ScenarioError(`uprobeRegister: no file is mapped at 0x${addr.toString(16)}`);
    if (k.m.point(Op.Uprobe, 0)) yield SWITCH;
    const probe = new ScenarioProbe(k.m.uprobes.nextId++);
    const uprobe = yield* k.uprobes.uprobeRegister(k, vma.file.inode, vma.linearIndex(Math.floor(addr / 4096)) * 4096 + (addr % 4096), probe);
    return typeof uprobe === "number" ? uprobe : probe.id;
  }

  /** Takes a probe away, and its breakpoints. */
  *uprobeUnregister(id: number): MaySleep<void> {
    const [uprobe, probe] = this.probe(id);
    yield* this.k.uprobes.uprobeUnregister(this.k, uprobe, probe);
  }

  /** A probe is wanted nowhere any more: who hits it next takes the breakpoint away. */
  *uprobeUnwant(id: number): MaySleep<void> {
    const [uprobe, probe] = this.probe(id);
    if (this.k.m.point(Op.Uprobe, uprobe.id)) yield SWITCH;
    probe.wanted = false;
  }

  /** How often a probe was hit. */
  *uprobeHits(id: number): MaySleep<number> {
    const [uprobe, probe] = this.probe(id);
    if (this.k.m.point(Op.Uprobe, uprobe.id)) yield SWITCH;
    return probe.hits;
  }

  /**
   * Calls a function that returns at once: whether a breakpoint was met on the way.
   * @throws ScenarioError where there is no code, or the breakpoint is nobody's
   */
  *call(addr: number): MaySleep<boolean> {
    const { k } = this;
    const regs = { pcBig: BigInt(addr), getX: (register: number): bigint => (register === REG_RA ? CALLER : 0n), setX: (): void => undefined };
    for (let met = false; ; met = true) {
      const frame = yield* k.uaccess.accessFrame(k, addr, Access.Fetch);
      const opcode = typeof frame === "number" ? k.m.ram.view.getUint16(frame * 4096 + (addr % 4096), true) : 0;
      if (opcode === RETURN) return met;
      const signal = opcode === BREAKPOINT ? yield* k.uprobeHit.hitBreakpoint(k, regs) : "no code";
      if (signal !== null) throw new ScenarioError(`call: at 0x${addr.toString(16)} there is ${signal === "no code" ? signal : "a breakpoint that is nobody's"}`);
      if (regs.pcBig === CALLER) return true;
      if (k.m.retries.again("uprobe_restart")) yield SWITCH;
    }
  }

  private probe(id: number): [Uprobe, ScenarioProbe] {
    for (const uprobe of this.k.m.uprobes.tree) {
      for (const consumer of uprobe.consumers) if (consumer instanceof ScenarioProbe && consumer.id === id) return [uprobe, consumer];
    }
    throw new ScenarioError(`there is no probe ${id}`);
  }
}

