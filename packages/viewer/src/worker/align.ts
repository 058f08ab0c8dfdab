import { diffArrays } from "diff";
import type { Anchors, Pairs, TaskAnchors } from "../core/protocol.js";

/** Sequences of up to so many are compared in full; longer ones are cut where what is in both only once stands. */
const WHOLE_MAX = 400;
/** A comparison that would need more changes than these is given up: nothing of that part corresponds. */
const EDITS_MAX = 400;

/** Which of one part of a sequence is which of another's: indices, in pairs, both ascending. */
type Matches = [a: number, b: number][];

/** Which events of two traces correspond: task by task, in order, what a user could observe first. */
export function align(own: Anchors, other: Anchors): Pairs {
  const pairs: [number, number][] = [];
  const ownOnly: number[] = [];
  const otherOnly: number[] = [];
  const others = new Map(other.tasks.map((task) => [task.task, task]));
  for (const a of own.tasks) {
    const b = others.get(a.task);
    others.delete(a.task);
    if (b === undefined) {
      for (const step of a.steps) ownOnly.push(step);
      continue;
    }
    const matches = alignTasks(a, b);
    for (const [i, j] of matches) pairs.push([a.steps[i]!, b.steps[j]!]);
    unmatched(a.steps, matches.map(([i]) => i), ownOnly);
    unmatched(b.steps, matches.map(([, j]) => j), otherOnly);
  }
  for (const { steps } of others.values()) for (const step of steps) otherOnly.push(step);
  pairs.sort(([a], [b]) => a - b);
  return { own: Uint32Array.from(pairs, ([a]) => a), other: Uint32Array.from(pairs, ([, b]) => b), ownOnly: Uint32Array.from(ownOnly).sort(), otherOnly: Uint32Array.from(otherOnly).sort() };
}

function unmatched(steps: Uint32Array, matched: readonly number[], into: number[]): void {
  let at = 0;
  for (let i = 0; i < steps.length; i++) {
    if (matched[at] === i) at++;
    else into.push(steps[i]!);
  }
}

function alignTasks(a: TaskAnchors, b: TaskAnchors): Matches {
  const outer = (task: TaskAnchors): number[] => [...task.outer.keys()].filter((i) => task.outer[i] === 1);
  const [ownOuter, otherOuter] = [outer(a), outer(b)];
  // What has the same arguments first, then, between that, what is the same but for them.
  const exact = compare(ownOuter, otherOuter, a.keys, b.keys);
  const outside = between(exact, ownOuter.length, otherOuter.length, (i0, i1, j0, j1) => compare(ownOuter.slice(i0, i1), otherOuter.slice(j0, j1), a.coarse, b.coarse));
  const places = outside.map(([i, j]): [number, number] => [ownOuter[i]!, otherOuter[j]!]);
  return between(places, a.steps.length, b.steps.length, (i0, i1, j0, j1) => compare(range(i0, i1), range(j0, j1), a.coarse, b.coarse));
}

/** Matches, and those of each gap between two of them. */
function between(matches: Matches, a: number, b: number, gap: (i0: number, i1: number, j0: number, j1: number) => Matches): Matches {
  const all: Matches = [];
  let [i, j] = [0, 0];
  for (const [toI, toJ] of [...matches, [a, b] as [number, number]]) {
    if (toI > i && toJ > j) for (const [di, dj] of gap(i, toI, j, toJ)) all.push([i + di, j + dj]);
    if (toI < a && toJ < b) all.push([toI, toJ]);
    [i, j] = [toI + 1, toJ + 1];
  }
  return all;
}

/** Compares two lists of places by the keys that are there. */
function compare(own: readonly number[], other: readonly number[], ownKeys: Uint32Array, otherKeys: Uint32Array): Matches {
  return compareKeys(
    own.map((i) => ownKeys[i]!),
    other.map((i) => otherKeys[i]!),
  );
}

function compareKeys(a: readonly number[], b: readonly number[]): Matches {
  const length = Math.min(a.length, b.length);
  let head = 0;
  while (head < length && a[head] === b[head]) head++;
  let tail = 0;
  while (tail < length - head && a[a.length - 1 - tail] === b[b.length - 1 - tail]) tail++;
  const inner = compareInner(a.slice(head, a.length - tail), b.slice(head, b.length - tail));
  return [
    ...range(0, head).map((i): [number, number] => [i, i]),
    ...inner.map(([i, j]): [number, number] => [head + i, head + j]),
    ...range(0, tail).map((i): [number, number] => [a.length - tail + i, b.length - tail + i]),
  ];
}

function compareInner(a: readonly number[], b: readonly number[]): Matches {
  if (a.length === 0 || b.length === 0) return [];
  if (Math.max(a.length, b.length) <= WHOLE_MAX) return compareWhole(a, b);
  const fixed = patience(a, b);
  if (fixed.length === 0) return compareWhole(a, b);
  return between(fixed, a.length, b.length, (i0, i1, j0, j1) => compareKeys(a.slice(i0, i1), b.slice(j0, j1)));
}

function compareWhole(a: readonly number[], b: readonly number[]): Matches {
  const changes = diffArrays([...a], [...b], { maxEditLength: EDITS_MAX });
  const matches: Matches = [];
  let [i, j] = [0, 0];
  for (const { added, removed, count } of changes ?? []) {
    if (added) j += count;
    else if (removed) i += count;
    else for (let n = 0; n < count; n++) matches.push([i++, j++]);
  }
  return matches;
}

/** What is in both exactly once, as far as it has the same order: the longest such row. */
function patience(a: readonly number[], b: readonly number[]): Matches {
  const [inA, inB] = [onlyOnce(a), onlyOnce(b)];
  const common: Matches = [];
  for (const [key, i] of inA) {
    const j = inB.get(key);
    if (i >= 0 && j !== undefined && j >= 0) common.push([i, j]);
  }
  // Piles by the place in b; each knows what lay on top of the pile before when it came.
  const tops: number[] = [];
  const before = new Int32Array(common.length);
  for (const [at, [, j]] of common.entries()) {
    let [low, high] = [0, tops.length];
    while (low < high) {
      const middle = (low + high) >> 1;
      if (common[tops[middle]!]![1] < j) low = middle + 1;
      else high = middle;
    }
    before[at] = low === 0 ? -1 : tops[low - 1]!;
    tops[low] = at;
  }
  const row: Matches = [];
  for (let at = tops.at(-1) ?? -1; at >= 0; at = before[at]!) row.push(common[at]!);
  return row.reverse();
}

/** Where each key stands, in the order of the list; -1 for one that stands there twice. */
function onlyOnce(keys: readonly number[]): Map<number, number> {
  const places = new Map<number, number>();
  for (const [i, key] of keys.entries()) places.set(key, places.has(key) ? -1 : i);
  return places;
}

function range(from: number, to: number): number[] {
  return Array.from({ length: to - from }, (_, i) => from + i);
}
