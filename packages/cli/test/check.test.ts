import { existsSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
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
  readonly violations: readonly { readonly invariant: string; readonly schedule: string; readonly preemptions: number; readonly steps: readonly object[] }[];
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
        strategy    bounded
        executions  505, complete; N/s, of 40 to 127 points
        covered     sequentially consistent interleavings with at most 2 preemptions, retries up to 2

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
        strategy    bounded
        executions  86, up to the violation; N/s, of 35 to 137 points
        covered     sequentially consistent interleavings with at most 0 preemptions, and the first 80 executions of those with at most 1 preemption, retries up to 2

      VIOLATION (lock-on-free): fault releases the folio lock of frame 6, which is free
        rule        nobody takes or releases the folio lock of a folio that is free
        schedule    16=1, 1 preemption

      CPU 0 (fault)                     CPU 1 (dontneed)
      -------------------------------   -----------------------------
      access_frame()
        store to memory
        … 8 more
      dmirror_interval_invalidate()
        change device table
        unlock dmirror
      pte_lock_unchanged()
        lock ptl
        read PTE of 0x3ff7fff000
      set_pte_at()
        write PTE of 0x3ff7fff000
      remove_device_exclusive_entry()
        unlock ptl

                                        do_madvise()
                                          lock mmap_lock for reading
                                          … 2 more
                                        dmirror_interval_invalidate()
                                          change device table
                                          unlock dmirror
                                          … 1 more
                                        zap_pte_range()
                                          lock ptl
                                          write PTE of 0x3ff7fff000
                                          … 1 more
                                          unlock ptl
                                        intervals_end()
                                          invalidation of mm 1 ends
                                          … 5 more
                                        free_folios()
                                          unlock lruvec
                                          charge of memcg 2
                                        do_madvise()
                                          unlock mmap_lock

      folio_unlock()
        unlock folio of frame 6
        ^^^ lock-on-free

      Again:
        faultline check scenarios/fault-exclusive-dontneed.ts --release 7.3 --without exclusive-fault-ref --replay 16=1
      "
    `);
  });

  test.each(["pct", "walk", "random"])("%s finds one too, and the same one from the same seed", (strategy) => {
    const args = ["scenarios/fault-exclusive-dontneed.ts", "--without", "exclusive-fault-ref", "--strategy", strategy, "--seed", "7"];
    const [first, second] = [checkJson(args), checkJson(args)];
    expect(first.status).toBe(1);
    expect(first.json.violations[0]).toMatchObject({ invariant: "lock-on-free", preemptions: 1 });
    expect(second.json.violations).toEqual(first.json.violations);
    expect(second.json.executions).toBe(first.json.executions);
    const again = checkJson([...args.slice(0, 3), "--replay", first.json.violations[0]!.schedule]);
    expect(again.status).toBe(1);
    expect(again.json).toEqual({ title: first.json.title, release: "7.3", strategy: "replay", violations: first.json.violations });
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
      const clean = faultline(["check", "scenarios/fault-vs-exclusive.ts", "--trace", join(folder, "none.txt")]);
      expect(clean).toMatchObject({ status: 0, stderr: `faultline: ${join(folder, "none.txt")} is not written: nothing was found\n` });
      expect(existsSync(join(folder, "none.txt"))).toBe(false);
    });
  });

  test("a patch of the user's own breaks a rule, whatever the strategy", () => {
    for (const strategy of ["bounded", "exhaustive"]) {
      const { status, json } = checkJson(["scenarios/atomic-add.ts", "--patch", "scenarios/undone/exclusive-flush.ts", "--strategy", strategy]);
      expect(status).toBe(1);
      expect(json).toMatchObject({ title: "CPU and device add to one word", release: "7.3", strategy, complete: false });
      expect(json.violations[0]).toMatchObject({ invariant: "stale-tlb", schedule: "default", preemptions: 0 });
      expect(json.violations[0]!.steps.length).toBeGreaterThan(10);
    }
  });

  test("the exhaustive strategy says what it covers", () => {
    const { status, json } = checkJson(["scenarios/migrate-fault.ts", "--strategy", "exhaustive"]);
    expect(status).toBe(0);
    expect(json).toMatchObject({ complete: true, violations: [] });
    expect(json.executions).toBeGreaterThan(1000);
    expect(json.pointsPerExecution).toBeGreaterThan(50);
    expect(json.covers).toMatch(/^every order that can differ of the accesses that points announce, retries up to \d+$/);
  });

  test("a bound on executions is honest about what is left", () => {
    const { status, json } = checkJson(["scenarios/reclaim-store.ts", "--executions", "100"]);
    expect(status).toBe(0);
    expect(json).toMatchObject({ executions: 100, complete: false });
    expect(json.covers).toMatch(/^sequentially consistent interleavings with at most 0 preemptions, and the first \d+ executions of those with at most 1 preemption,/);
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
      expect(stdout).toMatch(/^VIOLATION \(livelock\): no end after 20000 points, though everybody gets a turn only \(CPU 0\) runs;$/m);
    });
  });

  test("a loop that never ends, and passes none, is ended", () => {
    withFiles({ "mine.ts": source(thread("for (;;);")) }, (folder) => {
      expect(faultline(["check", "mine.ts"], { cwd: folder })).toEqual({
        status: 125,
        stdout: "",
        stderr: "faultline: scenario mine.ts: runs on for 10 seconds without passing a point: a loop in it, or in a patch, does not end\n",
      });
    });
  });

  test("what is no scenario is refused in a line", () => {
    const files = {
      "throws.ts": 'throw new Error("kaput");\nexport {};\n',
      "nothing.ts": "export const name = 1;\n",
      "shape.js": "export default { title: 'x', setup() {}, threads: {} };\n",
      "types.ts": source(thread("yield* t.load32('page'); s.nothing;")),
      "device.ts": source(thread("yield* t.load32(s.page);", "{ device: 3 }")),
      "frames.ts": source(THREADS, undefined, "machine: { frames: 7 },"),
      "setup.ts": source(THREADS, 'throw new Error("not today"); return { page: 0 };'),
      "signal.ts": source(THREADS, "yield* t.load32(4096); return { page: 0 };"),
      "thread.ts": source(thread('throw new RangeError("out");')),
    };
    withFiles(files, (folder) => {
      const said = ["missing.ts", ".", ...Object.keys(files)].map((name) => {
        const { status, stdout, stderr } = faultline(["check", name], { cwd: folder });
        expect({ name, status, stdout }).toEqual({ name, status: 125, stdout: "" });
        return stderr.trimEnd().split("\n");
      });
      expect(said.flat()).toMatchInlineSnapshot(`
        [
          "faultline: scenario missing.ts: no such file",
          "faultline: scenario .: is not a file",
          "faultline: scenario throws.ts: cannot be loaded: kaput",
          "faultline: scenario nothing.ts: it has no default export: write export default scenario({ … })",
          "faultline: scenario shape.js: it has no threads",
          "faultline: scenario types.ts: 4:170: Argument of type 'string' is not assignable to parameter of type 'number'.",
          "faultline: scenario types.ts: 4:181: Property 'nothing' does not exist on type '{ page: number; }'.",
          "faultline: scenario device.ts: thread 'only' is to run on device 3, and the machine has only device 0",
          "faultline: scenario frames.ts: its machine.frames must be a whole number from 32 to 4096",
          "faultline: scenario setup.ts: not today",
          "faultline: scenario signal.ts: signal 11 (code 1) at 0x1000",
          "faultline: scenario thread.ts: threw in a schedule: RangeError: out",
        ]
      `);
    });
  });

  test.each([
    [["--strategy", "guess"]],
    [["--strategy", "exhaustive", "--preemptions", "1"]],
    [["--preemptions", "many"]],
    [["--seconds", "0"]],
    [["--seed", "1"]],
    [["--strategy", "walk", "--depth", "2"]],
    [["--replay", "3"]],
    [["--replay", "100000=1"]],
    [["--trace", "/nowhere/x.txt"]],
    [["--trace", ".", "--patch", "scenarios/undone/exclusive-flush.ts"]],
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
