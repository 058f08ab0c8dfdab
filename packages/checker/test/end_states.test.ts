import { readdirSync, readFileSync } from "node:fs";
import type { UserPatch } from "@faultline/kernel";
import { describe, expect, test } from "vitest";
import faultVsExclusive from "../../../scenarios/fault-vs-exclusive.js";
import { explore, scenario, type ExploreOptions, type Scenario } from "../src/index.js";
import { pass } from "./bare.js";

const UNDONE = new URL("../../../scenarios/undone/", import.meta.url);
/** Who listens sees every execution to its very end. */
const LISTENER = { point: () => undefined, emit: () => undefined };

async function load<T>(url: URL): Promise<T> {
  return ((await import(url.href)) as { default: T }).default;
}

/** What comes of executions each of which is gone through to its end, and of the same where known ends are not. */
function bothWays(scenario: Scenario, options: ExploreOptions): readonly unknown[] {
  return [{ ...options, sink: LISTENER }, options].map((o) => {
    const { executions, violation } = explore(scenario, { ...o, minimise: false });
    return { executions, kind: violation?.kind, message: violation?.message, decisions: violation?.decisions };
  });
}

describe("what is not checked again hides nothing:", () => {
  const found = JSON.parse(readFileSync(new URL("found.json", UNDONE), "utf8")) as Readonly<Record<string, { readonly scenario: string }>>;
  const patches = readdirSync(UNDONE).flatMap((file) => (file.endsWith(".ts") ? [file.slice(0, -3)] : []));

  test.each(patches)("%s", async (name) => {
    const patch = await load<UserPatch>(new URL(`${name}.ts`, UNDONE));
    const scenario = await load<Scenario>(new URL(`../${found[name]!.scenario}.ts`, UNDONE));
    for (const seed of [1, 2]) {
      const [all, fewer] = bothWays(scenario, { overlays: [patch.apply], sampling: { policy: "random", seed }, executionsMax: 400 });
      expect(fewer).toEqual(all);
    }
  });
});

test("an end is checked once, however often executions come to it", () => {
  let checks = 0;
  const counted: Scenario = {
    ...(faultVsExclusive as Scenario),
    *check(t, s) {
      checks++;
      return yield* (faultVsExclusive as Scenario).check!(t, s);
    },
  };
  const { executions } = explore(counted, { sampling: { policy: "random" }, executionsMax: 1000 });
  expect(executions).toBe(1000);
  expect(checks).toBeGreaterThan(1);
  expect(checks).toBeLessThan(100);
});

test("all that a scenario's own state holds makes an end another, whatever it is called", () => {
  class Books {
    timeNs = 0;
    readonly from = new Map<string, { turns: number }>();
  }
  const races = (bad: (books: Books) => boolean): Scenario =>
    scenario<Books>({
      title: "books",
      *setup() {
        return new Books();
      },
      threads: {
        a: { on: { cpu: 0 }, run: (t, s) => pass(t, 1, () => s.timeNs++) },
        b: { on: { cpu: 1 }, run: (t, s) => pass(t, 1, () => s.from.set("b", { turns: s.timeNs })) },
      },
      *check(_t, s) {
        return bad(s) ? "this one" : null;
      },
    });
  for (const turns of [0, 1]) {
    const { violation } = explore(races(({ from }) => from.get("b")?.turns === turns), { sampling: { policy: "walk", seed: 1 }, executionsMax: 100 });
    expect(violation).toMatchObject({ kind: "outcome", message: "this one" });
  }
});
