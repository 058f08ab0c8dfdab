import { exploration, inWorker } from "./in_worker.js";
import { Shared } from "./check_shared.js";
import { describeBug, EXIT_FAULTLINE, EXIT_INTERRUPTED, UserError } from "./failure.js";
import { describeFuzz, jsonOfFuzz } from "./fuzz_report.js";
import type { FuzzOutcome, FuzzWish } from "./fuzz_run.js";
import { HostOutput } from "./host_io.js";
import type { KernelOptions } from "./kernel_options.js";
import { shellQuote } from "./values.js";

export interface FuzzOptions extends KernelOptions {
  readonly seconds?: number;
  readonly executions?: number;
  readonly threads?: number;
  readonly seed?: number;
  readonly out?: string;
  readonly json?: boolean;
}

const SEED = 1;
/** Where neither executions nor time are bounded: fuzzing has no end of its own. */
const SECONDS = 60;
const EXIT_VIOLATION = 1;

/** Fuzzes a kernel; returns the command's exit status. */
export async function fuzz(options: FuzzOptions): Promise<number> {
  const { executions, threads, seed = SEED, out, release, without, patch } = options;
  const { seconds = executions === undefined ? SECONDS : Infinity } = options;
  const wish: FuzzWish = {
    release,
    without,
    patch,
    seed,
    seconds,
    executions: executions ?? Infinity,
    ...(threads === undefined ? {} : { threads }),
    ...(out === undefined ? {} : { out }),
  };
  const stdout = new HostOutput(1);
  const stderr = new HostOutput(2);
  let outcome: FuzzOutcome | null;
  try {
    outcome = await inWorker<FuzzOutcome>(exploration("./fuzz_worker.js", wish, "fuzz", progressOf));
  } catch (error) {
    if (error instanceof UserError) throw error;
    stderr.text(describeBug(error, "while it fuzzed", ["faultline", "fuzz", ...process.argv.slice(3)].map(shellQuote).join(" ")));
    return EXIT_FAULTLINE;
  }
  if (outcome === null) return EXIT_INTERRUPTED;
  if ("complaints" in outcome) {
    for (const line of outcome.complaints) stderr.text(`faultline: ${line}\n`);
    return EXIT_FAULTLINE;
  }
  const { result } = outcome;
  stdout.text(options.json === true ? jsonOfFuzz(wish, result) : describeFuzz(wish, result));
  if (stdout.failure !== null) throw new UserError(`standard output: ${stdout.failure}`);
  if (result.found !== null) return EXIT_VIOLATION;
  return result.interrupted ? EXIT_INTERRUPTED : 0;
}

function progressOf(shared: Int32Array, rate: number): string {
  const operations = Atomics.load(shared, Shared.Operations);
  if (operations > 0) return `a violation: shrinking its program, ${operations} operations left`;
  return `${Atomics.load(shared, Shared.Programs)} programs, ${Atomics.load(shared, Shared.Executions)} executions, ${rate}/s`;
}
