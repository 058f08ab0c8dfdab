import { mkdtempSync, rmSync } from "node:fs";
import { availableParallelism, tmpdir } from "node:os";
import { join } from "node:path";
import type { Decision } from "@faultline/checker";
import { describeCheck, jsonOfCheck } from "./check_report.js";
import type { CheckWish } from "./check_run.js";
import { Shared, type CheckAnswer } from "./check_shared.js";
import { describeBug, EXIT_FAULTLINE, EXIT_INTERRUPTED, UserError } from "./failure.js";
import { HostOutput } from "./host_io.js";
import { exploration, inWorker } from "./in_worker.js";
import type { KernelOptions } from "./kernel_options.js";
import { readBytes } from "./trace.js";
import { formatOf } from "./trace_file.js";
import { shellQuote, type StrategyName } from "./values.js";
import { serveView } from "./view.js";

export interface CheckOptions extends KernelOptions {
  readonly driver: readonly string[];
  readonly strategy: StrategyName;
  readonly preemptions?: number;
  readonly retries?: number;
  readonly depth?: number;
  readonly seed?: number;
  readonly replay?: readonly Decision[];
  readonly trace?: string;
  readonly emitC?: string;
  readonly executions?: number;
  readonly seconds?: number;
  readonly workers?: number;
  readonly resume?: boolean;
  readonly json?: boolean;
  readonly view?: boolean;
  /** Of the viewer. */
  readonly port: number;
  readonly open: boolean;
}

/** Executions that are drawn where neither executions nor time are bounded: sampling has no end of its own. */
const SAMPLES = 10_000;
/** A scenario broke a rule. */
const EXIT_VIOLATION = 1;

/** Explores a scenario; returns the command's exit status. */
export async function check(file: string, options: CheckOptions): Promise<number> {
  if (options.view !== true) return await explore(file, options);
  if (options.trace !== undefined && formatOf(options.trace) !== "compact") throw new UserError(`--trace '${options.trace}': with --view the name of the file must end in .fltrace`);
  const folder = mkdtempSync(join(tmpdir(), "faultline-check-"));
  try {
    const trace = options.trace ?? join(folder, "counterexample.fltrace");
    const status = await explore(file, { ...options, trace });
    if (status !== EXIT_VIOLATION) return status;
    await serveView([readBytes(trace)], options);
    return status;
  } finally {
    rmSync(folder, { recursive: true, force: true });
  }
}

async function explore(file: string, options: CheckOptions): Promise<number> {
  const wish = wishOf(file, options);
  const stdout = new HostOutput(1);
  const stderr = new HostOutput(2);
  const words = ["faultline", "check", ...process.argv.slice(3)];
  let outcome: CheckAnswer | null;
  try {
    outcome = await inWorker<CheckAnswer>(exploration("./check_worker.js", wish, `scenario ${wish.file}`, progressOf));
  } catch (error) {
    if (error instanceof UserError) throw error;
    stderr.text(describeBug(error, `while it explored ${file}`, words.map(shellQuote).join(" ")));
    return EXIT_FAULTLINE;
  }
  if (outcome === null) return EXIT_INTERRUPTED;
  for (const line of outcome.warnings) stderr.text(`faultline: ${line}\n`);
  if ("complaints" in outcome) {
    for (const line of outcome.complaints) stderr.text(`faultline: ${line}\n`);
    return EXIT_FAULTLINE;
  }
  const { result } = outcome;
  if (result.violation === null && options.view === true) stderr.text("faultline: there is nothing to view: nothing was found\n");
  for (const path of [options.view === true ? undefined : options.trace, options.emitC]) {
    if (result.violation === null && path !== undefined) stderr.text(`faultline: ${path} is not written: nothing was found\n`);
  }
  for (const line of result.omitted ?? []) stderr.text(`faultline: ${options.emitC!}: ${line}\n`);
  stdout.text(options.json === true ? jsonOfCheck(wish, options.strategy, result) : describeCheck(wish, options.strategy, result));
  if (stdout.failure !== null) throw new UserError(`standard output: ${stdout.failure}`);
  if (result.resumable && result.interrupted) stderr.text("faultline: --resume goes on from here\n");
  if (result.violation !== null) return EXIT_VIOLATION;
  return result.interrupted ? EXIT_INTERRUPTED : 0;
}

function wishOf(file: string, options: CheckOptions): CheckWish {
  const { strategy, preemptions, retries, depth, seed, replay, trace, emitC, seconds = Infinity, release, without, patch, driver } = options;
  const samples = strategy === "pct" || strategy === "walk" || strategy === "random";
  const refuse = (option: string): UserError => new UserError(`--${option} has no meaning with --strategy ${strategy}`);
  if (preemptions !== undefined && samples) throw refuse("preemptions");
  if (retries !== undefined && samples) throw refuse("retries");
  if (depth !== undefined && strategy !== "pct") throw refuse("depth");
  if (seed !== undefined && !samples) throw refuse("seed");
  const { executions = samples && options.seconds === undefined ? SAMPLES : Infinity } = options;
  return {
    file,
    release,
    without,
    patch,
    driver,
    preemptions: preemptions ?? Infinity,
    ...(retries === undefined ? {} : { retries }),
    ...(samples ? { sampling: { policy: strategy, ...(seed === undefined ? {} : { seed }), ...(depth === undefined ? {} : { depth }) } } : {}),
    ...(replay === undefined ? {} : { replay }),
    ...(trace === undefined ? {} : { trace }),
    ...(emitC === undefined ? {} : { emitC }),
    executions,
    seconds,
    workers: options.workers ?? availableParallelism(),
    resume: options.resume === true,
  };
}

function progressOf(shared: Int32Array, rate: number): string {
  const executions = Atomics.load(shared, Shared.Executions);
  const bound = Atomics.load(shared, Shared.Bound);
  if (executions === 0) return "reading the scenario";
  const planned = Atomics.load(shared, Shared.Planned);
  const left = planned === 0 || rate === 0 ? "" : `; ${planned} more are known to be left, ${duration(planned / rate)} or more`;
  return `${executions} executions, ${rate}/s${bound < 0 ? "" : `, with ${bound} preemptions`}${left}`;
}

function duration(seconds: number): string {
  return seconds < 90 ? `${Math.ceil(seconds)} s` : seconds < 5400 ? `${Math.ceil(seconds / 60)} min` : `${Math.ceil(seconds / 3600)} h`;
}
