import { existsSync } from "node:fs";
import { dirname, resolve } from "node:path";
import { Exploration, replay, ScenarioError, type Decision, type ExploreOptions, type Report, type Sampling, type Scenario, type Violation, type Watch } from "@faultline/checker";
import { PAGE_SIZE, type Machine } from "@faultline/kernel";
import { EmittedFile } from "./emit_c_file.js";
import { firstLine, UserError } from "./failure.js";
import { overlaysOf, type KernelOptions } from "./kernel_options.js";
import type { LoadedPatch } from "./patch_file.js";
import { Recording } from "./recording.js";
import { loadScenario, type LoadedScenario } from "./scenario_file.js";
import { UserModule } from "./user_module.js";

/** What is to be explored, and for how long. */
export interface CheckWish extends KernelOptions {
  readonly file: string;
  /** Infinity: every order that can differ. */
  readonly preemptions: number;
  readonly sampling?: Sampling;
  /** This execution alone. */
  readonly replay?: readonly Decision[];
  /** File to record the execution to that breaks a rule. */
  readonly trace?: string;
  /** File for the violation as a C program. */
  readonly emitC?: string;
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
  /** Null after a replay, which explores nothing. */
  readonly report: Report | null;
  readonly title: string;
  readonly violation: Violation | null;
  readonly seconds: number;
  readonly interrupted: boolean;
  /** What the C program that was asked for leaves out, a line each. */
  readonly omitted?: readonly string[];
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
    const recorder = wish.trace === undefined ? null : new ViolationRecording(wish.trace, scenario.scenario, wish);
    const emitted = wish.emitC === undefined ? null : new EmittedFile(wish.emitC, wish);
    const { guests } = scenario;
    const options: ExploreOptions = { overlays, ...(guests === undefined ? {} : { guests }), pulse: () => control.pulse(), ...(recorder === null ? {} : { watch: (m) => recorder.watch(m) }) };
    const result = guarded(scenario, loaded, () => (wish.replay === undefined ? exploreAll(scenario.scenario, wish, options, control) : replayOne(scenario.scenario, wish.replay, options)));
    recorder?.end();
    if (emitted === null || result.violation === null) return { result };
    return { result: { ...result, omitted: emitted.write(scenario.scenario, result.violation) } };
  } catch (error) {
    if (error instanceof UserError) return { complaints: [error.message] };
    throw error;
  }
}

function exploreAll(scenario: Scenario, wish: CheckWish, options: ExploreOptions, control: CheckControl): CheckResult {
  const { sampling, preemptions, executions: executionsMax } = wish;
  const exploration = new Exploration(scenario, { ...options, executionsMax, preemptions, ...(sampling === undefined ? {} : { sampling }) });
  const start = performance.now();
  const end = start + wish.seconds * 1000;
  while (!control.stopped() && performance.now() < end && exploration.step()) control.progress(exploration.executions, exploration.bound);
  const report = exploration.report();
  return { report, title: scenario.title, violation: report.violation, seconds: (performance.now() - start) / 1000, interrupted: control.stopped() };
}

function replayOne(scenario: Scenario, decisions: readonly Decision[], options: ExploreOptions): CheckResult {
  return { report: null, title: scenario.title, violation: replay(scenario, decisions, options), seconds: 0, interrupted: false };
}

/**
 * An exception is no finding where it comes out of the user's own code.
 * @throws UserError that names the file
 */
function guarded(scenario: LoadedScenario, patches: readonly LoadedPatch[], explore: () => CheckResult): CheckResult {
  let result: CheckResult;
  try {
    result = explore();
  } catch (error) {
    const stack = error instanceof Error ? (error.stack ?? "") : "";
    const culprit = culpritOf(stack, scenario, patches);
    if (culprit !== null) throw new UserError(`${culprit} ${firstLine(error)}`);
    if (error instanceof ScenarioError) throw new UserError(`scenario ${scenario.file}:${placeIn(stack, scenario.path)} ${firstLine(error)}`);
    throw error;
  }
  const { violation } = result;
  if (violation?.kind === "engine") {
    const culprit = culpritOf(violation.message, scenario, patches);
    if (culprit !== null) throw new UserError(`${culprit} threw in a schedule: ${firstLine(violation.message)}`);
  }
  return result;
}

/** The trace of an execution that broke a rule; no file is written before there is one. */
class ViolationRecording {
  private recording: Recording | null = null;
  /** The file cannot be written. The checker must not see the exception: it would take it for the engine's. */
  private failure: unknown = null;

  /** @throws UserError when there is no such folder: nobody wants to hear of it after hours of exploring */
  constructor(
    private readonly path: string,
    private readonly scenario: Scenario,
    private readonly wish: CheckWish,
  ) {
    if (!existsSync(dirname(resolve(path)))) throw new UserError(`${path}: there is no such folder`);
  }

  watch(m: Machine): ReturnType<Watch> {
    try {
      this.recording = this.open(m);
      return this.recording.attach(m);
    } catch (error) {
      this.failure = error;
      return { sink: { point: () => {}, emit: () => {} } };
    }
  }

  /** @throws UserError when the file could not be written */
  end(): void {
    if (this.failure !== null) throw this.failure;
    this.recording?.end("exited");
  }

  private open(m: Machine): Recording {
    const { release, without, patch, file } = this.wish;
    const { frames, swapSlots, cpus } = m.config;
    return new Recording(this.path, false, {
      program: file,
      args: [this.scenario.title],
      release,
      without,
      patches: patch,
      memory: frames * PAGE_SIZE,
      swap: swapSlots * PAGE_SIZE,
      cpus,
      seed: m.config.seed,
      before: [],
      lines: [],
    });
  }
}

/** Whose code threw, and where, by the innermost frame of the stack; null for the engine's own. */
function culpritOf(stack: string, scenario: LoadedScenario, patches: readonly LoadedPatch[]): string | null {
  const frame = stack.split("\n").find((line) => /^\s+at /.test(line)) ?? "";
  if (frame.includes(scenario.path)) return `scenario ${scenario.file}:${placeIn(frame, scenario.path)}`;
  const patch = patches.find(({ path }) => frame.includes(path));
  return patch === undefined ? null : `patch ${patch.file}:${placeIn(frame, patch.path)}`;
}

/** The innermost line of a file that a stack names, as " line 7:"; empty where it names none. Columns are those of the JavaScript. */
function placeIn(stack: string, path: string): string {
  const at = stack.indexOf(`${path}:`);
  const line = at < 0 ? null : /^\d+/.exec(stack.slice(at + path.length + 1));
  return line === null ? "" : ` line ${line[0]}:`;
}
