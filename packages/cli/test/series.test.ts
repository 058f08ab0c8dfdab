import { readFileSync } from "node:fs";
import { join } from "node:path";
import { expect, test } from "vitest";
import { faultline, ROOT } from "./command.js";

const page = readFileSync(join(ROOT, "docs/series.md"), "utf8");
const COMMANDS = [...page.matchAll(/^(.+)\n {4}npx faultline (run .+)$/gm)].map(([, line, command]) => ({ line: line!, command: command! }));

test("every program of docs/series.md is run", () => {
  expect(COMMANDS).toHaveLength(page.split("npx faultline run ").length - 1);
});

test.each(COMMANDS)("$command prints: $line", ({ line, command }) => {
  expect(faultline(command.split(" ")).stdout).toContain(`${line}\n`);
});
