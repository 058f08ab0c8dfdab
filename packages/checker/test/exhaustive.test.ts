import { FrameMemory, Machine, Op, SpinLock, SWITCH, Task, WaitQueue, TaskState, type Atomic, type MaySleep } from "@faultline/kernel";
import fc from "fast-check";
import { expect, test } from "vitest";
import migrateFault from "../../../scenarios/migrate-fault.js";
import { BoundedExploration } from "../src/bounded.js";
import { CallFrames } from "../src/call_frames.js";
import { ExhaustiveExploration } from "../src/exhaustive.js";
import { explore, type Scenario } from "../src/index.js";
import { LocalStates } from "../src/local_states.js";
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
const RUNS = Number(process.env.RUNS ?? 30);
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

/** The outcomes of all executions that a strategy goes through. `lockClass`: of the locks of the program. */
function outcomes(
  programs: readonly (readonly Instruction[])[],
  strategy: ExplorationStrategy,
  lockClass: string,
  max = Infinity,
): { states: Set<string>; executions: number } {
  const states = new Set<string>();
  let executions = 0;
  while (executions < max && strategy.next()) {
    executions++;
    const m = new Machine({ ...CONFIG, cpus: programs.length, memory: MEMORY }, { pick: (what, n) => strategy.draw(what, n) });
    for (let cell = 0; cell < CELLS; cell++) m.ram.clear(cell);
    const shared: Shared = {
      words: m.ram.words,
      locks: Array.from({ length: LOCKS }, () => new SpinLock(m.locks, lockClass)),
      queues: Array.from({ length: CELLS }, () => new WaitQueue(m)),
      seen: programs.map(() => []),
    };
    if (strategy instanceof ExhaustiveExploration) {
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
    if (strategy instanceof ExhaustiveExploration && strategy.met) continue;
    const cells = Array.from({ length: CELLS }, (_, cell) => shared.words[cell << 10]);
    if (strategy.abandoned !== null) states.add(strategy.abandoned.reason);
    else states.add(`${end} ${JSON.stringify(cells)} ${JSON.stringify(shared.seen)}`);
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
  [2, 3, "ptl"],
  [2, 3, "unknown"],
  [3, 2, "ptl"],
])("%d threads: the same outcomes as plain enumeration", (threads, length, lockClass) => {
  fc.assert(
    fc.property(programs(threads, length), (list) => {
      const plain = outcomes(list, new BoundedExploration({ preemptions: Infinity }), lockClass, PLAIN_MAX);
      fc.pre(plain.executions < PLAIN_MAX);
      const exhaustive = outcomes(list, new ExhaustiveExploration(), lockClass);
      expect(exhaustive.executions).toBeLessThanOrEqual(plain.executions);
      expect([...exhaustive.states].sort()).toEqual([...plain.states].sort());
      for (const preemptions of [0, 1, 2]) {
        const some = outcomes(list, new BoundedExploration({ preemptions }), lockClass);
        const bounded = outcomes(list, new ExhaustiveExploration({ preemptions }), lockClass);
        expect([...bounded.states].sort()).toEqual([...some.states].sort());
      }
    }),
    { numRuns: RUNS, seed: 1, maxSkipsPerRun: 1000 },
  );
}, 120_000);

test.each([migrateFault].map((s) => [s.title, s as Scenario] as const))("%s: clean in every execution that can differ", (_title, s) => {
  const report = explore(s, { preemptions: Infinity });
  expect(report.violation).toBeNull();
  expect(report).toMatchObject({ complete: true, covers: expect.stringContaining("every order that can differ") as string });
});
