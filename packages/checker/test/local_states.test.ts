import { createHash } from "node:crypto";
import { readdirSync } from "node:fs";
import { Event, SeededChoices, type EventSink, type Executor, type Op, type Strategy } from "@faultline/kernel";
import { expect, test } from "vitest";
import { CallFrames } from "../src/call_frames.js";
import { LocalStates } from "../src/local_states.js";
import type { Scenario } from "../src/index.js";
import { World } from "../src/world.js";
import { seen } from "./seen.js";

/** Random schedules of each scenario. */
const RUNS = Number(process.env.RUNS ?? 8);
/** Points after which a schedule is given up. */
const POINTS_MAX = 3_000;

/** A machine that is followed. */
interface Followed {
  readonly world: World;
  readonly states: LocalStates;
}

/** Draws who goes on at each point, and tells `LocalStates` what `ExhaustiveExploration` would. */
class Drawn implements Strategy, EventSink {
  private points = 0;
  private readonly words = new Int32Array(2);
  private target: Executor | null = null;
  private readonly choices: SeededChoices;

  /** `met` gets the key of each state that is come to, `chosen` what is decided there or drawn on the way from there. */
  constructor(
    private readonly followed: Followed,
    seed: number,
    private readonly met: (key: string) => void,
    private readonly chosen: (what: string) => void,
  ) {
    this.choices = new SeededChoices(seed);
  }

  quantum(): number {
    this.followed.states.goesOn(this.followed.world.m.executor!);
    return 0;
  }

  preempt(op: Op, object: number): boolean {
    const { sched, executor } = this.followed.world.m;
    this.followed.states.stops(op, object);
    if (++this.points > POINTS_MAX) {
      sched.halt();
      return true;
    }
    const next = this.choose([executor!, ...sched.executors.filter((e) => e !== executor && sched.canRun(e))]);
    if (next === executor) return false;
    this.target = next;
    return true;
  }

  pick(eligible: readonly Executor[]): Executor {
    const { target } = this;
    this.target = null;
    if (target !== null) return target;
    this.followed.states.endStep();
    return this.choose(eligible);
  }

  draw(n: number): number {
    const value = n > 4 || n < 2 ? 0 : this.choices.pick("value", n);
    this.followed.states.drew(value);
    this.chosen(String(value));
    return value;
  }

  point(): void {}

  touches(_executor: number, op: Op, object: number): void {
    this.followed.states.touch(op, object);
  }

  emit(event: Event, _a: number, b: number): void {
    if (event === Event.SchedWakeup) this.followed.states.woke(b);
  }

  private choose(able: readonly Executor[]): Executor {
    this.followed.states.key(this.words);
    this.met(this.words.join());
    const next = this.choices.pick("stay", 4) > 0 ? able[0]! : able[this.choices.pick("executor", able.length)]!;
    this.chosen(next.name);
    return next;
  }
}

/** Runs the threads once. */
function walk(followed: Followed, seed: number, met: (key: string) => void, chosen: (what: string) => void): void {
  const { world, states } = followed;
  const drawn = new Drawn(followed, seed, met, chosen);
  world.restore();
  world.m.sink = drawn;
  world.startThreads();
  states.begin();
  world.hand(drawn, (_what, n) => drawn.draw(n));
  world.m.sched.run();
  states.pause();
}

/** Runs them once more: all that is seen in the nth state of an execution. */
function seenAt(followed: Followed, [seed, nth]: readonly [number, number]): string[] {
  let lines: string[] = [];
  let n = 0;
  walk(followed, seed, () => n++ === nth && (lines = seen(followed.world)), () => {});
  return lines;
}

/** A guest's program has state that is not followed. */
const NAMES = readdirSync(new URL("../../../scenarios/", import.meta.url)).flatMap((file) => (file.endsWith(".ts") && file !== "guest-add.ts" ? [file.slice(0, -3)] : []));

test.each(NAMES)("%s: what has the same key looks the same, and goes on the same", async (name) => {
  const { default: scenario } = (await import(`../../../scenarios/${name}.ts`)) as { default: Scenario };
  const follower = new CallFrames();
  const world = new World(scenario, { follower });
  world.setup();
  world.save([]);
  const followed = { world, states: new LocalStates(world.m, follower, world.shared) };
  /** By key: a hash of what was seen, and in which state of which execution. */
  const known = new Map<string, { readonly hash: string; readonly at: readonly [number, number] }>();
  /** By key, and what was decided and drawn since: the next key. */
  const nexts = new Map<string, string>();
  let again = 0;
  for (let seed = 1; seed <= RUNS; seed++) {
    const unlike: (readonly [readonly [number, number], readonly [number, number]])[] = [];
    let n = 0;
    let since = "";
    walk(
      followed,
      seed,
      (key) => {
        const at = [seed, n++] as const;
        if (since !== "") expect(nexts.get(since) ?? key, `state ${n} of execution ${seed}`).toBe(key);
        nexts.set(since, key);
        since = key;
        const hash = createHash("sha1").update(seen(world).join("\n")).digest("base64");
        const other = known.get(key);
        if (other === undefined) known.set(key, { hash, at });
        else {
          again++;
          if (other.hash !== hash) unlike.push([at, other.at]);
        }
      },
      (what) => (since += ` ${what}`),
    );
    for (const [at, other] of unlike) expect(seenAt(followed, at), `state ${at[1]} of execution ${at[0]}`).toEqual(seenAt(followed, other));
  }
  expect(again).toBeGreaterThan(4 * RUNS);
});
