import { existsSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { describe, expect, test } from "vitest";
import { faultline, startFaultline, withFiles } from "./command.js";

const UNDONE = ["--without", "exclusive-fault-ref"];
/** A device that says it has added, and has not. */
const LAZY = `import type { OverlayFactory } from "@faultline/kernel";
const lazy: OverlayFactory = () => ({ testHmm: { *deviceAtomicAdd32() { return 0; } } });
export default lazy;
`;
/** A driver whose read never comes to a point again. */
const ENDLESS = LAZY.replace("return 0;", "for (;;);");
/** Changes nothing, and tells when some programs have run: nothing else does where there is no terminal. */
const TELLING = `import { writeSync } from "node:fs";
let calls = 0;
export default (base) => ({ mmap: { *doMmap(...args) {
  if (++calls === 100) writeSync(2, "under way");
  return yield* base.mmap.doMmap(...args);
} } });
`;
const THROWS = LAZY.replace("return 0;", 'throw new Error("not written yet");');

describe("fuzz", () => {
  test("what is found is written as a scenario that fails in the same way", () => {
    withFiles({}, (folder) => {
      const { status, stdout, stderr } = faultline(["fuzz", ...UNDONE, "--executions", "3000", "--out", "found.ts"], { cwd: folder });
      expect({ status, stderr }).toEqual({ status: 1, stderr: "" });
      const violation = /^VIOLATION .*$/m.exec(stdout)![0];
      expect(violation).toMatch(/^VIOLATION \(lock-on-free\): \w+ (takes|releases) the folio lock of frame \d+, which is free$/);
      expect(readFileSync(join(folder, "found.ts"), "utf8")).toContain("export default scenario({");
      const again = /^Again:\n {2}faultline (check found\.ts --release 7\.3 --without exclusive-fault-ref --replay \S+)$/m.exec(stdout)![1]!;
      const replayed = faultline(again.split(" "), { cwd: folder });
      expect({ status: replayed.status, stderr: replayed.stderr }).toEqual({ status: 1, stderr: "" });
      expect(replayed.stdout).toContain(violation);
      expect(faultline(["check", "found.ts", ...UNDONE], { cwd: folder }).stdout).toContain("VIOLATION (lock-on-free)");
      expect(faultline(["check", "found.ts", "--preemptions", "1"], { cwd: folder })).toMatchObject({ status: 0, stderr: "" });
    });
  }, 120_000);

  test("wrong contents, as one object, the same each time; no file is written over", () => {
    withFiles({ "lazy.ts": LAZY, "fuzz-1.ts": "// mine\n" }, (folder) => {
      const args = ["fuzz", "--patch", "lazy.ts", "--executions", "500", "--json"];
      const first = faultline(args, { cwd: folder });
      expect({ status: first.status, stderr: first.stderr }).toEqual({ status: 1, stderr: "" });
      const json = JSON.parse(first.stdout) as { file: string; strategy: string; violations: { invariant: string; schedule: string }[] };
      expect(json).toMatchObject({ strategy: "fuzz", patches: ["lazy.ts"], file: "fuzz-1-2.ts", violations: [{ invariant: "outcome" }] });
      expect(readFileSync(join(folder, "fuzz-1.ts"), "utf8")).toBe("// mine\n");
      const stable = (text: string): string => text.replace(/"executionsPerSecond": \d+/, "").replaceAll(/fuzz-1-\d\.ts/g, "");
      expect(stable(faultline(args, { cwd: folder }).stdout)).toBe(stable(first.stdout));
      const check = faultline(["check", json.file, "--patch", "lazy.ts"], { cwd: folder });
      expect({ status: check.status, stderr: check.stderr }).toEqual({ status: 1, stderr: "" });
      expect(check.stdout).toContain("VIOLATION (outcome)");
    });
  }, 120_000);

  test("nothing is found on mainline, and no file is written", () => {
    withFiles({}, (folder) => {
      const { status, stdout, stderr } = faultline(["fuzz", "--executions", "200", "--threads", "2", "--seed", "7"], { cwd: folder });
      expect({ status, stderr }).toEqual({ status: 0, stderr: "" });
      expect(stdout).toMatch(/covered {5}\d+ programs of seed 7, in 200 executions, no more were asked for; \d+\/s\n\nNothing found\.\n$/);
      expect(existsSync(join(folder, "fuzz-7.ts"))).toBe(false);
    });
  });

  test("Ctrl-C ends it with what was covered", async () => {
    const folder = mkdtempSync(join(tmpdir(), "faultline-"));
    writeFileSync(join(folder, "telling.js"), TELLING);
    const child = startFaultline(["fuzz", "--seconds", "1000", "--patch", join(folder, "telling.js")]);
    let out = "";
    child.stdout!.on("data", (text: Buffer) => (out += text.toString()));
    child.stderr!.once("data", () => child.kill("SIGINT"));
    const status = await new Promise<number | null>((resolve) => child.on("close", resolve));
    rmSync(folder, { recursive: true });
    expect(status).toBe(130);
    expect(out).toMatch(/in \d+ executions, interrupted; \d+\/s\n\nNothing found\.\n$/);
  }, 60_000);
});

describe("wrong use is one line", () => {
  test.each([
    [["--seconds", "0"], "--seconds '0': it must be a number of seconds, more than 0 and at most 1000000"],
    [["--seconds", "-1"], "--seconds '-1': it must be a number of seconds, more than 0 and at most 1000000"],
    [["--executions", "many"], "--executions 'many': it must be a whole number from 1 to 1000000000000"],
    [["--executions", "1e30"], "--executions '1e30': it must be a whole number from 1 to 1000000000000"],
    [["--threads", "0"], "--threads '0': it must be a whole number from 1 to 8"],
    [["--threads", "9"], "--threads '9': it must be a whole number from 1 to 8"],
    [["--seed", "4294967296"], "--seed '4294967296': it must be a whole number from 0 to 4294967295"],
    [["--out", "nowhere/x.ts"], "nowhere/x.ts: there is no such folder"],
    [["--out", "x.c"], "x.c: a scenario's file is named FILE.ts"],
    [["--out", "throws.ts", "--patch", "throws.ts"], "throws.ts: is the patch, and would be written over"],
    [["--patch", "none.ts"], "patch none.ts: no such file"],
    [["--patch", "throws.ts"], "patch throws.ts: threw in a schedule: Error: not written yet"],
    [["file.ts"], "too many arguments for 'fuzz'. Expected 0 arguments but got 1."],
  ])("%j", (args, complaint) => {
    withFiles({ "throws.ts": THROWS }, (cwd) => {
      expect(faultline(["fuzz", ...args], { cwd })).toEqual({ status: 125, stdout: "", stderr: `faultline: ${complaint}\n` });
    });
  });

  test("a patch that does not end", () => {
    withFiles({ "endless.ts": ENDLESS }, (cwd) => {
      const { status, stderr } = faultline(["fuzz", "--patch", "endless.ts"], { cwd });
      expect({ status, stderr }).toEqual({ status: 125, stderr: "faultline: fuzz: runs on for 10 seconds without passing a point: a loop in it, in a driver or in a patch does not end\n" });
    });
  }, 60_000);
});
