import { Event, Op, Space, SPACE_OF, type EventSink, type Executor, type Machine } from "@faultline/kernel";
import { ControlledExecution, FAIR_POINTS, UNDRAWN } from "./execution.js";
import { dependent, HappensBefore, type Access, type ExecutedStep } from "./happens_before.js";
import type { Decision, ExplorationStrategy } from "./strategy.js";

/** Turns of one retry loop in one execution, beyond which it is followed no further. */
export const RETRIES_MAX = 3;

/** Run queues of executors, as objects beside the tasks. */
const QUEUES = 1_000_000;

interface RecordedStep extends ExecutedStep {
  readonly accesses: Access[];
  /** The turn at which it was chosen, as an index. */
  readonly node: number;
}

/** An executor that need not go first here: executions that begin so have been seen, as long as nothing touches these. */
interface Sleeper {
  readonly executor: number;
  readonly accesses: readonly Access[];
}

/** A place where one of several executors goes on. */
interface Turn {
  readonly kind: "turn";
  /** Which question of the execution it was. */
  readonly at: number;
  /** Bits of the executors that could go on. */
  readonly enabled: number;
  /** Their ids in the order in which alternatives are numbered: the first is the default. */
  readonly order: readonly number[];
  /** Those with which every execution from here on must begin, one after the other. */
  backtrack: number;
  readonly sleep: Sleeper[];
  chosen: number;
  /** All that the chosen step has touched, whatever was drawn in it. */
  accesses: Access[];
}

/** A place where a value was drawn. */
interface Draw {
  readonly kind: "draw";
  readonly at: number;
  readonly n: number;
  chosen: number;
}

/**
 * Every execution that can differ from the others: dynamic partial-order reduction with source
 * sets and sleep sets (Abdulla, Aronis, Jonsson, Sagonas: "Source Sets", J. ACM 64, 2017).
 * Executions that differ only in the order of steps that do not conflict are the same one, and
 * one of them is run. Which steps conflict is known from their points and from what they touch.
 */
export class PartialOrderExploration extends ControlledExecution implements ExplorationStrategy, EventSink {
  /** Executions that turned out, on their way, to be one that had been run before. */
  redundant = 0;
  /** Executions that were not followed to all their ends: a loop had retried often enough. */
  cut = 0;

  private readonly nodes: (Turn | Draw)[] = [];
  /** Nothing new can come of this execution: it runs to its end without decisions. */
  private asleep = false;
  private readonly retriesMax: number;

  /* The execution so far. */
  private readonly steps: RecordedStep[] = [];
  /** What each executor was about to do when it stopped at a point. */
  private pending: Access[][] = [];
  /** What the last step of each executor began with: a lock that it went on to wait for, say. */
  private began: (Access | null)[] = [];
  /** Bits of those that could run when the last step began. */
  private lastEnabled = 0;
  /** The step that made an executor able to run again, until it does; -1 for none. */
  private enabledBy: number[] = [];
  /** The turn that the step to come was chosen at. */
  private decided: number | null = null;
  private order: HappensBefore | null = null;

  constructor(options: { readonly pointsMax?: number; readonly retriesMax?: number } = {}) {
    super(options.pointsMax);
    this.retriesMax = options.retriesMax ?? RETRIES_MAX;
  }

  /* Choosing the next execution. */

  next(): boolean {
    if (!this.started) {
      this.started = true;
      return true;
    }
    const { nodes } = this;
    for (let node = nodes.at(-1); node !== undefined; node = nodes.at(-1)) {
      if (node.kind === "draw" ? node.chosen + 1 < node.n : nextTurn(node)) {
        if (node.kind === "draw") node.chosen++;
        this.prefix = nodes.length;
        return true;
      }
      nodes.pop();
    }
    return false;
  }

  override begin(m: Machine): void {
    super.begin(m);
    const executors = m.sched.executors.length;
    this.asleep = false;
    this.steps.length = 0;
    this.decided = null;
    this.pending = Array.from({ length: executors }, () => []);
    this.began = new Array<Access | null>(executors).fill(null);
    this.enabledBy = new Array<number>(executors).fill(-1);
    this.lastEnabled = 0;
    this.order ??= new HappensBefore(executors);
  }

  override end(): void {
    super.end();
    this.addBacktracking();
  }

  decisions(): Decision[] {
    const list: Decision[] = [];
    for (const node of this.nodes.slice(0, this.cursor)) {
      const choice = node.kind === "draw" ? node.chosen : node.order.indexOf(node.chosen);
      if (choice > 0) list.push({ at: node.at, choice });
    }
    return list;
  }

  /** Races of this execution whose other order has not been run yet: somebody else goes first there. */
  private addBacktracking(): void {
    const { steps, nodes } = this;
    // Races among the steps that were repeated have been seen before.
    let changed = this.prefix - 1;
    while (changed > 0 && nodes[changed]!.kind !== "turn") changed--;
    const first = steps.findIndex((step) => step.node >= changed);
    if (first < 0) return;
    this.order!.analyse(steps, first, (race) => {
      const node = nodes[steps[race.first]!.node] as Turn;
      let covered = node.backtrack;
      for (const { executor } of node.sleep) covered |= 1 << executor;
      if ((race.initials & covered) !== 0) return;
      const possible = race.initials & node.enabled;
      // None of them could run there: whoever could is tried.
      node.backtrack |= possible === 0 ? node.enabled : possible & -possible;
    });
  }

  /* Within an execution. */

  /** An executor's turn begins: asked for by `preempt` or `pick`, or because only this one can run. */
  quantum(executor: Executor): number {
    if (this.decided === null && !this.stopping) this.turn(-1, [executor], executor, [executor]);
    this.beginStep(executor);
    return 0;
  }

  preempt(op: number, object: number): boolean {
    const question = this.countPoint();
    if (this.isOver) return this.giveUp();
    const self = this.m.executor!;
    this.pending[self.id] = [];
    note(this.pending[self.id]!, op, object);
    const others = this.m.sched.executors.filter((e) => e !== self && this.canRun(e));
    const able = [self, ...others];
    const chosen = this.turn(question, able, self, able);
    if (chosen === self) return false;
    this.preemptions++;
    this.sinceSwitch = 0;
    this.target = chosen;
    return true;
  }

  pick(eligible: readonly Executor[], previous: Executor | null): Executor {
    const target = this.takeTarget(eligible);
    if (target !== null) return target;
    if (this.stopping) return eligible[0]!;
    this.sinceSwitch = 0;
    const current = previous !== null && eligible.includes(previous) ? previous : null;
    return this.turn(this.question++, eligible, current, [...eligible]);
  }

  draw(_what: string, n: number): number {
    const question = this.question++;
    if (this.isFixed(n) || this.asleep) return 0;
    if (this.cursor < this.prefix) {
      const node = this.nodes[this.cursor++]!;
      if (node.kind === "draw" && node.at === question && node.n === n) return node.chosen;
      this.refuse(`question ${question} was another when it was asked before: ${UNDRAWN}`);
      return 0;
    }
    this.nodes.push({ kind: "draw", at: question, n, chosen: 0 });
    this.cursor++;
    return 0;
  }

  /**
   * Who goes on: as before, as planned, or, where nobody has been yet, the one who runs already.
   * `order` is how decisions number the alternatives.
   */
  private turn(question: number, able: readonly Executor[], current: Executor | null, order: readonly Executor[]): Executor {
    const { m } = this;
    if (this.asleep) return this.unrecorded(able, current);
    if (this.cursor < this.prefix) {
      this.decided = this.cursor;
      const node = this.nodes[this.cursor++]!;
      const chosen = node.kind === "turn" ? m.sched.executors[node.chosen]! : null;
      if (chosen !== null && node.at === question && able.includes(chosen)) return chosen;
      this.refuse(`question ${question} was another when it was asked before: ${UNDRAWN}`);
      return able[0]!;
    }
    if (m.retries.most > this.retriesMax) {
      this.asleep = true;
      this.cut++;
      return this.unrecorded(able, current);
    }
    const sleep = this.inheritedSleep();
    const awake = able.filter((e) => !sleep.some((s) => s.executor === e.id));
    // Where nobody but a loop that gets nowhere is awake, whoever runs in the end is one that sleeps.
    const alone = awake.length === 1 && awake[0] === current && able.length > 1;
    if (awake.length === 0 || (alone && this.sinceSwitch > FAIR_POINTS)) {
      this.asleep = true;
      this.redundant++;
      return this.unrecorded(able, current);
    }
    const tired = this.sinceSwitch > FAIR_POINTS && awake.length > 1;
    if (tired && current !== null) this.forced++;
    const stays = current !== null && awake.includes(current) && !tired;
    const chosen = stays ? current : awake.find((e) => e !== current)!;
    let enabled = 0;
    for (const e of able) enabled |= 1 << e.id;
    this.decided = this.cursor;
    this.nodes.push({
      kind: "turn",
      at: question,
      enabled,
      order: order.map((e) => e.id),
      backtrack: 1 << chosen.id,
      sleep,
      chosen: chosen.id,
      accesses: [],
    });
    this.cursor++;
    return chosen;
  }

  private unrecorded(able: readonly Executor[], current: Executor | null): Executor {
    const stay = current !== null && able.includes(current) && this.sinceSwitch <= FAIR_POINTS;
    return stay ? current : (able.find((e) => e !== current) ?? able[0]!);
  }

  /** Those that slept at the last turn, and that nothing has woken since. */
  private inheritedSleep(): Sleeper[] {
    const parent = this.lastTurn();
    if (parent === null) return [];
    return parent.sleep.filter((s) => s.executor !== parent.chosen && !dependent(s.accesses, parent.accesses));
  }

  private lastTurn(): Turn | null {
    for (let i = this.cursor - 1; i >= 0; i--) {
      const node = this.nodes[i]!;
      if (node.kind === "turn") return node;
    }
    return null;
  }

  /** From here on, until the next question, all that happens is this executor's step. */
  private beginStep(executor: Executor): void {
    const { id } = executor;
    if (this.asleep || this.stopping || this.decided === null) return;
    const node = this.nodes[this.decided] as Turn;
    const index = this.steps.length;
    for (const [e, by] of this.enabledBy.entries()) {
      if (by < 0 && (node.enabled & ~this.lastEnabled & (1 << e)) !== 0) this.enabledBy[e] = index - 1;
    }
    this.lastEnabled = node.enabled;
    const accesses: Access[] = [];
    this.steps.push({ executor: id, accesses, enabledBy: this.enabledBy[id]!, node: this.decided });
    this.enabledBy[id] = -1;
    this.decided = null;
    const pending = this.pending[id]!;
    this.pending[id] = [];
    const began = this.began[id]!;
    if (pending.length > 0) this.began[id] = pending[0]!;
    else {
      // It had stopped to wait: for what it had asked for, or for work.
      if (began !== null) pending.push(began);
      pending.push({ op: Op.Wake, object: QUEUES + id });
    }
    for (const { op, object } of pending) this.access(op, object);
  }

  touches(_executor: number, op: number, object: number): void {
    this.access(op, object);
  }

  point(): void {
    // The question that comes with it says the same.
  }

  emit(event: Event, _task: number, executor: number): void {
    // The task goes to the queue of an executor.
    if (event === Event.SchedWakeup) this.access(Op.Wake, QUEUES + executor);
  }

  private access(op: number, object: number): void {
    const step = this.steps.at(-1);
    if (step === undefined || this.asleep) return;
    note(step.accesses, op, object);
    note((this.nodes[step.node] as Turn).accesses, op, object);
  }
}

/** Plans the next executor at a turn, after the one that was chosen last; false when all have been. */
function nextTurn(node: Turn): boolean {
  node.sleep.push({ executor: node.chosen, accesses: node.accesses });
  let left = node.backtrack;
  for (const { executor } of node.sleep) left &= ~(1 << executor);
  if (left === 0) return false;
  node.chosen = 31 - Math.clz32(left & -left);
  node.accesses = [];
  return true;
}

/** Adds an access to a step, unless it is there already or nobody else could see it. */
function note(accesses: Access[], op: Op, object: number): void {
  if (object < 0 || SPACE_OF[op] === Space.Private) return;
  for (const a of accesses) if (a.op === op && a.object === object) return;
  accesses.push({ op, object });
}
