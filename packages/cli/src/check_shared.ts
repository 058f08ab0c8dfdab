import type { CheckOutcome, CheckWish } from "./check_run.js";

/** Words of the memory that the command's two threads share. */
export enum Shared {
  /** Not 0: come to an end. */
  Stop,
  /** Counts what has been done since `Begun`: who stands still is stuck. */
  Pulse,
  /** Not 0 once the user's own code may run. */
  Begun,
  Executions,
  /** Preemptions that the executions have at most; -1 for no bound. */
  Bound,
  /** Executions that are known to be left. */
  Planned,
  /** Of fuzz: programs so far; then, while a finding is shrunk, the operations that are left of it. */
  Programs,
  Operations,
  Words,
}

export interface CheckWorkerData {
  readonly wish: CheckWish;
  readonly shared: Int32Array;
}

/** What the thread that explores answers with. */
export type CheckAnswer = CheckOutcome & { readonly warnings: readonly string[] };
