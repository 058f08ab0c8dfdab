import type { Executor } from "@faultline/kernel";
import { FAIR_POINTS, UNDRAWN } from "./execution.js";
import { SteeredExecution } from "./steered.js";
import type { Decision, ExplorationStrategy } from "./strategy.js";

export interface BoundedOptions {
  /** Preemptions in one execution at most: switches away from an executor that could go on. */
  readonly preemptions: number;
  readonly pointsMax?: number;
}

/**
 * Every schedule with at most so many preemptions, and every data choice in each, depth first:
 * an execution is run again from the start with the decisions of the one before, the last of them
 * changed. Switches where a task blocks, spins or ends are free, and all tried.
 */
export class BoundedExploration extends SteeredExecution implements ExplorationStrategy {
  /* The decisions of this execution that had alternatives: where, which, of how many, and what was asked. */
  private readonly at: number[] = [];
  private readonly choice: number[] = [];
  private readonly alternatives: number[] = [];
  private readonly asked: number[] = [];
  private readonly bound: number;

  constructor(options: BoundedOptions) {
    super(options.pointsMax);
    this.bound = options.preemptions;
  }

  next(): boolean {
    if (!this.started) {
      this.started = true;
      return true;
    }
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

  decisions(): Decision[] {
    const list: Decision[] = [];
    for (let i = 0; i < Math.min(this.at.length, this.cursor); i++) {
      if (this.choice[i] !== 0) list.push({ at: this.at[i]!, choice: this.choice[i]! });
    }
    return list;
  }

  preempt(op: number, object: number): boolean {
    const question = this.countPoint();
    if (this.isOver) return this.giveUp();
    const repeated = this.cursor < this.prefix && this.at[this.cursor] === question;
    if (!repeated) {
      if (this.sinceSwitch > FAIR_POINTS) return this.giveWay();
      if (this.cursor < this.prefix || this.preemptions >= this.bound) return false;
    }
    const self = this.m.executor!;
    const able = this.canGoOn(self);
    if (able.length === 1) return false;
    const choice = this.decide(question, able.length, (op << 4) ^ (object << 12) ^ self.id);
    if (choice === 0) return false;
    this.preemptions++;
    this.sinceSwitch = 0;
    this.target = able[choice]!;
    return true;
  }

  pick(eligible: readonly Executor[], previous: Executor | null): Executor {
    const target = this.takeTarget(eligible);
    if (target !== null) return target;
    if (this.stopping) return eligible[0]!;
    this.sinceSwitch = 0;
    const question = this.question++;
    const starved = this.pickStarved(eligible);
    if (starved !== null) return starved;
    const able = this.inTurn(eligible, previous);
    return able[this.decide(question, able.length, -1 - (previous?.id ?? -1))] ?? able[0]!;
  }

  draw(_what: string, n: number): number {
    const question = this.question++;
    return this.isFixed(n) ? 0 : this.decide(question, n, -1000 - n);
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
      this.choice[cursor] = 0;
      this.alternatives[cursor] = n;
      this.asked[cursor] = asked;
    }
    this.cursor++;
    return this.choice[cursor]!;
  }
}
