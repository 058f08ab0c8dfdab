import type { SignalInfo } from "./signal.js";
import type { Task } from "./sched.js";

/** The code of the stop that a thread makes when its tracer interrupts it: SIGTRAP, and above it PTRACE_EVENT_STOP. */
export const INTERRUPTED_STOP = 5 | (128 << 8);

/** Why a traced thread has stopped, until its tracer lets it go on. */
export interface TraceStop {
  /** As wait(2) has it, above the byte that says that it has stopped: the signal, and an event above that. */
  readonly code: number;
  /** The signal that is about to be delivered; null at other stops. */
  readonly info: SignalInfo | null;
  /** wait(2) has told of it. */
  told: boolean;
}

/** What is known of a thread because it is traced (ptrace(2)). */
export class Tracee {
  stop: TraceStop | null = null;
  /** PTRACE_O_*. */
  options = 0;
  /** It stops at system calls (PTRACE_SYSCALL). */
  atSyscalls = false;
  /** PTRACE_INTERRUPT: it stops as soon as it can. */
  interrupted = false;
  /** What its tracer has it take instead of the signal that it stopped for. */
  injected: SignalInfo | null = null;

  constructor(
    readonly tracer: Task,
    /** By PTRACE_SEIZE, not PTRACE_ATTACH. */
    readonly seized: boolean,
  ) {}
}
