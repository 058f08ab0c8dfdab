import type { TraceFinding } from "@faultline/trace";

/* What a trace says of itself is of any size; what stands on a page is not. */

const LINE_MAX = 400;
const LINES_MAX = 2000;
const WORDS_MAX = 64;

/** A line that is cut off where it is too long. */
export function line(text: string): string {
  return text.length <= LINE_MAX ? text : `${text.slice(0, LINE_MAX)}…`;
}

/** So many words, each no longer than a line. */
export function words(all: readonly string[]): string[] {
  return all.slice(0, WORDS_MAX).map(line);
}

/** So many lines, and a mark where there were more. */
export function lines(all: readonly string[]): string[] {
  const shown = all.slice(0, LINES_MAX).map(line);
  return all.length <= LINES_MAX ? shown : [...shown, "…"];
}

export function bounded({ kind, rule, message, event, page, diagram, output }: TraceFinding): TraceFinding {
  const rows = diagram.slice(0, LINES_MAX).map(({ text, event: at }) => ({ text: line(text), event: at }));
  return { kind: line(kind), rule: line(rule), message: line(message), event, page, diagram: rows, output: lines(output) };
}
