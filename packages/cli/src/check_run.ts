import { Exploration, ScenarioError, type ExploreOptions, type Report, type Violation } from "@faultline/checker";
import { firstLine, UserError } from "./failure.js";
import { overlaysOf, type KernelOptions } from "./kernel_options.js";
import type { LoadedPatch } from "./patch_file.js";
import { loadScenario, type LoadedScenario } from "./scenario_file.js";
import { UserModule } from "./user_module.js";

/** What is to be explored, and for how long. */
export interface CheckWish extends KernelOptions {
  readonly file: string;
  /** Infinity: every order that can differ. */
  readonly preemptions: number;
  readonly executions: number;
  readonly seconds: number;
}

/** What an exploration says while it runs, and is told. */
export interface CheckControl {
  /** Files are good, and what is the user's is about to run: whatever takes long from here on may be his. */
  begin(): void;
  /** Ahead of each execution. */
  pulse(): void;
  progress(executions: number, bound: number): void;
  /** Whether to come to an end. */
  stopped(): boolean;
}

export interface CheckResult {
  readonly report: Report;
  readonly seconds: number;
  readonly interrupted: boolean;
}

/** A result, or what the user can put right, a line each. */
export type CheckOutcome = { readonly result: CheckResult } | { readonly complaints: readonly string[] };

/** Loads a scenario and explores it. Throws what is a bug of Faultline's. */
export async function runCheck(wish: CheckWish, control: CheckControl): Promise<CheckOutcome> {
  try {
    const module = new UserModule("scenario", wish.file);
    const typeErrors = await module.typeErrors();
    if (typeErrors.length > 0) return { complaints: typeErrors.map((error) => module.complaint(error).message) };
    control.begin();
    const scenario = await loadScenario(module);
    const { overlays, loaded } = await overlaysOf(wish);
    return { result: exploreScenario(scenario, loaded, wish, { overlays, executionsMax: wish.executions, pulse: () => control.pulse() }, control) };
  } catch (error) {
    if (error instanceof UserError) return { complaints: [error.message] };
    throw error;
  }
}

function exploreScenario(scenario: LoadedScenario, patches: readonly LoadedPatch[], wish: CheckWish, options: ExploreOptions, control: CheckControl): CheckResult {
  const exploration = new Exploration(scenario.scenario, { ...options, preemptions: wish.preemptions });
  const start = performance.now();
  const end = start + wish.seconds * 1000;
  try {
    while (!control.stopped() && performance.now() < end && exploration.step()) control.progress(exploration.executions, exploration.bound);
  } catch (error) {
    const culprit = culpritOf(error instanceof Error ? (error.stack ?? "") : "", scenario, patches);
    if (culprit !== null) throw new UserError(`${culprit}: ${firstLine(error)}`);
    if (error instanceof ScenarioError) throw new UserError(`scenario ${scenario.file}: ${firstLine(error)}`);
    throw error;
  }
  const report = exploration.report();
  if (report.violation?.kind === "engine") blame(report.violation, scenario, patches);
  return { report, seconds: (performance.now() - start) / 1000, interrupted: control.stopped() };
}

/** An exception is no finding where it comes out of the user's own code. */
function blame({ message }: Violation, scenario: LoadedScenario, patches: readonly LoadedPatch[]): void {
  const culprit = culpritOf(message, scenario, patches);
  if (culprit !== null) throw new UserError(`${culprit}: threw in a schedule: ${firstLine(message)}`);
}

/** Whose code threw, by the innermost frame of the stack; null for the engine's own. */
function culpritOf(stack: string, scenario: LoadedScenario, patches: readonly LoadedPatch[]): string | null {
  const frame = stack.split("\n").find((line) => /^\s+at /.test(line)) ?? "";
  if (frame.includes(scenario.path)) return `scenario ${scenario.file}`;
  const patch = patches.find(({ path }) => frame.includes(path));
  return patch === undefined ? null : `patch ${patch.file}`;
}
