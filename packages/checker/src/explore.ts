import { BoundedExploration } from "./bounded.js";
import type { Calls } from "./calls.js";
import { DirectedExecution, ReplayDirector } from "./directed.js";
import { Explorer } from "./explorer.js";
import { ExecutionRecorder } from "./recorder.js";
import { Runner, type RunOptions } from "./runner.js";
import type { Sampling } from "./sampling.js";
import { ScenarioError, type Scenario } from "./scenario.js";
import { counted, Search, type Unit, type UnitResult } from "./search.js";
import type { Decision } from "./strategy.js";
import { RULES, type Violation, type ViolationKind } from "./violation.js";

export interface ExploreOptions extends RunOptions {
  /** Preemptions in one schedule at most; 2 by default. Infinity: every execution that can differ. */
  readonly preemptions?: number;
  /**
   * Follows executions no further that come to a state which others have come to before. The default
   * where preemptions are not bounded; else every schedule is run by itself, unless this is true.
   */
  readonly compareStates?: boolean;
  /** Draws executions instead, for as long as it goes on; `preemptions` says nothing then. */
  readonly sampling?: Sampling;
  /** Gives up after this many executions; never by default. */
  readonly executionsMax?: number;
  /** Turns of a retry loop in one call beyond which an execution is followed no further, where states are compared; 1 by default. */
  readonly retries?: number;
}

/** What an exploration covered, and what it found. */
export interface Report {
  readonly title: string;
  /** True when all that was to be explored has been, with every data choice. */
  readonly complete: boolean;
  readonly executions: number;
  /** Points of the shortest and the longest execution, and of all together. */
  readonly pointsMin: number;
  readonly pointsMax: number;
  readonly points: number;
  /** Most turns that a retry loop took in one execution. */
  readonly retries: number;
  /** Times that a loop which does not declare itself was made to give way to others. */
  readonly forced: number;
  /** What was explored, in words. */
  readonly covers: string;
  /** The first violation found, with as few preemptions as any; null when there is none. */
  readonly violation: Violation | null;
  /** Lock classes as they were nested: [outer, inner]. */
  readonly lockOrder: readonly (readonly [string, string])[];
}

/** Runs a scenario in every schedule with no preemption, then one, and so on up to the bound. */
export function explore(scenario: Scenario, options: ExploreOptions = {}): Report {
  const running = exploration(scenario, options);
  while (running.step());
  return running.report();
}

/** An exploration that goes on piece by piece, for who wants to look at a clock in between. */
export interface Exploration {
  /** Executions so far. */
  readonly executions: number;
  /**
   * Runs the next executions: one, or a few at a time; false when there are none to run: all have been, or enough, or one broke a rule.
   * @throws ScenarioError, or whatever the scenario's setup throws
   */
  step(): boolean;
  /** What was covered so far. */
  report(): Report;
}

export function exploration(scenario: Scenario, options: ExploreOptions = {}): Exploration {
  const { preemptions = PREEMPTIONS, sampling, compareStates = preemptions === Infinity } = options;
  return sampling !== undefined || compareStates ? new SearchExploration(scenario, { ...options, preemptions }) : new PlainExploration(scenario, options, preemptions);
}

const PREEMPTIONS = 2;

/** A search whose units are run here, one after the other. */
class SearchExploration implements Exploration {
  private readonly search: Search;
  private readonly explorer: Explorer;
  private units: Unit[] = [];
  private results: UnitResult[] = [];
  private violation: Violation | null = null;

  constructor(
    private readonly scenario: Scenario,
    options: ExploreOptions & { readonly preemptions: number },
  ) {
    this.search = new Search(options);
    this.explorer = new Explorer(scenario, options);
  }

  get executions(): number {
    return this.search.counts.executions;
  }

  step(): boolean {
    const { search, explorer } = this;
    if (this.units.length === 0) {
      this.units = [...search.round()];
      if (this.units.length === 0) return false;
    }
    const result = explorer.explore(this.units.shift()!, search.visited);
    this.results.push(result);
    if (result.found !== null) this.units = [];
    if (this.units.length > 0) return true;
    search.learn(this.results);
    this.results = [];
    if (search.found !== null) this.violation = explorer.explain(search.found);
    return true;
  }

  report(): Report {
    const { search, scenario, violation } = this;
    return reportOf(scenario.title, search, violation);
  }
}

/** What a search has covered, and the violation that its finding was explained as. */
export function reportOf(title: string, search: Search, violation: Violation | null): Report {
  const { counts, complete, lockOrder } = search;
  const { executions, pointsMin } = counts;
  return { title, complete, ...counts, pointsMin: executions === 0 ? 0 : pointsMin, covers: search.covers(), violation, lockOrder };
}

/** Every schedule by itself: with no preemption, then one, and so on up to the bound. */
class PlainExploration implements Exploration {
  executions = 0;
  private bound = 0;
  private readonly runner: Runner;
  private strategy: BoundedExploration;
  private schedules = 0;
  private pointsMin = Infinity;
  private pointsMax = 0;
  private points = 0;
  private retries = 0;
  private forced = 0;
  private complete = false;
  private violation: Violation | null = null;

  constructor(
    private readonly scenario: Scenario,
    private readonly options: ExploreOptions,
    private readonly last: number,
  ) {
    this.runner = new Runner(scenario, options);
    this.strategy = this.strategyFor(0);
  }

  step(): boolean {
    if (this.violation !== null || this.complete) return false;
    while (!this.strategy.next()) {
      if (this.bound === this.last) {
        this.complete = true;
        return false;
      }
      this.strategy = this.strategyFor(++this.bound);
      this.schedules = 0;
    }
    if (this.executions === (this.options.executionsMax ?? Infinity)) return false;
    const { runner, strategy } = this;
    const finding = runner.execute(strategy);
    this.executions++;
    this.schedules++;
    this.points += strategy.points;
    this.retries = Math.max(this.retries, runner.retries);
    this.forced += strategy.forced;
    this.pointsMin = Math.min(this.pointsMin, strategy.points);
    this.pointsMax = Math.max(this.pointsMax, strategy.points);
    if (finding !== null) this.violation = runner.explain({ finding, decisions: strategy.decisions() }, true);
    return true;
  }

  report(): Report {
    const { scenario, executions, pointsMin, pointsMax, points, retries, forced, violation, complete, runner } = this;
    return {
      title: scenario.title,
      complete,
      executions,
      pointsMin: executions === 0 ? 0 : pointsMin,
      pointsMax,
      points,
      retries,
      forced,
      covers: this.covers(),
      violation,
      lockOrder: runner.lockOrder.edges(),
    };
  }

  private strategyFor(preemptions: number): BoundedExploration {
    const { pointsMax } = this.options;
    return new BoundedExploration({ preemptions, ...(pointsMax === undefined ? {} : { pointsMax }) });
  }

  private covers(): string {
    const { bound, complete, schedules, retries } = this;
    const tail = `retries up to ${retries}`;
    const upTo = (n: number): string => `sequentially consistent interleavings with at most ${counted(n, "preemption")}`;
    if (complete) return `${upTo(bound)}, ${tail}`;
    const begun = `the first ${counted(schedules, "execution")} of those with at most ${counted(bound, "preemption")}`;
    return `${bound === 0 ? "" : `${upTo(bound - 1)}, and `}${begun}, ${tail}`;
  }
}

/**
 * Runs one execution again; the violation that it shows, with its trace, or null.
 * @throws ScenarioError when the decisions are of another scenario, or another kernel
 */
export function replay(scenario: Scenario, decisions: readonly Decision[], options: ExploreOptions = {}): Violation | null {
  const director = new ReplayDirector(decisions);
  const execution = new DirectedExecution(director, options.pointsMax);
  // What it will be about is known once it has been run. What was learnt of lock order must be learnt anew.
  const finding = new Runner(scenario, options).scout(execution);
  const violation = new Runner(scenario, options).record(execution, finding);
  if (violation === null && !director.fits) throw new ScenarioError("the schedule does not fit: it is of another scenario, of another kernel, or of another driver");
  return violation;
}

/** What a scenario calls from beginning to end, on mainline, where nobody is preempted; to where it throws, if it does. */
export function callsOf(scenario: Scenario): Calls {
  const runner = new Runner(scenario, { ignore: Object.keys(RULES) as ViolationKind[] });
  const recorder = new ExecutionRecorder(null, null);
  try {
    runner.execute(new DirectedExecution(new ReplayDirector([])), recorder);
  } catch {
    // A setup may be for one kernel alone.
  }
  return recorder.calls;
}
