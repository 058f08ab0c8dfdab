import { existsSync, statSync, writeFileSync } from "node:fs";
import { dirname, resolve } from "node:path";
import { formatSchedule, fuzz, operationsOf, printProgram, replay, type FuzzCoverage, type FuzzFinding, type Violation } from "@faultline/checker";
import { DEFAULT_RELEASE, type OverlayFactory } from "@faultline/kernel";
import { firstLine, UserError } from "./failure.js";
import { overlaysOf, type KernelOptions } from "./kernel_options.js";
import { loadScenario } from "./scenario_file.js";
import { UserModule } from "./user_module.js";
import { shellQuote } from "./values.js";

/** What is to be tried, and for how long. */
export interface FuzzWish extends KernelOptions {
  readonly seed: number;
  readonly threads?: number;
  readonly executions: number;
  readonly seconds: number;
  /** File to write; a name that is free by default. */
  readonly out?: string;
}

/** What fuzzing says while it runs, and is told. */
export interface FuzzControl {
  /** Files are good, and patches of the user's are about to run. */
  begin(): void;
  pulse(): void;
  searching(covered: FuzzCoverage): void;
  /** A finding is being shrunk, and has so many operations now. */
  shrinking(operations: number): void;
  /** Whether to come to an end. */
  stopped(): boolean;
}

export interface FuzzResult extends FuzzCoverage {
  readonly seconds: number;
  readonly interrupted: boolean;
  readonly found: FoundScenario | null;
}

/** A finding, and the file that has it. */
export interface FoundScenario {
  readonly file: string;
  readonly title: string;
  readonly operations: number;
  /** Whether `check` comes to it by itself, with the preemptions that it tries by default. */
  readonly bounded: boolean;
  readonly violation: Violation;
}

/** A result, or what the user can put right, a line each. */
export type FuzzOutcome = { readonly result: FuzzResult } | { readonly complaints: readonly string[] };

/** Fuzzes, and writes down what is found. Throws what is a bug of Faultline's. */
export async function runFuzz(wish: FuzzWish, control: FuzzControl): Promise<FuzzOutcome> {
  try {
    const file = wish.out ?? freeName(wish.seed);
    if (!existsSync(dirname(resolve(file)))) throw new UserError(`${file}: there is no such folder`);
    if (wish.out !== undefined) refuseUnfit(wish.out, wish.patch);
    const { overlays, loaded } = await overlaysOf(wish);
    control.begin();
    const start = performance.now();
    const end = start + wish.seconds * 1000;
    let seconds = 0;
    const { seed, threads, executions: executionsMax } = wish;
    const report = fuzz({
      seed,
      overlays,
      executionsMax,
      ...(threads === undefined ? {} : { threads }),
      // Before 6.15 nothing can move a page that a device has exclusively.
      movable: wish.release === DEFAULT_RELEASE,
      pulse: () => control.pulse(),
      searching: (covered) => {
        seconds = (performance.now() - start) / 1000;
        control.searching(covered);
        return !control.stopped() && performance.now() < end;
      },
      shrinking: (operations) => {
        control.shrinking(operations);
        return !control.stopped();
      },
    });
    const { programs, executions, points, finding } = report;
    const culprit = finding === null || finding.violation.kind !== "engine" ? undefined : loaded.find(({ path }) => innermost(finding.violation.message).includes(path));
    if (culprit !== undefined) throw new UserError(`patch ${culprit.file}: threw in a schedule: ${firstLine(finding!.violation.message)}`);
    const found = finding === null ? null : await write(file, finding, wish, overlays);
    return { result: { programs, executions, points, seconds, interrupted: control.stopped(), found } };
  } catch (error) {
    if (error instanceof UserError) return { complaints: [error.message] };
    throw error;
  }
}

function innermost(stack: string): string {
  return stack.split("\n").find((line) => /^\s+at /.test(line)) ?? "";
}

/** @throws UserError when it cannot be the file: nobody wants to hear of it after hours of searching */
function refuseUnfit(file: string, patches: readonly string[]): void {
  if (!/\.m?ts$/.test(file)) throw new UserError(`${file}: a scenario's file is named FILE.ts`);
  if (existsSync(file) && !statSync(file).isFile()) throw new UserError(`${file}: is not a file`);
  if (patches.some((patch) => resolve(patch) === resolve(file))) throw new UserError(`${file}: is the patch, and would be written over`);
}

/** A name for which there is no file yet. */
function freeName(seed: number): string {
  for (let n = 1; ; n++) {
    const name = `fuzz-${seed}${n === 1 ? "" : `-${n}`}.ts`;
    if (!existsSync(name)) return name;
  }
}

/** Writes the scenario, and runs it as it was written: what is reported is what the file shows. */
async function write(file: string, { program, title, violation, bounded }: FuzzFinding, wish: FuzzWish, overlays: readonly OverlayFactory[]): Promise<FoundScenario> {
  const kernel = [wish.release, ...wish.without.map((name) => `--without ${name}`), ...wish.patch.map((patch) => `--patch ${shellQuote(patch)}`)];
  const notes = [`Found by faultline fuzz --seed ${wish.seed}, on ${kernel.join(" ")}:`, `${violation.kind}, in the schedule ${formatSchedule(violation.decisions)}.`];
  try {
    writeFileSync(file, printProgram(program, { title, notes: notes.map((line) => line.replaceAll("*/", "* /")) }));
  } catch (error) {
    throw new UserError(`${file}: cannot be written: ${firstLine(error)}`);
  }
  const { scenario } = await loadScenario(new UserModule("scenario", file));
  const shown = replay(scenario, violation.decisions, { overlays });
  // What is known of lock order comes from many executions, and one alone need not show it.
  if (shown?.kind !== violation.kind && violation.kind !== "lock-order") {
    throw new Error(`${file} shows ${shown === null ? "nothing" : shown.kind} instead of ${violation.kind} in the schedule ${formatSchedule(violation.decisions)}`);
  }
  return { file, title, operations: operationsOf(program), bounded, violation: shown ?? violation };
}
