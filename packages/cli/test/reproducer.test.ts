import { readFileSync } from "node:fs";
import { expect, test } from "vitest";
import { faultline } from "./command.js";

const page = readFileSync(new URL("../../../docs/reproducer.md", import.meta.url), "utf8");
const RUNS = [...page.matchAll(/^\$ npx faultline (.+)\n([^`]+)/gm)].map(([, args, output]) => ({ args: args!, output: output! }));

test("docs/reproducer.md shows three runs", () => {
  expect(RUNS).toHaveLength(3);
});

test.each(RUNS)("$args", ({ args, output }) => {
  const run = faultline(args.split(" "));
  expect(run.stderr).toBe("");
  expect(run.stdout).toBe(output);
});
