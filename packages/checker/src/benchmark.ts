import { explore } from "./explore.js";
import type { Scenario } from "./scenario.js";

/** How fast a scenario is explored. Times are the caller's: this package has no clock. */
export interface ExplorationSpeed {
  readonly executions: number;
  readonly points: number;
  readonly seconds: number;
}

/**
 * Runs a scenario `executions` times with switches at random, all invariants on, after as many to warm
 * up. `now` gives seconds. A scenario with a violation measures nothing: then null.
 */
export function benchmark(
  scenario: Scenario,
  options: { readonly executions: number; readonly now: () => number },
): ExplorationSpeed | null {
  const { executions: executionsMax, now } = options;
  const run = (): ExplorationSpeed | null => {
    const start = now();
    const report = explore(scenario, { sampling: { policy: "random" }, executionsMax });
    const seconds = now() - start;
    return report.violation === null ? { executions: report.executions, points: report.points, seconds } : null;
  };
  return run() === null ? null : run();
}
