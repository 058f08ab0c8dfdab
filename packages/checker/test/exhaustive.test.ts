import { FrameMemory, Machine, Op, SpinLock, SWITCH, Task, WaitQueue, TaskState, type Atomic, type MaySleep } from "@faultline/kernel";
import fc from "fast-check";
import { expect, test } from "vitest";
import migrateFault from "../../../scenarios/migrate-fault.js";
import { BoundedExploration } from "../src/bounded.js";
import { CallFrames } from "../src/call_frames.js";
import { explore, type Scenario } from "../src/index.js";
import { LocalStates } from "../src/local_states.js";
import { PlannedExecution } from "../src/planned.js";
import { Search } from "../src/search.js";
import { SharedState } from "../src/shared_state.js";
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
const RUNS = 20;
const CELLS = 2;
const LOCKS = 2;

interface Shared {
  /** RAM: the first word of a frame each. */
  readonly words: Int32Array;
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
        seen.push(s.words[cell << 10]!);
        break;
      case "write":
        if (m.point(Op.FrameWrite, cell)) yield SWITCH;
        s.words[cell << 10] = 100 * (id + 1) + i;
        break;
      case "add": {
        if (m.point(Op.FrameRead, cell)) yield SWITCH;
        const value = s.words[cell << 10]!;
        if (m.point(Op.FrameWrite, cell)) yield SWITCH;
        s.words[cell << 10] = value + 1;
        break;
      }
      case "locked":
        yield* locked(m, s, s.locks[instruction.lock]!, cell, seen);
        break;
      case "wait":
        for (;;) {
          if (m.point(Op.FrameRead, cell)) yield SWITCH;
          if (s.words[cell << 10] !== 0) break;
          yield* s.queues[cell]!.sleep(TaskState.Uninterruptible, "cell");
        }
        break;
      case "signal":
        if (m.point(Op.FrameWrite, cell)) yield SWITCH;
        s.words[cell << 10] = 7 + id;
        s.queues[cell]!.wakeAll();
        break;
      default:
        if (m.point(Op.FrameWrite, cell)) yield SWITCH;
        s.words[cell << 10] = m.choices.pick("draw", 2);
    }
  }
}

function* locked(m: Machine, s: Shared, lock: SpinLock, cell: number, seen: number[]): Atomic<void> {
  if (!lock.tryLock()) yield* lock.lock();
  if (m.point(Op.FrameRead, cell)) yield SWITCH;
  const value = s.words[cell << 10]!;
  seen.push(value);
  // Where two threads use different locks, the second access can go wrong.
  if (m.point(Op.FrameWrite, cell)) yield SWITCH;
  s.words[cell << 10] = value * 2 + 1;
  if (!lock.tryUnlock()) yield* lock.unlock();
}

const CONFIG = { frames: 64, reservedFrames: 1, swapSlots: 0, seed: 1, tlbEntries: 8, checking: true };

const MEMORY = new FrameMemory(CONFIG.frames);

/** Runs a random program once; what came of it, or null where the execution was not followed to its end. `lockClass`: of its locks. */
function execute(programs: readonly (readonly Instruction[])[], strategy: ExplorationStrategy, lockClass: string): string | null {
  const m = new Machine({ ...CONFIG, cpus: programs.length, memory: MEMORY }, { pick: (what, n) => strategy.draw(what, n) });
  for (let cell = 0; cell < CELLS; cell++) m.ram.clear(cell);
  const shared: Shared = {
    words: m.ram.words,
    locks: Array.from({ length: LOCKS }, () => new SpinLock(m.locks, lockClass)),
    queues: Array.from({ length: CELLS }, () => new WaitQueue(m)),
    seen: programs.map(() => []),
  };
  if (strategy instanceof PlannedExecution) {
    strategy.watch(new LocalStates(m, new CallFrames(), new SharedState()), { point: () => {}, emit: () => {} });
    m.sink = strategy;
  }
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
  if (strategy instanceof PlannedExecution && strategy.met) return null;
  if (strategy.abandoned !== null) return strategy.abandoned.reason;
  const cells = Array.from({ length: CELLS }, (_, cell) => shared.words[cell << 10]);
  return `${end} ${JSON.stringify(cells)} ${JSON.stringify(shared.seen)}`;
}

interface Outcomes {
  readonly states: ReadonlySet<string | null>;
  readonly executions: number;
}

/** The outcomes of every schedule, each run by itself. */
function plainly(programs: readonly (readonly Instruction[])[], preemptions: number, lockClass: string, max = Infinity): Outcomes {
  const states = new Set<string | null>();
  const strategy = new BoundedExploration({ preemptions });
  let executions = 0;
  for (; executions < max && strategy.next(); executions++) states.add(execute(programs, strategy, lockClass));
  return { states, executions };
}

/** The same where states are compared. */
function exhaustively(programs: readonly (readonly Instruction[])[], preemptions: number, lockClass: string): Outcomes {
  const states = new Set<string | null>();
  const search = new Search({ preemptions });
  let executions = 0;
  for (let round = search.round(); round.length > 0; round = search.round()) {
    search.learn(
      round.map((unit) => {
        if (unit.kind !== "plans") throw new Error("no plans");
        const planned = new PlannedExecution({ visited: search.visited, bounded: preemptions !== Infinity });
        const shown = unit.plans.map((plan) => {
          planned.follow(plan);
          states.add(execute(programs, planned, lockClass));
          return planned.shown();
        });
        executions += unit.plans.length;
        return { executions: unit.plans.length, points: 0, pointsMin: 0, pointsMax: 0, retries: 0, forced: 0, nested: [], found: null, shown };
      }),
    );
  }
  states.delete(null);
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
  [2, 3, "ptl"],
  [2, 3, "unknown"],
  [3, 2, "ptl"],
])("%d threads: the same outcomes as plain enumeration", (threads, length, lockClass) => {
  fc.assert(
    fc.property(programs(threads, length), (list) => {
      const plain = plainly(list, Infinity, lockClass, PLAIN_MAX);
      fc.pre(plain.executions < PLAIN_MAX);
      const exhaustive = exhaustively(list, Infinity, lockClass);
      expect(exhaustive.executions).toBeLessThanOrEqual(plain.executions);
      expect([...exhaustive.states].sort()).toEqual([...plain.states].sort());
      for (const preemptions of [0, 1, 2]) {
        expect([...exhaustively(list, preemptions, lockClass).states].sort()).toEqual([...plainly(list, preemptions, lockClass).states].sort());
      }
    }),
    { numRuns: threads > 2 ? RUNS / 2 : RUNS, seed: 1, maxSkipsPerRun: 1000 },
  );
}, 120_000);

test.each([migrateFault].map((s) => [s.title, s as Scenario] as const))("%s: clean in every execution that can differ", (_title, s) => {
  const report = explore(s, { preemptions: Infinity });
  expect(report.violation).toBeNull();
  expect(report).toMatchObject({ complete: true, covers: "all sequentially consistent interleavings, retries up to 1 in a call" });
});
