import type { Decision } from "./strategy.js";

/** A schedule in which everything goes by default. */
const DEFAULT = "default";

/** Decisions as a word that a shell takes unchanged: `17=1,203=2`, question and alternative. */
export function formatSchedule(decisions: readonly Decision[]): string {
  return decisions.length === 0 ? DEFAULT : decisions.map(({ at, choice }) => `${at}=${choice}`).join(",");
}

/** The decisions of such a word, or what is wrong with it. */
export function parseSchedule(text: string): Decision[] | string {
  if (text === DEFAULT) return [];
  const decisions: Decision[] = [];
  for (const part of text.split(",")) {
    const match = /^(\d{1,9})=(\d{1,3})$/.exec(part);
    if (match === null) return `'${part}' is no decision: those are written as question=alternative`;
    const [at, choice] = [Number(match[1]), Number(match[2])];
    if (choice === 0) return `'${part}' is the default, which is not written`;
    const last = decisions.at(-1);
    if (last !== undefined && at <= last.at) return `'${part}' comes after ${last.at}: questions are in order`;
    decisions.push({ at, choice });
  }
  return decisions;
}
