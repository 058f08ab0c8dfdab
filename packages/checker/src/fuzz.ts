import { SeededChoices, type OverlayFactory } from "@faultline/kernel";
import { exploration as explorationOf, type ExploreOptions } from "./explore.js";
import { Generator, type GenerateOptions } from "./fuzz_generate.js";
import type { Program, Watched } from "./fuzz_program.js";
import { scenarioOf } from "./fuzz_scenario.js";
import { shrinkProgram } from "./fuzz_shrink.js";
import type { Sampling } from "./sampling.js";
import type { Violation } from "./violation.js";

export interface FuzzOptions extends GenerateOptions {
  /** A 32-bit number; 1 by default. The same seed makes the same programs and schedules. */
  readonly seed?: number;
  /** Patches on top of mainline. */
  readonly overlays?: readonly OverlayFactory[];
  /** Executions of the search; as many as `searching` allows by default. Shrinking has its own. */
  readonly executionsMax?: number;
  /** Called ahead of each execution. */
  readonly pulse?: () => void;
  /** Asked ahead of each execution of the search: whether to go on. */
  readonly searching?: (covered: FuzzCoverage) => boolean;
  /** The same while a finding is shrunk, with the fewest operations so far. */
  readonly shrinking?: (operations: number) => boolean;
}

export interface FuzzCoverage {
  readonly programs: number;
  readonly executions: number;
  readonly points: number;
}

/** A program that breaks a rule, as small as could be found. */
export interface FuzzFinding {
  readonly program: Program;
  readonly title: string;
  readonly violation: Violation;
  /** Whether looking through all schedules of up to two preemptions comes to it. */
  readonly bounded: boolean;
}

export interface FuzzReport extends FuzzCoverage {
  readonly seed: number;
  readonly finding: FuzzFinding | null;
}

const SEED = 1;
/** Schedules of one program: most of what a small one can show comes early, and another program shows more. */
const SCHEDULES = 24;
const POLICIES: readonly Sampling["policy"][] = ["pct", "random", "walk"];
/** With more preemptions than this, somebody was always there to undo what another had done: that can go on for ever. */
const LIVELOCK_PREEMPTIONS = 8;
const PCT_DEPTHS = [2, 3, 4];

/** Runs random programs on random schedules until one breaks a rule, and makes that one small. */
export function fuzz(options: FuzzOptions): FuzzReport {
  const { seed = SEED, executionsMax = Infinity, searching = () => true } = options;
  const generator = new Generator(new SeededChoices(seed), options);
  const covered = { programs: 0, executions: 0, points: 0 };
  const goOn = (): boolean => {
    if (covered.executions >= executionsMax || !searching(covered)) return false;
    covered.executions++;
    return true;
  };
  while (covered.executions < executionsMax && searching(covered)) {
    const program = generator.next();
    covered.programs++;
    const sampling = samplingOf(seed, covered.programs);
    const found = search(program, { ...exploring(options), sampling, minimise: false, executionsMax: SCHEDULES }, goOn, (points) => (covered.points += points));
    if (found !== null) return { ...covered, seed, finding: shrinkProgram(program, found, sampling, exploring(options), options.shrinking ?? (() => true)) };
  }
  return { ...covered, seed, finding: null };
}

function exploring({ overlays = [], pulse }: FuzzOptions): ExploreOptions {
  return { overlays, ...(pulse === undefined ? {} : { pulse }) };
}

/** Each program has its schedules drawn in one way, from a seed of its own. */
function samplingOf(seed: number, program: number): Sampling {
  const policy = POLICIES[program % POLICIES.length]!;
  const depth = PCT_DEPTHS[Math.floor(program / POLICIES.length) % PCT_DEPTHS.length]!;
  return { policy, seed: (Math.imul(seed, 0x9e3779b1) + program) >>> 0, ...(policy === "pct" ? { depth } : {}) };
}

/** What an exploration of a program has come to. */
export interface Found {
  readonly violation: Violation;
  /** The word whose contents were wrong, where that is what was found. */
  readonly word: Watched | null;
}

/** Explores a program; null when nothing was found before it ended, or was to end. */
export function search(program: Program, options: ExploreOptions, goOn: () => boolean, covered?: (points: number) => void): Found | null {
  let word: Watched | null = null;
  const exploration = explorationOf(scenarioOf(program, titleOf(program), (at) => (word = at)), options);
  const { executionsMax = Infinity } = options;
  while (exploration.executions < executionsMax && goOn() && exploration.step());
  const { points, violation } = exploration.report();
  covered?.(points);
  if (violation?.kind === "livelock" && violation.preemptions > LIVELOCK_PREEMPTIONS) return null;
  return violation === null ? null : { violation, word: violation.kind === "outcome" ? word : null };
}

const NOTABLE: Partial<Record<string, string>> = {
  munmap: "munmap",
  mmap: "mmap",
  mprotect: "mprotect",
  reclaim: "reclaim",
  migrate: "migration",
  offline: "offlining",
  gup: "get_user_pages_fast",
  exclusive: "device-exclusive access",
  mirror: "hmm_range_fault",
  "device-load": "device load",
  "device-store": "device store",
  "device-add": "device atomic",
  load: "CPU load",
  store: "CPU store",
  add: "CPU atomic",
  drain: "lru_add_drain_all",
};

/** What meets what: the last thing that each thread does, by its name. */
export function titleOf({ threads }: Program): string {
  const names = threads.map(({ operations }) => {
    const op = operations.at(-1);
    return op === undefined ? "nothing" : op.kind === "madvise" ? `MADV_${op.advice}` : NOTABLE[op.kind]!;
  });
  return names.join(" against ");
}
