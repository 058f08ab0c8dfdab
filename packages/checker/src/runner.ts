import { FrameMemory, type Driver, type EventSink, type OverlayFactory } from "@faultline/kernel";
import { BoundedExploration } from "./bounded.js";
import { CallFrames } from "./call_frames.js";
import type { Calls } from "./calls.js";
import { DirectedExecution, MoveDirector, ReplayDirector, shrinkMoves, type Move } from "./directed.js";
import { EndStates } from "./end_states.js";
import type { Guests } from "./guest.js";
import { Invariants } from "./invariants.js";
import { LocalStates } from "./local_states.js";
import { LockOrder } from "./lock_order.js";
import { PlannedExecution } from "./planned.js";
import { ExecutionRecorder, Tee, type Watch } from "./recorder.js";
import { withoutRepetitions } from "./repetition.js";
import { EndlessError, ScenarioError, ScenarioSignal, type Scenario } from "./scenario.js";
import type { Decision, ExplorationStrategy } from "./strategy.js";
import type { About, Finding, Violation, ViolationKind } from "./violation.js";
import { describeWaits } from "./waits.js";
import { World } from "./world.js";

/** On which kernel a scenario is run, and who looks on. */
export interface RunOptions {
  /** Patches on top of mainline. */
  readonly overlays?: readonly OverlayFactory[];
  /** Runs the threads of the scenario that are programs. */
  readonly guests?: Guests;
  /** Drivers besides those of the scenario, or in the place of one of the same name. */
  readonly drivers?: readonly Driver[];
  /** Rules that are not checked, to see what else comes of breaking them. */
  readonly ignore?: readonly ViolationKind[];
  /** Points after which an execution is called a livelock. */
  readonly pointsMax?: number;
  /** Builds a machine for each execution instead of going back on one: slow, and the same. */
  readonly freshMachines?: boolean;
  /** Gets every point and event of every execution, replays of violations among them. */
  readonly sink?: EventSink;
  /** False to leave the schedule of a violation as it was found. */
  readonly minimise?: boolean;
  /** Called ahead of each execution, replays of violations among them. */
  readonly pulse?: () => void;
  /** Gets the execution that broke a rule as it happens once more, from the start of the threads. */
  readonly watch?: Watch;
}

/** An execution that breaks a rule. */
export interface Found {
  readonly finding: Finding;
  readonly decisions: readonly Decision[];
}

/** Turns of executors in one execution. Those that end take a few for each point, of which there are far fewer. */
const TURNS_MAX = 200_000;
/** Executions in which a schedule with fewer preemptions is looked for. */
const SHORTER_MAX = 2000;

/** Executes a scenario again and again, on one machine that goes back to where the threads started. */
export class Runner {
  readonly lockOrder: LockOrder;
  /** Most turns of a retry loop in the last execution. */
  retries = 0;
  private memory: FrameMemory | null = null;
  private pooled: { world: World; invariants: Invariants } | null = null;
  private states: LocalStates | null = null;
  private ends: EndStates | null = null;
  private finding: Finding | null = null;
  private recorder: ExecutionRecorder | null = null;
  /** What programs wrote in the last execution. */
  private output: readonly string[] = [];
  private strategy: ExplorationStrategy | null = null;
  private readonly ignored: ReadonlySet<ViolationKind>;

  constructor(
    private readonly scenario: Scenario,
    private readonly options: RunOptions,
  ) {
    this.ignored = new Set(options.ignore);
    this.lockOrder = new LockOrder((finding) => this.report(finding));
  }

  /** The first rule that this execution breaks, or null. */
  execute(strategy: ExplorationStrategy, recorder: ExecutionRecorder | null = null): Finding | null {
    this.finding = null;
    this.recorder = recorder;
    this.lockOrder.reset();
    this.options.pulse?.();
    this.strategy = strategy;
    const ready = this.prepared(recorder);
    if (ready === null) return this.finding;
    const { world, invariants } = ready;
    try {
      this.race(world, invariants, strategy);
    } catch (error) {
      if (error instanceof ScenarioSignal) this.report({ kind: "outcome", message: `check gets ${error.message}` });
      else if (error instanceof EndlessError) this.report({ kind: error.reason, message: error.message });
      else if (error instanceof ScenarioError) throw error;
      else this.report({ kind: "engine", message: error instanceof Error ? (error.stack ?? error.message) : String(error) });
    } finally {
      this.strategy = null;
    }
    if (recorder !== null) this.output = world.output.lines();
    if (recorder !== null || this.finding !== null || this.options.freshMachines === true) this.pooled = null;
    return this.finding;
  }

  /** A machine with the scenario set up; null when its setup has broken a rule already. */
  private prepared(recorder: ExecutionRecorder | null): { world: World; invariants: Invariants } | null {
    try {
      const ready = recorder === null ? this.ready() : this.build(recorder);
      if (this.finding === null) return ready;
    } catch (error) {
      // What keeps the setup from its end is what the rule is about.
      if (this.finding === null) throw error;
    }
    this.pooled = null;
    return null;
  }

  /** A machine with the scenario set up: the one before as it was then, or a new one. */
  private ready(): { world: World; invariants: Invariants } {
    if (this.pooled !== null) {
      this.pooled.world.restore();
      return this.pooled;
    }
    this.pooled = this.build(null);
    return this.pooled;
  }

  private build(recorder: ExecutionRecorder | null): { world: World; invariants: Invariants } {
    const { overlays, guests, drivers } = this.options;
    const follower = recorder === null && this.strategy instanceof PlannedExecution ? new CallFrames() : undefined;
    this.states = null;
    const world = new World(this.scenario, {
      ...(overlays === undefined ? {} : { overlays }),
      ...(guests === undefined ? {} : { guests }),
      ...(drivers === undefined ? {} : { drivers }),
      ...(this.memory === null ? {} : { memory: this.memory }),
      ...(follower === undefined ? {} : { follower }),
      ...(recorder === null ? {} : { ftrace: true, calls: recorder.calls }),
    });
    this.memory = world.m.ram;
    const invariants = new Invariants(world.k, world.m.mirrors, this.lockOrder, (finding) => this.report(finding));
    invariants.boot();
    world.m.locks.observer = recorder === null ? this.lockOrder : recorder.listen(world.k, world.mirrors, this.lockOrder);
    world.m.sink = recorder;
    world.setup();
    if (recorder === null) world.save([this.lockOrder]);
    // Who looks on wants to see everything, and programs have state of their own.
    const everything = recorder !== null || this.options.sink !== undefined || this.options.freshMachines === true;
    this.ends = everything || world.runsPrograms ? null : new EndStates(world);
    return { world, invariants };
  }

  /** Repeats an execution that broke a rule, as short as can be unless it is `shortest` already, and writes it down. */
  explain({ finding, decisions: known }: Found, shortest: boolean): Violation {
    const { pointsMax } = this.options;
    // What is known of lock order comes from many executions.
    const asFound = shortest || finding.kind === "lock-order" || this.options.minimise === false;
    const decisions = asFound ? known : this.minimise(finding.kind, known);
    const execution = new DirectedExecution(new ReplayDirector(decisions), pointsMax);
    return this.record(execution, this.scout(execution) ?? finding)!;
  }

  /** Fewer decisions that break the same rule: moves are left out, then schedules with fewer preemptions looked through. */
  private minimise(kind: ViolationKind, known: readonly Decision[]): readonly Decision[] {
    const { pointsMax } = this.options;
    const shows = (strategy: ExplorationStrategy): boolean => this.execute(strategy)?.kind === kind;
    const again = new DirectedExecution(new ReplayDirector(known), pointsMax);
    if (!shows(again)) return known;
    let best = again;
    shrinkMoves(again.moves, (fewer: readonly Move[]) => {
      const execution = new DirectedExecution(new MoveDirector(fewer), pointsMax);
      if (!shows(execution)) return null;
      best = execution;
      return execution.moves;
    });
    let left = SHORTER_MAX;
    for (let bound = 0; bound < best.preemptions; bound++) {
      const shorter = new BoundedExploration({ preemptions: bound, ...(pointsMax === undefined ? {} : { pointsMax }) });
      while (left-- > 0 && shorter.next()) if (shows(shorter)) return shorter.decisions();
    }
    return best.decisions();
  }

  /** What an execution is found to break, with all that is known about it: ahead of `record`, which then follows what it is about. */
  scout(execution: DirectedExecution): Finding | null {
    return this.execute(execution, new ExecutionRecorder(null, null));
  }

  /** Runs an execution, writing it down: the rule that it breaks, or the one that is known to be broken, or null. */
  record(execution: DirectedExecution, known: Finding | null): Violation | null {
    const recorder = new ExecutionRecorder(this.options.watch ?? null, known?.about ?? null);
    const finding = this.execute(execution, recorder) ?? known;
    if (finding === null) return null;
    const all = recorder.steps();
    const trace = finding.kind === "livelock" ? withoutRepetitions(all.slice(0, recorder.decisive)) : all;
    const decisive = finding.kind === "livelock" ? trace.length : recorder.decisive || trace.length;
    const { setup, threads, check } = recorder.calls;
    const calls: Calls = { setup, threads, check };
    return { ...finding, decisions: execution.decisions(), preemptions: execution.preemptions, trace, decisive, at: recorder.at, state: recorder.state, calls, output: this.output };
  }

  private race(world: World, invariants: Invariants, strategy: ExplorationStrategy): void {
    const { m } = world;
    const { sink } = this.options;
    const { recorder } = this;
    const heard = sink === undefined ? invariants : new Tee(sink, invariants);
    if (strategy instanceof PlannedExecution) {
      strategy.watch((this.states ??= new LocalStates(m, world.options.follower!, world.shared)), heard);
      m.sink = strategy;
    } else m.sink = recorder === null ? heard : recorder.start(heard);
    invariants.begin();
    world.startThreads();
    strategy.begin(m);
    world.hand(strategy, (what, n) => strategy.draw(what, n));
    const end = m.sched.run(TURNS_MAX);
    this.retries = m.retries.most;
    if (this.finding === null) strategy.end();
    // What follows was checked when the execution that was here first came to its end.
    if (strategy instanceof PlannedExecution && strategy.met) return;
    if (strategy.abandoned !== null) {
      const { reason, message } = strategy.abandoned;
      const end = reason === "livelock" ? " nothing of that changes any more" : "";
      this.report({ kind: reason, message: `${message}:${this.whereabouts(world)}${end}` });
    }
    if (this.finding !== null) return;
    if (end === "paused") return this.report({ kind: "livelock", message: `no end after ${TURNS_MAX} turns in which nobody passes a point:${this.whereabouts(world)}` });
    if (end !== "finished" && m.sched.executors.some((e) => m.retries.siteOf(e) !== null)) {
      return this.report({ kind: "livelock", message: `nobody changes what others retry for:${this.whereabouts(world)}` });
    }
    if (end !== "finished") {
      return this.report({ kind: "deadlock", ...this.waits(world) });
    }
    invariants.atRest();
    for (const signal of world.signals) this.report({ kind: "outcome", message: signal });
    if (this.finding !== null) return;
    if (this.ends?.known() === true) return;
    const wrong = world.finish();
    if (wrong !== null) this.report({ kind: "outcome", message: wrong });
    else invariants.afterExit();
    if (this.finding === null) this.ends?.add();
  }

  /** Who waits for whom. Who holds what is known of an execution that is written down. */
  private waits({ m }: World): { readonly message: string; readonly about?: About | undefined } {
    return this.recorder === null ? { message: "nobody can run any more" } : describeWaits(m, this.recorder.holders);
  }

  /** Where each task is that has not ended. */
  private whereabouts(world: World): string {
    const { tasks, retries } = world.m;
    return [...tasks.values()]
      .map((task) => {
        const spins = task.executor.spinsFor;
        const site = task.executor.current === task ? retries.siteOf(task.executor) : null;
        const where = spins !== null ? `spins for ${spins.cls}` : site !== null ? `retries ${site}` : task.waitingFor === "" ? "runs" : `waits for ${task.waitingFor}`;
        const held = this.lockOrder.heldBy(task);
        const repeats = task.waitingFor === "" ? (this.recorder?.repeats(task) ?? "") : "";
        return ` ${task.comm} (${task.executor.name}) ${where}${repeats === "" ? "" : `, and ${repeats}`}${held.length === 0 ? "" : ` holding ${held.join(", ")}`};`;
      })
      .join("");
  }

  private report(finding: Finding): void {
    if (this.ignored.has(finding.kind) || this.finding !== null) return;
    this.finding = finding;
    this.recorder?.decide();
    this.strategy?.stop();
  }
}
