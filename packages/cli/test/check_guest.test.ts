import { mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { describe, expect, test } from "vitest";
import { UserError } from "../src/failure.js";
import { loadScenario } from "../src/scenario_file.js";
import { UserModule } from "../src/user_module.js";
import { faultline, prebuilt, ROOT, withFiles } from "./command.js";

/** A scenario of one program, in JavaScript: the compiler would find most of what is wrong with it first. */
function source(thread: string, machine = "{}"): string {
  return `export default {
  title: "mine",
  machine: ${machine},
  *setup(t) { return { page: yield* t.mmap(1) }; },
  threads: { only: { ${thread} } },
};
`;
}

const HELLO = readFileSync(join(ROOT, prebuilt("hello")));

describe("check with a program", () => {
  test("explores it", () => {
    const { status, stdout, stderr } = faultline(["check", "scenarios/guest-add.ts", "--preemptions", "1"]);
    expect({ status, stderr }).toEqual({ status: 0, stderr: "" });
    expect(stdout).toMatch(/^ {2}executions {2}\d+, complete; /m);
  });

  test("reads it from beside the scenario, and shows what it wrote with what it broke", () => {
    const scenario = source('on: { cpu: 0 }, elf: "hello"').replace("threads", '*check() { return "never good"; },\n  threads');
    withFiles({ "mine.js": scenario, hello: HELLO }, (folder) => {
      const { status, stdout } = faultline(["check", join(folder, "mine.js")]);
      expect(status).toBe(1);
      expect(stdout).toMatch(/^VIOLATION \(outcome\): never good$/m);
      expect(stdout).toMatch(/\n\nWritten by programs:\n {2}only: hello from a riscv64 program\n\nAgain:\n/);
      const json = JSON.parse(faultline(["check", "--json", join(folder, "mine.js")]).stdout) as { readonly violations: readonly object[] };
      expect(json.violations).toMatchObject([{ output: ["only: hello from a riscv64 program"] }]);
    });
  });

  test("is not gone on with where a program has changed", () => {
    const scenario = readFileSync(join(ROOT, "scenarios/guest-add.ts"), "utf8");
    const [, elf] = /elf: "([^"]+)"/.exec(scenario)!;
    const program = readFileSync(join(ROOT, "scenarios", elf!));
    withFiles({ "mine.ts": scenario.replaceAll(elf!, "program"), program }, (folder) => {
      const check = (...more: readonly string[]): ReturnType<typeof faultline> => faultline(["check", join(folder, "mine.ts"), "--executions", "300", ...more], { env: { XDG_STATE_HOME: folder } });
      expect(check()).toMatchObject({ status: 0, stderr: "" });
      expect(check("--resume")).toMatchObject({ status: 0, stderr: "" });
      writeFileSync(join(folder, "program"), Buffer.concat([program, Buffer.of(0)]));
      const { status, stderr } = check("--resume");
      expect({ status, stderr }).toMatchObject({ status: 125, stderr: expect.stringMatching(/^faultline: --resume: the scenario, a program, [^\n]* has changed since: [^\n]*\n$/) as string });
    });
  });

  test.each([
    ["on: { cpu: 0 }, elf: 'nowhere'", /^thread 'only': \S+nowhere: no such file$/],
    ["on: { cpu: 0 }, elf: '.'", /^thread 'only': \S+: is a directory$/],
    ["on: { cpu: 0 }, elf: 'mine.js'", /^thread 'only': \S+mine\.js is not an ELF file$/],
    ["on: { cpu: 0 }, elf: 'cut'", /^thread 'only': \S+cut is truncated: .*$/],
    ["on: { cpu: 2 }, elf: 'hello'", /^thread 'only' is to run on CPU 2, and the machine has CPUs 0 to 1$/],
    ["on: { device: 0 }, elf: 'hello'", /^thread 'only' is a program, and must be on: \{ cpu \}$/],
    ["on: { cpu: 0 }, elf: 7", /^thread 'only' has an elf that is no name of a file$/],
    ["on: { cpu: 0 }, elf: 'hello', *run() {}", /^thread 'only' has both run and elf: it is one or the other$/],
  ])("a thread { %s }", async (thread, complaint) => {
    const folder = mkdtempSync(join(tmpdir(), "faultline-"));
    try {
      for (const [name, content] of Object.entries({ "mine.js": source(thread), hello: HELLO, cut: HELLO.subarray(0, 5000) })) writeFileSync(join(folder, name), content);
      const file = join(folder, "mine.js");
      const error: unknown = await loadScenario(new UserModule("scenario", file)).catch((thrown: unknown) => thrown);
      expect(error).toBeInstanceOf(UserError);
      expect((error as UserError).message.replace(`scenario ${file}: `, "")).toMatch(complaint);
    } finally {
      rmSync(folder, { recursive: true });
    }
  });
});
