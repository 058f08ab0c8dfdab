import { SeededChoices, type Choices, type Executor } from "@faultline/kernel";
import type { Director, Moment } from "./directed.js";

/** How executions are drawn, where there are too many to run them all. */
export interface Sampling {
  /**
   * - `random`: at each point somebody else goes on with a probability of one in eight;
   * - `walk`: at each point everybody who can run is as likely to go on;
   * - `pct`: whoever has the highest priority runs, and `depth - 1` times in an execution the one
   *   who runs gets the lowest (Burckhardt, Kothari, Musuvathi, Nagarakatte: "A Randomized
   *   Scheduler with Probabilistic Guarantees of Finding Bugs", ASPLOS 2010).
   */
  readonly policy: "random" | "walk" | "pct";
  /** A 32-bit number; 1 by default. The same seed draws the same executions. */
  readonly seed?: number;
  /** Of pct: how many orderings a bug may need; 3 by default. */
  readonly depth?: number;
}

const SEED = 1;
export const PCT_DEPTH = 3;
/** One point in so many is a switch. */
const RANDOM_SWITCHES = 8;

export function directorOf({ policy, seed = SEED, depth = PCT_DEPTH }: Sampling): Director {
  const choices = new SeededChoices(seed);
  switch (policy) {
    case "random":
      return new RandomSwitches(choices);
    case "walk":
      return new RandomWalk(choices);
    case "pct":
      return new Priorities(choices, depth);
  }
}

/** What an exploration by sampling covers, in words. */
export function describeSampling({ policy, seed = SEED, depth = PCT_DEPTH }: Sampling): string {
  return `${policy}${policy === "pct" ? ` of depth ${depth}` : ""}, seed ${seed}`;
}

class RandomWalk implements Director {
  constructor(protected readonly choices: Choices) {}

  begin(): void {}

  turn(_at: Moment, { length }: readonly Executor[]): number {
    return this.choices.pick("turn", length);
  }

  draw(_at: Moment, n: number): number {
    return this.choices.pick("draw", n);
  }
}

class RandomSwitches extends RandomWalk {
  override turn({ kind }: Moment, { length }: readonly Executor[]): number {
    if (kind === "pick") return this.choices.pick("turn", length);
    return this.choices.pick("switch", RANDOM_SWITCHES) === 0 ? 1 + this.choices.pick("turn", length - 1) : 0;
  }
}

class Priorities implements Director {
  /** Of each executor: higher goes first. What is lowered goes below zero. */
  private priorities: number[] = [];
  /** The next priority below all others, for who was made to give way. */
  private lowest = 0;
  /** The steps at which who runs gets a priority below the first ones, and which. */
  private changes: ReadonlyMap<number, number> = new Map();
  private steps = 0;
  /** Steps of the longest execution so far: in so many the changes are spread. */
  private longest = 0;

  constructor(
    private readonly choices: Choices,
    private readonly depth: number,
  ) {}

  begin(executors: readonly Executor[]): void {
    const { choices } = this;
    this.longest = Math.max(this.longest, this.steps);
    this.steps = 0;
    this.lowest = -this.depth;
    this.priorities = executors.map((_, i) => i);
    for (let i = executors.length - 1; i > 0; i--) {
      const j = choices.pick("priority", i + 1);
      [this.priorities[i], this.priorities[j]] = [this.priorities[j]!, this.priorities[i]!];
    }
    // How long executions are is not known ahead of the first.
    const changes = this.longest === 0 ? 0 : this.depth - 1;
    this.changes = new Map(Array.from({ length: changes }, (_, i) => [1 + choices.pick("change", this.longest), -1 - i]));
  }

  turn({ kind }: Moment, alternatives: readonly Executor[]): number {
    this.steps++;
    const change = kind === "point" ? this.changes.get(this.steps) : undefined;
    if (change !== undefined) this.priorities[alternatives[0]!.id] = change;
    let best = 0;
    for (let i = 1; i < alternatives.length; i++) {
      if (this.priorities[alternatives[i]!.id]! > this.priorities[alternatives[best]!.id]!) best = i;
    }
    return best;
  }

  draw(_at: Moment, n: number): number {
    return this.choices.pick("draw", n);
  }

  gaveWay(executor: Executor): void {
    this.priorities[executor.id] = this.lowest--;
  }
}
