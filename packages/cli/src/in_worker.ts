import { Worker } from "node:worker_threads";
import { Shared } from "./check_shared.js";
import { UserError } from "./failure.js";

/** The longest execution, 20000 points, takes a fraction of a second. Counted by the processor's clock: the machine may be busy. */
const STUCK_MS = 10_000;
/** By the clock on the wall, for what stands still without using the processor. */
const WAITS_MS = 60_000;
const LOOK_MS = 250;
/** What Node says of a module that awaits something when there is nothing left that could happen. */
const UNSETTLED = 13;

/** What is to run in a thread of its own, and what is said of it. */
export interface Errand {
  readonly script: string;
  readonly wish: unknown;
  /** What all complaints begin with. */
  readonly culprit: string;
  /** How complaints go on, for code that "runs on for 10 seconds", takes all memory, waits for ever, or ends the process. */
  readonly says: {
    endless(how: string): string;
    readonly memory: string;
    readonly awaits: string;
    exits(code: number): string;
  };
  /** How far it is; without it there is no line for that. */
  readonly progressOf?: (shared: Int32Array, rate: number) => string;
  /** Nobody sees what it prints. */
  readonly silent?: boolean;
}

/** An exploration: of a scenario, or of programs that are drawn. */
export function exploration(script: string, wish: unknown, culprit: string, progressOf: (shared: Int32Array, rate: number) => string): Errand {
  const says: Errand["says"] = {
    endless: (how) => `${how} without passing a point: a loop in it, in a driver or in a patch does not end`,
    memory: "it, or a patch, takes more memory than there is",
    awaits: "it, or a patch, awaits what never comes",
    exits: (code) => `it, or a patch, has ended the exploration (process.exit(${code}))`,
  };
  return { script, wish, culprit, says, progressOf };
}

/**
 * Runs in a thread of its own, so that this one hears Ctrl-C, and sees when nothing moves any
 * more: JavaScript of the user's that runs for ever cannot be stopped from within. Null when the
 * user ended it before there was anything to tell.
 * @throws UserError when `culprit` does not come to a point any more, or ends without an answer
 */
export function inWorker<Outcome>({ script, wish, culprit, says, progressOf, silent = false }: Errand): Promise<Outcome | null> {
  const complaint = (problem: string): UserError => new UserError(`${culprit}: ${problem}`);
  const shared = new Int32Array(new SharedArrayBuffer(4 * Shared.Words));
  const worker = new Worker(new URL(script, import.meta.url), { workerData: { wish, shared }, stdout: silent, stderr: silent });
  const progress = progressOf === undefined ? null : new Progress(shared, progressOf);
  return new Promise<Outcome | null>((resolve, reject) => {
    let pulse = -1;
    let since = performance.now();
    let used = process.cpuUsage();
    const look = setInterval(() => {
      progress?.draw();
      const now = Atomics.load(shared, Shared.Pulse);
      if (now !== pulse || Atomics.load(shared, Shared.Begun) === 0) {
        pulse = now;
        since = performance.now();
        used = process.cpuUsage();
        return;
      }
      const { user, system } = process.cpuUsage(used);
      const stuck = (user + system) / 1000 > STUCK_MS ? `runs on for ${STUCK_MS / 1000} seconds` : performance.now() - since > WAITS_MS ? `stands still for ${WAITS_MS / 1000} seconds` : null;
      if (stuck !== null) reject(complaint(says.endless(stuck)));
    }, LOOK_MS);
    const interrupted = (): void => {
      // The second time, or where there is nothing to tell yet, at once.
      if (Atomics.exchange(shared, Shared.Stop, 1) !== 0 || Atomics.load(shared, Shared.Executions) === 0) resolve(null);
    };
    process.on("SIGINT", interrupted);
    const over = (): void => {
      clearInterval(look);
      process.off("SIGINT", interrupted);
    };
    worker.on("message", (outcome: Outcome) => resolve(outcome));
    worker.on("error", (error: NodeJS.ErrnoException) => reject(error.code === "ERR_WORKER_OUT_OF_MEMORY" ? complaint(says.memory) : error));
    worker.on("exit", (code) => reject(complaint(code === UNSETTLED ? says.awaits : says.exits(code))));
    worker.on("exit", over);
  }).finally(() => {
    progress?.clear();
    return worker.terminate();
  });
}

/** A line on a terminal that says how far it is; nothing elsewhere. */
class Progress {
  private readonly start = performance.now();
  private shown = false;

  constructor(
    private readonly shared: Int32Array,
    private readonly progressOf: (shared: Int32Array, rate: number) => string,
  ) {}

  draw(): void {
    if (!process.stderr.isTTY) return;
    const rate = Math.round(Atomics.load(this.shared, Shared.Executions) / ((performance.now() - this.start) / 1000));
    const what = this.progressOf(this.shared, rate);
    process.stderr.write(`\r\u001b[K  ${what}`);
    this.shown = true;
  }

  clear(): void {
    if (this.shown) process.stderr.write("\r\u001b[K");
  }
}
