import fc from "fast-check";
import { describe, expect, test } from "vitest";
import { Correspondence } from "../src/core/correspondence.js";
import type { Anchors } from "../src/core/protocol.js";
import { align } from "../src/worker/align.js";

/** An event of a task: what it is, its argument, and whether a user could observe it. */
type Told = readonly [task: number, what: number, argument: number, outer: boolean];

function anchorsOf(events: readonly Told[]): Anchors {
  const tasks = [...new Set(events.map(([task]) => task))].map((id) => {
    const own = events.map((event, step) => ({ event, step })).filter(({ event: [task] }) => task === id);
    return {
      task: `task ${id}`,
      steps: Uint32Array.from(own, ({ step }) => step),
      keys: Uint32Array.from(own, ({ event: [, what, argument] }) => what * 1000 + argument),
      coarse: Uint32Array.from(own, ({ event: [, what] }) => what),
      outer: Uint8Array.from(own, ({ event: [, , , outer] }) => (outer ? 1 : 0)),
    };
  });
  return { tasks };
}

const event = fc.tuple(fc.integer({ min: 1, max: 3 }), fc.integer({ min: 1, max: 6 }), fc.integer({ min: 0, max: 20 }), fc.boolean());
const run = fc.array(event, { maxLength: 900 });

describe("which steps of two runs correspond", () => {
  test("of a run and itself: every one with itself", () => {
    fc.assert(
      fc.property(run, (events) => {
        const { own, other, ownOnly, otherOnly } = align(anchorsOf(events), anchorsOf(events));
        expect([...own]).toEqual([...events.keys()]);
        expect([...other]).toEqual([...events.keys()]);
        expect([...ownOnly, ...otherOnly]).toEqual([]);
      }),
    );
  });

  test("of any two: the same kind of event of the same task, in order, each once or not at all", () => {
    fc.assert(
      fc.property(run, run, (a, b) => {
        const { own, other, ownOnly, otherOnly } = align(anchorsOf(a), anchorsOf(b));
        const lasts = new Map<number, number>();
        for (const [i, step] of own.entries()) {
          const [task, what] = a[step]!;
          const partner = b[other[i]!]!;
          expect([partner[0], partner[1]]).toEqual([task, what]);
          expect(other[i]!).toBeGreaterThan(lasts.get(task) ?? -1);
          lasts.set(task, other[i]!);
        }
        expect([...own, ...ownOnly].sort((x, y) => x - y)).toEqual([...a.keys()]);
        expect([...other, ...otherOnly].sort((x, y) => x - y)).toEqual([...b.keys()]);
        const steps = new Correspondence({ own, other, ownOnly, otherOnly });
        for (const [i, step] of own.entries()) {
          expect(steps.toOther(step)).toBe(other[i]);
          expect(steps.toOwn(other[i]!)).toBe(step);
        }
        for (const step of a.keys()) expect(own.length === 0 || steps.toOther(step) < b.length).toBe(true);
      }),
    );
  });

  test("what was put in and left out is found, whatever is behind it", () => {
    // Each fault is at its own address; long enough that parts stand by what is in them only once.
    const faults = (from: number, to: number): Told[] => Array.from({ length: to - from }, (_, i) => [1, 1, from + i, true]);
    const own = [...faults(0, 900), ...faults(2000, 2400), ...faults(900, 1800)];
    const other = [...faults(0, 1800)];
    const { ownOnly, otherOnly } = align(anchorsOf(own.map(([a, b, c, d]) => [a, b, c % 1000, d])), anchorsOf(other.map(([a, b, c, d]) => [a, b, c % 1000, d])));
    expect([ownOnly.length, otherOnly.length]).toEqual([400, 0]);
    const apart = align(anchorsOf(own), anchorsOf(other));
    expect([...apart.ownOnly]).toEqual(Array.from({ length: 400 }, (_, i) => 900 + i));
    expect([...apart.otherOnly]).toEqual([]);
  });

  test("a call with other arguments is the same call between those that are the same", () => {
    const own: Told[] = [[1, 1, 1, true], [1, 2, 5, true], [1, 3, 0, false], [1, 1, 2, true]];
    const other: Told[] = [[1, 1, 1, true], [1, 2, 6, true], [1, 4, 0, false], [1, 3, 0, false], [1, 1, 2, true]];
    const { own: a, other: b, otherOnly } = align(anchorsOf(own), anchorsOf(other));
    expect([...a]).toEqual([0, 1, 2, 3]);
    expect([...b]).toEqual([0, 1, 3, 4]);
    expect([...otherOnly]).toEqual([2]);
  });

  test("300,000 events that repeat themselves, in moderate time and without a deep stack", () => {
    const own: Told[] = Array.from({ length: 300_000 }, (_, i) => [1, i % 3, i % 997, true]);
    const other = own.filter((_, i) => i % 50_000 !== 7);
    const { ownOnly } = align(anchorsOf(own), anchorsOf(other));
    expect(ownOnly.length).toBeGreaterThanOrEqual(6);
  });
});
