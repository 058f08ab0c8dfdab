import { DirectedExecution } from "./directed.js";
import type { HashSet } from "./hash64.js";
import { PlannedExecution, type Shown } from "./planned.js";
import { Runner, type Found, type RunOptions } from "./runner.js";
import { directorOf } from "./sampling.js";
import type { Scenario } from "./scenario.js";
import type { SearchOptions, Unit, UnitResult } from "./search.js";
import type { ExplorationStrategy } from "./strategy.js";
import type { Violation } from "./violation.js";

/** Runs the units of searches on a scenario. */
export class Explorer {
  private readonly runner: Runner;

  constructor(
    scenario: Scenario,
    private readonly options: RunOptions & Pick<SearchOptions, "preemptions" | "sampling" | "retries">,
  ) {
    this.runner = new Runner(scenario, options);
    // Pairs of locks come from all units, which are not all run here.
    this.runner.lockOrder.detects = false;
  }

  /**
   * Runs a unit, to its end or to the first execution that breaks a rule.
   *
   * @param visited states in which executions need not be followed any further
   * @param executed called behind each execution with the number of them so far
   * @throws ScenarioError, or whatever the scenario's setup throws
   */
  explore(unit: Unit, visited: HashSet, executed: (n: number) => void = () => {}): UnitResult {
    const { runner } = this;
    runner.lockOrder.forgetOrder();
    const nested: UnitResult["nested"][number][] = [];
    const shown: Shown[] = [];
    const counts = { executions: 0, points: 0, pointsMin: Infinity, pointsMax: 0, retries: 0, forced: 0 };
    const execute = (strategy: ExplorationStrategy): Found | null => {
      const finding = runner.execute(strategy);
      const { points, forced } = strategy;
      counts.points += points;
      counts.pointsMin = Math.min(counts.pointsMin, points);
      counts.pointsMax = Math.max(counts.pointsMax, points);
      counts.retries = Math.max(counts.retries, runner.retries);
      counts.forced += forced;
      for (const [outer, inner] of runner.lockOrder.pairs.slice(nested.length)) nested.push({ outer, inner, decisions: strategy.decisions() });
      executed(++counts.executions);
      return finding === null ? null : { finding, decisions: strategy.decisions() };
    };
    let found: Found | null = null;
    if (unit.kind === "samples") {
      const execution = new DirectedExecution(directorOf({ ...this.options.sampling!, seed: unit.seed }), this.options.pointsMax);
      for (let i = 0; i < unit.count && found === null; i++) found = execute(execution);
    } else {
      const { preemptions = Infinity, pointsMax, retries } = this.options;
      const execution = new PlannedExecution({ visited, bounded: preemptions !== Infinity, pointsMax, retriesMax: retries });
      for (let i = 0; i < unit.plans.length && found === null; i++) {
        execution.follow(unit.plans[i]!);
        found = execute(execution);
        shown.push(execution.shown());
      }
    }
    return { ...counts, nested, found, shown };
  }

  /** Repeats an execution that broke a rule, as short as can be, and writes it down. */
  explain(found: Found): Violation {
    return this.runner.explain(found, false);
  }
}
