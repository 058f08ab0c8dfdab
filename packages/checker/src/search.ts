import { HashSet } from "./hash64.js";
import { LockOrder } from "./lock_order.js";
import { RETRIES_MAX, type PlannedDecision, type Shown } from "./planned.js";
import type { Found } from "./runner.js";
import { describeSampling, type Sampling } from "./sampling.js";
import { StateSpace, type Plan, type SavedSpace } from "./state_space.js";
import type { Decision } from "./strategy.js";

/** Executions that are planned from what was known before the first of them: so many threads can share them. */
const ROUND = 256;
/** Of those, the ones that one thread is given at a time. */
const PLANS = 32;
/** Executions drawn from one seed, and how many such are handed out at a time. */
const SAMPLES = 256;
const SAMPLE_UNITS = 16;

/** A piece of an exploration, to be run by whoever has the scenario: plain data. */
export type Unit =
  | { readonly kind: "plans"; readonly plans: readonly (readonly PlannedDecision[])[] }
  | { readonly kind: "samples"; readonly seed: number; readonly count: number };

/** What came of it. */
export interface UnitResult {
  readonly executions: number;
  readonly points: number;
  readonly pointsMin: number;
  readonly pointsMax: number;
  readonly retries: number;
  readonly forced: number;
  /** Pairs of lock classes as they were nested, outer first, and the first execution that nested them so. */
  readonly nested: readonly { readonly outer: string; readonly inner: string; readonly decisions: readonly Decision[] }[];
  /** The first execution that breaks a rule: the last of those that were run. */
  readonly found: Found | null;
  /** Of plans: what each has shown, in order. */
  readonly shown: readonly Shown[];
}

/** How executions are chosen, and when it is enough. */
export interface SearchOptions {
  /** Preemptions in one execution at most; Infinity by default. */
  readonly preemptions?: number | undefined;
  /** Draws executions instead, for as long as it goes on. */
  readonly sampling?: Sampling | undefined;
  /** Gives up after this many executions; never by default. */
  readonly executionsMax?: number | undefined;
  /** Turns of a retry loop in one call beyond which an execution is followed no further; 1 by default. */
  readonly retries?: number | undefined;
}

/** All that a search knows, as plain data: what `structuredClone` takes. */
export interface SavedSearch {
  readonly space: SavedSpace | null;
  readonly units: number;
  readonly counts: Counts;
  readonly nested: readonly (readonly [string, string])[];
  readonly found: Found | null;
}

interface Counts {
  executions: number;
  points: number;
  pointsMin: number;
  pointsMax: number;
  retries: number;
  forced: number;
}

/**
 * An exploration without the machine: what is to be run next, and what has come of it. The units of
 * a round do not depend on each other, so any number of threads can share them, and the outcome is
 * the same for any number: results are taken in order, and end with the first that breaks a rule.
 */
export class Search {
  readonly counts: Counts;
  /** Executions that had been run when it was saved. */
  readonly before: number;
  found: Found | null;
  complete = false;
  private readonly space: StateSpace | null;
  private readonly locks: LockOrder;
  /** Units handed out so far. */
  private units: number;
  /** Those of the round that is being run. */
  private pending: { readonly unit: Unit; readonly plans: readonly Plan[] }[] = [];
  private circle: string | null = null;

  constructor(
    private readonly options: SearchOptions,
    saved?: SavedSearch,
  ) {
    this.space = options.sampling === undefined ? new StateSpace(options.preemptions ?? Infinity, saved?.space ?? undefined) : null;
    this.locks = new LockOrder(({ message }) => (this.circle = message));
    for (const [outer, inner] of saved?.nested ?? []) this.locks.nest(outer, inner);
    this.circle = null;
    this.units = saved?.units ?? 0;
    this.counts = { ...(saved?.counts ?? { executions: 0, points: 0, pointsMin: Infinity, pointsMax: 0, retries: 0, forced: 0 }) };
    this.before = this.counts.executions;
    this.found = saved?.found ?? null;
  }

  /** States that were met; they may be looked up by other threads until the next call of `learn`. */
  get visited(): HashSet {
    return this.space?.visited ?? new HashSet();
  }

  /** Executions that are planned as yet; 0 where they are drawn. */
  get planned(): number {
    return this.space?.planned ?? 0;
  }

  /** Preemptions of the executions to come; Infinity where they are drawn. */
  get bound(): number {
    return this.space === null ? Infinity : Math.max(0, this.space.preemptions);
  }

  get lockOrder(): readonly (readonly [string, string])[] {
    return this.locks.edges();
  }

  /** The next round; empty when all has been run, or enough, or a rule was broken. */
  round(): readonly Unit[] {
    const left = (this.options.executionsMax ?? Infinity) - this.counts.executions;
    this.pending = this.found !== null || left <= 0 ? [] : this.space === null ? this.sampleRound(left) : this.planRound(this.space, left);
    this.complete ||= this.space !== null && this.space.planned === 0 && this.pending.length === 0 && this.found === null;
    this.units += this.pending.length;
    return this.pending.map(({ unit }) => unit);
  }

  /** Takes the results of a round, in the order of its units, up to one that breaks a rule. What was not run comes again. */
  learn(results: readonly UnitResult[]): void {
    const { pending } = this;
    this.pending = [];
    for (const [i, result] of results.entries()) {
      if (this.found !== null) return;
      this.count(result);
      for (const [j, shown] of result.shown.entries()) this.space!.learn(pending[i]!.plans[j]!, shown);
      for (const { outer, inner, decisions } of result.nested) {
        this.locks.nest(outer, inner);
        if (this.circle !== null) this.found ??= { finding: { kind: "lock-order", message: this.circle }, decisions };
      }
      if (result.found !== null) this.found = result.found;
    }
    if (this.found !== null) return;
    this.units -= pending.length - results.length;
    for (const { plans } of pending.slice(results.length)) this.space?.putBack(plans);
  }

  /** Between two rounds. */
  save(): SavedSearch {
    return { space: this.space?.save() ?? null, units: this.units, counts: this.counts, nested: this.locks.edges(), found: this.found };
  }

  /** What has been covered, in words. */
  covers(): string {
    const { executions, retries } = this.counts;
    const { sampling, preemptions = Infinity } = this.options;
    if (sampling !== undefined) return `${counted(executions, "execution")} drawn at random (${describeSampling(sampling)}), retries up to ${retries}`;
    const followed = `retries up to ${this.options.retries ?? RETRIES_MAX} in a call`;
    const orders = `sequentially consistent interleavings${preemptions === Infinity ? "" : ` with at most ${counted(preemptions, "preemption")}`}`;
    if (this.complete) return `all ${orders}, ${followed}`;
    const all = this.bound === 0 ? "" : `those with fewer than ${counted(this.bound, "preemption")}, and `;
    return `of the ${orders}, ${followed}: ${all}some with ${this.bound}`;
  }

  private sampleRound(left: number): { unit: Unit; plans: [] }[] {
    const round: { unit: Unit; plans: [] }[] = [];
    const { seed = 1 } = this.options.sampling!;
    for (let i = 0; i < SAMPLE_UNITS && left > 0; i++) {
      const count = Math.min(SAMPLES, left);
      // Each unit has a seed of its own, so that it can be run by anybody.
      round.push({ unit: { kind: "samples", seed: Math.imul(seed, 0x9e3779b1) ^ Math.imul(this.units + i, 0x85ebca6b), count }, plans: [] });
      left -= count;
    }
    return round;
  }

  private planRound(space: StateSpace, left: number): { unit: Unit; plans: readonly Plan[] }[] {
    const plans = space.take(Math.min(ROUND, left));
    const round: { unit: Unit; plans: readonly Plan[] }[] = [];
    for (let i = 0; i < plans.length; i += PLANS) {
      const some = plans.slice(i, i + PLANS);
      round.push({ unit: { kind: "plans", plans: some.map((plan) => space.decisionsOf(plan)) }, plans: some });
    }
    return round;
  }

  private count({ executions, points, pointsMin, pointsMax, retries, forced }: UnitResult): void {
    const { counts } = this;
    counts.executions += executions;
    counts.points += points;
    counts.pointsMin = Math.min(counts.pointsMin, pointsMin);
    counts.pointsMax = Math.max(counts.pointsMax, pointsMax);
    counts.retries = Math.max(counts.retries, retries);
    counts.forced += forced;
  }
}

export function counted(n: number, what: string): string {
  return `${n} ${what}${n === 1 ? "" : "s"}`;
}
