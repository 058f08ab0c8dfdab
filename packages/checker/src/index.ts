export { BoundedExploration, type BoundedOptions } from "./bounded.js";
export { explore, replay, type ExploreOptions, type Report } from "./explore.js";
export { Invariants } from "./invariants.js";
export { LockOrder } from "./lock_order.js";
export { scenario, ThreadApi, type Scenario, type ScenarioMachine, type ScenarioThread } from "./scenario.js";
export type { Decision, ExplorationStrategy } from "./strategy.js";
export { formatTrace, type Finding, type Step, type Violation, type ViolationKind } from "./violation.js";
export { benchmark, type ExplorationSpeed } from "./benchmark.js";
