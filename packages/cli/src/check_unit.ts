import { Explorer, HashSet, type Unit, type UnitResult } from "@faultline/checker";
import { prepare, type CheckWish, type Prepared } from "./check_run.js";
import { Shared } from "./check_shared.js";
import { UserError } from "./failure.js";

/** A unit of a search, for a thread of the pool. */
export interface UnitTask {
  readonly wish: CheckWish;
  readonly unit: Unit;
  /** Of the states that were met. */
  readonly visited: Int32Array;
  readonly shared: Int32Array;
}

/** Its result, or what the user can put right. */
export type UnitOutcome = { readonly result: UnitResult } | { readonly complaint: string };

/** The scenario of this thread: all of its units are of one. */
let ready: Promise<{ readonly prepared: Prepared; readonly explorer: Explorer }> | null = null;

export default async function runUnit({ wish, unit, visited, shared }: UnitTask): Promise<UnitOutcome> {
  try {
    ready ??= prepare(wish).then((prepared) => ({
      prepared,
      explorer: new Explorer(prepared.scenario, { ...prepared.options, ...prepared.search, pulse: () => void Atomics.add(shared, Shared.Pulse, 1) }),
    }));
    const { prepared, explorer } = await ready;
    return { result: prepared.guarded(() => explorer.explore(unit, HashSet.of(visited))) };
  } catch (error) {
    if (error instanceof UserError) return { complaint: error.message };
    throw error;
  }
}
