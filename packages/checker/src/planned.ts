import { Event, type EventSink, type Executor, type Machine, type Op } from "@faultline/kernel";
import { FAIR_POINTS, UNDRAWN } from "./execution.js";
import type { HashSet } from "./hash64.js";
import type { LocalStates, StepAccess } from "./local_states.js";
import { SteeredExecution } from "./steered.js";
import type { Decision, ExplorationStrategy } from "./strategy.js";

/** Turns of a retry loop within one call of a function, beyond which an execution is followed no further. */
export const RETRIES_MAX = 1;

/** A decision that a plan makes: at which question, and the executor that goes on, or the value that is drawn. */
export interface PlannedDecision {
  readonly at: number;
  readonly to: number;
}

/** A state in which several executors could go on; or, without a step, where a value was drawn. */
export interface StateNode {
  readonly at: number;
  /** The state, as two words. */
  readonly lo: number;
  readonly hi: number;
  /** Who else could have gone on; other values, for a draw. */
  readonly others: readonly number[];
  /** What another choice costs in preemptions. */
  readonly cost: number;
  /** The step that was taken, as an index; -1 for a draw. */
  readonly step: number;
  /** Values are drawn in the step: it may touch other things than it did. */
  drawn: boolean;
}

export interface TakenStep {
  readonly executor: number;
  readonly accesses: readonly StepAccess[];
}

/** What an execution has shown behind its last planned decision. */
export interface Shown {
  readonly nodes: readonly StateNode[];
  readonly steps: readonly TakenStep[];
}

export interface PlannedOptions {
  /** States in which an execution need not be followed any further. */
  readonly visited: HashSet;
  /** Whether preemptions are bounded: then it matters for a state who runs. */
  readonly bounded: boolean;
  readonly pointsMax?: number | undefined;
  readonly retriesMax?: number | undefined;
}

/** Runs an execution that makes some decisions, and all others by default, until it comes to a state that was met before. */
export class PlannedExecution extends SteeredExecution implements ExplorationStrategy, EventSink {
  /** The execution has come to a state that was met before: the rest of it is known. */
  met = false;

  private readonly retriesMax: number;
  private plan: readonly PlannedDecision[] = [];
  private states!: LocalStates;
  private listener!: EventSink;
  private nodes: StateNode[] = [];
  private steps: TakenStep[] = [];
  private decided: Decision[] = [];
  private followed = true;
  private readonly key = new Int32Array(2);

  constructor(private readonly options: PlannedOptions) {
    super(options.pointsMax);
    this.retriesMax = options.retriesMax ?? RETRIES_MAX;
  }

  /** Prepares another execution. */
  follow(plan: readonly PlannedDecision[]): void {
    this.plan = plan;
  }

  /** What it has shown that was not known. */
  shown(): Shown {
    return { nodes: this.nodes, steps: this.steps };
  }

  next(): boolean {
    return true;
  }

  /** Ahead of an execution: where its states are told apart, and who listens to it besides. */
  watch(states: LocalStates, listener: EventSink): void {
    this.states = states;
    this.listener = listener;
  }

  override begin(m: Machine): void {
    super.begin(m);
    this.states.begin();
    this.met = false;
    this.followed = true;
    this.nodes = [];
    this.steps = [];
    this.decided = [];
    this.prefix = this.plan.length;
  }

  override end(): void {
    super.end();
    this.states.pause();
  }

  decisions(): Decision[] {
    return this.decided;
  }

  /* Within an execution. */

  override quantum(): number {
    // What is repeated was learnt before.
    this.states.recording = this.cursor === this.prefix;
    this.states.goesOn(this.m.executor!);
    if (this.states.recording) this.recordStep();
    return 0;
  }

  preempt(op: Op, object: number): boolean {
    const question = this.countPoint();
    if (this.isOver) return this.giveUp();
    const self = this.m.executor!;
    this.states.stops(op, object);
    const able = this.canGoOn(self);
    if (able.length === 1) return false;
    if (this.sinceSwitch > FAIR_POINTS) return this.giveWay();
    const chosen = this.decide(question, able, 1);
    if (chosen === self) return this.met;
    this.preemptions++;
    this.sinceSwitch = 0;
    this.target = chosen;
    return true;
  }

  pick(eligible: readonly Executor[], previous: Executor | null): Executor {
    const target = this.takeTarget(eligible);
    if (target !== null) return target;
    if (this.stopping) return eligible[0]!;
    this.states.endStep();
    this.sinceSwitch = 0;
    const question = this.question++;
    return this.pickStarved(eligible) ?? this.decide(question, this.inTurn(eligible, previous), 0);
  }

  draw(_what: string, n: number): number {
    const question = this.question++;
    if (this.isFixed(n)) return 0;
    let value = 0;
    const planned = this.plan[this.cursor];
    if (planned?.at === question) {
      this.cursor++;
      value = planned.to;
      this.decided.push({ at: question, choice: value });
      if (this.cursor === this.prefix) {
        this.states.recording = true;
        this.states.accesses = [];
        this.recordStep();
      }
    } else if (this.cursor === this.prefix && this.followed) {
      const others = Array.from({ length: n - 1 }, (_, i) => i + 1);
      const last = this.nodes.findLast(({ step }) => step >= 0);
      if (last?.step === this.steps.length - 1) last.drawn = true;
      this.nodes.push({ at: question, lo: 0, hi: 0, others, cost: 0, step: -1, drawn: true });
    }
    this.states.drew(value);
    return value;
  }

  point(executor: number, op: number, object: number): void {
    // The question that comes with it says the same.
    const was = this.states.pause();
    this.listener.point(executor, op, object);
    this.states.resume(was);
  }

  touches(executor: number, op: number, object: number): void {
    this.states.touch(op, object);
    this.listener.touches?.(executor, op, object);
  }

  registers(words: Iterable<number>): void {
    this.states.knows(words);
  }

  emit(event: Event, a: number, b: number, c: number, d: number, e?: number, f?: number, g?: number): void {
    // The task goes to the queue of an executor.
    if (event === Event.SchedWakeup) this.states.woke(b);
    const was = this.states.pause();
    this.listener.emit(event, a, b, c, d, e, f, g);
    this.states.resume(was);
  }

  /** Who goes on: as planned, or the first. */
  private decide(question: number, able: readonly Executor[], cost: number): Executor {
    const planned = this.plan[this.cursor];
    if (planned?.at === question) {
      this.cursor++;
      const choice = able.findIndex((e) => e.id === planned.to);
      if (choice <= 0) {
        this.refuse(`question ${question} was another when it was asked before: ${UNDRAWN}`);
        return able[0]!;
      }
      this.decided.push({ at: question, choice });
      return able[choice]!;
    }
    if (this.cursor < this.prefix || !this.followed) return able[0]!;
    if (this.states.turnsMax > this.retriesMax) {
      this.followed = false;
      return able[0]!;
    }
    const { key } = this;
    this.states.key(key);
    // With a bound it matters who can go on for nothing.
    if (this.options.bounded) key[0]! ^= Math.imul(cost === 0 ? 99 : able[0]!.id + 1, 0x9e3779b1);
    if (this.options.visited.has(key[0]!, key[1]!)) {
      this.met = true;
      this.stopping = true;
      this.m.sched.halt();
      return able[0]!;
    }
    this.nodes.push({ at: question, lo: key[0]!, hi: key[1]!, others: able.slice(1).map((e) => e.id), cost, step: this.steps.length, drawn: false });
    return able[0]!;
  }

  /** A step begins; what it touches comes in while it runs. */
  private recordStep(): void {
    this.steps.push({ executor: this.states.executor, accesses: this.states.accesses });
  }
}
