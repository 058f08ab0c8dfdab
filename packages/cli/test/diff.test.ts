import { chmodSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { describe, expect, test } from "vitest";
import { faultline, prebuilt, ROOT, withFiles, type Outcome } from "./command.js";

/** Stands in for a compiler: what -o names becomes a copy of a file. */
const COPIES = (file: string): string => `while [ "$1" != -o ]; do shift; done\ncp '${file}' "$2" && chmod +x "$2"`;

interface Programs {
  /** A shell script that stands for the native program. */
  readonly native?: string;
  /** Of programs/prebuilt. */
  readonly guest?: string;
  /** Instead of copying: what the compilers do. */
  readonly cc?: string;
}

function diff(args: readonly string[], { native = "", guest = "hello", cc }: Programs, input = ""): Outcome {
  return withFiles({ "p.c": "int main(void) { return 0; }\n", "native.sh": `#!/bin/sh\n${native}\n` }, (folder) => {
    const compilers = { CC: cc ?? COPIES(join(folder, "native.sh")), RISCV_CC: COPIES(join(ROOT, prebuilt(guest))) };
    for (const [name, text] of Object.entries(compilers)) {
      writeFileSync(join(folder, name), `#!/bin/sh\n${text}\n`);
      chmodSync(join(folder, name), 0o755);
    }
    return faultline(["diff", ...args], { cwd: folder, input, env: { CC: join(folder, "CC"), RISCV_CC: join(folder, "RISCV_CC") } });
  });
}

describe.skipIf(process.platform !== "linux")("diff", () => {
  test("nothing is said where nothing differs", () => {
    expect(diff(["p.c"], { native: "echo 'hello from a riscv64 program'" })).toEqual({ status: 0, stdout: "", stderr: "" });
  });

  test("the first line that differs, with what comes before it", () => {
    const { status, stdout, stderr } = diff(["p.c", "a", "--like-host"], { native: 'printf "argv[0] = /bin/p\\nargv[1] = b\\n"; exit 3', guest: "args" });
    expect({ status, stderr }).toEqual({ status: 1, stderr: "" });
    const lines = stdout.split("\n");
    expect(lines[0]).toBe("Line 2 of standard output differs:");
    expect(lines[1]).toMatch(/^ +argv\[0\] = \/bin\/p$/);
    expect(lines[2]).toMatch(/^ {2}Linux [\d.]+ *: argv\[1\] = b$/);
    expect(lines[3]).toMatch(/^ {2}Faultline 7\.3 *: argv\[1\] = a$/);
  });

  test("the end counts, too", () => {
    const { status, stdout } = diff(["p.c"], { native: "echo 'hello from a riscv64 program'; kill -SEGV $$" });
    expect(status).toBe(1);
    expect(stdout).toMatch(/^The output is the same, the end is not:\n {2}Linux [\d.]+ *: SIGSEGV\n {2}Faultline 7\.3 *: status 0\n$/);
  });

  test("a program that does not do the same twice is told as such", () => {
    const { status, stdout } = diff(["p.c"], { native: "date +%N" });
    expect(status).toBe(1);
    expect(stdout).toContain("Two runs of it on Linux differ as well");
  });

  test("trouble is 2, and says what is wrong", () => {
    expect(diff(["missing.c"], {})).toEqual({ status: 2, stdout: "", stderr: "faultline: missing.c: no such file\n" });
    const broken = diff(["p.c"], { cc: 'echo "p.c:1:1: error: no" >&2; exit 1' });
    expect(broken).toMatchObject({ status: 2, stdout: "" });
    expect(broken.stderr).toMatch(/^p\.c:1:1: error: no\nfaultline: \S+CC cannot make a program of p\.c\n$/);
    expect(diff(["--timeout", "0.5", "p.c"], { native: "exec sleep 30" })).toEqual({
      status: 2,
      stdout: "",
      stderr: "faultline: natively it has not ended after 0.5 seconds (--timeout)\n",
    });
    const spins = diff(["--timeout", "2", "p.c"], { native: ":", guest: "spin" });
    expect(spins).toEqual({ status: 2, stdout: "", stderr: "faultline: as a guest it has not ended after 2 seconds (--timeout)\n" });
  });

  test("a compiler that is missing, and how to get it", () => {
    withFiles({ "p.c": "" }, (folder) => {
      const { status, stderr } = faultline(["diff", "p.c"], { cwd: folder, env: { CC: join(folder, "nowhere-cc") } });
      expect(status).toBe(2);
      expect(stderr).toMatch(/^faultline: \S+nowhere-cc is not installed \(Debian: apt install gcc libc6-dev\)\n$/);
    });
  });
});
