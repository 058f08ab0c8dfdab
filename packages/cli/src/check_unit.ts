import { workerData } from "piscina";
import { Explorer, HashSet, type Unit, type UnitResult } from "@faultline/checker";
import { prepare, type CheckWish } from "./check_run.js";
import { Shared } from "./check_shared.js";
import { UserError } from "./failure.js";

/** What a thread of the pool is made for. */
export interface UnitWorkerData {
  readonly wish: CheckWish;
  readonly shared: Int32Array;
}

/** A unit of the search. */
export interface UnitTask {
  readonly unit: Unit;
  /** Of the states that were met. */
  readonly visited: Int32Array;
}

/** Its result, or what the user can put right. */
export type UnitOutcome = { readonly result: UnitResult } | { readonly complaint: string };

const { wish, shared } = workerData as UnitWorkerData;

/** The scenario, once for all units: how a unit is run, or what is wrong. */
const ready: Promise<((task: UnitTask) => UnitResult) | Error> = prepare(wish).then(
  ({ scenario, options, search, guarded }) => {
    const explorer = new Explorer(scenario, { ...options, ...search, pulse: () => void Atomics.add(shared, Shared.Pulse, 1) });
    return ({ unit, visited }: UnitTask) => guarded(() => explorer.explore(unit, HashSet.of(visited)));
  },
  (error: unknown) => (error instanceof Error ? error : new Error(String(error))),
);

export default async function runUnit(task: UnitTask): Promise<UnitOutcome> {
  try {
    const run = await ready;
    if (run instanceof Error) throw run;
    return { result: run(task) };
  } catch (error) {
    if (error instanceof UserError) return { complaint: error.message };
    throw error;
  }
}
