import { readFileSync } from "node:fs";
import { fileURLToPath } from "node:url";
import { expect, test } from "vitest";
import { PATCHES } from "@faultline/kernel";
import { explore, formatSchedule, formatTrace, raceDiagram, RULES, stateTable } from "../src/index.js";
import faultExclusiveDontneed from "../../../scenarios/fault-exclusive-dontneed.js";
import mirrorDontneed from "../../../scenarios/mirror-vs-dontneed.js";
import seqRecheck from "../../../scenarios/undone/mirror-seq-recheck.js";

const file = (path: string): string => readFileSync(fileURLToPath(new URL(`../../../${path}`, import.meta.url)), "utf8");
const checking = file("docs/checking.md");

test("docs/checking.md shows a patch and a scenario as they stand", () => {
  expect(checking).toContain(file("scenarios/undone/mirror-seq-recheck.ts"));
  expect(checking).toContain(file("scenarios/mirror-vs-dontneed.ts"));
});

test("the ten minutes of docs/checking.md end with the report that it quotes", () => {
  const options = { preemptions: Infinity };
  const { complete, violation: none } = explore(mirrorDontneed, options);
  expect(none).toBeNull();
  expect(complete).toBe(true);
  const { violation } = explore(mirrorDontneed, { ...options, overlays: [seqRecheck.apply] });
  expect(checking).toContain(`VIOLATION (${violation!.kind}): ${violation!.message}\n`);
  expect(checking).toContain(`  schedule    ${formatSchedule(violation!.decisions)},`);
  expect(checking).toContain(raceDiagram(violation!).trimEnd());
  expect(checking).toContain(stateTable(violation!).trimEnd());
});

test("docs/checking.md has each rule in words", () => {
  const table = Object.entries(RULES).map(([kind, rule]) => `| \`${kind}\` | ${rule} |\n`);
  expect(checking).toContain(table.join(""));
});

test("what was undone is found, with a trace to read", () => {
  const { undo } = PATCHES.find((patch) => patch.name === "exclusive-fault-ref")!;
  const { violation } = explore(faultExclusiveDontneed, { overlays: [undo!] });
  expect(violation).not.toBeNull();
  const trace = formatTrace(violation!.trace).split("\n");
  // Turns of the threads, each with steps below it.
  expect(trace.filter((line) => /^\w+ \((CPU|device) \d+\):$/.test(line)).length).toBeGreaterThan(1);
  expect(trace.filter((line) => /^ {4}\S/.test(line))).toHaveLength(violation!.trace.length);
});
