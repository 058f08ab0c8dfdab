import { Op, SWITCH, type MaySleep } from "@faultline/kernel";
import { scenario, type Scenario, type ScenarioThread, type ThreadApi } from "../src/index.js";

/** A scenario without memory: threads that only pass points. */
export function bare(threads: Record<string, ScenarioThread<null>>): Scenario {
  const setup = function* (): MaySleep<null> {
    return null;
  };
  return scenario({ title: "bare", setup, threads });
}

/** Passes points, and does something after each. */
export function* pass(t: ThreadApi, points: number, before: () => void): MaySleep<void> {
  for (let i = 0; i < points; i++) {
    if (t.k.m.point(Op.Run, i)) yield SWITCH;
    before();
  }
}

/** Every interleaving of threads with so many steps each, with at most `bound` preemptions. */
export function interleavings(steps: readonly number[], bound: number): Set<string> {
  const all = new Set<string>();
  // A thread stops in front of each of its points, so the part before the first is a step that shows nothing.
  const go = (left: readonly number[], running: number, preemptions: number, order: string): void => {
    if (left.every((n) => n < 0)) {
      all.add(order);
      return;
    }
    left.forEach((n, i) => {
      if (n < 0) return;
      const preempts = running >= 0 && i !== running && left[running]! >= 0 ? 1 : 0;
      if (preemptions + preempts > bound) return;
      const first = n === steps[i];
      go(left.map((l, j) => (j === i ? l - 1 : l)), i, preemptions + preempts, first ? order : order + String(i));
    });
  };
  go(steps, -1, 0, "");
  return all;
}
