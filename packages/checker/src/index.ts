export { benchmark, type ExplorationSpeed } from "./benchmark.js";
export { Exploration, explore, replay, type ExploreOptions, type Report } from "./explore.js";
export type { Watch } from "./recorder.js";
export { PCT_DEPTH, type Sampling } from "./sampling.js";
export { raceDiagram } from "./diagram.js";
export { scenario, ScenarioError, ThreadApi, type Scenario, type ScenarioMachine, type ScenarioThread } from "./scenario.js";
export { formatSchedule, parseSchedule } from "./schedule.js";
export type { Decision } from "./strategy.js";
export { formatTrace, RULES, type Finding, type Step, type Violation, type ViolationKind } from "./violation.js";
