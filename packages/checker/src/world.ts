import {
  assembleKernel,
  Machine,
  PG,
  startSwapDisk,
  Task,
  type Choices,
  type Dmirror,
  type Executor,
  type FrameMemory,
  type Kernel,
  type MaySleep,
  type Memcg,
  type Mm,
  type OverlayFactory,
  type SavedSlots,
  type SavedTables,
  type Strategy,
} from "@faultline/kernel";
import { Checkpoint } from "./checkpoint.js";
import { openDevice, ScenarioError, ScenarioSignal, ThreadApi, type Scenario } from "./scenario.js";

const FRAMES = 64;
const RESERVED_FRAMES = 2;
/** Enough for scenarios, whose pages then never share a slot. */
const TLB_ENTRIES = 8;
/** Larger machines than this are not for exploring; longer arrays hold the contents of swap slots. */
const FRAMES_MAX = 4096;

/** Lets one thing run to its end, as if nothing else existed. */
class Undisturbed implements Strategy {
  quantum(): number {
    return 1e9;
  }

  preempt(): boolean {
    return false;
  }

  pick(eligible: readonly Executor[]): Executor {
    return eligible[0]!;
  }
}

/** Draws the first value until somebody decides otherwise. */
class SwitchedChoices implements Choices {
  from: ((what: string, n: number) => number) | null = null;

  pick(what: string, n: number): number {
    return this.from === null ? 0 : this.from(what, n);
  }
}

/** One machine with a scenario on it, from boot to exit. */
export class World {
  readonly m: Machine;
  readonly k: Kernel;
  mm!: Mm;
  private readonly memcg: Memcg;
  readonly mirrors: Dmirror[] = [];
  private readonly choices = new SwitchedChoices();
  private readonly undisturbed = new Undisturbed();
  private api!: ThreadApi;
  private state: unknown;
  /** What threads died of, in order. */
  readonly signals: string[] = [];
  private checkpoint: Checkpoint | null = null;
  /** Page tables and the frames in use, as they were at the checkpoint. */
  private tables: SavedTables | null = null;
  private frames: { readonly frame: number; readonly words: Int32Array }[] = [];
  /** And slots of swap. */
  private slots: SavedSlots = [];

  constructor(
    readonly scenario: Scenario,
    overlays: readonly OverlayFactory[],
    memory: FrameMemory | null,
    /** Tasks know the kernel functions that they are in. */
    ftrace = false,
  ) {
    const { frames = FRAMES, swapSlots = 0, cpus = 2, devices = 1 } = scenario.machine ?? {};
    this.m = new Machine(
      {
        frames,
        reservedFrames: RESERVED_FRAMES,
        swapSlots,
        cpus,
        seed: 1,
        tlbEntries: TLB_ENTRIES,
        checking: true,
        ...(memory === null ? {} : { memory }),
      },
      this.choices,
    );
    // Losing a race for a folio lock once more shows nothing new, and takes many points.
    this.m.pageLockUnfairness = 1;
    this.k = assembleKernel(this.m, overlays, ftrace);
    for (let i = 0; i < devices; i++) this.m.sched.addExecutor(`device ${i}`, true, 1);
    if (swapSlots > 0) startSwapDisk(this.k);
    this.memcg = this.m.memcgs.create(this.m.memcgs.root, "scenario");
  }

  /** An address space on every CPU, the devices opened on it, then the scenario's own setup. */
  setup(): void {
    const { k, m } = this;
    const { devices = 1 } = this.scenario.machine ?? {};
    const world = this;
    this.alone("setup", function* (): MaySleep<void> {
      const mm = yield* k.mmap.mmAlloc(k);
      if (mm === null) throw new ScenarioError("the machine is too small for an address space");
      world.mm = mm;
      m.current!.mm = mm;
      for (const e of m.sched.executors) if (!e.isDevice) m.switchMm(e, mm);
      for (let i = 0; i < devices; i++) world.mirrors.push(yield* openDevice(k, mm, i));
      world.api = new ThreadApi(k, mm, world.mirrors);
      world.state = yield* world.scenario.setup(world.api);
    });
  }

  /**
   * Remembers everything as it is now, between setup and the start of the threads. `skip`: what
   * belongs to the caller and is reachable from the machine.
   */
  save(skip: readonly object[]): void {
    const { m } = this;
    const { pt, ram, memmap } = m;
    this.tables = pt.save();
    this.frames = [];
    for (let page = 0; page < memmap.nrPages; page++) {
      if (memmap.refcount[memmap.folioOf(page)] === 0 || memmap.has(page, PG.table | PG.reserved)) continue;
      this.frames.push({ frame: page, words: ram.words.slice(page << 10, (page + 1) << 10) });
    }
    this.slots = m.swap.saveContents();
    // Frames and slots that are free now are written before anybody reads them.
    const mine = [this.tables, pt, this.frames, this.slots, this.k, this.scenario];
    this.checkpoint = new Checkpoint(this, [...skip, ...mine], (array) => array.buffer !== ram.buffer && array.length <= FRAMES_MAX);
  }

  /** Back to what was saved. All that has run since must have ended. */
  restore(): void {
    const { checkpoint } = this;
    checkpoint!.restore();
    this.checkpoint = checkpoint;
    this.m.pt.restore(this.tables!);
    for (const { frame, words } of this.frames) this.m.ram.words.set(words, frame << 10);
    this.m.swap.restoreContents(this.slots);
  }

  /** Puts the scenario's threads on their executors, ready to start. */
  startThreads(): void {
    for (const [name, thread] of Object.entries(this.scenario.threads)) {
      const where = "cpu" in thread.on ? `CPU ${thread.on.cpu}` : `device ${thread.on.device}`;
      const executor = this.m.sched.executors.find((e) => e.name === where);
      if (executor === undefined) throw new ScenarioError(`thread '${name}' is to run on ${where}, which the machine does not have`);
      this.start(name, executor, this.guarded(name, thread.run(this.api, this.state)));
    }
  }

  /** Decides and draws from here on: the strategy, or nothing but the first of everything. */
  hand(strategy: Strategy | null, draw: ((what: string, n: number) => number) | null): void {
    this.m.sched.strategy = strategy ?? this.undisturbed;
    this.choices.from = draw;
  }

  /** The scenario's own check, then exit: the devices are closed, the address space torn down. */
  finish(): string | null {
    const { k, mm, mirrors, scenario } = this;
    let answer: string | null = null;
    const world = this;
    this.alone("check", function* (): MaySleep<void> {
      if (scenario.check !== undefined) answer = yield* scenario.check(world.api, world.state);
      if (answer !== null) return;
      for (const mirror of mirrors) yield* k.testHmm.dmirrorRelease(k, mirror);
      yield* k.mmap.exitMmap(k, mm);
      // What waits in batches is held by nobody else now.
      yield* k.swap.lruAddDrainAll(k);
      // A folio that reclaim met between unmapping and freeing stays in the swap cache, which
      // nothing but reclaim empties.
      yield* k.vmscan.shrinkSlab(k, k.m.memcgs.root);
      const { swap } = k.m;
      if (swap.used > 0) yield* k.vmscan.memoryReclaim(k, k.m.current!.memcg, swap.used);
    });
    return answer;
  }

  private *guarded(name: string, body: MaySleep<unknown>): MaySleep<void> {
    try {
      yield* body;
    } catch (error) {
      if (!(error instanceof ScenarioSignal)) throw error;
      this.signals.push(`${name} gets ${error.message}`);
    }
  }

  private alone(name: string, body: () => MaySleep<void>): void {
    const { m } = this;
    this.hand(null, null);
    this.start(name, m.sched.executors[0]!, body());
    const end = m.sched.run();
    if (end !== "finished") {
      const waits = [...m.tasks.values()].map((t) => `${t.comm} waits for ${t.waitingFor}`).join(", ");
      throw new ScenarioError(`${name} does not end: ${waits}`);
    }
  }

  private start(name: string, executor: Executor, body: MaySleep<void>): void {
    const { m } = this;
    const task = new Task(m.sched.allocateTaskId(), name, executor, body, {
      mm: this.mm ?? null,
      memcg: this.memcg,
    });
    task.thread.affinity = 1 << executor.id;
    m.tasks.set(task.id, task);
    m.sched.start(task);
  }
}
