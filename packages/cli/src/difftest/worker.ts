import { workerData } from "piscina";
import { UserError } from "../failure.js";
import { addCoverage, coverageOf, type Coverage } from "./coverage.js";
import { firstDifference, type Difference } from "./compare.js";
import { generate } from "./generate.js";
import { isPossible, type Operation } from "./operations.js";
import type { Features, Outcome } from "./output.js";
import { RULES } from "./rules.js";
import { shrink } from "./shrink.js";
import { GuestSide, nativeText, runNatively } from "./sides.js";

export interface WorkerData {
  /** The two programs. */
  readonly native: string;
  readonly guest: string;
  /** What the machine's kernel is. */
  readonly release: string;
  /** What both sides can do. */
  readonly features: Features;
  readonly operations: number;
  /** Whether what differs is made small. */
  readonly shrinks: boolean;
}

export interface Found {
  readonly seed: number;
  readonly difference: Difference;
  readonly list: readonly Operation[];
  /** What the Linux underneath has printed of it. */
  readonly text: string;
}

export interface BatchResult {
  readonly found: readonly Found[];
  readonly coverage: Coverage;
  /** Seeds with which the host does not do the same twice. */
  readonly unsteady: readonly number[];
}

/** An exception loses its class on its way out of a worker. */
export interface BatchFailed {
  readonly failed: string;
}

const { native, guest, release, features, operations, shrinks } = workerData as WorkerData;
const machine = new GuestSide(guest, release);

type Lists = readonly (readonly Operation[])[];

/** The first difference of each list; null for those without one. */
function compare(lists: Lists): (Difference | null)[] {
  const [ours, theirs] = [runNatively(native, lists), machine.run(lists)];
  return lists.map((list, i) => firstDifference(list, ours.lists[i] ?? [], theirs.lists[i] ?? [], features, RULES));
}

/** How often the host must do again what it has done, before that counts. */
const REPEATS = 3;

/** Whether the host does the same again: khugepaged and other processes' pressure are there, too. */
function steady(list: readonly Operation[], first: readonly Outcome[]): boolean {
  for (let i = 0; i < REPEATS; i++) {
    const { features, lists } = runNatively(native, [list]);
    if (firstDifference(list, first, lists[0] ?? [], features, []) !== null) return false;
  }
  return true;
}

function same(a: Difference | null, b: Difference): boolean {
  return a !== null && a.field === b.field && a.kind === b.kind;
}

/** Compares the two sides with some seeds. */
export default function batch(seeds: readonly number[]): BatchResult | BatchFailed {
  try {
    return compareSeeds(seeds);
  } catch (error) {
    if (error instanceof UserError) return { failed: error.message };
    throw error;
  }
}

function compareSeeds(seeds: readonly number[]): BatchResult {
  const lists = seeds.map((seed) => generate(seed, operations).filter((op) => isPossible(op, features)));
  const [ours, theirs] = [runNatively(native, lists), machine.run(lists)];
  const found: Found[] = [];
  const known = new Set<string>();
  const unsteady: number[] = [];
  let coverage: Coverage = {};
  lists.forEach((list, i) => {
    const [a, b] = [ours.lists[i] ?? [], theirs.lists[i] ?? []];
    coverage = addCoverage(coverage, coverageOf(list, a));
    const difference = firstDifference(list, a, b, features, RULES);
    if (difference === null) return;
    if (!steady(list, a)) {
      unsteady.push(seeds[i]!);
      return;
    }
    const first = { seed: seeds[i]!, difference, list: list.slice(0, difference.index + 1), text: "" };
    const key = `${difference.kind} ${difference.field}`;
    // One of a kind is enough to be looked at.
    found.push(known.has(key) ? first : smallest(first));
    known.add(key);
  });
  return { found, coverage, unsteady };
}

function smallest(found: Found): Found {
  if (!shrinks || !same(compare([found.list])[0]!, found.difference)) return found;
  const list = shrink(found.list, (lists) => compare(lists).findIndex((one) => same(one, found.difference)));
  // Where the host is not the same each time, even that may be gone by now.
  return { ...found, list, difference: compare([list])[0] ?? found.difference, text: nativeText(native, [list]) };
}
