import type { FileTable, OpenFile } from "../fs/vfs.js";
import type { Memcg } from "../mm/memcontrol.js";
import type { Mempolicy } from "../mm/mempolicy.js";
import type { Mm } from "../mm/mm_types.js";
import { FULL_CAPABILITIES, type Capabilities } from "./capability.js";
import { ROOT_CREDENTIALS, type Credentials } from "./cred.js";
import type { CpuTimer, CpuTimerKind } from "./cpu_timers.js";
import type { PosixTimer } from "./posix_timers.js";
import type { ResourceLimit } from "./rlimit.js";
import type { Task, TimerHandle, WaitQueue } from "./sched.js";
import type { SemUndoList } from "./sem.js";
import { Sig, type SignalHandlers, type SignalInfo } from "./signal.js";
import type { Tracee } from "./tracee.js";
import type { UprobeTask } from "./uprobe_hit.js";

/** sigaltstack(2) flags. */
export const SS_ONSTACK = 1;
export const SS_DISABLE = 2;
/** The stack is disarmed while a handler runs on it. */
export const SS_AUTODISARM = 1 << 31;

/** What belongs to one user thread besides its registers. All addresses are user addresses. */
export class ThreadState {
  /** Details of the signals in `Task.pendingSignals`, oldest first. */
  readonly signalInfo = new Map<number, SignalInfo[]>();
  /** The mask that rt_sigsuspend or ppoll replaced for the time of its sleep; null otherwise. */
  savedSigmask: bigint | null = null;
  /** Signals that sigtimedwait takes: not blocked during its sleep, yet neither ignored nor fatal. */
  awaitedSignals = 0n;
  altStack = { sp: 0, size: 0, flags: SS_DISABLE };
  /** Head of the robust futex list, or 0. */
  robustList = 0;
  /** CPUs that sched_setaffinity allows, a bit each. */
  affinity = -1;
  /** Machine time spent in user mode, in nanoseconds. */
  userTimeNs = 0;
  /** Machine time spent in the kernel, in nanoseconds. */
  systemTimeNs = 0;
  /** Address of the instruction whose page fault the thread handles; -1 when it is the kernel's own. */
  faultPc = -1;
  /** Where whoever made this thread sleeps until it has left its address space (CLONE_VFORK). */
  vforkDone: WaitQueue | null = null;
  /** Stopped, with its group or for its tracer. */
  stopped = false;
  /** What it is doing about probes; null before it hits one. */
  utask: UprobeTask | null = null;
  /** How it is traced; null while it is not. */
  tracee: Tracee | null = null;
  /** The signal that it gets when whoever made it ends (PR_SET_PDEATHSIG); 0 for none. */
  deathSignal = 0;
  /** It may read, write, exit and return from handlers, and dies of all else (SECCOMP_MODE_STRICT). */
  seccompStrict = false;
  /** By how many nanoseconds its timers may be late (PR_SET_TIMERSLACK). */
  timerSlackNs = 50_000;
  /** SCHED_*, with its flags, and the priority where that has one. */
  policy = 0;
  rtPriority = 0;
  /** What of System V semaphores is to be undone when it ends; null while there is nothing. */
  semUndo: SemUndoList | null = null;
  /** Whom it acts as in place of its process's credentials, while a call asks what the real ids may do. */
  actingAs: { readonly cred: Credentials; readonly capabilities: Capabilities } | null = null;
  /** Where its memory is to be (set_mempolicy()); null for the node that it runs on. */
  mempolicy: Mempolicy | null = null;
  /** Allocations for which nodes have taken turns, by that policy. */
  interleaveIndex = 0;
  /** Makes the scheduler's state visible to strace and to the report of stuck guests. */
  syscall = "";
}

/** struct fs_struct: where a process is, and what it takes from the permissions of what it makes. */
export interface FsStruct {
  umask: number;
  cwd: string;
}

/** A thread group: what threads of one program share. Its pid is the first thread's id. */
export class Process {
  readonly threads = new Set<Task>();
  mm: Mm | null = null;
  /** Set once the group is exiting: the status that wait() would see (code << 8 | signal). */
  exitStatus: number | null = null;
  /** Status of the first thread, if it left by exit(2) before the others. */
  leaderStatus: number | null = null;
  /** All threads are gone. */
  zombie = false;
  /** The signal that stops the group, until SIGCONT; 0 for none. */
  stopSignal = 0;
  /** What wait(2) has not told yet: that the group has stopped, or goes on; null for neither. */
  jobChange: "stopped" | "continued" | null = null;
  /** -20 for the most favoured, to 19. */
  nice = 0;
  /** No program that it executes can do more than this one (PR_SET_NO_NEW_PRIVS). */
  noNewPrivs = false;
  /** What it wants done about memory that has failed (PR_MCE_KILL): 2 is what the machine does. */
  mceKill = 2;
  /** personality(2): kept, and without effect. */
  personality = 0;
  /** Descendants whose parent ends become its children (PR_SET_CHILD_SUBREAPER). */
  isSubreaper = false;
  /** The signal that tells the parent of the end; 0 for none. */
  exitSignal: number = Sig.SIGCHLD;
  /** Threads of this process that wait for children; made when the first does. */
  childWait: WaitQueue | null = null;
  readonly children = new Set<Process>();
  /** Threads that threads of this process trace. */
  readonly tracees = new Set<Task>();
  /** It has ended, and who traced it hears of that before its parent does. */
  endTold: Process | null = null;
  /** Signals sent to the group and taken by whichever thread is first. */
  readonly sharedPending = new Set<number>();
  readonly sharedSignalInfo = new Map<number, SignalInfo[]>();
  pgid: number;
  sid: number;
  /** capabilities(7), a bit for each; a child has its parent's. */
  capabilities: Capabilities = FULL_CAPABILITIES;
  cred = ROOT_CREDENTIALS;
  /** Shared with a child that CLONE_FS made. */
  fs: FsStruct = { umask: 0o022, cwd: "/" };
  /** The program, as /proc/PID/exe has it; null for what has none, and once the process has ended. */
  exeFile: OpenFile | null = null;
  /** It has called execve(2) itself: its parent cannot choose its process group any more. */
  hasExeced = false;
  /** The thread that is in execve(2) and waits for the others to end; and where it waits, made by the first. */
  execTask: Task | null = null;
  execWait: WaitQueue | null = null;
  startTimeNs = 0;
  /** Bytes that were read and written, and calls that did it: /proc/PID/io. */
  readonly io = { rchar: 0, wchar: 0, syscr: 0, syscw: 0 };
  /** /proc/PID/oom_score_adj, -1000 to 1000. */
  oomScoreAdj = 0;
  /** What it was last set to by who has CAP_SYS_RESOURCE: others cannot set it lower. */
  oomScoreAdjMin = 0;
  /** ITIMER_REAL: when it fires and how often from then on, in nanoseconds of machine time. No handle: SIGALRM has not been taken since. */
  realTimer: { handle: TimerHandle | null; deadline: number; interval: number } | null = null;
  /** ITIMER_VIRTUAL and ITIMER_PROF; null while neither is set. */
  cpuTimers: Readonly<Record<CpuTimerKind, CpuTimer | null>> | null = null;
  /** By id. */
  readonly posixTimers = new Map<number, PosixTimer>();
  nextTimerId = 0;
  /** What threads that are gone have used. */
  readonly gone = { userTimeNs: 0, systemTimeNs: 0, minorFaults: 0, majorFaults: 0 };
  /** What children have used that were waited for, and theirs. */
  readonly reaped = { userTimeNs: 0, systemTimeNs: 0, minorFaults: 0, majorFaults: 0 };
  /** Largest number of resident pages an earlier address space had, and that a reaped child had. */
  maxRssPages = 0;
  reapedMaxRssPages = 0;

  constructor(
    readonly pid: number,
    public comm: string,
    public parent: Process | null,
    public files: FileTable,
    public handlers: SignalHandlers,
    public memcg: Memcg,
    /** The shell of `--before` and `--do`: not counted as user work. */
    readonly isOperator: boolean,
    /** By `Rlimit`; a child starts with a copy of its parent's. */
    readonly limits: ResourceLimit[],
  ) {
    this.pgid = parent === null || parent.pid === 1 ? pid : parent.pgid;
    this.sid = parent === null ? pid : parent.sid;
    parent?.children.add(this);
  }

  /** Whether a parent waits in vfork() until it executes a program or ends. */
  get isVforkChild(): boolean {
    for (const { thread } of this.threads) if (thread.vforkDone !== null) return true;
    return false;
  }
}
