import { explore } from "./explore.js";
import type { Scenario } from "./scenario.js";

/** How fast a scenario is explored. Times are the caller's: this package has no clock. */
export interface ExplorationSpeed {
  readonly executions: number;
  readonly points: number;
  readonly seconds: number;
}

/**
 * Explores a scenario for about `executions` executions, all invariants on, after as many to warm
 * up. `now` gives seconds. A scenario with a violation measures nothing: then null.
 */
export function benchmark(
  scenario: Scenario,
  options: { readonly executions: number; readonly now: () => number },
): ExplorationSpeed | null {
  const { executions: executionsMax, now } = options;
  const run = (): ExplorationSpeed | null => {
    const start = now();
    // As many preemptions as it takes: the bound on executions ends it.
    const report = explore(scenario, { preemptions: 64, executionsMax });
    const seconds = now() - start;
    return report.violation === null ? { executions: report.executions, points: report.points, seconds } : null;
  };
  return run() === null ? null : run();
}
