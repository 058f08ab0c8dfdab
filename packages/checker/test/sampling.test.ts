import { PATCHES } from "@faultline/kernel";
import { describe, expect, test } from "vitest";
import faultExclusiveDontneed from "../../../scenarios/fault-exclusive-dontneed.js";
import { explore, formatSchedule, parseSchedule, raceDiagram, replay, type Sampling, type Scenario, type ScenarioThread } from "../src/index.js";
import { shrinkMoves, type Move } from "../src/directed.js";
import { bare, interleavings, pass } from "./bare.js";

const overlays = [PATCHES.find(({ name }) => name === "exclusive-fault-ref")!.undo!];
const broken = faultExclusiveDontneed as Scenario;

/** The orders in which two threads of 4 and 3 points come, over many executions. */
function orders(sampling: Sampling): string[] {
  const seen = new Set<string>();
  let order = "";
  const thread = (name: string, cpu: number, points: number): ScenarioThread<null> => ({
    on: { cpu },
    *run(t) {
      yield* pass(t, points, () => (order += name));
      if (order.length < 7) return;
      seen.add(order);
      order = "";
    },
  });
  const report = explore(bare({ a: thread("0", 0, 4), b: thread("1", 1, 3) }), { sampling, executionsMax: 5000 });
  expect(report).toMatchObject({ complete: false, executions: 5000, violation: null });
  return [...seen].sort();
}

describe("what is drawn", () => {
  test.each([1, 2, 3])("pct of depth %i: just the schedules of fewer preemptions than that", (depth) => {
    expect(orders({ policy: "pct", depth })).toEqual([...interleavings([4, 3], depth - 1)].sort());
  });

  test("walk: all schedules", () => {
    expect(orders({ policy: "walk" })).toEqual([...interleavings([4, 3], 7)].sort());
  });

  test("random: those with few preemptions before all others", () => {
    expect(orders({ policy: "random" })).toEqual(expect.arrayContaining([...interleavings([4, 3], 2)]));
  });

  test.each(["pct", "walk", "random"] as const)("%s: the same from the same seed, another from another", (policy) => {
    const run = (seed: number): string => {
      const points: number[] = [];
      let last = 0;
      const sink = { point: () => last++, emit: () => undefined };
      explore(broken, { sampling: { policy, seed }, executionsMax: 20, sink, pulse: () => points.push(last) });
      return points.join(" ");
    };
    expect(run(5)).toBe(run(5));
    expect(run(5)).not.toBe(run(6));
  });
});

describe("what is found", () => {
  test.each(["pct", "walk", "random"] as const)("%s: a violation comes as a short schedule that shows it again", (policy) => {
    const { violation, covers } = explore(broken, { overlays, sampling: { policy, seed: 3 }, executionsMax: 2000 });
    expect(violation).toMatchObject({ kind: "lock-on-free" });
    expect(violation!.preemptions).toBe(1);
    expect(violation!.decisions.length).toBeLessThanOrEqual(4);
    expect(covers).toMatch(/^\d+ executions? drawn at random \((pct of depth 3|walk|random), seed 3\), retries up to \d$/);
    expect(replay(broken, violation!.decisions, { overlays })).toEqual(violation);
  });

  test("a schedule of another scenario does not fit", () => {
    expect(() => replay(broken, [{ at: 100_000, choice: 1 }])).toThrow("the schedule does not fit");
    expect(() => replay(broken, [{ at: 3, choice: 7 }])).toThrow("the schedule does not fit");
  });
});

describe("minimising", () => {
  const move = (ordinal: number): Move => ({ kind: "point", executor: 0, ordinal, to: 1 });
  const all = Array.from({ length: 40 }, (_, i) => move(i));

  test.each([[[]], [[0]], [[39]], [[3, 17, 30]]])("leaves what it takes: %j", (needed) => {
    const shows = (moves: readonly Move[]): readonly Move[] | null => (needed.every((n) => moves.some((m) => m.ordinal === n)) ? moves : null);
    expect(shrinkMoves(all, shows).map((m) => m.ordinal)).toEqual(needed);
  });

  test("has enough at some time", () => {
    let tries = 0;
    shrinkMoves(Array.from({ length: 5000 }, (_, i) => move(i)), () => {
      tries++;
      return null;
    });
    expect(tries).toBe(500);
  });
});

test("schedules as text, and back", () => {
  for (const decisions of [[], [{ at: 0, choice: 1 }], [{ at: 3, choice: 2 }, { at: 200, choice: 1 }]]) {
    expect(parseSchedule(formatSchedule(decisions))).toEqual(decisions);
  }
  expect(["", "3", "3=0", "5=1,4=1", "3=1,", "x=1"].map(parseSchedule)).toEqual([
    "'' is no decision: those are written as question=alternative",
    "'3' is no decision: those are written as question=alternative",
    "'3=0' is the default, which is not written",
    "'4=1' comes after 5: questions are in order",
    "'' is no decision: those are written as question=alternative",
    "'x=1' is no decision: those are written as question=alternative",
  ]);
});

test("a violation when all is over stands under no one's steps", () => {
  const check = function* (): Generator<never, string> {
    return "wrong";
  };
  const s: Scenario = { ...bare({ a: { on: { cpu: 0 }, run: (t) => pass(t, 2, () => undefined) } }), check };
  const { violation } = explore(s);
  expect(raceDiagram(violation!)).toMatchInlineSnapshot(`
    "CPU 0 (a)
    -----------------------------
      run
      run

    ^^^ outcome, when all is over
    "
  `);
});
