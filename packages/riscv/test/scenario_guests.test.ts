import { describe, expect, test } from "vitest";
import exclusiveFlush from "../../../scenarios/undone/exclusive-flush.js";
import guestAdd from "../../../scenarios/guest-add.js";
import { guestsOf } from "../../checker/test/guests.js";
import { explore, raceDiagram, replay, scenario, type ExploreOptions, type Report, type Scenario, type ScenarioThread } from "../../checker/src/index.js";

const PROGRAMS = "../programs/prebuilt";

interface Word {
  readonly page: number;
}

/** Programs that add 2 each to one word, one on each CPU; and others, who add `more`. */
function adders(modes: readonly string[], others: Readonly<Record<string, ScenarioThread<Word>>> = {}, more = 0): Scenario {
  const guests = modes.map((mode, cpu) => [
    `adder${cpu}`,
    { on: { cpu }, elf: `${PROGRAMS}/add-word`, args: ({ page }: Word) => [page.toString(16), ...(mode === "" ? [] : [mode])] },
  ]);
  return scenario<Word>({
    title: "programs add to one word",
    machine: { cpus: 2, devices: 1 },
    *setup(t) {
      const page = yield* t.mmap(1);
      yield* t.store32(page, 0);
      return { page };
    },
    threads: { ...Object.fromEntries(guests), ...others },
    *check(t, { page }) {
      const sum = yield* t.load32(page);
      const expected = 2 * modes.length + more;
      return sum === expected ? null : `the word is ${sum} instead of ${expected}`;
    },
  });
}

/** One program alone, which gets nothing. */
function alone(program: string, args: readonly string[] = [], machine: Scenario["machine"] = {}): Scenario {
  return {
    title: program,
    machine,
    *setup() {},
    threads: { program: { on: { cpu: 0 }, elf: `${PROGRAMS}/${program}`, args } },
  };
}

function exploreGuests(s: Scenario, options: ExploreOptions = {}): Report {
  return explore(s, { guests: guestsOf(s), ...options });
}

const cpuAdds: ScenarioThread<Word> = {
  on: { cpu: 1 },
  *run(t, { page }) {
    yield* t.atomicAdd32(page, 10);
  },
};

const cpuReads: ScenarioThread<Word> = {
  on: { cpu: 1 },
  *run(t, { page }) {
    yield* t.load32(page);
  },
};

const deviceAdds: ScenarioThread<Word> = {
  on: { device: 0 },
  *run(t, { page }) {
    yield* t.deviceAtomicAdd32(0, page, 10);
  },
};

describe("a program as a thread of a scenario", () => {
  test("loses no addition to a device, in any schedule with two preemptions", () => {
    const report = exploreGuests(guestAdd, { preemptions: 2 });
    expect(report.violation).toBeNull();
    expect(report.complete).toBe(true);
    expect(report.forced).toBe(0);
  });

  test.each([
    ["a CPU", { cpuAdds }, 2],
    // The device takes the page away; that the reader gets it back lets the store find a translation.
    ["a device", { deviceAdds, cpuReads }, 1],
  ])("stores conditionally only where %s has not written since", (_who, others, preemptions) => {
    const report = exploreGuests(adders(["reserved"], others, 10), { preemptions });
    expect(report.violation).toBeNull();
    expect(report.complete).toBe(true);
  });

  test("shares its memory with the same program on another CPU", () => {
    const report = exploreGuests(adders(["reserved", ""]), { preemptions: 2 });
    expect(report.violation).toBeNull();
    expect(report.complete).toBe(true);
  });

  test("is interleaved between a load and a store", () => {
    const s = adders(["plain"], { cpuAdds }, 10);
    const { violation } = exploreGuests(s, { preemptions: 1 });
    expect(violation).toMatchObject({ kind: "outcome", message: "the word is 2 instead of 12", preemptions: 1 });
    expect(replay(s, violation!.decisions, { guests: guestsOf(s) })).toMatchObject({ kind: "outcome", message: violation!.message });
    expect(raceDiagram(violation!)).toMatch(/^ {2}load from frame (\d+)\n\n +access_frame\(\)\n +store to frame \1\n\n {2}store to frame \1$/m);
  });

  test("stores through a translation that nobody has flushed", () => {
    const unchecked: Scenario = {
      ...adders([""], { deviceAdds }),
      *check() {
        return null;
      },
    };
    // At the latest the exit frees the frame while that translation is still there.
    expect(exploreGuests(unchecked, { overlays: [exclusiveFlush.apply], ignore: ["stale-tlb"] }).violation).toMatchObject({ kind: "freed-while-mapped", at: { executor: "CPU 0", thread: "exit" } });
    const report = exploreGuests(unchecked, { overlays: [exclusiveFlush.apply], ignore: ["stale-tlb", "freed-while-mapped"] });
    expect(report.violation).toMatchObject({ kind: "exclusive-access", at: { executor: "CPU 0", thread: "adder0" } });
    expect(report.violation!.message).toMatch(/^CPU 0 \(adder0\) reaches frame \d+ at page 0x[0-9a-f]+ by an ordinary translation, while hmm_dmirror0 has it exclusively$/);
    const lost = exploreGuests(guestAdd, { overlays: [exclusiveFlush.apply], ignore: ["stale-tlb", "freed-while-mapped", "exclusive-access"] });
    expect(lost.violation).toMatchObject({ kind: "outcome" });
    expect(lost.violation!.message).toMatch(/^an update is lost: the word is \d+ instead of 12$/);
  });

  test("has its text, data and stack taken away at any time", () => {
    const s: Scenario = {
      ...adders(["reserved"], { reclaims: { on: { cpu: 1 }, run: (t) => t.reclaim(6) } }),
      machine: { cpus: 2, devices: 0, swapSlots: 32 },
    };
    const report = exploreGuests(s, { preemptions: 0 });
    expect(report.violation).toBeNull();
    expect(report.complete).toBe(true);
    // It has come back from swap.
    expect(report.pointsMax).toBeGreaterThan(400);
  });

  test("starts each execution as the first one", () => {
    const options = { preemptions: 1 };
    const { violation, ...again } = exploreGuests(guestAdd, options);
    expect(violation).toBeNull();
    expect(exploreGuests(guestAdd as Scenario, { ...options, freshMachines: true })).toEqual({ ...again, violation: null });
  });

  test("makes threads, opens devices and waits", () => {
    const s = alone("counter", ["2", "2", "device"], { cpus: 3, devices: 2, frames: 128 });
    const report = exploreGuests(s, { sampling: { policy: "random" }, executionsMax: 100 });
    expect(report.violation).toBeNull();
    expect(report.executions).toBe(100);
  });

  test("shares its memory with another program", () => {
    const { threads, ...rest } = alone("hello");
    const report = exploreGuests({ ...rest, threads: { ...threads, other: { on: { cpu: 1 }, elf: `${PROGRAMS}/pie` } } }, { preemptions: 0 });
    expect(report.violation).toBeNull();
    expect(report.complete).toBe(true);
  });

  test("may not fail", () => {
    expect(exploreGuests(alone("add-word")).violation).toMatchObject({ kind: "outcome", message: "program exits with status 2", output: [] });
    expect(exploreGuests(alone("add-word", ["1000"])).violation).toMatchObject({
      kind: "outcome",
      message: "program is killed by SIGSEGV (code 1) at 0x1000",
    });
  });

  test("has what it wrote shown with a violation", () => {
    const s: Scenario = {
      ...alone("hello"),
      *check() {
        return "wrong";
      },
    };
    expect(exploreGuests(s).violation).toMatchObject({ message: "wrong", output: ["program: hello from a riscv64 program"] });
  });

  test("is a livelock where it never ends", () => {
    expect(exploreGuests(alone("spin")).violation).toMatchObject({ kind: "livelock" });
  });

  test("needs arguments, room, and somebody to run it", () => {
    const full: Scenario = {
      ...alone("hello", [], { frames: 48 }),
      *setup(t) {
        const pages = yield* t.mmap(30);
        for (let i = 0; i < 30; i++) yield* t.store32(pages + 4096 * i, 1);
      },
    };
    expect(() => exploreGuests(full)).toThrow(/^thread 'program': \.\.\/programs\/prebuilt\/hello needs \d+ frames of RAM, and \d+ are free: its scenario's machine\.frames must be larger$/);
    const twice: Scenario = {
      ...alone("hello"),
      threads: { ...alone("hello").threads, other: { on: { cpu: 1 }, elf: `${PROGRAMS}/args` } },
    };
    expect(() => exploreGuests(twice)).toThrow("thread 'other': ../programs/prebuilt/args is linked to addresses that are in use already");
    const wrong: unknown = { ...alone("hello"), threads: { program: { on: { cpu: 0 }, elf: `${PROGRAMS}/hello`, args: () => "one" } } };
    expect(() => exploreGuests(wrong as Scenario)).toThrow("thread 'program': its args must be strings, or a function that returns some");
    expect(() => explore(alone("hello"))).toThrow("thread 'program' is a program, and nothing here runs programs");
  });
});
