import type { Task, TaskState } from "./sched.js";

/** What the scheduler asks of signals. */
export interface SignalState {
  /** True when a signal is pending that ends a sleep of this kind. */
  endsSleep(task: Task, state: TaskState): boolean;
}

/** Dispositions of a process, by signal number; addresses are user addresses. */
export interface SignalAction {
  /** 0 for SIG_DFL, 1 for SIG_IGN, else the handler's address. */
  handler: number;
  flags: number;
  mask: bigint;
}

export class SignalHandlers {
  readonly actions = new Map<number, SignalAction>();
}
