import { Event } from "@faultline/kernel";
import { EVENTS, NameKind, Names } from "@faultline/trace";
import { describe, expect, test } from "vitest";
import { momentAt, stepAt, timeAt, timeOf } from "../src/core/times.js";
import { describeEvent } from "../src/worker/describe.js";
import { Cancelled, Searches, textMatcher } from "../src/worker/search.js";
import { TimelineBuilder } from "../src/worker/timeline.js";

function built(times: readonly number[], more: (builder: TimelineBuilder) => void = () => {}): ReturnType<TimelineBuilder["done"]> {
  const builder = new TimelineBuilder(times.length, true, () => undefined);
  more(builder);
  for (const time of times) builder.event(time, 0, 1, Event.RssStat, 0, 0, 0);
  return builder.done();
}

describe("times of steps", () => {
  test("are exact, however long a run sleeps, and however often", () => {
    const expected: number[] = [];
    for (let i = 0, time = 0; i < 20_000; i++) {
      // Many in one nanosecond, some far apart, some further than 32 bits tell.
      time += i % 7 === 0 ? 0 : i % 1000 === 1 ? 5e9 + i : i % 13;
      expected.push(time);
    }
    const { times } = built(expected);
    for (const [step, time] of expected.entries()) expect(timeAt(times, step)).toBe(time);
    for (let i = 0; i < 20_000; i += 37) expect(stepAt(times, expected[i]!)).toBe(expected.lastIndexOf(expected[i]!));
    expect(stepAt(times, -1)).toBe(0);
    expect(stepAt(times, Infinity)).toBe(19_999);
  });

  test("lead to moments between steps and back", () => {
    const { times } = built([0, 0, 10, 30]);
    expect(timeOf(times, 1.5)).toBe(5);
    expect(momentAt(times, 5)).toBe(1.5);
    expect(momentAt(times, 25)).toBe(2.75);
    expect(timeOf(times, 3.9)).toBe(30);
  });
});

test("faults and TLB flushes are marked as such: of the task, and of the CPU whose TLB it is", () => {
  const builder = new TimelineBuilder(3, true, () => undefined);
  builder.name(NameKind.Task, 1, "cat");
  builder.name(NameKind.Executor, 0, "CPU 0");
  builder.name(NameKind.Executor, 1, "CPU 1");
  builder.event(1, 0, 1, Event.PageFaultUser, 4096, 0, 13);
  builder.event(2, 0, 1, Event.TlbFlush, 1, 0, 1);
  builder.event(3, 0, 1, Event.RssStat, 1, 1, 1);
  const lanes = builder.done().lanes.map(({ name, marks }) => [name, marks.map(({ kind, steps }) => [kind, [...steps]])]);
  expect(lanes).toEqual([
    ["CPU 0", []],
    ["CPU 1", [["tlb", [1]]]],
    ["cat [1]", [["fault", [0]], ["event", [2]]]],
  ]);
});

test("a trace cannot make the names of spans grow without end", () => {
  const { strings } = built([], (builder) => {
    for (let i = 0; i < 70_000; i++) builder.name(NameKind.Function, i, `f${i}`);
    for (let i = 0; i < 70_000; i++) builder.event(0, 0, 1, Event.FuncEntry, i, 0, 0);
  });
  expect(strings.length).toBeLessThanOrEqual(1 << 16);
});

describe("searches", () => {
  const names = new Names();
  names.set(NameKind.Task, 1, "exclusive-steps");
  names.set(NameKind.Function, 2, "make_device_exclusive");
  names.set(NameKind.Syscall, 56, "openat");
  const EVENTS_ALL = 30_000;
  /** Of every kind there is, with arguments that differ. */
  const eventAt = (step: number): readonly [number, number, Event, number[]] => {
    const event = EVENTS[step % EVENTS.length]!.event;
    return [step % 3, step % 4, event, Array.from({ length: 7 }, (_, i) => (step * (i + 3)) % 70)];
  };
  const searches = new Searches(EVENTS_ALL, (from, to, look) => {
    for (let step = from; step < to; step++) {
      const [executor, task, event, args] = eventAt(step);
      look(step, step, executor, task, event, args);
    }
  });
  const words = (step: number): string => {
    const [executor, task, event, args] = eventAt(step);
    const row = describeEvent(names, step, 0, executor, task, event, args);
    return `${row.name} ${row.text} ${row.task} ${row.where}`.toLowerCase();
  };

  test("find what the words of events have, and nothing else", async () => {
    const lines = Array.from({ length: 4000 }, (_, step) => words(step));
    for (const text of ["Make_Device", "page=12", "0x30", "executor 2", "exclusive-steps [1]", "lock=", "set_pte", "idle", "-", "order=9 migratetype", "openat"]) {
      const matches = textMatcher(names, text);
      const found = lines.map((line, step) => [step, line.includes(text.toLowerCase())] as const).filter(([step, is]) => {
        const [executor, task, event, args] = eventAt(step);
        return matches(step, 0, executor, task, event, args) !== is;
      });
      expect(found, text).toEqual([]);
      const first = lines.findIndex((line, step) => step > 100 && line.includes(text.toLowerCase()));
      expect(await searches.nearest(100, true, textMatcher(names, text)), text).toBe(first < 0 ? null : first);
      const last = lines.slice(0, 3900).findLastIndex((line) => line.includes(text.toLowerCase()));
      expect(await searches.nearest(3900, false, textMatcher(names, text)), text).toBe(last < 0 ? null : last);
    }
  });

  test("let others have their turn, and end when another begins", async () => {
    let turns = 0;
    let slow = 0;
    const never = (): boolean => {
      // As slow as a search through millions is.
      for (const until = performance.now() + 0.01; performance.now() < until; ) slow++;
      return false;
    };
    const timer = setInterval(() => turns++, 1);
    expect(await searches.nearest(0, true, never)).toBeNull();
    clearInterval(timer);
    expect(slow).toBeGreaterThan(0);
    expect(turns).toBeGreaterThan(5);
    const first = searches.nearest(0, true, never);
    const second = searches.nearest(10, true, () => true);
    await expect(first).rejects.toThrow(Cancelled);
    expect(await second).toBe(11);
  });
});
