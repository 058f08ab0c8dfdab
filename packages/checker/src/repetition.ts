import type { Step } from "./violation.js";

/** Longer stretches than this are not looked for. */
const PERIOD_MAX = 2000;
/** A stretch that comes so often is a repetition. */
const TURNS_MIN = 3;

export interface Repetition {
  /** Where it begins, as an index, and how many steps one turn of it has. */
  readonly start: number;
  readonly period: number;
}

/** What steps repeat to their end: the shortest stretch; null when they repeat nothing. */
export function repetitionOf(steps: readonly Step[]): Repetition | null {
  const end = steps.length;
  for (let period = 1; period <= Math.min(PERIOD_MAX, Math.floor(end / TURNS_MIN)); period++) {
    let start = end - period;
    while (start > 0 && same(steps[start - 1]!, steps[start - 1 + period]!)) start--;
    if (end - start >= TURNS_MIN * period) return { start, period };
  }
  return null;
}

/** An execution without the turns of loops that are like the ones before: of each, two are left. */
export function withoutRepetitions(trace: readonly Step[]): Step[] {
  const left: Step[] = [];
  for (let from = 0; from < trace.length; ) {
    let to = from;
    while (to < trace.length && trace[to]!.thread === trace[from]!.thread && trace[to]!.executor === trace[from]!.executor) to++;
    const turn = trace.slice(from, to);
    const repetition = repetitionOf(turn);
    for (const step of repetition === null ? turn : turn.slice(0, repetition.start + 2 * repetition.period)) left.push(step);
    from = to;
  }
  return left;
}

/** What a thread repeats, or did last, in words: "repeats in f(): a, b". Empty when it has done nothing. */
export function describeRepetition(trace: readonly Step[], executor: string, thread: string): string {
  const own = trace.filter((step) => step.executor === executor && step.thread === thread && step.words !== "");
  const repetition = repetitionOf(own);
  const steps = repetition === null ? own.slice(-LAST) : own.slice(-repetition.period);
  const words = [...new Set(steps.map((step) => step.words))];
  if (words.length === 0) return "";
  const functions = [...new Set(steps.flatMap((step) => (step.function === "" ? [] : [`${step.function}()`])))];
  const shown = words.slice(0, WORDS_MAX).map((word) => `"${word}"`);
  if (words.length > WORDS_MAX) shown.push(`${words.length - WORDS_MAX} more`);
  const where = functions.length === 0 ? "" : ` in ${functions.slice(0, WORDS_MAX).join(", ")}`;
  return `${repetition === null ? "last did" : "repeats"}${where}: ${shown.join(", ")}`;
}

const LAST = 3;
const WORDS_MAX = 5;

function same(a: Step, b: Step): boolean {
  return a.op === b.op && a.object === b.object && a.thread === b.thread && a.executor === b.executor;
}
