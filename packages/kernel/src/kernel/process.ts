import type { Mm } from "../mm/mm_types.js";
import type { Memcg } from "../mm/memcontrol.js";
import type { FileTable } from "../fs/vfs.js";
import type { Task } from "./sched.js";
import type { SignalHandlers } from "./signal.js";

/** A thread group: what threads of one program share. Its pid is the first thread's id. */
export class Process {
  readonly threads = new Set<Task>();
  mm: Mm | null = null;
  /** Set once the group is exiting: the status that wait() would see (code << 8 | signal). */
  exitStatus: number | null = null;
  readonly children = new Set<Process>();
  /** Signals sent to the group and taken by whichever thread is first. */
  readonly sharedPending = new Set<number>();
  umask = 0o022;
  cwd = "/";
  startTimeNs = 0;
  /** /proc/PID/oom_score_adj, -1000 to 1000. */
  oomScoreAdj = 0;

  constructor(
    readonly pid: number,
    public comm: string,
    readonly parent: Process | null,
    readonly files: FileTable,
    readonly handlers: SignalHandlers,
    public memcg: Memcg,
    /** The shell of `--before` and `--do`: not counted as user work. */
    readonly isOperator: boolean,
  ) {}
}
