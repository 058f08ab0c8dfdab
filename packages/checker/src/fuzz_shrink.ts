import type { ExploreOptions } from "./explore.js";
import { search, titleOf, type Found, type FuzzFinding } from "./fuzz.js";
import { covers, isRange, isWord, operationsOf, type Operation, type Program, type ProgramThread } from "./fuzz_program.js";
import type { Sampling } from "./sampling.js";
import type { ViolationKind } from "./violation.js";

/** Executions of one smaller program: in all schedules of up to two preemptions first, then drawn. */
const BOUNDED = 600;
const DRAWN = 100;
/** Executions that go into the search of the shortest schedule of the smallest program. */
const LAST = 5000;
/** Executions of all smaller programs together. */
const BUDGET = 25_000;

/** What comes to an end in the wrong way, rather than to a wrong state. */
const ENDINGS: readonly ViolationKind[] = ["deadlock", "livelock", "lock-order", "engine", "nondeterminism"];

/** Whether one may be found for the other: a smaller program often shows another rule broken by the same mistake. */
function alike(a: ViolationKind, b: ViolationKind): boolean {
  return a === b || (!ENDINGS.includes(a) && !ENDINGS.includes(b));
}

/** The smallest program that can be found from one which breaks a rule, and the shortest schedule of that. */
export function shrinkProgram(first: Program, found: Found, sampling: Sampling, options: ExploreOptions, goOn: (operations: number) => boolean): FuzzFinding {
  const { kind } = found.violation;
  let left = BUDGET;
  const going = (): boolean => left-- > 0 && goOn(operationsOf(best.program));

  const drawn = (program: Program, minimise: boolean): Found | null => search(program, { ...options, sampling, minimise, executionsMax: DRAWN }, going);
  const bounded = (program: Program, executionsMax: number): Found | null => {
    const result = search(program, { ...options, executionsMax }, going);
    return result !== null && alike(result.violation.kind, kind) ? result : null;
  };
  const showing = (program: Program): FuzzFinding | null => {
    const all = { ...program, watched: null };
    const inAll = bounded(all, BOUNDED);
    return inAll === null ? finding(all, drawn(all, false), false) : finding(all, inAll, true);
  };
  const finding = (program: Program, result: Found | null, inAll: boolean): FuzzFinding | null =>
    result === null || !alike(result.violation.kind, kind) ? null : { program: { ...program, watched: result.word }, title: titleOf(program), violation: result.violation, bounded: inAll };

  let best = finding(first, found, false)!;
  for (let smaller = true; smaller; ) {
    smaller = false;
    for (const candidate of candidates(best.program)) {
      const shown = showing(candidate);
      if (shown === null) continue;
      best = shown;
      smaller = true;
      break;
    }
  }
  if (best.bounded) return best;
  left = LAST;
  const all = { ...best.program, watched: null };
  // Where it takes more than two preemptions, as few as minimising a schedule leaves.
  return finding(all, bounded(all, LAST), true) ?? finding(all, drawn(all, true), false) ?? best;
}

/** Programs that are a little smaller, those first that leave out most. */
function* candidates(program: Program): Generator<Program> {
  const { threads, setup } = program;
  for (let i = 0; i < threads.length; i++) if (threads.length > 1) yield withoutThread(program, i);
  if (setup.length > 1) yield { ...program, setup: [] };
  for (let i = 0; i < threads.length; i++) {
    const half = threads[i]!.operations.length >> 1;
    if (half < 2) continue;
    yield withOperations(program, i, threads[i]!.operations.slice(half));
    yield withOperations(program, i, threads[i]!.operations.slice(0, half));
  }
  for (let i = 0; i < threads.length; i++) {
    const { operations } = threads[i]!;
    if (operations.length > 1) for (let at = 0; at < operations.length; at++) yield withOperations(program, i, operations.toSpliced(at, 1));
  }
  for (let at = 0; at < setup.length; at++) yield { ...program, setup: setup.toSpliced(at, 1) };
  yield* simpler(program);
}

/** Programs of as many operations, with less in them. */
function* simpler(program: Program): Generator<Program> {
  const { pages, populated, threads, setup, cpus, devices } = program;
  const all = [...setup, ...threads.flatMap(({ operations }) => operations)];
  if (program.large) yield { ...program, large: false };
  if (pages > 1) {
    for (let page = 0; page < pages; page++) {
      if (!all.some((op) => covers(op, page))) yield mapOperations({ ...program, pages: pages - 1, populated: populated.toSpliced(page, 1) }, (op) => lower(op, page));
    }
  }
  if (program.swapSlots > 0) yield { ...program, swapSlots: 0 };
  const usedCpus = Math.max(1, ...threads.map(({ on }) => ("cpu" in on ? on.cpu + 1 : 0)));
  if (usedCpus < cpus) yield { ...program, cpus: usedCpus };
  const usedDevices = Math.max(0, ...all.map((op) => ("device" in op && (!isWord(op) || op.kind.startsWith("device")) ? op.device + 1 : 0)), ...threads.map(({ on }) => ("device" in on ? on.device + 1 : 0)));
  if (usedDevices < devices) yield { ...program, devices: usedDevices };
  for (let page = 0; page < pages; page++) {
    const moved = all.some((op) => (op.kind === "migrate" || op.kind === "offline") && op.page === page);
    if (populated[page]! && !moved) yield { ...program, populated: populated.with(page, false) };
  }
  for (let thread = -1; thread < threads.length; thread++) {
    const operations = thread < 0 ? setup : threads[thread]!.operations;
    for (let at = 0; at < operations.length; at++) {
      for (const op of simplerOperations(operations[at]!, populated)) {
        const rest = operations.with(at, op);
        yield thread < 0 ? { ...program, setup: rest } : withOperations(program, thread, rest);
      }
    }
  }
}

function* simplerOperations(op: Operation, populated: readonly boolean[]): Generator<Operation> {
  if (isRange(op) && op.pages > 1) {
    yield { ...op, pages: 1 };
    yield { ...op, pages: op.pages - 1 };
    yield { ...op, page: op.page + 1, pages: op.pages - 1 };
  }
  if (op.kind === "reclaim" && op.pages > 1) yield { ...op, pages: 1 };
  if (op.kind === "gup" && op.hold) yield { ...op, hold: false };
  if ("page" in op && op.page > 0 && (populated[0]! || (op.kind !== "migrate" && op.kind !== "offline"))) yield { ...op, page: 0 };
  if (op.kind === "mirror" && op.write) yield { ...op, write: false };
  if (op.kind === "gup" && op.write) yield { ...op, write: false };
}

function withOperations(program: Program, thread: number, operations: readonly Operation[]): Program {
  return { ...program, threads: program.threads.with(thread, { ...program.threads[thread]!, operations }) };
}

/** One thread less; the words of those behind it move up. */
function withoutThread(program: Program, thread: number): Program {
  const word = thread + 1;
  return mapOperations({ ...program, threads: program.threads.toSpliced(thread, 1), setup: program.setup.filter((op) => !isWord(op) || op.word !== word) }, (op) =>
    isWord(op) && op.word > word ? { ...op, word: op.word - 1 } : op,
  );
}

/** One page less. */
function lower(op: Operation, gone: number): Operation {
  return "page" in op && op.page > gone ? { ...op, page: op.page - 1 } : op;
}

function mapOperations(program: Program, map: (op: Operation) => Operation): Program {
  const threads: ProgramThread[] = program.threads.map(({ on, operations }) => ({ on, operations: operations.map(map) }));
  return { ...program, setup: program.setup.map(map), threads };
}
