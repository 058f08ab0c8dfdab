import {
  assembleKernel,
  fput,
  instrumentDriver,
  Machine,
  MemoryType,
  PG,
  Ratelimit,
  Retries,
  Scheduler,
  ShmemInode,
  startSwapDisk,
  SwapDisk,
  Task,
  ThreadState,
  type Choices,
  type Device,
  type Dmirror,
  type Driver,
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
import type { CallFrames } from "./call_frames.js";
import type { CallLog } from "./calls.js";
import { Checkpoint, type ChangeListener } from "./checkpoint.js";
import { DeviceFiles } from "./driver_api.js";
import { GuestOutput, type GuestMachine, type Guests } from "./guest.js";
import { EndlessError, openTestDevice, ScenarioError, ScenarioSignal, ThreadApi, type Scenario, type ScenarioGuest, type ScenarioThread } from "./scenario.js";
import { SharedState } from "./shared_state.js";
import { SEQUENCE_BASE } from "./value_hash.js";

const FRAMES = 64;
const RESERVED_FRAMES = 2;
/** Enough for scenarios, whose pages then never share a slot. */
const TLB_ENTRIES = 8;
/** The same for programs, which have text, data and stacks far apart. */
const GUEST_TLB_ENTRIES = 256;
/** Larger machines than this are not for exploring; longer arrays hold the contents of swap slots. */
const FRAMES_MAX = 4096;

function isStrings(value: unknown): value is readonly string[] {
  return Array.isArray(value) && value.every((item) => typeof item === "string");
}

/** Lets one thing run to its end, as if nothing else existed. */
class Undisturbed implements Strategy {
  /** Whether every point is told to who listens. */
  told = false;

  /** It has gone on for too long. */
  endless = false;
  private points = 0;

  constructor(private readonly m: Machine) {}

  begin(told: boolean): void {
    this.told = told;
    this.endless = false;
    this.points = 0;
  }

  quantum(): number {
    return this.told ? 0 : ALONE_NS;
  }

  preempt(): boolean {
    if (this.told && ++this.points < ALONE_POINTS) return false;
    this.endless = true;
    this.m.sched.halt();
    return true;
  }

  pick(eligible: readonly Executor[]): Executor {
    return eligible[0]!;
  }
}

/** What runs alone is endless after so many points in one turn, or so much machine time in nanoseconds, or so many turns. */
const ALONE_POINTS = 10_000_000;
const ALONE_NS = 10 * ALONE_POINTS;
const ALONE_TURNS = 1_000_000;

/** Draws the first value until somebody decides otherwise. */
class SwitchedChoices implements Choices {
  from: ((what: string, n: number) => number) | null = null;

  pick(what: string, n: number): number {
    return this.from === null ? 0 : this.from(what, n);
  }
}

export interface WorldOptions {
  /** Patches on top of mainline. */
  readonly overlays?: readonly OverlayFactory[];
  /** Of a machine that is used no more, to be used again. */
  readonly memory?: FrameMemory;
  /** Tasks know the kernel functions that they are in. */
  readonly ftrace?: boolean;
  /** Follows calls of kernel functions; `ftrace` is without effect then. */
  readonly follower?: CallFrames;
  /** Hears what the scenario calls. */
  readonly calls?: CallLog;
  /** Runs the threads that are programs. */
  readonly guests?: Guests;
  /** Besides the scenario's own, or in the place of one of the same name. */
  readonly drivers?: readonly Driver[];
}

/** One machine with a scenario on it, from boot to exit. */
export class World {
  readonly m: Machine;
  readonly k: Kernel;
  mm!: Mm;
  private readonly memcg: Memcg;
  /** The test devices, and their open files. */
  private readonly testDevices: readonly Device[];
  readonly mirrors: Dmirror[] = [];
  private readonly files = new DeviceFiles();
  private readonly choices = new SwitchedChoices();
  private readonly undisturbed: Undisturbed;
  /** Null where no thread is a program. */
  private readonly guests: GuestMachine | null;
  readonly output = new GuestOutput();
  private api!: ThreadApi;
  private state: unknown;
  /** The same for the threads, so that it is known who touches it when. */
  readonly shared = new SharedState();
  /** The scenario's threads, with tasks that are used again in each execution; programs make their own. */
  private threads: { readonly name: string; readonly thread: ScenarioThread<unknown> | ScenarioGuest<unknown>; readonly executor: Executor; readonly task: Task | null }[] = [];
  /** Runs the scenario's check. */
  private checker!: Task;
  /** Tears everything down. */
  private exiter!: Task;
  /** What threads died of, and how programs failed, in order. */
  readonly signals: string[] = [];
  private checkpoint: Checkpoint | null = null;
  /** Nothing has changed since `compare`. */
  private compared = false;
  /** Page tables and the frames in use, as they were at the checkpoint. */
  private tables: SavedTables | null = null;
  private frames: { readonly frame: number; readonly words: Int32Array }[] = [];
  /** The slots of swap in use. */
  private slots: SavedSlots = [];

  constructor(
    readonly scenario: Scenario,
    readonly options: WorldOptions = {},
  ) {
    const { overlays, memory, ftrace, follower, guests: runtime } = options;
    const drivers = driversOf(scenario, options.drivers);
    const { frames = FRAMES, swapSlots = 0, cpus = 2, nodes = 1, devices = drivers.length > 0 ? 0 : 1, devicePages = 0 } = scenario.machine ?? {};
    const having = (type: MemoryType): number => drivers.flatMap((driver) => driver.devices).filter(({ memory: kind }) => kind === type).length;
    const programs = Object.entries(scenario.threads).filter(([, thread]) => "elf" in thread);
    if (programs.length > 0 && runtime === undefined) throw new ScenarioError(`thread '${programs[0]![0]}' is a program, and nothing here runs programs`);
    this.m = new Machine(
      {
        frames,
        reservedFrames: RESERVED_FRAMES,
        swapSlots,
        cpus,
        nodes,
        seed: 1,
        tlbEntries: programs.length > 0 ? GUEST_TLB_ENTRIES : TLB_ENTRIES,
        checking: true,
        deviceMemory: {
          private: (Math.min(devices, 2) + having(MemoryType.DEVICE_PRIVATE)) * devicePages,
          coherent: (Math.max(0, devices - 2) + having(MemoryType.DEVICE_COHERENT)) * devicePages,
          chunk: devicePages,
        },
        ...(memory === undefined ? {} : { memory }),
      },
      this.choices,
    );
    this.undisturbed = new Undisturbed(this.m);
    // Losing a race for a folio lock once more shows nothing new, and takes many points.
    this.m.pageLockUnfairness = 1;
    this.k = assembleKernel(this.m, overlays, follower === undefined ? ftrace : (modules) => follower.instrument(modules));
    for (let i = 0; i < devices; i++) this.m.sched.addExecutor(`device ${i}`, true, 1);
    if (swapSlots > 0) startSwapDisk(this.k);
    this.memcg = this.m.memcgs.create(this.m.memcgs.root, "scenario");
    this.guests = programs.length === 0 ? null : runtime!.machine(this.k, (thread, bytes) => this.output.write(thread, bytes));
    this.testDevices = this.k.testHmm.initTestHmm(this.k, devices);
    for (const driver of drivers) {
      // What a driver's functions do is not known; that they may keep something from one look to the next is.
      const added = this.k.device.loadDriver(this.k, follower === undefined ? driver : instrumentDriver(driver, (functions) => follower.follow(functions, true)));
      for (const device of added) device.executor ??= this.m.sched.addExecutor(device.name, true, 1);
    }
  }

  get runsPrograms(): boolean {
    return this.guests !== null;
  }

  /** An address space on every CPU, the devices opened on it, then the scenario's own setup. */
  setup(): void {
    const { k, m } = this;
    const world = this;
    const stuck = this.alone(this.task("setup", m.sched.executors[0]!), m.sink !== null, function* (): MaySleep<void> {
      const mm = yield* k.mmap.mmAlloc(k);
      if (mm === null) throw new ScenarioError("the machine is too small for an address space");
      world.mm = mm;
      if (world.options.follower !== undefined) mm.invalidateSeq += SEQUENCE_BASE;
      m.current!.mm = mm;
      for (const e of m.sched.executors) if (!e.isDevice) m.switchMm(e, mm);
      for (const device of world.testDevices) world.mirrors.push(yield* openTestDevice(k, mm, device));
      world.api = new ThreadApi(k, mm, world.mirrors, world.files);
      const { follower, calls } = world.options;
      if (follower !== undefined) Object.assign(world.api, follower.follow(methodsOf(ThreadApi.prototype)));
      world.state = yield* generatorOf(world.scenario.setup(calls?.hearSetup(world.api) ?? world.api), "setup");
      for (const [name, thread] of Object.entries(world.scenario.threads)) {
        if ("elf" in thread) yield* world.load(name, thread);
      }
    });
    if (stuck !== null) throw new ScenarioError(stuck.message);
    this.threads = Object.entries(this.scenario.threads).map(([name, thread]) => {
      const where = "cpu" in thread.on ? `CPU ${thread.on.cpu}` : typeof thread.on.device === "string" ? thread.on.device : `device ${thread.on.device}`;
      const executor = m.sched.executors.find((e) => e.name === where);
      if (executor === undefined) throw new ScenarioError(`thread '${name}' is to run on ${where}, which the machine does not have`);
      return { name, thread, executor, task: "elf" in thread ? null : this.task(name, executor) };
    });
    this.checker = this.task("check", m.sched.executors[0]!);
    this.exiter = this.task("exit", m.sched.executors[0]!);
    // Those are not the threads'.
    m.retries.most = 0;
  }

  private *load(name: string, { elf, args = [] }: ScenarioGuest<unknown>): MaySleep<void> {
    const words: unknown = typeof args === "function" ? args(this.state) : args;
    if (!isStrings(words)) throw new ScenarioError(`thread '${name}': its args must be strings, or a function that returns some`);
    const wrong = yield* this.guests!.load(name, elf, words);
    if (wrong !== null) throw new ScenarioError(`thread '${name}': ${elf} ${wrong}`);
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
      // Device-private pages have no contents.
      if (memmap.isDevicePrivate(page) || memmap.refcount[memmap.folioOf(page)] === 0 || memmap.has(page, PG.table | PG.reserved)) continue;
      this.frames.push({ frame: page, words: ram.words.slice(page << 10, (page + 1) << 10) });
    }
    this.slots = m.swap.saveContents();
    // As `restore` leaves it: the first execution on a machine is like all others.
    this.idle();
    // Frames and slots that are free now are written before anybody reads them.
    const mine: object[] = [this.tables, pt, this.frames, this.slots, this.shared, this.k, this.scenario];
    for (const more of [this.options.follower, this.options.guests]) if (more !== undefined) mine.push(more);
    this.checkpoint = new Checkpoint([this, this.tables.locks], [...skip, ...mine], (array) => array.buffer !== ram.buffer && array.length <= Math.max(FRAMES_MAX, memmap.nrPages), unheardOf);
  }

  /**
   * Back to what was saved, wherever tasks have got to since: those that have not ended are
   * forgotten, with all that they wait for, hold and have promised.
   */
  restore(): void {
    const { checkpoint, compared } = this;
    if (compared) checkpoint!.undo();
    else checkpoint!.restore();
    this.checkpoint = checkpoint;
    this.compared = false;
    this.m.pt.restore(this.tables!);
    this.idle();
    for (const { frame, words } of this.frames) this.m.ram.words.set(words, frame << 10);
    this.m.swap.restoreContents(this.slots);
  }

  /** Those that work through queues of requests have none. */
  private idle(): void {
    this.m.swapDisk?.idle();
    for (const { engine } of this.m.devices) engine?.idle();
  }

  /** Tells what has changed since `save`, but for page tables, frames and slots; until more does, `restore` is quick. */
  compare(listener: ChangeListener): void {
    this.checkpoint!.compare(listener);
    this.compared = true;
  }

  /** The number of an object that is as old as `save`. */
  idOf(object: object): number | undefined {
    return this.checkpoint!.idOf(object);
  }

  /** Puts the scenario's threads on their executors, ready to start. */
  startThreads(): void {
    this.guests?.begin();
    const state = this.options.follower === undefined ? this.state : this.shared.wrap(this.state);
    for (const { name, thread, executor, task } of this.threads) {
      if ("elf" in thread) {
        this.guests!.start(name, executor, (how) => {
          if (how !== null) this.signals.push(`${name} ${how}`);
        });
      } else {
        const api = this.options.calls?.hearThread(this.api, name) ?? this.api;
        this.start(task!, this.guarded(name, generatorOf(thread.run(api, state), `thread '${name}'`)));
      }
    }
  }

  /** Decides and draws from here on: the strategy, or nothing but the first of everything. */
  hand(strategy: Strategy | null, draw: ((what: string, n: number) => number) | null): void {
    this.m.sched.strategy = strategy ?? this.undisturbed;
    this.choices.from = draw;
  }

  /** The scenario's own check, then exit: the devices are closed, the address space torn down. */
  finish(): string | null {
    this.compared = false;
    const { k, mm, mirrors, files, scenario } = this;
    let answer: string | null = null;
    const { state } = this;
    const api = this.options.calls?.hearCheck(this.api) ?? this.api;
    if (scenario.check !== undefined) {
      const stuck = this.alone(this.checker, false, function* (): MaySleep<void> {
        answer = yield* generatorOf(scenario.check!(api, state), "check");
      });
      // What waits or retries for ever does so in the kernel; what goes on and on may be the check's own loop.
      if (stuck !== null) throw this.undisturbed.endless ? new ScenarioError(stuck.message) : stuck;
      if (answer !== null && typeof answer !== "string") throw new ScenarioError(`check must return null, or what is wrong as a string, and returned ${String(answer)}`);
      if (answer !== null) return answer;
    }
    const stuck = this.alone(this.exiter, false, function* (): MaySleep<void> {
      for (const mirror of mirrors) yield* k.testHmm.dmirrorRelease(k, mirror);
      for (const file of files.open) if (file !== null) yield* fput(k, file);
      for (const ctx of [...k.m.userfaultfds]) yield* k.userfaultfd.release(k, ctx);
      for (const each of [mm, ...k.m.mms.filter((other) => other !== mm)]) yield* k.mmap.exitMmap(k, each);
      // What waits in batches is held by nobody else now.
      yield* k.swap.lruAddDrainAll(k);
      // A folio that reclaim met between unmapping and freeing stays in the swap cache, which
      // nothing but reclaim empties.
      yield* k.vmscan.shrinkSlab(k, k.m.memcgs.root);
      const { swap } = k.m;
      if (swap.used > 0) yield* k.vmscan.memoryReclaim(k, k.m.current!.memcg, swap.used);
    });
    if (stuck !== null) throw stuck;
    return null;
  }

  private *guarded(name: string, body: MaySleep<unknown>): MaySleep<void> {
    try {
      yield* body;
    } catch (error) {
      if (error instanceof ScenarioSignal) this.signals.push(`${name} gets ${error.message}`);
      else if (error instanceof Error) throw error;
      else throw new ScenarioError(`in thread '${name}', it, a driver or a patch threw what is no Error: ${String(error)}`);
    }
  }

  /** Runs one thing to its end, with every point `told` to who listens; what kept it from its end, or null. */
  private alone(task: Task, told: boolean, body: () => MaySleep<void>): EndlessError | null {
    const { m } = this;
    this.hand(null, null);
    this.start(task, body());
    this.undisturbed.begin(told);
    const end = m.sched.run(ALONE_TURNS);
    if (end === "finished") return null;
    if (this.undisturbed.endless || end === "paused") return new EndlessError("livelock", `${task.comm} does not end: it goes on and on`);
    let reason: EndlessError["reason"] = "deadlock";
    const where = [...m.tasks.values()].map((t) => {
      if (t.waitingFor !== "") return `${t.comm} waits for ${t.waitingFor}`;
      const site = m.retries.siteOf(t.executor);
      if (site !== null) reason = "livelock";
      return site === null ? `${t.comm} cannot run` : `${t.comm} retries ${site}, and nothing changes any more`;
    });
    return new EndlessError(reason, `${task.comm} does not end: ${where.join(", ")}`);
  }

  private task(name: string, executor: Executor): Task {
    const task = new Task(this.m.sched.allocateTaskId(), name, executor, nothing(), { mm: this.mm ?? null, memcg: this.memcg });
    task.thread.affinity = 1 << executor.id;
    return task;
  }

  private start(task: Task, body: MaySleep<void>): void {
    const { m } = this;
    task.body = body;
    m.tasks.set(task.id, task);
    m.sched.start(task);
  }
}

/** The methods of a class and of what it extends, by name. */
function methodsOf(prototype: object): Record<string, unknown> {
  const methods: Record<string, unknown> = {};
  for (let of = prototype; of !== Object.prototype; of = Object.getPrototypeOf(of) as object) {
    for (const name of Object.getOwnPropertyNames(of)) if (name !== "constructor") methods[name] ??= (of as Record<string, unknown>)[name];
  }
  return methods;
}

/** The drivers of a scenario, those that somebody asks for besides behind them or in their place. */
function driversOf({ drivers = [] }: Scenario, besides: readonly Driver[] = []): readonly Driver[] {
  const kept = drivers.map((driver) => besides.find(({ name }) => name === driver.name) ?? driver);
  return [...kept, ...besides.filter((driver) => !kept.includes(driver))];
}

function* nothing(): MaySleep<void> {}

/**
 * What a scenario's function has returned, which the compiler has not seen where it is JavaScript.
 * @throws ScenarioError unless it is a generator
 */
function generatorOf<T>(returned: MaySleep<T>, what: string): MaySleep<T> {
  const { next, [Symbol.iterator]: iterator } = Object(returned) as Partial<MaySleep<T>>;
  if (typeof next !== "function" || typeof iterator !== "function") throw new ScenarioError(`${what} is no generator function: write it with a *, as *run(t, s) { … }`);
  return returned;
}

/**
 * What neither a check nor the end of an address space depends on: clocks, how they got there, and who looks on.
 * By class, so that nothing is meant that a scenario calls the same.
 */
const UNHEARD: ReadonlyMap<object | null, ReadonlySet<string>> = new Map<object, ReadonlySet<string>>([
  [Machine.prototype, new Set(["timeNs", "quantumLeft", "quantumStart", "executor", "sink"])],
  [Scheduler.prototype, new Set(["strategy", "turns"])],
  [Task.prototype, new Set(["body", "sliceEnd"])],
  [ThreadState.prototype, new Set(["userTimeNs", "systemTimeNs"])],
  [Retries.prototype, new Set(["most"])],
  [SwapDisk.prototype, new Set(["busyUntil"])],
  [Ratelimit.prototype, new Set(["begin"])],
  [ShmemInode.prototype, new Set(["atimeNs", "mtimeNs", "ctimeNs"])],
  [SwitchedChoices.prototype, new Set(["from"])],
  [World.prototype, new Set(["checkpoint", "compared"])],
]);

const NOTHING: ReadonlySet<string> = new Set();

/** Properties that `World.compare` does not tell of, by the prototype of what has them, or of what that extends. */
export function unheardOf(prototype: object | null): ReadonlySet<string> {
  for (let of = prototype; of !== null; of = Object.getPrototypeOf(of) as object | null) {
    const names = UNHEARD.get(of);
    if (names !== undefined) return names;
  }
  return NOTHING;
}
