import type { Machine, Strategy } from "@faultline/kernel";

/**
 * A decision that differs from the default: at the `at`th question of an execution, alternative
 * `choice` was taken. Questions are points, ends of a task's turn and data choices, counted from
 * 0; the default, 0, is to go on, the first executor, the first value. A list of them is a whole
 * execution: everything else follows.
 */
export interface Decision {
  readonly at: number;
  readonly choice: number;
}

/** Why a strategy gave an execution up before its end. */
export type Abandoned = { readonly reason: "livelock" | "nondeterminism"; readonly message: string };

/**
 * Chooses executions, one after the other. Within one it decides who runs (`Strategy`) and what is
 * drawn (`draw`): from `begin`, when the scenario's threads are ready to start, to their end.
 */
export interface ExplorationStrategy extends Strategy {
  /** A data choice, as `Choices.pick`. */
  draw(what: string, n: number): number;
  /** Prepares the next execution; false when there is none left. */
  next(): boolean;
  /** The machine of this execution, its threads ready to start. */
  begin(m: Machine): void;
  /** The execution has ended by itself. */
  end(): void;
  /** What was decided so far in this execution. */
  decisions(): Decision[];
  /** Points passed so far in this execution. */
  readonly points: number;
  /** Preemptions so far in this execution. */
  readonly preemptions: number;
  /** Times that a task was made to give way in this execution, because it seemed to wait for others in a loop. */
  readonly forced: number;
  /** Set when this execution was given up. */
  readonly abandoned: Abandoned | null;
  /** Ends the execution at its next point. */
  stop(): void;
}
