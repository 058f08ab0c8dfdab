import { existsSync, mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { Event } from "@faultline/kernel";
import { readTrace, type Trace } from "@faultline/trace";
import { describe, expect, test } from "vitest";
import { faultline, ROOT, startFaultline, withFiles } from "./command.js";

const THREADS = `threads: { only: { on: { cpu: 0 }, *run(t, s) { yield* t.load32(s.page); } } }`;

/** A scenario of one thread, or with other threads. */
function source(threads = THREADS, setup = "const page = yield* t.mmap(1); return { page };", more = ""): string {
  return `import { scenario } from "@faultline/checker";
import { Op, SWITCH } from "@faultline/kernel";
export const names = [Op, SWITCH];
export default scenario({ title: "mine", ${more} *setup(t) { ${setup} }, ${threads} });
`;
}

const javascript = (more: string): string => `export default { title: "x", ${more} *setup() {}, threads: { only: { on: { cpu: 0 }, *run() {} } } };\n`;

const thread = (body: string, on = "{ cpu: 0 }"): string => `threads: { only: { on: ${on}, *run(t, s) { ${body} } } }`;

/** More schedules than anybody waits for. It tells when some are done: nothing else does where there is no terminal. */
const LONG = `import { writeSync } from "node:fs";
let runs = 0;
const fault = function* (t, s) {
  if (++runs === 100) writeSync(2, "under way");
  for (let i = 0; i < 10; i++) yield* t.store32(s.page, i);
};
export default {
  title: "long",
  *setup(t) { return { page: yield* t.mmap(1) }; },
  threads: { a: { on: { cpu: 0 }, run: fault }, b: { on: { cpu: 1 }, run: fault } },
};
`;

interface Json {
  readonly title: string;
  readonly release: string;
  readonly strategy: string;
  readonly executions: number;
  readonly complete: boolean;
  readonly pointsPerExecution: number;
  readonly covers: string;
  readonly violations: readonly { readonly invariant: string; readonly schedule: string; readonly again: string; readonly preemptions: number; readonly steps: readonly object[]; readonly state: object | null }[];
}

function checkJson(args: readonly string[]): { status: number | null; json: Json } {
  const { status, stdout, stderr } = faultline(["check", "--json", ...args]);
  expect(stderr).toBe("");
  return { status, json: JSON.parse(stdout) as Json };
}

/** Without figures that depend on the computer. */
function stable(text: string): string {
  return text.replaceAll(/\d+\/s/g, "N/s").replaceAll(ROOT, "ROOT/");
}

describe("check", () => {
  test("a scenario in which nothing is found", () => {
    const { status, stdout, stderr } = faultline(["check", "scenarios/fault-vs-exclusive.ts"]);
    expect({ status, stderr }).toEqual({ status: 0, stderr: "" });
    expect(stable(stdout)).toMatchInlineSnapshot(`
      "CPU fault against device-exclusive access
        kernel      7.3
        strategy    exhaustive
        executions  18890, complete; N/s, of 3 to 270 points
        covered     all sequentially consistent interleavings, retries up to 1 in a call

      Nothing found.
      "
    `);
  });

  test("a kernel of which a patch is undone breaks a rule", () => {
    const { status, stdout } = faultline(["check", "scenarios/fault-exclusive-dontneed.ts", "--without", "exclusive-fault-ref"]);
    expect(status).toBe(1);
    expect(stdout).toMatch(/^VIOLATION \(lock-on-free\): fault (takes|releases) the folio lock of frame \d+, which is free$/m);
  });

  test("a violation is told so that it can be mailed", () => {
    const { stdout } = faultline(["check", "scenarios/fault-exclusive-dontneed.ts", "--without", "exclusive-fault-ref"]);
    expect(stable(stdout)).toMatchInlineSnapshot(`
      "CPU fault against device-exclusive access against MADV_DONTNEED
        kernel      7.3 --without exclusive-fault-ref
        strategy    exhaustive
        executions  8, up to the violation; N/s, of 24 to 92 points
        covered     of the sequentially consistent interleavings, retries up to 1 in a call: those with fewer than 1 preemption, and some with 1

      VIOLATION (lock-on-free): fault takes the folio lock of frame 6, which is free
        rule        nobody takes or releases the folio lock of a folio that is free
        schedule    7=1, 1 preemption

      CPU 0 (fault)                   CPU 1 (dontneed)
      -----------------------------   ----------------------------
      access_frame()
        store to memory
        … 2 more
      lock_vma_under_rcu()
        lock VMA 100001 for reading
      handle_mm_fault()
        read page-table tree
        read PTE of 0x3ff7fff000

                                      do_madvise()
                                        lock mmap_lock for reading
                                        … 6 more
                                      zap_pte_range()
                                        write PTE of 0x3ff7fff000
                                        … 5 more
                                        unlock ptl
                                      intervals_end()
                                        invalidation of mm 1 ends
                                      do_madvise()
                                        unlock mmap_lock

      folio_trylock()
        lock folio of frame 6
        ^^^ lock-on-free

      State ahead of "lock folio of frame 6" in folio_trylock(), fault (CPU 0), and when the rule was broken:
        PTE of 0x3ff7fff000     device-exclusive, frame 6 (pfn 80006)         none
        folio, frame 6          refcount 1, mapcount 1; referenced uptodate   free, refcount 0, mapcount 0
                                dirty lru swapbacked anonExclusive
        hmm_dmirror0            frame 6, exclusive                            –
        notifier of mm 1        seq 4, no invalidation                        seq 6, no invalidation
          seq of hmm_dmirror0   3                                             5

      Again:
        faultline check scenarios/fault-exclusive-dontneed.ts --release 7.3 --without exclusive-fault-ref --replay 7=1
      "
    `);
  });

  test.each([
    ["pct", "none"],
    ["walk", "none"],
    // Somebody has faulted again by then.
    ["random", "present"],
  ])("%s finds one too, and the same one from the same seed", (strategy, kind) => {
    const args = ["scenarios/fault-exclusive-dontneed.ts", "--without", "exclusive-fault-ref", "--strategy", strategy, "--seed", "7"];
    const [first, second] = [checkJson(args), checkJson(args)];
    expect(first.status).toBe(1);
    expect(first.json.violations[0]).toMatchObject({
      invariant: "lock-on-free",
      again: `faultline check ${args[0]} --release 7.3 --without exclusive-fault-ref --replay ${first.json.violations[0]!.schedule}`,
      preemptions: 1,
      state: { after: { entry: { kind }, folio: { free: true, refcount: 0 } } },
    });
    expect(second.json.violations).toEqual(first.json.violations);
    expect(second.json.executions).toBe(first.json.executions);
    const again = checkJson([...args.slice(0, 3), "--replay", first.json.violations[0]!.schedule]);
    expect(again.status).toBe(1);
    expect(again.json).toEqual({ title: first.json.title, release: "7.3", without: ["exclusive-fault-ref"], patches: [], drivers: [], strategy: "replay", violations: first.json.violations });
  });

  test("the violation as a trace, in each format", () => {
    withFiles({}, (folder) => {
      const args = ["check", "scenarios/fault-exclusive-dontneed.ts", "--without", "exclusive-fault-ref", "--trace"];
      for (const name of ["x.fltrace", "x.txt", "x.pftrace"]) {
        expect(faultline([...args, join(folder, name)]).status).toBe(1);
        expect(readFileSync(join(folder, name)).length).toBeGreaterThan(500);
      }
      expect(readFileSync(join(folder, "x.txt"), "utf8")).toMatch(/^ +fault-\d+ .* folio_lock:/m);
      const { status, stdout } = faultline(["trace", join(folder, "x.fltrace")]);
      expect(status).toBe(0);
      expect(stdout).toMatch(/^kernel +7\.3 --without exclusive-fault-ref$/m);
      // The file says which rule was broken, and at which of its events each line of the diagram is.
      const recorded = readTrace(readFileSync(join(folder, "x.fltrace"))) as Trace;
      const { kind, page, event, diagram } = recorded.end!.finding!;
      expect({ kind, page: page!.vpn }).toEqual({ kind: "lock-on-free", page: 0x3ff7fff });
      expect(diagram.map(({ text }) => text).join("\n")).toContain("^^^ lock-on-free");
      const events: string[] = [];
      recorded.replay({ name: () => {}, event: (_time, _executor, _task, name, _a, _b, _c, vpn) => events.push(`${Event[name]} ${vpn}`) });
      const write = diagram.find(({ text }) => text.endsWith("write PTE of 0x3ff7fff000"))!;
      expect(events.slice(write.event!, write.event! + 20)).toContain(`SetPte ${0x3ff7fff}`);
      expect(event).toBeGreaterThan(write.event!);
      expect(event).toBeLessThan(events.length);
      const clean = faultline(["check", "scenarios/fault-vs-exclusive.ts", "--executions", "50", "--trace", join(folder, "none.txt")]);
      expect(clean).toMatchObject({ status: 0, stderr: `faultline: ${join(folder, "none.txt")} is not written: nothing was found\n` });
      expect(existsSync(join(folder, "none.txt"))).toBe(false);
    });
  });

  test("the violation as a C program", () => {
    withFiles({ "mine.ts": source(thread("t.k.m.now(); yield* t.store32(s.page, 1);"), undefined, '*check() { yield* []; return "never"; },') }, (folder) => {
      const file = join(folder, "race.c");
      const args = ["check", "scenarios/fault-exclusive-dontneed.ts", "--without", "exclusive-fault-ref", "--emit-c", file];
      expect(faultline(args)).toMatchObject({ status: 1, stderr: "" });
      const text = readFileSync(file, "utf8");
      expect(text).toContain(" *   faultline check scenarios/fault-exclusive-dontneed.ts --release 7.3 --without exclusive-fault-ref --replay 7=1\n");
      expect(text).toContain("\tdevice_command(0, HMM_DMIRROR_EXCLUSIVE, MAP0, 1, mirror[T_EXCLUSIVE]);");

      expect(faultline([...args, "--replay", "7=1"])).toMatchObject({ status: 1, stderr: "" });
      expect(readFileSync(file, "utf8")).toBe(text);

      const said = faultline(["check", "mine.ts", "--emit-c", "mine.c"], { cwd: folder });
      expect(said).toMatchObject({ status: 1, stderr: "faultline: mine.c: thread 'only': what is done here through the kernel itself (t.k) has no system call, and is left out\n" });

      const clean = faultline(["check", "scenarios/fault-vs-exclusive.ts", "--executions", "50", "--emit-c", join(folder, "none.c")]);
      expect(clean).toMatchObject({ status: 0, stderr: `faultline: ${join(folder, "none.c")} is not written: nothing was found\n` });
      expect(existsSync(join(folder, "none.c"))).toBe(false);
    });
  });

  test("a patch of the user's own breaks a rule, whatever the strategy", () => {
    for (const strategy of ["exhaustive", "walk"]) {
      const { status, json } = checkJson(["scenarios/atomic-add.ts", "--patch", "scenarios/undone/exclusive-flush.ts", "--strategy", strategy]);
      expect(status).toBe(1);
      expect(json).toMatchObject({ title: "CPU and device add to one word", release: "7.3", strategy, complete: false });
      expect(json.violations[0]).toMatchObject({ invariant: "stale-tlb", schedule: "default", preemptions: 0 });
      expect(json.violations[0]!.steps.length).toBeGreaterThan(10);
    }
  });

  test("the exhaustive strategy says what it covers", () => {
    const { status, json } = checkJson(["scenarios/migrate-fault.ts"]);
    expect(status).toBe(0);
    expect(json).toMatchObject({ strategy: "exhaustive", complete: true, violations: [], covers: "all sequentially consistent interleavings, retries up to 1 in a call" });
    expect(json.executions).toBeGreaterThan(100);
    const bounded = checkJson(["scenarios/migrate-fault.ts", "--preemptions", "1"]);
    expect(bounded.json).toMatchObject({ complete: true, covers: "all sequentially consistent interleavings with at most 1 preemption, retries up to 1 in a call" });
    expect(bounded.json.executions).toBeLessThan(json.executions);
  });

  test("a bound on executions is honest about what is left", () => {
    const { status, json } = checkJson(["scenarios/reclaim-store.ts", "--executions", "100"]);
    expect(status).toBe(0);
    expect(json).toMatchObject({ executions: 100, complete: false });
    expect(json.covers).toMatch(/^of the sequentially consistent interleavings, retries up to 1 in a call: those with fewer than 1 preemption, and some with 1$/);
  });

  test.each([
    ["what is found", ["scenarios/swap-in-vs-reuse.ts", "--executions", "1000"]],
    ["what breaks", ["scenarios/fault-exclusive-dontneed.ts", "--patch", "scenarios/undone/exclusive-fault-ref.ts"]],
    ["what is drawn", ["scenarios/fault-exclusive-dontneed.ts", "--strategy", "random", "--executions", "1000"]],
    ["locks in a circle", ["packages/cli/test/scenarios/circle.ts"]],
  ])("the number of workers changes nothing of %s", (_title, args) => {
    const [one, three] = ["1", "3"].map((workers) => {
      const { status, json } = checkJson([...args, "--workers", workers]);
      return { status, json: { ...json, executionsPerSecond: 0 } };
    });
    expect(three).toEqual(one);
  });

  describe("--resume", () => {
    const args = ["scenarios/migrate-fault.ts", "--executions"];

    test("goes on where the exploration had got to, to the same end", () => {
      withFiles({}, (folder) => {
        const env = { XDG_STATE_HOME: folder };
        const whole = checkJson(args.slice(0, 1));
        const first = faultline(["check", ...args, "500"], { env });
        expect(first).toMatchObject({ status: 0, stderr: "" });
        expect(readdirSync(join(folder, "faultline"))).toHaveLength(1);
        const rest = faultline(["check", ...args.slice(0, 1), "--resume", "--json"], { env });
        expect(rest).toMatchObject({ status: 0, stderr: "" });
        const json = JSON.parse(rest.stdout) as Json;
        expect(json).toMatchObject({ complete: true, covers: whole.json.covers });
        // There is nothing to go on with any more.
        expect(readdirSync(join(folder, "faultline"))).toHaveLength(0);
      });
    });

    test("begins anew where nothing was saved, and refuses what has changed or is damaged", () => {
      const mine = `import "./help.js";\n${readFileSync(join(ROOT, args[0]!), "utf8")}`;
      withFiles({ "mine.ts": mine, "help.ts": "export {};\n" }, (folder) => {
        const env = { XDG_STATE_HOME: folder };
        const file = join(folder, "mine.ts");
        const resume = (): ReturnType<typeof faultline> => faultline(["check", file, "--resume", "--executions", "600"], { env });
        expect(resume()).toMatchObject({ status: 0, stderr: "faultline: --resume: nothing was saved of such an exploration, which begins anew\n" });
        for (const path of [file, join(folder, "help.ts")]) {
          const before = readFileSync(path, "utf8");
          writeFileSync(path, `${before}// changed\n`);
          const stderr = "faultline: --resume: the scenario, a program, a patch, a driver, or faultline has changed since: without --resume, the exploration begins anew\n";
          expect(resume()).toMatchObject({ status: 125, stdout: "", stderr });
          writeFileSync(path, before);
        }
        const [saved] = readdirSync(join(folder, "faultline"));
        writeFileSync(join(folder, "faultline", saved!), "no such thing");
        expect(resume()).toMatchObject({ status: 125, stdout: "" });
        expect(resume().stderr).toMatch(/^faultline: --resume: [^\n]* is damaged: [^\n]*\n$/);
      });
    });
  });

  test("a scenario in another folder", () => {
    withFiles({ "mine.ts": source() }, (folder) => {
      const { status, stdout } = faultline(["check", "mine.ts"], { cwd: folder });
      expect(status).toBe(0);
      expect(stdout).toMatch(/^mine\n/);
    });
  });

  test("a loop that never ends, and passes points, is a livelock", () => {
    withFiles({ "mine.ts": source(thread("for (;;) if (t.k.m.point(Op.Run, 0)) yield SWITCH;")) }, (folder) => {
      const { status, stdout } = faultline(["check", "mine.ts"], { cwd: folder });
      expect(status).toBe(1);
      expect(stdout).toMatch(/^VIOLATION \(livelock\): no end after 20000 points, though everybody gets a turn: only \(CPU 0\) runs, and repeats: "run"; nothing of that changes any more$/m);
      const { json } = checkJson([join(folder, "mine.ts")]);
      expect(json.violations[0]!.steps.length).toBeLessThan(10);
    });
  });

  test("a loop that never ends, and only lets others run, is a livelock", () => {
    withFiles({ "mine.ts": source(thread("for (;;) yield SWITCH;")) }, (folder) => {
      const { status, stdout } = faultline(["check", "mine.ts"], { cwd: folder });
      expect(status).toBe(1);
      expect(stdout).toMatch(/^VIOLATION \(livelock\): no end after 200000 turns in which nobody passes a point: only \(CPU 0\) runs;$/m);
    });
  });

  test("a retry loop of a patch that does not declare itself says what it reads", () => {
    const patch = `import { Op, SWITCH, type Kernel, type MaySleep } from "@faultline/kernel";
export default {
  name: "waits for nothing",
  apply: () => ({
    zap: {
      *zapPageRange(k: Kernel): MaySleep<void> {
        for (;;) if (k.m.point(Op.NotifierActive, 1)) yield SWITCH;
      },
    },
  }),
};
`;
    withFiles({ "patch.ts": patch }, (folder) => {
      const { status, stdout } = faultline(["check", "scenarios/mirror-dontneed.ts", "--patch", join(folder, "patch.ts")]);
      expect(status).toBe(1);
      expect(stdout).toMatch(/^VIOLATION \(livelock\): no end .*: dontneed \(CPU 1\) runs, and repeats in zap_page_range\(\): "is mm 1 under invalidation\?" holding mmap_lock; nothing of that changes any more$/m);
    });
  });

  test("a loop that never ends, and passes none, is ended", () => {
    withFiles({ "mine.ts": source(thread("for (;;);")) }, (folder) => {
      expect(faultline(["check", "mine.ts"], { cwd: folder })).toEqual({
        status: 125,
        stdout: "",
        stderr: "faultline: scenario mine.ts: runs on for 10 seconds without passing a point: a loop in it, in a driver or in a patch does not end\n",
      });
    });
  });

  test.each<[string, Record<string, readonly [string, ...string[]]>]>([
    [
      "cannot be read or loaded",
      {
        "throws.ts": ['throw new Error("kaput");\nexport {};\n', "cannot be loaded: kaput"],
        "nothing.ts": ["export const name = 1;\n", "it has no default export: write export default scenario({ … })"],
        "types.ts": [source(thread("yield* t.load32('page'); s.nothing;")), "4:170: Argument of type 'string' is not assignable to parameter of type 'number'.", "4:181: Property 'nothing' does not exist on type '{ page: number; }'."],
        "import.ts": ['import x from "./nowhere-at-all.js";\nexport default x;\n', "1:15: Cannot find module './nowhere-at-all.js' or its corresponding type declarations."],
        "import.js": ['import x from "./nowhere-at-all.js";\nexport default x;\n', "cannot be loaded: Cannot find module './nowhere-at-all.js'"],
        "empty.ts": ["", "it has no default export: write export default scenario({ … })"],
        "empty.js": ["", "it has no default export: write export default scenario({ … })"],
        "syntax.ts": ['import { scenario } from "@faultline/checker";\nexport default scenario({ title: "x",\n', "3:1: '}' expected."],
        "plain.txt": ["hello\n", "is no TypeScript or JavaScript: its name ends with neither .ts nor .js"],
        "exits.js": ["process.exit(3);\nexport default {};\n", "it, or a patch, has ended the exploration (process.exit(3))"],
        "awaits.js": ["await new Promise(() => {});\nexport default {};\n", "it, or a patch, awaits what never comes"],
      },
    ],
    [
      "is no scenario",
      {
        "shape.js": ["export default { title: 'x', setup() {}, threads: {} };\n", "it has no threads"],
        "device.ts": [source(thread("yield* t.load32(s.page);", "{ device: 3 }")), "thread 'only' is to run on device 3, and the machine has only device 0"],
        "frames.ts": [source(THREADS, undefined, "machine: { frames: 7 },"), "its machine.frames must be a whole number from 32 to 4096"],
        "plainsetup.js": ['export default { title: "x", setup() { return 1; }, threads: { only: { on: { cpu: 0 }, *run() {} } } };\n', "setup is no generator function: write it with a *, as *run(t, s) { … }"],
        "plainrun.js": ['export default { title: "x", *setup() {}, threads: { only: { on: { cpu: 0 }, run() { return [1, 2]; } } } };\n', "thread 'only' is no generator function: write it with a *, as *run(t, s) { … }"],
        "both.js": ['export default { title: "x", *setup() {}, threads: { only: { on: { cpu: 0, device: 0 }, *run() {} } } };\n', "thread 'only' must say where it runs: on: { cpu } or { device }"],
        "nowhere.js": ['export default { title: "x", *setup() {}, threads: { only: { on: {}, *run() {} } } };\n', "thread 'only' must say where it runs: on: { cpu } or { device }"],
        "machine.js": [javascript("machine: { cpu: 2 },"), "its machine has no 'cpu': there are frames, swapSlots, cpus, nodes, devices, devicePages"],
      },
    ],
    [
      "goes wrong before a schedule is explored, or in the scenario's own code",
      {
        "setup.ts": [source(THREADS, 'throw new Error("not today"); return { page: 0 };'), "line 4: not today"],
        "signal.ts": [source(THREADS, "yield* t.load32(4096); return { page: 0 };"), "line 4: signal 11 (code 1) at 0x1000"],
        "thread.ts": [source(thread('throw new RangeError("out");')), "line 4: threw in a schedule: RangeError: out"],
        "plain.ts": [source(thread('throw "out of nowhere";')), "in thread 'only', it, a driver or a patch threw what is no Error: out of nowhere"],
        "check.ts": [source(THREADS, undefined, 'machine: {}, *check() { throw new Error("wrong"); return null; },'), "line 4: threw in a schedule: Error: wrong"],
        "answer.js": [javascript("*check() { return 5; },"), "check must return null, or what is wrong as a string, and returned 5"],
        "endless.ts": [source(THREADS, "for (;;) if (t.k.m.point(Op.Run, 0)) yield SWITCH; return { page: 0 };"), "setup does not end: it goes on and on"],
        "locks.ts": [source(THREADS, "for (let i = 0; i < 2; i++) if (!t.mm.mmapLock.tryWrite()) yield* t.mm.mmapLock.write(); return { page: 0 };"), "setup does not end: setup waits for mmap_lock (write)"],
      },
    ],
    [
      "asks for what is not there",
      {
        "unmapped.ts": [source(thread("yield* t.load32(s.page + 4 * t.frameOf(s.page));")), "line 4: frameOf: nothing is mapped at 0x3ff7fff000"],
        "nodevice.ts": [source(thread("yield* t.makeExclusive(4, s.page, 1);")), "line 4: there is no device 4: the machine has 1"],
        "frame.ts": [source(thread("yield* t.isIdle(1e9);")), "line 4: there is no frame 1000000000: the machine has 64"],
        "young.ts": [source(thread("yield* t.damonYoung(-1);")), "line 4: there is no frame -1: the machine has 64"],
        "address.ts": [source(thread("yield* t.load32(s.page / 0);")), "line 4: Infinity is no address of a 32-bit word: those are whole multiples of 4"],
      },
    ],
  ])("what %s is refused in a line", (_, files) => {
    withFiles(Object.fromEntries(Object.entries(files).map(([name, [text]]) => [name, text])), (folder) => {
      for (const [name, [, ...complaints]] of Object.entries(files)) {
        expect(faultline(["check", name], { cwd: folder })).toEqual({
          status: 125,
          stdout: "",
          stderr: complaints.map((complaint) => `faultline: scenario ${name}: ${complaint}\n`).join(""),
        });
      }
    });
  });

  test("what is no file is refused in a line", () => {
    expect(faultline(["check", "missing.ts"])).toMatchObject({ status: 125, stderr: "faultline: scenario missing.ts: no such file\n" });
    expect(faultline(["check", "."])).toMatchObject({ status: 125, stderr: "faultline: scenario .: is not a file\n" });
  });

  test("a patch that throws when it is called is named, with the line", () => {
    const patch = `import type { MaySleep } from "@faultline/kernel";
export default {
  name: "throws",
  apply: () => ({
    zap: {
      *zapPageRange(): MaySleep<void> {
        throw new Error("not mine");
      },
    },
  }),
};
`;
    withFiles({ "patch.ts": patch }, (folder) => {
      expect(faultline(["check", join(ROOT, "scenarios/mirror-dontneed.ts"), "--patch", "patch.ts"], { cwd: folder })).toEqual({
        status: 125,
        stdout: "",
        stderr: "faultline: patch patch.ts: line 7: threw in a schedule: Error: not mine\n",
      });
    });
  });

  test.each([
    [["--strategy", "guess"]],
    [["--strategy", "walk", "--preemptions", "1"]],
    [["--strategy", "bounded"]],
    [["--workers", "0"]],
    [["--workers", "many"]],
    [["--preemptions", "many"]],
    [["--seconds", "0"]],
    [["--seed", "1"]],
    [["--strategy", "walk", "--depth", "2"]],
    [["--replay", "3"]],
    [["--replay", "100000=1"]],
    [["--trace", "/nowhere/x.txt"]],
    [["--trace", ".", "--patch", "scenarios/undone/exclusive-flush.ts"]],
    [["--emit-c", "/nowhere/x.c"]],
    [["--emit-c", "."]],
    [["--emit-c", "scenarios/fault-vs-exclusive.ts"]],
    [["--emit-c", "scenarios/undone/exclusive-flush.ts", "--patch", "scenarios/undone/exclusive-flush.ts"]],
    [["--emit-c", "/tmp/x.txt", "--trace", "/tmp/x.txt"]],
    [["--release", "5.0"]],
    [["--without", "nothing"]],
    [["--patch", "nothing.ts"]],
    [["--frobnicate"]],
  ])("wrong use: %j", (args) => {
    const { status, stdout, stderr } = faultline(["check", "scenarios/fault-vs-exclusive.ts", ...args]);
    expect({ status, stdout }).toEqual({ status: 125, stdout: "" });
    expect(stderr).toMatch(/^faultline: [^\n]+\n$/);
  });

  test("Ctrl-C ends it with what was covered so far", async () => {
    const folder = mkdtempSync(join(tmpdir(), "faultline-"));
    const file = join(folder, "mine.js");
    writeFileSync(file, LONG);
    const child = startFaultline(["check", file, "--preemptions", "64"]);
    let stdout = "";
    child.stdout!.on("data", (chunk: Buffer) => (stdout += chunk.toString()));
    child.stderr!.once("data", () => child.kill("SIGINT"));
    const status = await new Promise((resolve) => child.on("close", resolve));
    rmSync(folder, { recursive: true });
    expect(status).toBe(130);
    expect(stdout).toMatch(/executions {2}\d+, interrupted;/);
    expect(stdout).toMatch(/Nothing found\.\n$/);
  });
});
