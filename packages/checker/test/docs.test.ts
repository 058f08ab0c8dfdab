import { readFileSync } from "node:fs";
import { fileURLToPath } from "node:url";
import { expect, test } from "vitest";
import { PATCHES } from "@faultline/kernel";
import { explore, formatTrace } from "../src/index.js";
import faultExclusiveDontneed from "../../../scenarios/fault-exclusive-dontneed.js";

const file = (path: string): string => readFileSync(fileURLToPath(new URL(`../../../${path}`, import.meta.url)), "utf8");

test("docs/scenarios.md shows a scenario as it stands", () => {
  expect(file("docs/scenarios.md")).toContain(file("scenarios/reclaim-munmap.ts"));
});

test("what docs/scenarios.md does with another kernel finds something, and a trace to read", () => {
  const { undo } = PATCHES.find((patch) => patch.name === "exclusive-fault-ref")!;
  const { violation } = explore(faultExclusiveDontneed, { overlays: [undo!] });
  expect(violation).not.toBeNull();
  const trace = formatTrace(violation!.trace).split("\n");
  // Turns of the threads, each with steps below it.
  expect(trace.filter((line) => /^\w+ \((CPU|device) \d+\):$/.test(line)).length).toBeGreaterThan(1);
  expect(trace.filter((line) => /^ {4}\S/.test(line))).toHaveLength(violation!.trace.length);
});
