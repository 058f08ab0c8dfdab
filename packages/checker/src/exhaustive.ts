import { Event, type EventSink, type Executor, type Machine, type Op } from "@faultline/kernel";
import { FAIR_POINTS, UNDRAWN } from "./execution.js";
import { HashSet } from "./hash64.js";
import { CONFLICTS, kindOf, objectOf, type Kind, type LocalStates, type StepAccess } from "./local_states.js";
import { SteeredExecution } from "./steered.js";
import type { Decision, ExplorationStrategy } from "./strategy.js";

/** Turns of one retry loop in one execution, beyond which it is followed no further. */
export const RETRIES_MAX = 3;
/** Executions that are planned from what was known before the first of them. */
const ROUND = 64;

export interface ExhaustiveOptions {
  /** Preemptions in one execution at most; Infinity by default. */
  readonly preemptions?: number;
  readonly pointsMax?: number;
  readonly retriesMax?: number;
}

/** An execution to be run: as its parent, but with another decision at one question. All that comes after is by default. */
interface Plan {
  readonly parent: Plan | null;
  readonly at: number;
  /** The executor that goes on, or the value that is drawn. */
  readonly to: number;
  readonly preemptions: number;
}

/** A state in which several executors could go on; or, without a step, where a value was drawn. */
interface Node {
  readonly at: number;
  readonly lo: number;
  readonly hi: number;
  /** Who else could have gone on, and what that costs in preemptions; values, for a draw. */
  readonly others: readonly number[];
  readonly cost: number;
  /** The step that was taken, as an index; -1 for a draw. */
  step: number;
}

interface TakenStep {
  readonly executor: number;
  readonly accesses: readonly StepAccess[];
}

/** Alternatives that make no difference as long as nobody else touches what the step that was taken touches. */
interface Deferred {
  readonly plan: Plan;
  readonly node: Node;
  readonly executor: number;
  done: boolean;
}

/** Who touches an object, in any execution so far: bits of executors; and what depends on that staying so. */
interface Touched {
  /** By kind of access. */
  readonly by: [number, number, number, number];
  readonly deferred: { readonly one: Deferred; readonly kind: Kind }[];
}

/**
 * Every execution that can differ from the others. From each state in which the next step could
 * conflict with what somebody else does, now or later, everybody who can run goes on once; states
 * that were met before, by whatever order of steps, are not followed again. Where a step touches
 * nothing that anybody else ever touches, it goes first: any other order comes to the same (a
 * persistent set of one, in the terms of partial-order reduction; Godefroid 1996). Whether anybody
 * does is learnt on the way: what was put off in good faith is made up for as soon as somebody has.
 *
 * Executions with fewer preemptions come first, so that what is found is as short as can be.
 */
export class ExhaustiveExploration extends SteeredExecution implements ExplorationStrategy, EventSink {
  /** The execution has come to a state that was met before: the rest of it is known. */
  met = false;
  /** Executions that were not followed to all their ends: a loop had retried often enough. */
  cut = 0;

  private readonly bound: number;
  private readonly retriesMax: number;
  private readonly visited = new HashSet();
  private readonly touched = new Map<number, Touched>();
  /** Plans by their number of preemptions. */
  private readonly plans: Plan[][] = [];
  private round: Plan[] = [];
  private done: { readonly plan: Plan; readonly nodes: readonly Node[]; readonly steps: readonly TakenStep[] }[] = [];

  /* The execution that runs. */
  private states!: LocalStates;
  private listener!: EventSink;
  private plan!: Plan;
  private decisionsPlanned: readonly Plan[] = [];
  private nodes: Node[] = [];
  private steps: TakenStep[] = [];
  private decided: Decision[] = [];
  private followed = true;
  private readonly key = new Int32Array(2);

  constructor(options: ExhaustiveOptions = {}) {
    super(options.pointsMax);
    this.bound = options.preemptions ?? Infinity;
    this.retriesMax = options.retriesMax ?? RETRIES_MAX;
    this.add({ parent: null, at: -1, to: 0, preemptions: 0 });
  }

  /** The fewest preemptions that an execution to come has. */
  get preemptionsLeft(): number {
    return this.plans.findIndex((list) => list.length > 0);
  }

  get statesMet(): number {
    return this.visited.size;
  }

  get planned(): number {
    return this.plans.reduce((n, list) => n + list.length, this.round.length);
  }

  next(): boolean {
    if (this.round.length === 0) {
      this.learn();
      const list = this.plans.find((plans) => plans.length > 0);
      if (list === undefined) return false;
      this.round = list.splice(0, ROUND).reverse();
    }
    this.plan = this.round.pop()!;
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
    const path: Plan[] = [];
    for (let plan = this.plan; plan.parent !== null; plan = plan.parent) path.push(plan);
    this.decisionsPlanned = path.reverse();
    this.prefix = path.length;
  }

  override end(): void {
    super.end();
    this.states.pause();
    this.done.push({ plan: this.plan, nodes: this.nodes, steps: this.steps });
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

  pick(eligible: readonly Executor[]): Executor {
    const target = this.takeTarget(eligible);
    if (target !== null) return target;
    if (this.stopping) return eligible[0]!;
    this.states.endStep();
    this.sinceSwitch = 0;
    return this.decide(this.question++, eligible, 0);
  }

  draw(_what: string, n: number): number {
    const question = this.question++;
    if (this.isFixed(n)) return 0;
    let value = 0;
    const planned = this.decisionsPlanned[this.cursor];
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
      this.nodes.push({ at: question, lo: 0, hi: 0, others, cost: 0, step: -1 });
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

  emit(event: Event, a: number, b: number, c: number, d: number, e?: number, f?: number, g?: number): void {
    // The task goes to the queue of an executor.
    if (event === Event.SchedWakeup) this.states.woke(b);
    const was = this.states.pause();
    this.listener.emit(event, a, b, c, d, e, f, g);
    this.states.resume(was);
  }

  /** Who goes on: as planned, or the first. */
  private decide(question: number, able: readonly Executor[], cost: number): Executor {
    const planned = this.decisionsPlanned[this.cursor];
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
      this.cut++;
      return able[0]!;
    }
    const { key } = this;
    this.states.key(key);
    // With a bound it matters who can go on for nothing.
    if (this.bound !== Infinity) key[0]! ^= Math.imul(cost === 0 ? 99 : able[0]!.id + 1, 0x9e3779b1);
    if (this.visited.has(key[0]!, key[1]!)) {
      this.met = true;
      this.stopping = true;
      this.m.sched.halt();
      return able[0]!;
    }
    this.nodes.push({ at: question, lo: key[0]!, hi: key[1]!, others: able.slice(1).map((e) => e.id), cost, step: this.steps.length });
    return able[0]!;
  }

  /** A step begins; what it touches comes in while it runs. */
  private recordStep(): void {
    this.steps.push({ executor: this.states.executor, accesses: this.states.accesses });
  }

  /* Between executions. */

  private add(plan: Plan): void {
    if (plan.preemptions > this.bound) return;
    while (this.plans.length <= plan.preemptions) this.plans.push([]);
    this.plans[plan.preemptions]!.push(plan);
  }

  /** What the executions of the last round have shown: states that are new, and who touches what. */
  private learn(): void {
    for (const { plan, nodes, steps } of this.done) {
      for (const { executor, accesses } of steps) for (const access of accesses) this.touch(executor, access);
      for (const node of nodes) {
        if (node.step < 0) {
          this.branch(plan, node);
          continue;
        }
        // Another execution of the round was here before, and what follows is in its account.
        if (!this.visited.add(node.lo, node.hi)) break;
        const step = steps[node.step];
        if (step === undefined || this.bound !== Infinity || this.conflicts(step)) this.branch(plan, node);
        else this.defer(plan, node, step);
      }
    }
    this.done = [];
  }

  private branch(plan: Plan, { at, others, cost }: Node): void {
    for (const to of others) this.add({ parent: plan, at, to, preemptions: plan.preemptions + cost });
  }

  private defer(plan: Plan, node: Node, { executor, accesses }: TakenStep): void {
    const deferred: Deferred = { plan, node, executor, done: false };
    for (const access of accesses) this.touched.get(objectOf(access))!.deferred.push({ one: deferred, kind: kindOf(access) });
  }

  private conflicts({ executor, accesses }: TakenStep): boolean {
    return accesses.some((access) => {
      const { by } = this.touched.get(objectOf(access))!;
      const conflicting = CONFLICTS[kindOf(access)]!;
      let others = 0;
      for (let k = 0; k < by.length; k++) if ((conflicting & (1 << k)) !== 0) others |= by[k]!;
      return (others & ~(1 << executor)) !== 0;
    });
  }

  private touch(executor: number, access: StepAccess): void {
    const object = objectOf(access);
    const kind = kindOf(access);
    let touched = this.touched.get(object);
    if (touched === undefined) this.touched.set(object, (touched = { by: [0, 0, 0, 0], deferred: [] }));
    const bit = 1 << executor;
    if ((touched.by[kind] & bit) !== 0) return;
    touched.by[kind] |= bit;
    // Others had relied on nobody else's coming here.
    const { deferred } = touched;
    let kept = 0;
    for (const entry of deferred) {
      const { one } = entry;
      if (one.done) continue;
      if (one.executor === executor || (CONFLICTS[kind]! & (1 << entry.kind)) === 0) {
        deferred[kept++] = entry;
        continue;
      }
      one.done = true;
      this.branch(one.plan, one.node);
    }
    deferred.length = kept;
  }
}
