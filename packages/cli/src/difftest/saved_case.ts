import { operationText, parseOperation, type Operation } from "./operations.js";

/** A list, and what a Linux has printed of it: what was a difference once stays compared. */
export interface SavedCase {
  readonly list: readonly Operation[];
  /** What programs/difftest.c printed. */
  readonly text: string;
}

const RULE = "---\n";

export function formatCase({ list, text }: SavedCase): string {
  return `${list.map((op) => `${operationText(op)}\n`).join("")}${RULE}${text}`;
}

export function parseCase(file: string): SavedCase {
  const at = file.indexOf(RULE);
  return { list: file.slice(0, at).trim().split("\n").map(parseOperation), text: file.slice(at + RULE.length) };
}
