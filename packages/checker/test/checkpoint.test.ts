import { SeededChoices, type EventSink, type Executor, type Strategy } from "@faultline/kernel";
import { describe, expect, test } from "vitest";
import faultExclusiveDontneed from "../../../scenarios/fault-exclusive-dontneed.js";
import gupFastMunmap from "../../../scenarios/gup-fast-munmap.js";
import largeFolioSplit from "../../../scenarios/large-folio-split.js";
import migrateExclusive from "../../../scenarios/migrate-exclusive.js";
import migrateReclaim from "../../../scenarios/migrate-reclaim.js";
import mirrorDontneed from "../../../scenarios/mirror-dontneed.js";
import mprotectReclaimStore from "../../../scenarios/mprotect-reclaim-store.js";
import swapInDontneedPageout from "../../../scenarios/swap-in-dontneed-pageout.js";
import vmaLockMunmap from "../../../scenarios/vma-lock-munmap.js";
import { Checkpoint } from "../src/checkpoint.js";
import { scenario, type Scenario } from "../src/index.js";
import { World } from "../src/world.js";
import { entries, picture } from "./picture.js";

const SCENARIOS = [
  faultExclusiveDontneed,
  gupFastMunmap,
  largeFolioSplit,
  migrateExclusive,
  migrateReclaim,
  mirrorDontneed,
  mprotectReclaimStore,
  swapInDontneedPageout,
  vmaLockMunmap,
] as readonly Scenario[];

/** Somebody else at one point in four; stops everything at point `end`. */
class Drawn implements Strategy {
  points = 0;

  constructor(
    private readonly world: World,
    private readonly choices: SeededChoices,
    private readonly end: number,
  ) {}

  quantum(): number {
    return 0;
  }

  preempt(): boolean {
    if (++this.points < this.end) return this.choices.pick("preempt", 4) === 0;
    this.world.m.sched.halt();
    return true;
  }

  pick(eligible: readonly Executor[]): Executor {
    return eligible[this.choices.pick("pick", eligible.length)]!;
  }
}

/** Runs the scenario's threads; how many points they passed, and with `heard` what they announced. */
function run(world: World, seed: number, end: number, heard: string[] | null = null): number {
  const choices = new SeededChoices(seed);
  const strategy = new Drawn(world, choices, end);
  const sink: EventSink = {
    point: (executor, op, object) => heard?.push(`point ${executor} ${op} ${object}`),
    emit: (event, a, b, c, d) => heard?.push(`event ${event} ${a} ${b} ${c} ${d}`),
  };
  world.m.sink = sink;
  world.startThreads();
  world.hand(strategy, (what, n) => choices.pick(what, n));
  world.m.sched.run();
  return strategy.points;
}

function ready(scenario: Scenario): World {
  const world = new World(scenario);
  world.setup();
  return world;
}

/** The state of the machine and of the scenario, but for the thread of the swap disk, which starts anew. */
function state(world: World): string[] {
  const { k, m, scenario } = world;
  return [...picture(world, new Set<object>([k, scenario, m.ram])), ...entries(m)];
}

describe("an execution that is given up midway", () => {
  test.each(SCENARIOS.map((scenario) => [scenario.title, scenario] as const))("%s", (_title, scenario) => {
    const world = ready(scenario);
    world.save([]);
    // A first going back makes what is made when it is wanted.
    world.restore();
    const before = state(world);
    const fresh: string[] = [];
    const points = run(ready(scenario), 1, Infinity, fresh);
    for (let end = 1; end <= points; end += 3) {
      run(world, end, end);
      world.restore();
      expect(state(world)).toEqual(before);
      const heard: string[] = [];
      run(world, 1, Infinity, heard);
      expect(heard).toEqual(fresh);
      world.restore();
    }
  });
});

test("a slot of swap that was in use has its contents again", () => {
  const world = ready(
    scenario({
      title: "swapped out",
      machine: { swapSlots: 16 },
      *setup(t) {
        const page = yield* t.mmap(1);
        yield* t.store32(page + 4, 100);
        yield* t.drainLruBatches();
        yield* t.reclaim(1);
        return { page };
      },
      threads: {},
    }),
  );
  world.save([]);
  const { swap } = world.m;
  expect(swap.count[1]).toBe(1);
  const words = new Int32Array(1024);
  words[2] = 7;
  swap.write(1, words, 0);
  world.restore();
  swap.read(1, words, 0);
  expect([...words.subarray(0, 4)]).toEqual([0, 100, 0, 0]);
});

test("what is reachable goes back, whatever it is", () => {
  const inner = { n: 1, list: [1, "two"] as unknown[] };
  const root = {
    inner,
    map: new Map<unknown, unknown>([["a", inner], ["b", 2]]),
    set: new Set<unknown>([1, 2]),
    words: Int32Array.of(1, 2, 3),
    "a name \"in quotes\"": 1,
  };
  const before = structuredClone(root);
  const checkpoint = new Checkpoint(root, [], () => true);
  for (let i = 0; i < 2; i++) {
    root.inner.n = 2;
    root.inner.list.push(root.inner);
    root.inner = { n: 3, list: [] };
    // The same entries, in another order.
    root.map.delete("a");
    root.map.set("a", inner);
    root.set.delete(1);
    root.set.add(1);
    root.words.fill(9);
    root["a name \"in quotes\""] = 2;
    checkpoint.restore();
    expect(root).toEqual(before);
    expect([...root.map.keys()]).toEqual(["a", "b"]);
    expect([...root.set]).toEqual([1, 2]);
    expect(root.inner).toBe(inner);
  }
});
