import {
  Errno,
  FrameMemory,
  Madv,
  MapFlag,
  Mremap,
  Prot,
  type EventSink,
  type Executor,
  type Kernel,
  type Machine,
  type MaySleep,
  type Strategy,
} from "@faultline/kernel";
import { Invariants } from "../src/invariants.js";
import { LockOrder } from "../src/lock_order.js";
import type { Guests } from "../src/guest.js";
import { scenario, type Scenario, type ScenarioThread, type ThreadApi } from "../src/scenario.js";
import { World } from "../src/world.js";

/** Numbers from a seed: mulberry32. */
export class Random {
  constructor(private state: number) {}

  /** 0 to n - 1. */
  below(n: number): number {
    this.state = (this.state + 0x6d2b79f5) | 0;
    let t = Math.imul(this.state ^ (this.state >>> 15), 1 | this.state);
    t = (t + Math.imul(t ^ (t >>> 7), 61 | t)) ^ t;
    return Math.floor((((t ^ (t >>> 14)) >>> 0) / 2 ** 32) * n);
  }

  pick<T>(from: readonly T[]): T {
    return from[this.below(from.length)]!;
  }
}

/** Switches at one in so many points, to anybody who can run. Gives up after too many points. */
class RandomStrategy implements Strategy {
  private points = 0;

  constructor(
    private readonly random: Random,
    private readonly oneIn: number,
    private readonly pointsMax: number,
  ) {}

  quantum(): number {
    return 0;
  }

  preempt(): boolean {
    if (++this.points > this.pointsMax) throw new Error(`it does not end within ${this.pointsMax} points`);
    return this.random.below(this.oneIn) === 0;
  }

  pick(eligible: readonly Executor[]): Executor {
    return this.random.pick(eligible);
  }
}

export interface FuzzOptions {
  readonly seed: number;
  readonly cpus: number;
  readonly devices: number;
  readonly frames: number;
  readonly swapSlots: number;
  /** memory.max of the cgroup, in pages. */
  readonly memoryMax: number;
  /** Pages that each CPU's thread has to itself, and pages with counters that all add to. */
  readonly ownPages: number;
  readonly sharedPages: number;
  readonly operations: number;
  readonly switchOneIn: number;
  /** Orders of large folios that faults use; none by default. Memory is aligned to the largest. */
  readonly orders?: readonly number[];
  /** Whether threads move their pages away and back; not by default. */
  readonly moves?: boolean;
}

/** What a page of a thread's own should contain: its first word, and the word that all others are. */
interface Shadow {
  first: number;
  rest: number;
  /** After MADV_FREE: the page may read as zeros instead, until it is written again. */
  mayBeZero: boolean;
}

interface State {
  /** Address of each thread's own pages, and of the shared ones. */
  readonly own: readonly number[];
  readonly shared: number;
  /** Where each thread's pages move to, and a page more, so that they lie differently to page tables and large folios. */
  readonly room: readonly number[];
  /** Room for each thread's device commands. */
  readonly mirror: readonly number[];
  /** What was added to each shared page. */
  readonly added: number[];
  readonly wrong: string[];
}

const WORDS = 1024;

/** A program of random operations, the same for the same seed. */
function program(o: FuzzOptions): Scenario<State> {
  const threads: Record<string, ScenarioThread<State>> = {};
  for (let cpu = 0; cpu < o.cpus; cpu++) {
    threads[`cpu${cpu}`] = { on: { cpu }, run: (t, s) => new CpuThread(t, s, o, cpu).run() };
  }
  for (let device = 0; device < o.devices; device++) {
    threads[`device${device}`] = { on: { device }, run: (t, s) => deviceThread(t, s, o, device) };
  }
  return scenario<State>({
    title: `fuzz ${o.seed}`,
    machine: { cpus: o.cpus, devices: o.devices, frames: o.frames, swapSlots: o.swapSlots },
    *setup(t) {
      const { orders = [] } = o;
      for (const order of orders) t.k.m.thp.setSizeEnabled(order, "always");
      const own: number[] = [];
      const mirror: number[] = [];
      const room: number[] = [];
      for (let cpu = 0; cpu < o.cpus; cpu++) {
        own.push(yield* mapAligned(t, o.ownPages, Math.max(0, ...orders)));
        mirror.push(yield* t.mmap(1));
        if (o.moves === true) room.push(yield* mapAligned(t, o.ownPages + 1, Math.max(0, ...orders)));
      }
      const shared = yield* t.mmap(o.sharedPages);
      return { own, shared, room, mirror, added: new Array<number>(o.sharedPages).fill(0), wrong: [] };
    },
    threads,
    *check(t, s) {
      for (let i = 0; i < o.sharedPages; i++) {
        const value = yield* t.load32(s.shared + i * 4096);
        if (value !== s.added[i]! >>> 0) s.wrong.push(`shared page ${i} has ${value} instead of ${s.added[i]}`);
      }
      return s.wrong.length === 0 ? null : s.wrong.join("; ");
    },
  });
}

/** New memory at a multiple of 2^order pages. */
function* mapAligned(t: ThreadApi, pages: number, order: number): MaySleep<number> {
  const size = 4096 << order;
  const at = yield* t.mmap(pages + (1 << order) - 1);
  return Math.ceil(at / size) * size;
}

/** A device's engine: adds to shared pages, and mirrors anybody's. */
function* deviceThread(t: ThreadApi, s: State, o: FuzzOptions, device: number): MaySleep<void> {
  const random = new Random(o.seed * 31 + 1000 + device);
  for (let i = 0; i < o.operations; i++) {
    const page = random.below(o.sharedPages);
    const value = 1 + random.below(100);
    switch (random.below(4)) {
      case 0:
      case 1:
        if ((yield* t.deviceAtomicAdd32(device, s.shared + page * 4096, value)) >= 0) s.added[page]! += value;
        break;
      case 2:
        yield* t.deviceFault(device, s.shared + page * 4096, 1 + random.below(o.sharedPages - page), random.below(2) === 0);
        break;
      default: {
        // Somebody's own pages: any errno will do, they may be unmapped just now.
        const base = random.pick(s.own);
        const own = random.below(o.ownPages);
        if (random.below(2) === 0) yield* t.makeExclusive(device, base + own * 4096, 1 + random.below(Math.min(3, o.ownPages - own)));
        else yield* t.deviceFault(device, base + own * 4096, 1, random.below(2) === 0);
      }
    }
  }
}

/** A thread of the program: changes the contents of its own pages only, but disturbs everybody's. */
class CpuThread {
  private readonly random: Random;
  private readonly shadow: Shadow[];
  private readonly k: Kernel;

  constructor(
    private readonly t: ThreadApi,
    private readonly s: State,
    private readonly o: FuzzOptions,
    private readonly cpu: number,
  ) {
    this.k = t.k;
    this.random = new Random(o.seed * 31 + cpu);
    this.shadow = Array.from({ length: o.ownPages }, () => ({ first: 0, rest: 0, mayBeZero: false }));
  }

  *run(): MaySleep<void> {
    for (let i = 0; i < this.o.operations && this.s.wrong.length === 0; i++) yield* this.operation();
    for (let page = 0; page < this.o.ownPages; page++) yield* this.verify(page, "at the end");
  }

  private address(page: number): number {
    return this.s.own[this.cpu]! + page * 4096;
  }

  private *operation(): MaySleep<void> {
    const { t, s, o, random } = this;
    const page = random.below(o.ownPages);
    const pages = 1 + random.below(Math.min(4, o.ownPages - page));
    const addr = this.address(page);
    const value = random.below(2 ** 31);
    const sharedPage = random.below(o.sharedPages);
    const device = o.devices === 0 ? -1 : random.below(o.devices);
    switch (random.below(o.moves === true ? 26 : 22)) {
      case 0:
      case 1:
      case 2:
        yield* this.fill(page, value);
        break;
      case 3:
        yield* t.store32(addr, value);
        yield* this.wrote(page, value);
        break;
      case 4:
      case 5:
        yield* this.verify(page, "read");
        break;
      case 6:
        yield* t.madvise(addr, pages, Madv.DONTNEED);
        this.zero(page, pages);
        break;
      case 7:
        yield* t.madvise(addr, pages, Madv.FREE);
        for (let i = page; i < page + pages; i++) this.shadow[i]!.mayBeZero = true;
        break;
      case 8: {
        yield* t.munmap(addr, pages);
        const flags = MapFlag.PRIVATE | MapFlag.ANONYMOUS | MapFlag.FIXED;
        const at = yield* this.k.mmap.doMmap(this.k, t.mm, addr, pages * 4096, Prot.READ | Prot.WRITE, flags, null, 0);
        if (at !== addr) s.wrong.push(`mmap at ${addr} gives ${at}`);
        this.zero(page, pages);
        break;
      }
      case 9:
        yield* this.protect(page, pages, value);
        break;
      case 10:
        yield* t.atomicAdd32(s.shared + sharedPage * 4096, value % 100);
        s.added[sharedPage]! += value % 100;
        break;
      case 11:
        yield* t.madvise(s.shared + sharedPage * 4096, 1, random.pick([Madv.PAGEOUT, Madv.COLD, Madv.WILLNEED, Madv.POPULATE_READ, Madv.POPULATE_WRITE]));
        break;
      case 12:
        yield* t.madvise(random.pick(s.own), o.ownPages, random.pick([Madv.PAGEOUT, Madv.COLD, Madv.WILLNEED]));
        break;
      case 13:
        yield* t.reclaim(1 + random.below(4));
        break;
      case 14:
        yield* t.drainLruBatches();
        break;
      case 20:
      case 21:
        // Whatever is in a frame, and whoever has it.
        yield* t.migrate(2 + random.below(o.frames - 2));
        break;
      case 22:
      case 23:
        yield* this.moveAway(page, pages);
        break;
      case 24:
      case 25:
        yield* this.moveAway(0, o.ownPages);
        break;
      case 15:
      case 16:
        if (device >= 0) yield* t.makeExclusive(device, random.below(2) === 0 ? addr : s.shared + sharedPage * 4096, 1);
        break;
      case 17:
        if (device >= 0) yield* this.deviceRead(page, device);
        break;
      case 18:
        if (device >= 0) yield* this.deviceWrite(page, value, device);
        break;
      default:
        if (device >= 0 && (yield* t.deviceAtomicAdd32(device, addr, 1)) >= 0) yield* this.wrote(page, null);
    }
  }

  private zero(page: number, pages: number): void {
    for (let i = page; i < page + pages; i++) this.shadow[i] = { first: 0, rest: 0, mayBeZero: false };
  }

  /** The first word was written (null: one was added). Whether the page had been freed before shows in the rest. */
  private *wrote(page: number, first: number | null): MaySleep<void> {
    const shadow = this.shadow[page]!;
    if (!shadow.mayBeZero) {
      shadow.first = first ?? (shadow.first + 1) >>> 0;
      return;
    }
    const words = new Int32Array(2);
    yield* this.k.uaccess.copyFromUser(this.k, this.address(page), new Uint8Array(words.buffer));
    if (words[1] === 0) shadow.rest = 0;
    const now = words[0]! >>> 0;
    // What was added to is either what had been there, or zero.
    if (first === null && now !== 1 && now !== (shadow.first + 1) >>> 0) this.wrong(page, "added", now, 1);
    shadow.first = first ?? now;
    shadow.mayBeZero = false;
  }

  private *fill(page: number, value: number): MaySleep<void> {
    const words = new Int32Array(WORDS).fill(value);
    if ((yield* this.k.uaccess.copyToUser(this.k, this.address(page), new Uint8Array(words.buffer))) !== 0) {
      this.s.wrong.push(`page ${page} of CPU ${this.cpu} cannot be written`);
    }
    this.shadow[page] = { first: value, rest: value, mayBeZero: false };
  }

  private *verify(page: number, when: string): MaySleep<void> {
    const bytes = new Uint8Array(4096);
    if ((yield* this.k.uaccess.copyFromUser(this.k, this.address(page), bytes)) !== 0) {
      this.s.wrong.push(`page ${page} of CPU ${this.cpu} cannot be read`);
      return;
    }
    this.compare(page, new Int32Array(bytes.buffer), when);
  }

  private compare(page: number, words: Int32Array, when: string): void {
    const { first, rest, mayBeZero } = this.shadow[page]!;
    if (mayBeZero && words.every((word) => word === 0)) return;
    if (words[0]! >>> 0 !== first) return this.wrong(page, when, words[0]! >>> 0, first);
    for (let i = 1; i < WORDS; i++) if (words[i]! >>> 0 !== rest) return this.wrong(page, `${when}, word ${i}`, words[i]! >>> 0, rest);
  }

  private wrong(page: number, when: string, is: number, expected: number): void {
    this.s.wrong.push(`page ${page} of CPU ${this.cpu} has ${is} instead of ${expected} (${when})`);
  }

  /** Takes permissions away and gives them back, looking at the page in between where that is allowed. */
  private *protect(page: number, pages: number, value: number): MaySleep<void> {
    const { t, s } = this;
    const addr = this.address(page);
    const prot = this.random.pick([Prot.READ, 0]);
    if ((yield* t.mprotect(addr, pages, prot)) !== 0) s.wrong.push("mprotect fails");
    if (prot === Prot.READ) {
      yield* this.verify(page, "read-only");
      const bytes = new Uint8Array(4);
      if ((yield* this.k.uaccess.copyToUser(this.k, addr, bytes)) === 0) s.wrong.push(`a read-only page ${page} can be written`);
    } else if ((yield* this.k.uaccess.copyFromUser(this.k, addr, new Uint8Array(4))) === 0) {
      s.wrong.push(`page ${page} without permissions can be read`);
    }
    if ((yield* t.mprotect(addr, pages, Prot.READ | Prot.WRITE)) !== 0) s.wrong.push("mprotect back fails");
    if (value % 2 === 0) {
      yield* t.store32(addr, value);
      yield* this.wrote(page, value);
    }
  }

  /** Moves pages somewhere else and back, and looks at them in between. */
  private *moveAway(page: number, pages: number): MaySleep<void> {
    const { k, t, s, cpu, random } = this;
    const here = this.address(page);
    const there = s.room[cpu]! + (page + random.below(2)) * 4096;
    for (const [from, to] of [[here, there], [there, here]] as const) {
      const flags = Mremap.MAYMOVE | Mremap.FIXED | (random.below(3) === 0 ? Mremap.DONTUNMAP : 0);
      const at = yield* k.mremap.doMremap(k, t.mm, from, pages * 4096, pages * 4096, flags, to);
      if (at === -Errno.ENOMEM) {
        // There is no memory for page tables: everything is where it was. What cannot come back is given up.
        if (from === here) return;
        yield* t.mmapFixed(here, pages);
        return this.zero(page, pages);
      }
      if (at !== to) s.wrong.push(`mremap from ${from} to ${to} gives ${at}`);
      const bytes = new Uint8Array(4096);
      const looked = random.below(pages);
      if ((yield* k.uaccess.copyFromUser(k, to + looked * 4096, bytes)) !== 0) s.wrong.push(`page ${page + looked} of CPU ${cpu} cannot be read`);
      else this.compare(page + looked, new Int32Array(bytes.buffer), "moved");
    }
  }

  private *deviceRead(page: number, device: number): MaySleep<void> {
    const { k, t, s, cpu } = this;
    const c = { addr: this.address(page), ptr: s.mirror[cpu]!, npages: 1, cpages: 0, faults: 0 };
    if ((yield* k.testHmm.dmirrorRead(k, t.devices[device]!, c)) !== 0) return;
    const bytes = new Uint8Array(4096);
    if ((yield* k.uaccess.copyFromUser(k, s.mirror[cpu]!, bytes)) !== 0) return;
    this.compare(page, new Int32Array(bytes.buffer), `by device ${device}`);
  }

  private *deviceWrite(page: number, value: number, device: number): MaySleep<void> {
    const { k, t, s, cpu } = this;
    const words = new Int32Array(WORDS).fill(value);
    if ((yield* k.uaccess.copyToUser(k, s.mirror[cpu]!, new Uint8Array(words.buffer))) !== 0) return;
    const c = { addr: this.address(page), ptr: s.mirror[cpu]!, npages: 1, cpages: 0, faults: 0 };
    const error = yield* k.testHmm.dmirrorWrite(k, t.devices[device]!, c);
    if (error === 0) this.shadow[page] = { first: value, rest: value, mayBeZero: false };
  }
}

/** Runs the program of a seed; null, or what went wrong first. */
export function fuzz(o: FuzzOptions, memory: FrameMemory | null = null, watch?: Watch): string | null {
  const prepare = (world: World): void => {
    if (o.swapSlots > 0) world.k.vmscan.startKswapd(world.k);
    for (const memcg of world.m.memcgs.root.children.values()) memcg.max = o.memoryMax;
  };
  return runAtRandom(program(o), { ...o, pointsMax: o.operations * 100_000, prepare }, memory, watch);
}

/** Looks on while a machine runs. */
export type Watch = (m: Machine, next: EventSink, report: (finding: string) => void) => EventSink;

export interface RandomRun {
  readonly seed: number;
  readonly switchOneIn: number;
  readonly pointsMax: number;
  /** Runs the threads that are programs. */
  readonly guests?: Guests;
  /** Called when the machine is ready to run its threads. */
  readonly prepare?: (world: World) => void;
}

/** Runs a scenario once, with switches at random; null, or what went wrong first. */
export function runAtRandom(s: Scenario, o: RandomRun, memory: FrameMemory | null, watch?: Watch): string | null {
  const findings: string[] = [];
  const report = (finding: { kind: string; message: string }): void => {
    findings.push(`${finding.kind}: ${finding.message}`);
  };
  const random = new Random(o.seed);
  const lockOrder = new LockOrder(report);
  const world = new World(s, { ...(memory === null ? {} : { memory }), ...(o.guests === undefined ? {} : { guests: o.guests }) });
  const { k, m } = world;
  const invariants = new Invariants(k, world.mirrors, lockOrder, report);
  try {
    invariants.boot();
    m.locks.observer = lockOrder;
    m.sink = invariants;
    world.setup();
    o.prepare?.(world);
    world.startThreads();
    m.sink = watch?.(m, invariants, (finding) => findings.push(finding)) ?? invariants;
    world.hand(new RandomStrategy(random, o.switchOneIn, o.pointsMax), (_what, n) => random.below(n));
    const end = m.sched.run();
    m.sink = invariants;
    if (end !== "finished") findings.push(`it is ${end}: ${[...m.tasks.values()].map((t) => `${t.comm} waits for ${t.waitingFor}`).join(", ")}`);
    if (findings.length === 0) invariants.atRest();
    findings.push(...world.signals);
    if (findings.length === 0) {
      const wrong = world.finish();
      if (wrong !== null) findings.push(wrong);
      else invariants.afterExit();
    }
  } catch (error) {
    findings.push(error instanceof Error ? (error.stack ?? error.message) : String(error));
  }
  return findings[0] ?? null;
}
