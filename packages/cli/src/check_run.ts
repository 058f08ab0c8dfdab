import { existsSync } from "node:fs";
import { dirname, relative, resolve } from "node:path";
import { Explorer, findingOf, replay, reportOf, ScenarioError, type Decision, type Report, type RunOptions, type Sampling, type Scenario, type SearchOptions, type Violation, type Watch } from "@faultline/checker";
import { PAGE_SIZE, type Machine } from "@faultline/kernel";
import { EVERY_EVENT, StepCounter } from "@faultline/trace";
import { runSearch } from "./check_search.js";
import { checkDrivers, loadDrivers } from "./driver_file.js";
import { EmittedFile } from "./emit_c_file.js";
import { firstLine, UserError } from "./failure.js";
import { overlaysOf, type KernelOptions } from "./kernel_options.js";
import { Recording } from "./recording.js";
import { SavedFile } from "./saved_file.js";
import { loadScenario, type LoadedScenario } from "./scenario_file.js";
import { perSecond } from "./values.js";
import { callerOf, placeIn, type UsersModule } from "./user_code.js";
import { UserModule } from "./user_module.js";

/** What is to be explored, and for how long. */
export interface CheckWish extends KernelOptions {
  readonly file: string;
  /** Files of the user's own drivers. */
  readonly driver: readonly string[];
  /** Infinity: every order that can differ. */
  readonly preemptions: number;
  /** Turns of a retry loop in one call beyond which an execution is followed no further. */
  readonly retries?: number;
  readonly sampling?: Sampling;
  /** This execution alone. */
  readonly replay?: readonly Decision[];
  /** File to record the execution to that breaks a rule. */
  readonly trace?: string;
  /** File for the violation as a C program. */
  readonly emitC?: string;
  readonly executions: number;
  readonly seconds: number;
  /** Threads that share the search. */
  readonly workers: number;
  /** Goes on where an earlier exploration had got to. */
  readonly resume: boolean;
}

/** What an exploration says while it runs, and is told. */
export interface CheckControl {
  /** Files are good, and what is the user's is about to run: whatever takes long from here on may be his. */
  begin(): void;
  /** Ahead of each execution. */
  pulse(): void;
  progress(executions: number, bound: number, planned: number): void;
  /** Whether to come to an end. */
  stopped(): boolean;
  /** A line for the user that is no result. */
  warn(line: string): void;
  /** What the command's threads share. */
  readonly shared: Int32Array;
}

export interface CheckResult {
  /** Null after a replay, which explores nothing. */
  readonly report: Report | null;
  readonly title: string;
  readonly violation: Violation | null;
  /** Executions in a second of this exploration; those before it went on are not its. */
  readonly rate: number;
  readonly interrupted: boolean;
  /** There is something to go on with. */
  readonly resumable: boolean;
  /** What the C program that was asked for leaves out, a line each. */
  readonly omitted?: readonly string[];
}

/** A result, or what the user can put right, a line each. */
export type CheckOutcome = { readonly result: CheckResult } | { readonly complaints: readonly string[] };

/** A scenario, ready to be explored. */
export interface Prepared {
  readonly scenario: Scenario;
  /** Paths of all that is the user's: the scenario, its programs, the patches. */
  readonly files: readonly string[];
  readonly options: RunOptions;
  readonly search: SearchOptions;
  /**
   * Runs what may run code of the user's.
   * @throws UserError that names the file, for an exception that comes out of it
   */
  guarded<T>(run: () => T): T;
  /**
   * A violation; of one that is an exception of the user's own the message says whose, and where.
   * @throws UserError for such a one that no schedule is needed for
   */
  told(violation: Violation): Violation;
}

/**
 * Loads a scenario, and the kernel that it is to run on. `modules`: of drivers that have been checked.
 * @throws UserError naming the file and what is wrong with it
 */
export async function prepare(wish: CheckWish, modules = wish.driver.map((file) => new UserModule("driver", file))): Promise<Prepared> {
  const drivers = await loadDrivers(modules);
  const loaded = await loadScenario(new UserModule("scenario", wish.file), drivers.map(({ driver }) => driver));
  const { overlays, loaded: patches } = await overlaysOf(wish);
  const users: readonly UsersModule[] = [...patches, ...drivers];
  const { scenario, guests } = loaded;
  const { sampling, preemptions, retries, executions: executionsMax } = wish;
  return {
    scenario,
    files: [...loaded.programs, ...users.flatMap(({ sources }) => sources)],
    options: { overlays, drivers: drivers.map(({ driver }) => driver), ...(guests === undefined ? {} : { guests }) },
    search: { executionsMax, preemptions, retries, sampling },
    guarded: (run) => {
      try {
        return run();
      } catch (error) {
        const stack = error instanceof Error ? (error.stack ?? "") : "";
        const culprit = culpritOf(stack, loaded, users);
        if (culprit !== null) throw new UserError(`${culprit.replace(/,$/, ":")} ${firstLine(error)}`);
        if (error instanceof ScenarioError) throw new UserError(`scenario ${wish.file}:${placeIn(stack, loaded.path)} ${firstLine(error)}`);
        throw error;
      }
    },
    told: (violation) => {
      const { kind, message, decisions } = violation;
      const culprit = kind === "engine" ? culpritOf(message, loaded, users) : null;
      if (culprit === null) {
        const caller = kind === "engine" ? callerOf(message, users) : null;
        return caller === null ? violation : { ...violation, message: `${firstLine(message)}, in what ${caller} calls` };
      }
      const said = `${culprit} threw in a schedule: ${firstLine(message)}`;
      if (decisions.length === 0) throw new UserError(said);
      return { ...violation, message: said };
    },
  };
}

/** Loads a scenario and explores it. Throws what is a bug of Faultline's. */
export async function runCheck(wish: CheckWish, control: CheckControl): Promise<CheckOutcome> {
  try {
    const module = new UserModule("scenario", wish.file);
    const typeErrors = module.typeErrors();
    if (typeErrors.length > 0) return { complaints: typeErrors.map((error) => module.complaint(error).message) };
    const drivers = checkDrivers(wish.driver);
    control.begin();
    const prepared = await prepare(wish, drivers);
    const { scenario } = prepared;
    const recorder = wish.trace === undefined ? null : new ViolationRecording(wish.trace, scenario, wish);
    const emitted = wish.emitC === undefined ? null : new EmittedFile(wish.emitC, wish);
    const options: RunOptions = { ...prepared.options, pulse: () => control.pulse(), ...(recorder === null ? {} : { watch: (m) => recorder.watch(m) }) };
    const result = wish.replay === undefined ? await exploreAll(prepared, options, wish, module.sources, control) : replayOne(prepared, wish.replay, options);
    if (result.violation !== null) recorder?.end(result.violation);
    if (emitted === null || result.violation === null) return { result };
    return { result: { ...result, omitted: emitted.write(scenario, result.violation) } };
  } catch (error) {
    if (error instanceof UserError) return { complaints: [error.message] };
    throw error;
  }
}

async function exploreAll(prepared: Prepared, options: RunOptions, wish: CheckWish, sources: readonly string[], control: CheckControl): Promise<CheckResult> {
  const { scenario, files, search: searchOptions, guarded, told } = prepared;
  const explorer = new Explorer(scenario, { ...options, ...searchOptions });
  const here: Pick<Explorer, "explore"> = { explore: (unit, visited, executed) => guarded(() => explorer.explore(unit, visited, executed)) };
  const saved = new SavedFile(wish, [...sources, ...files], (line) => control.warn(line));
  const start = performance.now();
  const search = await runSearch(wish, searchOptions, here, saved, {
    executed: (of, executions) => control.progress(executions, of.bound, of.planned),
    stopped: () => control.stopped(),
    shared: control.shared,
  });
  const { found } = search;
  const seconds = (performance.now() - start) / 1000;
  const violation = found === null ? null : told(guarded(() => explorer.explain(found)));
  const report = reportOf(scenario.title, search, violation);
  const resumable = violation === null && !report.complete;
  if (resumable) saved.write(search.save());
  else saved.remove();
  return { report, title: scenario.title, violation, rate: perSecond(report.executions - search.before, seconds), interrupted: control.stopped(), resumable };
}

function replayOne({ scenario, guarded, told }: Prepared, decisions: readonly Decision[], options: RunOptions): CheckResult {
  const found = guarded(() => replay(scenario, decisions, options));
  return { report: null, title: scenario.title, violation: found === null ? null : told(found), rate: 0, interrupted: false, resumable: false };
}

/** The trace of an execution that broke a rule; no file is written before there is one. */
class ViolationRecording {
  private recording: Recording | null = null;
  private steps: StepCounter | null = null;
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
      const recording = this.open(m);
      const { sink, locks } = recording.attach(m);
      this.recording = recording;
      this.steps = new StepCounter(sink, () => recording.events);
      return { sink: this.steps, locks };
    } catch (error) {
      this.failure = error;
      return { sink: { point: () => {}, emit: () => {} } };
    }
  }

  /** @throws UserError when the file could not be written */
  end(violation: Violation): void {
    if (this.failure !== null) throw this.failure;
    this.recording?.end("exited", findingOf(violation, (steps) => this.steps!.eventAt(steps)));
  }

  private open(m: Machine): Recording {
    const { release, without, patch, driver, file } = this.wish;
    const { frames, swapSlots, cpus } = m.config;
    const run = {
      program: file,
      args: [this.scenario.title],
      release,
      without,
      patches: patch,
      drivers: driver,
      memory: frames * PAGE_SIZE,
      swap: swapSlots * PAGE_SIZE,
      cpus,
      seed: m.config.seed,
      before: [],
      lines: [],
    };
    // An execution is short, and is looked at function by function.
    return new Recording(this.path, true, run, EVERY_EVENT);
  }
}

/** Frames that are nobody's mistake: steps of generators, what traces them, and where locks and arrays do what was asked. */
const NOT_THE_CALLERS = /\(<anonymous>\)|^\s+at (?:new|assert\w+) |\/(?:kernel\/(?:locks|ftrace)|drivers\/device|arch\/uaccess)\.js:/;

/**
 * Whose code threw, and where: by the innermost frame of the stack, or by the one that called the function of the kernel's
 * which did, where that is a driver's or a patch's; null for the engine's own.
 */
function culpritOf(stack: string, scenario: LoadedScenario, users: readonly UsersModule[]): string | null {
  const frames = stack.split("\n").filter((line) => /^\s+at /.test(line));
  if (frames[0]?.includes(scenario.path)) return `scenario ${scenario.file}:${placeIn(frames[0], scenario.path)}`;
  // The innermost function, unless it is a lock's own, and who called it.
  const ways = frames.filter((frame) => !NOT_THE_CALLERS.test(frame)).slice(0, 2);
  for (const frame of [frames[0] ?? "", ...ways]) {
    for (const user of users) {
      const source = user.sources.find((path) => frame.includes(path));
      if (source === undefined) continue;
      const file = source === user.path ? user.file : relative("", source);
      const inside = frame === ways[1] ? /at (?:\w+\.)?(\w+) /.exec(ways[0]!)?.[1] : undefined;
      return `${"driver" in user ? "driver" : "patch"} ${file}:${placeIn(frame, source)}${inside === undefined ? "" : ` ${inside}(), which it calls there,`}`;
    }
    if (frame.includes(scenario.path) && frame === ways[0]) return `scenario ${scenario.file}:${placeIn(frame, scenario.path)}`;
  }
  return null;
}
