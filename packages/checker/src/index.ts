export { benchmark, type ExplorationSpeed } from "./benchmark.js";
export { explore, replay, type ExploreOptions, type Report } from "./explore.js";
export { scenario, ThreadApi, type Scenario, type ScenarioMachine, type ScenarioThread } from "./scenario.js";
export type { Decision } from "./strategy.js";
export { formatTrace, type Finding, type Step, type Violation, type ViolationKind } from "./violation.js";
