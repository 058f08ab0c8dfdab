import { Madv, Prot, resolvePatches, SeededChoices, type OverlayFactory } from "@faultline/kernel";
import { describe, expect, test } from "vitest";
import { explore, fuzz, operationsOf, printProgram, replay, scenario, type Program, type Scenario } from "../src/index.js";
import { Expectations } from "../src/fuzz_expect.js";
import { Generator } from "../src/fuzz_generate.js";
import { scenarioOf } from "../src/fuzz_scenario.js";

/** The scenario of a printed program, which has no types to take away. */
function load(source: string): Scenario {
  const body = source.replaceAll(/^import .*$/gm, "").replace("export default", "return");
  // eslint-disable-next-line @typescript-eslint/no-implied-eval -- a module from a string
  return (new Function("scenario", "Madv", "Prot", body) as (...values: unknown[]) => Scenario)(scenario, Madv, Prot);
}

/** All that some executions of a scenario do, step by step, and the rule that they break. */
function outcome(s: Scenario, overlays: readonly OverlayFactory[], seed: number): { readonly steps: number[]; readonly broken: string | null } {
  const steps: number[] = [];
  const sink = { point: (executor: number, op: number, object: number) => steps.push(executor, op, object), emit: () => undefined };
  const options = { overlays, sampling: { policy: "random", seed } as const, executionsMax: 2, minimise: false };
  // What looks at the outcome may look elsewhere.
  const { title, setup, threads, machine = {} } = s;
  explore({ title, setup, threads, machine }, { ...options, sink });
  return { steps, broken: explore(s, options).violation?.kind ?? null };
}

function programs(count: number, seed: number): Program[] {
  const generator = new Generator(new SeededChoices(seed), { movable: true });
  return Array.from({ length: count }, () => generator.next());
}

/** A device that says it has added, and has not. */
const lazyDevice: OverlayFactory = () => ({
  testHmm: {
    *deviceAtomicAdd32() {
      return 0;
    },
  },
});

describe("programs", () => {
  test.each(["7.3", "6.14", "6.1"])("no rule is broken on %s", (release) => {
    const overlays = resolvePatches({ release, without: [] }) as OverlayFactory[];
    const report = fuzz({ overlays, seed: 11, movable: release === "7.3", executionsMax: 300 });
    expect(report.finding).toBeNull();
    expect(report.executions).toBe(300);
  });

  test("a printed program does just what the program does", () => {
    programs(20, 3).forEach((program, i) => {
      const watching = { ...program, watched: { page: i % program.pages, word: i % (program.threads.length + 1) } };
      const printed = load(printProgram(watching, { title: "printed", notes: [] }));
      for (const overlays of [[], [lazyDevice]]) {
        expect(outcome(printed, overlays, i), `program ${i}`).toEqual(outcome(scenarioOf(watching, "run") as Scenario, overlays, i));
      }
    });
  });

  test("have as many threads as they are to have", () => {
    const generator = new Generator(new SeededChoices(1), { movable: true, threads: 5 });
    for (let i = 0; i < 50; i++) expect(generator.next().threads).toHaveLength(5);
  });
});

describe("what is found", () => {
  test("comes as the smallest program, the same from the same seed, and again from its printed form", () => {
    const [overlay] = resolvePatches({ release: "7.3", without: ["exclusive-fault-ref"] }) as OverlayFactory[];
    const options = { overlays: [overlay!], movable: true, executionsMax: 3000 };
    const { finding } = fuzz(options);
    expect(finding).toMatchObject({ bounded: true, violation: { kind: "lock-on-free" } });
    expect(finding!.violation.preemptions).toBeLessThanOrEqual(2);
    expect(operationsOf(finding!.program)).toBeLessThanOrEqual(5);
    expect(fuzz(options).finding).toEqual(finding);
    const printed = load(printProgram(finding!.program, { title: finding!.title, notes: [] }));
    expect(replay(printed, finding!.violation.decisions, options)).toMatchObject({ kind: "lock-on-free", message: finding!.violation.message });
    expect(explore(printed, options).violation).toMatchObject({ kind: "lock-on-free" });
    expect(explore(printed, { executionsMax: 2000 }).violation).toBeNull();
  });

  test("wrong contents are checked where they are wrong", () => {
    const { finding } = fuzz({ overlays: [lazyDevice], movable: true, executionsMax: 3000 });
    const source = printProgram(finding!.program, { title: finding!.title, notes: ["A lost update."] });
    expect(explore(load(source), { overlays: [lazyDevice] }).violation).toMatchObject({ kind: "outcome", preemptions: 0 });
    expect(explore(load(source)).violation).toBeNull();
    expect(source).toMatchInlineSnapshot(`
      "import { scenario } from "@faultline/checker";

      /**
       * A lost update.
       */
      export default scenario({
        title: "device atomic",
        machine: { cpus: 1, devices: 2, swapSlots: 0 },

        *setup(t) {
          const a = yield* t.mmap(1);
          const s = { a, expected: 0, wrong: "" };
          return s;
        },

        threads: {
          device1: {
            on: { device: 1 },
            *run(t, s) {
              const seen0 = yield* t.deviceAtomicAdd32(1, s.a + 4, 9);
              if (seen0 >= 0) {
                if (seen0 !== s.expected) s.wrong ||= \`the word is \${seen0} instead of \${s.expected}\`;
                s.expected = seen0 + 9;
              }
            },
          },
        },

        *check(t, s) {
          if (s.wrong !== "") return s.wrong;
          const seen = yield* t.tryLoad32(s.a + 4);
          if (seen === null || seen === s.expected) return null;
          return \`the word is \${seen} instead of \${s.expected}\`;
        },
      });
      "
    `);
  });
});

test("what may be said of a word depends on who throws its page away, and when", () => {
  const [program] = programs(1, 1);
  const two = (mine: Program["setup"], others: Program["setup"]): Expectations =>
    new Expectations({ ...program!, setup: [], threads: [{ on: { cpu: 0 }, operations: mine }, { on: { cpu: 1 }, operations: others }] });
  const store = { kind: "store", device: 0, page: 0, word: 1, value: 5 } as const;
  const load32 = { ...store, kind: "load" } as const;
  const advise = (advice: "DONTNEED" | "FREE", page = 0) => ({ kind: "madvise", page, pages: 1, advice }) as const;
  const protect = (prot: "NONE" | "READ") => ({ kind: "mprotect", page: 0, pages: 1, prot }) as const;
  expect(two([store, load32], []).of(0, 1, load32)).toEqual({ zero: false, allowed: true });
  expect(two([store, load32], [advise("DONTNEED")]).of(0, 1, load32)).toEqual({ zero: true, allowed: true });
  expect(two([store, load32], [advise("DONTNEED", 1)]).of(0, 1, load32)).toEqual({ zero: false, allowed: true });
  expect(two([advise("FREE"), load32], []).of(0, 1, load32)).toEqual({ zero: true, allowed: true });
  expect(two([advise("FREE"), store, load32], []).of(0, 2, load32)).toEqual({ zero: false, allowed: true });
  expect(two([advise("FREE"), advise("DONTNEED"), load32], []).of(0, 2, load32)).toEqual({ zero: false, allowed: true });
  expect(two([protect("READ"), load32], []).of(0, 1, load32).allowed).toBe(true);
  expect(two([protect("READ"), store], []).of(0, 1, store).allowed).toBe(false);
  expect(two([protect("NONE"), load32], []).of(0, 1, load32).allowed).toBe(false);
  expect(two([load32], [protect("NONE")]).of(0, 0, load32).allowed).toBeNull();
});
