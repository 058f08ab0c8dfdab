import { Machine, Op, SpinLock, SWITCH, Task, WaitQueue, TaskState, type Atomic, type MaySleep } from "@faultline/kernel";
import fc from "fast-check";
import { expect, test } from "vitest";
import migrateFault from "../../../scenarios/migrate-fault.js";
import reclaimMunmap from "../../../scenarios/reclaim-munmap.js";
import { BoundedExploration } from "../src/bounded.js";
import { PartialOrderExploration } from "../src/dpor.js";
import { explore, type Scenario } from "../src/index.js";
import type { ExplorationStrategy } from "../src/strategy.js";

/** What a thread of a random program does: to a few cells, under a few locks. */
type Instruction =
  | { readonly kind: "read" | "write" | "add"; readonly cell: number }
  /** Takes a lock for the next instruction. */
  | { readonly kind: "locked"; readonly lock: number; readonly cell: number }
  /** Waits until the cell is not zero, asleep; or wakes those that do. */
  | { readonly kind: "wait" | "signal"; readonly cell: number }
  | { readonly kind: "draw"; readonly cell: number };

/** Programs with more plain schedules than this are passed over. */
const PLAIN_MAX = 1_000;
const CELLS = 2;
const LOCKS = 2;

interface Shared {
  readonly cells: number[];
  readonly locks: readonly SpinLock[];
  readonly queues: readonly WaitQueue[];
  /** What each thread saw. */
  readonly seen: number[][];
}

function* thread(m: Machine, s: Shared, id: number, program: readonly Instruction[]): MaySleep<void> {
  const seen = s.seen[id]!;
  for (const [i, instruction] of program.entries()) {
    const { cell } = instruction;
    switch (instruction.kind) {
      case "read":
        if (m.point(Op.FrameRead, cell)) yield SWITCH;
        seen.push(s.cells[cell]!);
        break;
      case "write":
        if (m.point(Op.FrameWrite, cell)) yield SWITCH;
        s.cells[cell] = 100 * (id + 1) + i;
        break;
      case "add": {
        if (m.point(Op.FrameRead, cell)) yield SWITCH;
        const value = s.cells[cell]!;
        if (m.point(Op.FrameWrite, cell)) yield SWITCH;
        s.cells[cell] = value + 1;
        break;
      }
      case "locked":
        yield* locked(m, s, s.locks[instruction.lock]!, cell, seen);
        break;
      case "wait":
        for (;;) {
          if (m.point(Op.FrameRead, cell)) yield SWITCH;
          if (s.cells[cell] !== 0) break;
          yield* s.queues[cell]!.sleep(TaskState.Uninterruptible, "cell");
        }
        break;
      case "signal":
        if (m.point(Op.FrameWrite, cell)) yield SWITCH;
        s.cells[cell] = 7 + id;
        s.queues[cell]!.wakeAll();
        break;
      default:
        if (m.point(Op.FrameWrite, cell)) yield SWITCH;
        s.cells[cell] = m.choices.pick("draw", 2);
    }
  }
}

function* locked(m: Machine, s: Shared, lock: SpinLock, cell: number, seen: number[]): Atomic<void> {
  if (!lock.tryLock()) yield* lock.lock();
  if (m.point(Op.FrameRead, cell)) yield SWITCH;
  const value = s.cells[cell]!;
  seen.push(value);
  // Where two threads use different locks, the second access can go wrong.
  if (m.point(Op.FrameWrite, cell)) yield SWITCH;
  s.cells[cell] = value * 2 + 1;
  if (!lock.tryUnlock()) yield* lock.unlock();
}

const CONFIG = { frames: 64, reservedFrames: 1, swapSlots: 0, seed: 1, tlbEntries: 8, checking: true };

/** The outcomes of all executions that a strategy goes through. */
function outcomes(programs: readonly (readonly Instruction[])[], strategy: ExplorationStrategy, max = Infinity): { states: Set<string>; executions: number } {
  const states = new Set<string>();
  let executions = 0;
  while (executions < max && strategy.next()) {
    executions++;
    const m = new Machine({ ...CONFIG, cpus: programs.length }, { pick: (what, n) => strategy.draw(what, n) });
    const shared: Shared = {
      cells: new Array<number>(CELLS).fill(0),
      locks: Array.from({ length: LOCKS }, () => new SpinLock(m.locks, "test")),
      queues: Array.from({ length: CELLS }, () => new WaitQueue(m)),
      seen: programs.map(() => []),
    };
    if (strategy instanceof PartialOrderExploration) m.sink = strategy;
    for (const [id, program] of programs.entries()) {
      const task = new Task(m.sched.allocateTaskId(), `thread ${id}`, m.sched.executors[id]!, thread(m, shared, id, program), {
        memcg: m.memcgs.root,
      });
      task.thread.affinity = 1 << id;
      m.tasks.set(task.id, task);
      m.sched.start(task);
    }
    strategy.begin(m);
    m.sched.strategy = strategy;
    const end = m.sched.run();
    strategy.end();
    if (strategy.abandoned !== null) states.add(strategy.abandoned.reason);
    else states.add(`${end} ${JSON.stringify(shared.cells)} ${JSON.stringify(shared.seen)}`);
  }
  return { states, executions };
}

const cell = fc.integer({ min: 0, max: CELLS - 1 });
const instruction: fc.Arbitrary<Instruction> = fc.oneof(
  fc.record({ kind: fc.constantFrom("read" as const, "write" as const, "add" as const), cell }),
  fc.record({ kind: fc.constant("locked" as const), lock: fc.integer({ min: 0, max: LOCKS - 1 }), cell }),
  fc.record({ kind: fc.constantFrom("wait" as const, "signal" as const, "draw" as const), cell }),
);

function programs(threads: number, length: number): fc.Arbitrary<Instruction[][]> {
  return fc.array(fc.array(instruction, { minLength: 1, maxLength: length }), { minLength: threads, maxLength: threads });
}

test.each([
  [2, 3],
  [3, 2],
])("%d threads: the same outcomes as plain enumeration", (threads, length) => {
  fc.assert(
    fc.property(programs(threads, length), (list) => {
      const plain = outcomes(list, new BoundedExploration({ preemptions: Infinity }), PLAIN_MAX);
      fc.pre(plain.executions < PLAIN_MAX);
      const reduced = outcomes(list, new PartialOrderExploration());
      expect(reduced.executions).toBeLessThanOrEqual(plain.executions);
      expect([...reduced.states].sort()).toEqual([...plain.states].sort());
    }),
    { numRuns: 30, seed: 1, maxSkipsPerRun: 1000 },
  );
}, 120_000);

test.each([migrateFault, reclaimMunmap].map((s) => [s.title, s as Scenario] as const))("%s: clean in every execution that can differ", (_title, s) => {
  const report = explore(s, { preemptions: Infinity });
  expect(report.violation).toBeNull();
  expect(report).toMatchObject({ complete: true, covers: expect.stringContaining("every order that can differ") as string });
});
