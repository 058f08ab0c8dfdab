import { expect, test } from "vitest";
import { Invariants } from "../packages/checker/src/invariants.js";
import { LockOrder } from "../packages/checker/src/lock_order.js";
import { runGuest } from "../packages/riscv/test/guest.js";

/** `npm run fuzz:abi` makes a million of them. */
const CALLS = Number(process.env["CALLS"] ?? 20_000);
const FIRST_SEED = Number(process.env["CALLS_SEED"] ?? 1);
/** Calls on one machine. */
const BATCH = 2_000;
/** Lines of strace that are told of a batch that went wrong. */
const LAST_LINES = 12;
/** What a batch may leave behind in this process, on the average, beside what comes and goes. */
const GROWTH_BYTES_MAX = 200_000;

test(`${CALLS} system calls at random: no exception, no hang, the rules hold, and memory does not grow`, () => {
  const heap: number[] = [];
  for (let done = 0, seed = FIRST_SEED; done < CALLS; done += BATCH, seed++) {
    const found: string[] = [];
    const report = ({ kind, message }: { kind: string; message: string }): void => void found.push(`${kind}: ${message}`);
    const last: string[] = [];
    let invariants: Invariants | null = null;
    try {
      const run = runGuest("anycall", {
        args: [String(seed), String(BATCH)],
        seed,
        swapBytes: 8 * 2 ** 20,
        strace: (line) => {
          last.push(line);
          if (last.length > LAST_LINES) last.shift();
        },
        prepare: (machine) => {
          invariants = new Invariants(machine.k, [], new LockOrder(report), report);
          machine.m.sink = invariants;
        },
      });
      expect(run.result.end, `seed ${seed}: ${run.result.stuck.join("; ")}`).toBe("exited");
      expect(run.stdout, `seed ${seed}`).toBe(`${BATCH} calls\n`);
    } catch (error) {
      throw new Error(`seed ${seed}, after\n${last.join("\n")}`, { cause: error });
    }
    invariants!.atRest();
    expect(found, `seed ${seed}, after\n${last.join("\n")}`).toEqual([]);
    if (global.gc !== undefined) {
      global.gc();
      heap.push(process.memoryUsage().heapUsed);
    }
  }
  // The first half warms up.
  const half = heap.length >> 1;
  if (half > 1) expect((heap.at(-1)! - heap[half]!) / half).toBeLessThan(GROWTH_BYTES_MAX);
});
