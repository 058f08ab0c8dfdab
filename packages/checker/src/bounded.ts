import type { Executor, Machine } from "@faultline/kernel";
import type { Abandoned, Decision, ExplorationStrategy } from "./strategy.js";

/** Points after which an execution is called a livelock. */
const POINTS_MAX = 20_000;
/**
 * Points after which a task that others wait for is made to give way: loops that declare nothing
 * need it. More than reclaim takes until it says that there is nothing to reclaim.
 */
const FAIR_POINTS = 8_000;
/** Data choices with more values than this are not enumerated: address-space layout, mostly. */
const DATA_CHOICES_MAX = 4;
const UNDRAWN = "something that is not drawn from the machine's choices decides";

export interface BoundedOptions {
  /** Preemptions in one execution at most: switches away from an executor that could go on. */
  readonly preemptions: number;
  readonly pointsMax?: number;
  /** Replays this execution alone. */
  readonly replay?: readonly Decision[];
}

/**
 * Every schedule with at most so many preemptions, and every data choice in each, depth first:
 * an execution is run again from the start with the decisions of the one before, the last of them
 * changed. Switches where a task blocks, spins or ends are free, and all tried.
 */
export class BoundedExploration implements ExplorationStrategy {
  points = 0;
  preemptions = 0;
  /** Times that a task was made to give way. */
  forced = 0;
  abandoned: Abandoned | null = null;

  private m!: Machine;
  /* The decisions of this execution that had alternatives: where, which, of how many, and what was asked. */
  private readonly at: number[] = [];
  private readonly choice: number[] = [];
  private readonly alternatives: number[] = [];
  private readonly asked: number[] = [];
  /** How many of them are being repeated from the execution before. */
  private prefix = 0;
  /** The next one to repeat. */
  private cursor = 0;
  private question = 0;
  private stopping = false;
  private started = false;
  private target: Executor | null = null;
  private sinceSwitch = 0;
  private readonly bound: number;
  private readonly pointsMax: number;
  private readonly replay: ReadonlyMap<number, number> | null;

  constructor(options: BoundedOptions) {
    this.bound = options.preemptions;
    this.pointsMax = options.pointsMax ?? POINTS_MAX;
    this.replay = options.replay === undefined ? null : new Map(options.replay.map((d) => [d.at, d.choice]));
  }

  next(): boolean {
    if (!this.started) {
      this.started = true;
      return true;
    }
    if (this.replay !== null) return false;
    const { at, choice, alternatives, asked } = this;
    while (at.length > 0) {
      const last = at.length - 1;
      if (choice[last]! + 1 < alternatives[last]!) {
        choice[last]!++;
        this.prefix = at.length;
        return true;
      }
      at.pop();
      choice.pop();
      alternatives.pop();
      asked.pop();
    }
    return false;
  }

  begin(m: Machine): void {
    this.m = m;
    this.points = this.preemptions = this.cursor = this.question = this.sinceSwitch = this.forced = 0;
    this.abandoned = null;
    this.stopping = false;
    this.target = null;
  }

  end(): void {
    if (this.cursor < this.prefix) {
      this.refuse(`decision ${this.cursor} of ${this.prefix} was not asked for when repeated: ${UNDRAWN}`);
    }
  }

  stop(): void {
    this.stopping = true;
  }

  decisions(): Decision[] {
    const list: Decision[] = [];
    for (let i = 0; i < Math.min(this.at.length, this.cursor); i++) {
      if (this.choice[i] !== 0) list.push({ at: this.at[i]!, choice: this.choice[i]! });
    }
    return list;
  }

  /** Asked at each point. */
  quantum(): number {
    return 0;
  }

  preempt(op: number, object: number): boolean {
    const question = this.question++;
    this.points++;
    this.sinceSwitch++;
    if (this.stopping || this.points > this.pointsMax) return this.giveUp();
    const repeated = this.cursor < this.prefix && this.at[this.cursor] === question;
    if (!repeated && this.replay === null) {
      if (this.sinceSwitch > FAIR_POINTS) return this.giveWay();
      if (this.cursor < this.prefix || this.preemptions >= this.bound) return false;
    } else if (this.replay !== null && !this.replay.has(question)) {
      return this.sinceSwitch > FAIR_POINTS && this.giveWay();
    }
    const self = this.m.executor!;
    const others = this.others(self);
    if (others === 0) return false;
    const choice = this.decide(question, others + 1, (op << 4) ^ (object << 12) ^ self.id);
    if (choice === 0) return false;
    this.preemptions++;
    this.sinceSwitch = 0;
    this.target = this.other(self, choice - 1);
    return true;
  }

  pick(eligible: readonly Executor[], previous: Executor | null): Executor {
    const { target } = this;
    if (target !== null) {
      this.target = null;
      if (eligible.includes(target)) return target;
      this.refuse("the executor that was to run next cannot run");
    }
    if (this.stopping) return eligible[0]!;
    this.sinceSwitch = 0;
    return eligible[this.decide(this.question++, eligible.length, -1 - (previous?.id ?? -1))] ?? eligible[0]!;
  }

  draw(_what: string, n: number): number {
    const question = this.question++;
    return n > DATA_CHOICES_MAX || n < 2 || this.stopping ? 0 : this.decide(question, n, -1000 - n);
  }

  /** Repeats a decision, or makes a new one with the default. */
  private decide(question: number, n: number, asked: number): number {
    const { cursor } = this;
    if (cursor < this.prefix) {
      if (this.at[cursor] !== question || this.alternatives[cursor] !== n || this.asked[cursor] !== asked) {
        this.refuse(
          `decision ${cursor} was question ${this.at[cursor]} with ${this.alternatives[cursor]} alternatives, ` +
            `and is question ${question} with ${n} when repeated: ${UNDRAWN}`,
        );
        return 0;
      }
    } else {
      this.at[cursor] = question;
      this.choice[cursor] = Math.min(this.replay?.get(question) ?? 0, n - 1);
      this.alternatives[cursor] = n;
      this.asked[cursor] = asked;
    }
    this.cursor++;
    return this.choice[cursor]!;
  }

  private refuse(message: string): void {
    this.abandoned ??= { reason: "nondeterminism", message };
    this.stop();
  }

  private giveUp(): boolean {
    if (!this.stopping) {
      this.abandoned = {
        reason: "livelock",
        message: `no end after ${this.pointsMax} points, though everybody gets a turn`,
      };
    }
    this.stopping = true;
    this.m.sched.halt();
    return true;
  }

  /** Others wait, and the running task only retries: the next one in turn runs. No decision. */
  private giveWay(): boolean {
    const self = this.m.executor!;
    const n = this.others(self);
    this.sinceSwitch = 0;
    if (n === 0) return false;
    this.forced++;
    let after = 0;
    for (let i = 0; i < n; i++) if (this.other(self, i).id < self.id) after++;
    this.target = this.other(self, after % n);
    return true;
  }

  private others(self: Executor): number {
    let n = 0;
    for (const e of this.m.sched.executors) if (e !== self && this.canRun(e)) n++;
    return n;
  }

  private other(self: Executor, index: number): Executor {
    for (const e of this.m.sched.executors) if (e !== self && this.canRun(e) && index-- === 0) return e;
    return self;
  }

  private canRun(e: Executor): boolean {
    return this.m.sched.canRun(e);
  }
}
