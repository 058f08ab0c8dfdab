import { readFileSync } from "node:fs";
import { join } from "node:path";
import { describe, expect, test } from "vitest";
import { faultline, prebuilt, ROOT, withFiles } from "./command.js";

const CHECK = join(ROOT, prebuilt("exclusive-check"));

const GOOD = `
import { Errno, type Kernel, type MaySleep, type UserPatch } from "@faultline/kernel";

const patch: UserPatch = {
  name: "refuse",
  title: "no device is ever given anything exclusively",
  apply: () => ({
    testHmm: {
      *dmirrorIoctl(k: Kernel): MaySleep<number> {
        k.m.dmesg.print("refused");
        return -Errno.EACCES;
      },
    },
  }),
};
export default patch;
`;

const BAD = {
  "throws.ts": 'throw new Error("kaput");\nexport {};\n',
  "nothing.ts": "export const name = 1;\n",
  "shape.ts": "export default 3;\n",
  "syntax.ts": "export default = ;\n",
  "types.ts": 'const name: number = "x";\nexport default { name };\n',
  "import.ts": 'import { nothing } from "@faultline/kernel";\nexport default nothing;\n',
  "apply.ts": 'export default { name: "x", apply: () => { throw new TypeError("later"); } };\n',
  "module.ts": 'export default { name: "x", apply: () => ({ nothing: {} }) };\n',
  "function.ts": 'export default { name: "x", apply: () => ({ rmap: { nothing: () => 1 } }) };\n',
  "plain.ts": 'export default { name: "x", apply: () => ({ rmap: { tryToUnmap: () => true } }) };\n',
};

describe("--patch", () => {
  test("a patch applies, from whatever folder it is in", () => {
    withFiles({ "mine.ts": GOOD }, (folder) => {
      const { status, stdout, stderr } = faultline(["run", "--dmesg", "--patch", "mine.ts", CHECK, "2"], { cwd: folder });
      expect({ status, stdout }).toEqual({ status: 1, stdout: "EXCLUSIVE failed: errno 13\n" });
      expect(stderr).toMatch(/refused\n$/);
    });
  });

  test.each(["README.md", "docs/overlays.md"])("the one in %s applies", (page) => {
    const code = /```ts\n(.*?)```/s.exec(readFileSync(join(ROOT, page), "utf8"))![1]!;
    withFiles({ "mine.ts": code }, (folder) => {
      expect(faultline(["run", "--patch", "mine.ts", join(ROOT, prebuilt("hello"))], { cwd: folder })).toEqual({
        status: 0,
        stdout: "hello from a riscv64 program\n",
        stderr: "",
      });
    });
  });

  test("a bad one is refused in one line that names it", () => {
    withFiles(BAD, (folder) => {
      const said = ["missing.ts", ".", ...Object.keys(BAD)].map((name) => {
        const { status, stdout, stderr } = faultline(["run", "--patch", name, CHECK, "2"], { cwd: folder });
        expect({ name, status, stdout }).toEqual({ name, status: 125, stdout: "" });
        expect(stderr).toMatch(/^faultline: [^\n]+\n$/);
        return stderr.trimEnd().replaceAll(ROOT, "ROOT/");
      });
      expect(said).toMatchInlineSnapshot(`
        [
          "faultline: patch missing.ts: no such file",
          "faultline: patch .: is not a file",
          "faultline: patch throws.ts: cannot be loaded: kaput",
          "faultline: patch nothing.ts: its default export must be { name: string, apply: (base) => ({ module: { function } }) }",
          "faultline: patch shape.ts: its default export must be { name: string, apply: (base) => ({ module: { function } }) }",
          "faultline: patch syntax.ts: 1:16: Expression expected.",
          "faultline: patch types.ts: 1:7: Type 'string' is not assignable to type 'number'.",
          "faultline: patch import.ts: 1:10: Module '"@faultline/kernel"' has no exported member 'nothing'.",
          "faultline: patch apply.ts: apply() threw: later",
          "faultline: patch module.ts: the kernel has no module 'nothing'",
          "faultline: patch function.ts: the kernel has no 'rmap.nothing'",
          "faultline: patch plain.ts: 'rmap.tryToUnmap' must be a generator function",
        ]
      `);
    });
  });

  test("one that does not come back from being applied is ended", () => {
    withFiles({ "mine.ts": "export default () => { for (;;); };\n" }, (folder) => {
      const stderr = "faultline: patch mine.ts: runs on for 10 seconds while it is loaded: a loop in it does not end\n";
      expect(faultline(["run", "--patch", "mine.ts", CHECK], { cwd: folder })).toEqual({ status: 125, stdout: "", stderr });
    });
  });

  test("one that throws while the program runs is blamed by name", () => {
    const boom = GOOD.replace('k.m.dmesg.print("refused");', 'if (k.m.now() > 0) throw new Error("boom");');
    withFiles({ "boom.ts": boom }, (folder) => {
      expect(faultline(["run", "--patch", "boom.ts", CHECK, "2"], { cwd: folder })).toEqual({
        status: 125,
        stdout: "",
        stderr: expect.stringMatching(/^faultline: patch boom\.ts: line \d+: threw while the program ran: boom\n$/) as string,
      });
    });
  });
});
