import { Search, type Explorer, type SearchOptions, type Unit, type UnitResult } from "@faultline/checker";
import { Piscina } from "piscina";
import type { CheckWish } from "./check_run.js";
import type { UnitOutcome, UnitTask, UnitWorkerData } from "./check_unit.js";
import { UserError } from "./failure.js";
import type { SavedFile } from "./saved_file.js";

/** Between two times that what is known is written down, at least; longer where that takes long. */
const SAVE_MS = 5_000;
/** Of the time that it takes to explore, the part that may go into writing: one in so many. */
const SAVE_SHARE = 20;

/** What a search says while it runs, and is told. */
export interface SearchControl {
  executed(search: Search, executions: number): void;
  stopped(): boolean;
  /** Words that threads share with whoever looks whether something still moves. */
  readonly shared: Int32Array;
}

/**
 * Runs a search to its end: here, and where a round has more units than one, in as many threads as
 * are wanted. What is known is written to `saved` from time to time.
 * @throws UserError where the user's own code went wrong in one of them
 */
export async function runSearch(wish: CheckWish, options: SearchOptions, explorer: Pick<Explorer, "explore">, saved: SavedFile, control: SearchControl): Promise<Search> {
  const search = new Search(options, saved.load());
  const units = new Units(wish, explorer, control);
  const end = performance.now() + wish.seconds * 1000;
  const over = (): boolean => control.stopped() || performance.now() >= end;
  let saveAt = performance.now() + SAVE_MS;
  try {
    for (let round = search.round(); round.length > 0; round = search.round()) {
      search.learn(await units.run(round, search, over));
      control.executed(search, search.counts.executions);
      if (over()) break;
      const now = performance.now();
      // What was found must survive whatever comes while it is made short.
      if (now < saveAt && search.found === null) continue;
      saved.write(search.save());
      saveAt = performance.now() + Math.max(SAVE_MS, SAVE_SHARE * (performance.now() - now));
    }
  } finally {
    await units.close();
  }
  return search;
}

/** Runs the units of rounds. */
class Units {
  private pool: Piscina<UnitTask, UnitOutcome> | null = null;

  constructor(
    private readonly wish: CheckWish,
    private readonly explorer: Pick<Explorer, "explore">,
    private readonly control: SearchControl,
  ) {}

  /** The results up to the first that breaks a rule, or to where it was to end. */
  async run(round: readonly Unit[], search: Search, over: () => boolean): Promise<UnitResult[]> {
    return round.length === 1 || this.wish.workers === 1 ? this.runHere(round, search, over) : this.share(round, search, over);
  }

  async close(): Promise<void> {
    await this.pool?.destroy();
  }

  private runHere(round: readonly Unit[], search: Search, over: () => boolean): UnitResult[] {
    const results: UnitResult[] = [];
    let { executions } = search.counts;
    for (const unit of round) {
      const base = executions;
      const result = this.explorer.explore(unit, search.visited, (n) => this.control.executed(search, base + n));
      executions += result.executions;
      results.push(result);
      if (result.found !== null || over()) break;
    }
    return results;
  }

  private async share(round: readonly Unit[], search: Search, over: () => boolean): Promise<UnitResult[]> {
    const { wish, control } = this;
    this.pool ??= new Piscina<UnitTask, UnitOutcome>({
      filename: new URL("./check_unit.js", import.meta.url).href,
      minThreads: 1,
      maxThreads: wish.workers,
      idleTimeout: 10_000,
      concurrentTasksPerWorker: 1,
      workerData: { wish, shared: control.shared } satisfies UnitWorkerData,
    });
    const visited = search.visited.words;
    // Once one has broken a rule, those behind it are of no interest.
    let last = Infinity;
    const outcomes = await Promise.all(
      round.map(async (unit, i) => {
        if (i > last || over()) return null;
        const outcome = await this.pool!.run({ unit, visited });
        if ("complaint" in outcome) throw new UserError(outcome.complaint);
        if (outcome.result.found !== null) last = Math.min(last, i);
        return outcome.result;
      }),
    );
    const results: UnitResult[] = [];
    for (const result of outcomes.slice(0, last + 1)) {
      if (result === null) break;
      results.push(result);
    }
    return results;
  }
}
