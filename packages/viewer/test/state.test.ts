import { readFileSync } from "node:fs";
import { fileURLToPath } from "node:url";
import { readTrace, type Keyframe, type Trace } from "@faultline/trace";
import { beforeAll, describe, expect, test } from "vitest";
import { recordProgram, repeatProgram } from "../src/worker/live.js";
import { Entries } from "../src/worker/entries.js";
import { Overviews } from "../src/worker/overview.js";
import { Session } from "../src/worker/session.js";
import { Spaces } from "../src/worker/space.js";
import { States, type State } from "../src/worker/state.js";

const ROOT = fileURLToPath(new URL("../../..", import.meta.url));

/** Numbers that look random, the same each time. */
function* numbers(seed: number): Generator<number> {
  for (let x = seed; ; ) {
    x = (Math.imul(x, 1664525) + 1013904223) >>> 0;
    yield x;
  }
}

function good(state: State | string): State {
  if (typeof state === "string") throw new Error(state);
  return state;
}

/** All that differs between two moments, in a form that can be compared. */
function seen({ words, mirrors, mms, tasks, basis }: State): unknown {
  let length = words.length;
  while (length > 0 && words[length - 1] === 0) length--;
  return { words: Buffer.from(words.slice(0, length).buffer).toString("latin1"), mirrors: mirrors.map(({ notifier, table }) => [notifier, [...table].sort(([a], [b]) => a - b)]), mms, tasks, basis };
}

describe("states of a run", () => {
  let trace: Trace;
  let session: Session;
  const anew = (step: number): State => good(new States(trace).at(step));

  beforeAll(() => {
    const program = readFileSync(`${ROOT}/programs/prebuilt/exclusive-swap`);
    const launch = { args: ["6"], release: "7.3", without: [], seed: 1 };
    const path = "programs/prebuilt/exclusive-swap";
    const { bytes } = recordProgram(path, launch, program);
    session = new Session(bytes, "", undefined, (from, to) => repeatProgram(path, launch, program, from, to));
    const read = readTrace(bytes);
    if (typeof read === "string") throw new Error(read);
    trace = read;
  }, 60_000);

  test("are the same whether one begins anew, goes on, or goes back", () => {
    const states = new States(trace);
    const random = numbers(7);
    const next = (below: number): number => random.next().value! % below;
    let step = 0;
    let undone = 0;
    for (let i = 0; i < 200; i++) {
      const before = states.at(step);
      // A hand that scrubs: short ways to and fro, and a leap now and then.
      step = i % 20 === 0 ? next(trace.events) : Math.min(trace.events - 1, Math.max(0, step + next(400) - 200));
      const state = good(states.at(step));
      if (typeof before !== "string" && before.step > step && before.run === state.run) undone++;
      expect(seen(state), `step ${step}`).toEqual(seen(anew(step)));
    }
    expect(undone).toBeGreaterThan(20);
  });

  test("say of each 2 MiB what its pages say one by one", () => {
    const states = new States(trace);
    const entries = new Entries("7.3", []);
    const kept = new Overviews(entries);
    const random = numbers(3);
    let looked = 0;
    let step = Math.floor(trace.events * 0.4);
    for (let i = 0; i < 120; i++) {
      step = i % 30 === 0 ? random.next().value! % trace.events : Math.min(trace.events - 1, step + (random.next().value! % 60));
      const state = good(states.at(step));
      const spaces = new Spaces(entries, state, kept);
      const fresh = new Spaces(entries, state, new Overviews(entries));
      for (const { mm } of spaces.list().spaces) {
        const space = spaces.space(mm, null)!;
        expect(space).toEqual(fresh.space(mm, null));
        for (const [v, view] of space.vmas.entries()) {
          if (view.span === 1) continue;
          const cell = (i * 7) % view.cells.length;
          const vpn = Math.max(view.start, view.first + cell * view.span);
          const pages = fresh.space(mm, vpn)!;
          const at = pages.vmas.findIndex(({ span, start, end }) => span === 1 && vpn >= start && vpn < end);
          expect(pages.vmas[at]!.cells.filter((kind) => kind !== 0).length).toBe(view.filled[cell]);
          for (const [m, { cells }] of space.mirrors.entries()) expect(pages.mirrors[m]!.cells[at]!.reduce((all, bits) => all | bits, 0)).toBe(cells[v]![cell]);
          looked += view.filled[cell]! > 0 ? 1 : 0;
        }
      }
    }
    expect(looked).toBeGreaterThan(20);
  });

  test("are all known where the run is repeated: what a keyframe there has, and right so on both sides of it", async () => {
    const { keyframes } = trace;
    const index = Math.floor(keyframes.length * 0.9);
    const step = keyframes[index]!.events - 1;
    const { stateAt } = session.inside;
    expect(stateAt(step - 1).basis.since).toBeGreaterThan(100);
    expect(await session.settle(step - 5)).toBe(true);
    for (const at of [step - 60, step - 5, step, step + 50]) expect(stateAt(at).basis.since).toBe(0);
    const [repeated, recorded] = [stateAt(step).keyframe, trace.keyframe(index) as Keyframe];
    for (const [name, bytes] of recorded.tables) expect(Buffer.compare(repeated.tables.get(name)!, bytes), name).toBe(0);
    expect(repeated.mms).toEqual(recorded.mms);
    expect(repeated.tasks).toEqual(recorded.tasks);
    // Further off it is as before.
    expect(stateAt(step - 200).basis.since).toBeGreaterThan(0);
    // Who asks for another step does not wait for the one before.
    const [one, other] = await Promise.all([session.settle(step - 3000), session.settle(step - 4000)]);
    expect([one, other]).toEqual([false, true]);
  });
});
