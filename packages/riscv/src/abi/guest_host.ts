import type { HartGroup } from "../cpu/group.js";
import type { CpuContext } from "./cpu_context.js";
import type { GuestThread } from "./guest_thread.js";
import type { Strace } from "./strace.js";

/** What guest threads run on: the processors of one machine, and what its programs have in common. */
export interface GuestHost {
  /** By the number of the executor. */
  readonly cpus: readonly CpuContext[];
  readonly group: HartGroup;
  readonly strace: Strace | null;
  /** Those that run, by the id of the task. */
  readonly threads: Map<number, GuestThread>;
  /** A user thread without a task yet. */
  newThread(): GuestThread;
  /** A thread has ended. */
  threadGone(thread: GuestThread): void;
}
