// Writes the table of docs/exploration.md: explores every scenario that has a device, one after the other, each schedule
// that can differ, and says how far it came.
// `node scripts/exploration-table.mjs [MINUTES [SCENARIO...]]`: how long all of it may take, 40 by default, of which each scenario gets
// its part, and what the ones before have left; and which are explored: all by default, else the other rows stay as they are. A
// violation ends it.
import { readdirSync, readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { exploration } from "@faultline/checker";
import { parseElf, ScenarioGuests } from "@faultline/riscv";
import { createJiti } from "jiti";

const ROOT = fileURLToPath(new URL("..", import.meta.url));
const SCENARIOS = join(ROOT, "scenarios");
const PAGE = join(ROOT, "docs/exploration.md");
const BEGIN = "<!-- written by scripts/exploration-table.mjs -->";
const END = "<!-- end of the table -->";
const EXECUTIONS_MAX = 2_000_000;
const [, , minutes = "40", ...only] = process.argv;

function guestsOf({ threads }) {
  const files = Object.values(threads).flatMap((thread) => ("elf" in thread ? [thread.elf] : []));
  return new ScenarioGuests(
    new Map(
      files.map((file) => {
        const bytes = readFileSync(join(SCENARIOS, file));
        return [file, { bytes, image: parseElf(bytes) }];
      }),
    ),
  );
}

/** Explores for so many seconds at most: a row. */
function explored(name, scenario, seconds) {
  const running = exploration(scenario, { preemptions: Infinity, executionsMax: EXECUTIONS_MAX, guests: guestsOf(scenario) });
  const start = performance.now();
  const spent = () => (performance.now() - start) / 1000;
  while (spent() < seconds && running.step());
  const { complete, executions, violation } = running.report();
  if (violation !== null) throw new Error(`${name}: ${violation.message}`);
  const reached = complete ? "complete" : executions >= EXECUTIONS_MAX ? "as many as wanted" : "as far as it came";
  return `| \`${name}\` | ${Object.keys(scenario.threads).length} | ${executions} | ${reached} | ${spent() < 1 ? "< 1" : spent().toFixed(0)} |`;
}

const jiti = createJiti(import.meta.url);
const scenarios = [];
for (const file of readdirSync(SCENARIOS).filter((each) => each.endsWith(".ts"))) {
  const scenario = await jiti.import(join(SCENARIOS, file), { default: true });
  if ((scenario.machine?.devices ?? 0) > 0 || (scenario.drivers ?? []).length > 0) scenarios.push([file.slice(0, -3), scenario]);
}
const page = readFileSync(PAGE, "utf8");
const end = performance.now() + Number(minutes) * 60_000;
let left = only.length === 0 ? scenarios.length : only.length;
const rows = [];
for (const [name, scenario] of scenarios) {
  const known = page.split("\n").find((line) => line.startsWith(`| \`${name}\` |`));
  if (only.length > 0 && !only.includes(name)) {
    if (known !== undefined) rows.push(known);
    continue;
  }
  const row = explored(name, scenario, Math.max(1, (end - performance.now()) / 1000 / left--));
  process.stdout.write(`${row}\n`);
  rows.push(row);
}
const table = ["| scenario | threads | executions | reached | seconds |", "|---|---|---|---|---|", ...rows].join("\n");
writeFileSync(PAGE, `${page.slice(0, page.indexOf(BEGIN))}${BEGIN}\n${table}\n${page.slice(page.indexOf(END))}`);
