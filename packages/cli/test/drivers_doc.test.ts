import { spawnSync } from "node:child_process";
import { mkdtempSync, readFileSync, rmSync, symlinkSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { faultline, ROOT } from "./command.js";

const page = readFileSync(join(ROOT, "docs/drivers.md"), "utf8");
const committed = (path: string): string => readFileSync(join(ROOT, path), "utf8");

/** The files that the page has one write: blocks of one name are one file. */
const files = new Map<string, string>();
for (const [, name, text] of page.matchAll(/^```\w+ (\S+)\n([^]*?)^```$/gm)) files.set(name!, files.has(name!) ? `${files.get(name!)!}\n${text!}` : text!);

/** Commands, and what they print. */
const commands = [...page.matchAll(/^```\n\$ npx faultline (.*)\n([^]*?)^```$/gm)].map(([, words, output]) => [words!, output!] as const);

const folder = mkdtempSync(join(tmpdir(), "faultline-"));
beforeAll(() => {
  for (const [name, text] of files) writeFileSync(join(folder, name), text);
  for (const there of ["programs", "node_modules"]) symlinkSync(join(ROOT, there), join(folder, there));
});
afterAll(() => rmSync(folder, { recursive: true }));

describe("docs/drivers.md", () => {
  test("has no block that is neither a file nor a command", () => {
    expect(page.match(/^```\S?/gm)!.length / 2).toBe([...page.matchAll(/^```\w+ \S+$/gm)].length + commands.length);
  });

  test("shows the drivers and the program as they stand", () => {
    expect(files.get("mirror.ts")).toBe(committed("scenarios/drivers/mirror.ts"));
    expect(files.get("mirror-memory.ts")).toBe(committed("scenarios/drivers/mirror-memory.ts"));
    expect(files.get("queue.ts")).toBe(committed("scenarios/drivers/queue.ts"));
    expect(files.get("no-retry.ts")).toBe(committed("scenarios/drivers/broken/no-retry.ts").replace("../mirror.js", "./mirror.js"));
    expect(files.get("mirror.c")).toBe(committed("programs/mirror.c"));
  });

  test("is right about the compiler: a tsconfig of one's own resolves the types", () => {
    const { status, stdout } = spawnSync(process.execPath, [join(ROOT, "node_modules/typescript/bin/tsc"), "-p", folder], { encoding: "utf8" });
    expect({ status, stdout }).toEqual({ status: 0, stdout: "" });
  });

  test("has commands to run", () => {
    expect(commands).toHaveLength(4);
  });

  test.each(commands)("faultline %s", (words, output) => {
    const { stdout, stderr } = faultline(words.split(" "), { cwd: folder });
    expect(stderr).toBe("");
    const timeless = (text: string): string => text.replaceAll(/; \d+\/s/g, "; …/s").trimEnd();
    expect(timeless(stdout)).toBe(timeless(output));
  });

  test("names a rule for each driver that breaks one, and what the report says", () => {
    const found = JSON.parse(committed("scenarios/drivers/broken/found.json")) as Readonly<Record<string, { readonly message: string }>>;
    for (const [name, { message }] of Object.entries(found)) expect(page).toContain(`| \`${name}.ts\` | ${message} |\n`);
  });
});
