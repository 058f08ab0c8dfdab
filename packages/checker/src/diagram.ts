import { conflicts, Op } from "@faultline/kernel";
import type { Step, Violation } from "./violation.js";

/** Steps of a turn that are always shown: where it begins, and where somebody else goes on. */
const HEAD = 1;
const TAIL = 3;
/** Besides, the last of those that conflict with what others do right before or after. */
const RACING = 6;
const GAP = "   ";

interface Turn {
  readonly executor: string;
  readonly thread: string;
  readonly steps: readonly Step[];
}

/** A line of a race diagram, and the step that it is, an index into the violation's; null for one that is none. */
export interface DiagramRow {
  readonly text: string;
  readonly step: number | null;
}

/** The race diagram as text. */
export function raceDiagram(violation: Violation): string {
  return diagramRows(violation)
    .map(({ text }) => `${text}\n`)
    .join("");
}

/**
 * Who did what in which order, up to the step that broke the rule: a column for each CPU and
 * device, steps under the kernel functions that took them. Of long turns only the beginning, the
 * end and what races is shown.
 */
export function diagramRows({ trace, decisive, at, kind }: Violation): DiagramRow[] {
  const turns = turnsOf(trace.slice(0, decisive), at);
  const numbers = new Map(trace.map((step, i) => [step, i]));
  const columns = [...new Set(turns.map(({ executor, thread }) => `${executor} (${thread})`))].sort();
  const rows: { readonly column: number; readonly text: string; readonly step: number | null }[] = [];
  const functions = columns.map(() => "");
  for (const [i, turn] of turns.entries()) {
    const column = columns.indexOf(`${turn.executor} (${turn.thread})`);
    const put = (text: string, step: number | null = null): void => {
      rows.push({ column, text, step });
    };
    if (i > 0) rows.push({ column: -1, text: "", step: null });
    const shown = interesting(turn, turns[i - 1], turns[i + 1]);
    for (const [j, step] of turn.steps.entries()) {
      if (!shown.has(j)) {
        if (shown.has(j - 1)) put(`  … ${skipped(shown, j, turn.steps.length)} more`);
        continue;
      }
      const where = placeOf(step);
      if (where !== functions[column]) {
        functions[column] = where;
        if (where !== "") put(where);
      }
      put(`  ${step.words}`, numbers.get(step));
    }
    if (at !== null && i === turns.length - 1) put(`  ^^^ ${kind}`, decisive - 1);
  }
  if (at === null) rows.push({ column: -1, text: "", step: null }, { column: 0, text: `^^^ ${kind}, when all is over`, step: decisive - 1 });
  const widths = columns.map((name, c) => Math.max(name.length, ...rows.map(({ column, text }) => (column === c ? text.length : 0))));
  const line = (cells: readonly string[]): string => cells.map((cell, c) => cell.padEnd(widths[c]!)).join(GAP).trimEnd();
  const heading = [columns, widths.map((width) => "-".repeat(width))].map((cells): DiagramRow => ({ text: line(cells), step: null }));
  return [...heading, ...rows.map(({ column, text, step }): DiagramRow => ({ text: line(columns.map((_, c) => (c === column ? text : ""))), step }))];
}

/**
 * Turns of those in `trace`, and of who ran last. A step is announced ahead of itself: where
 * somebody else goes on, it is done when its own executor's next turn begins. Events say what has
 * been done already.
 */
function turnsOf(trace: readonly Step[], last: Violation["at"]): Turn[] {
  const turns: { executor: string; thread: string; steps: Step[] }[] = [];
  const announced = new Map<string, Step>();
  const turnOf = ({ executor, thread }: Pick<Step, "executor" | "thread">): Step[] => {
    const current = turns.at(-1);
    if (current?.executor === executor && current.thread === thread) return current.steps;
    const before = announced.get(executor);
    announced.delete(executor);
    const steps = before?.thread === thread ? [before] : [];
    turns.push({ executor, thread, steps });
    return steps;
  };
  const told = trace.filter(({ words }) => words !== "");
  const lastOf = new Map(told.map(({ executor, thread }, i) => [`${executor} ${thread}`, i]));
  for (const [i, step] of told.entries()) {
    const steps = turnOf(step);
    const next = told[i + 1] ?? last;
    const resumes = lastOf.get(`${step.executor} ${step.thread}`)! > i || (last !== null && sameThread(last, step));
    if (next !== null && !sameThread(next, step) && resumes) announced.set(step.executor, step);
    else steps.push(step);
  }
  if (last !== null) turnOf(last);
  return turns.filter(({ steps }, i) => steps.length > 0 || i === turns.length - 1);
}

function sameThread(a: Pick<Step, "executor" | "thread">, b: Pick<Step, "executor" | "thread">): boolean {
  return a.executor === b.executor && a.thread === b.thread;
}

function interesting({ steps }: Turn, before: Turn | undefined, after: Turn | undefined): ReadonlySet<number> {
  const shown = new Set<number>();
  for (const i of steps.keys()) if (i < HEAD || i >= steps.length - TAIL) shown.add(i);
  const others = [...(before?.steps ?? []), ...(after?.steps ?? [])];
  const racing = [...steps.keys()].filter((i) => others.some((other) => race(steps[i]!, other)));
  for (const i of racing.slice(-RACING)) shown.add(i);
  return shown;
}

/** The kernel function; a program's own instructions are in none. */
function placeOf({ function: name, op }: Step): string {
  if (name !== "") return `${name}()`;
  return op === Op[Op.UserRead] || op === Op[Op.UserWrite] ? "user mode" : "";
}

function race(a: Step, b: Step): boolean {
  return a.object >= 0 && conflicts(Op[a.op as keyof typeof Op], a.object, Op[b.op as keyof typeof Op], b.object);
}

function skipped(shown: ReadonlySet<number>, from: number, end: number): number {
  let to = from;
  while (to < end && !shown.has(to)) to++;
  return to - from;
}
