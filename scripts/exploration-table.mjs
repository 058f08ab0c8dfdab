// Writes the table of docs/exploration.md: explores every scenario that has a device, one after the other, each schedule
// that can differ, and says how far it came.
// `node scripts/exploration-table.mjs [--sample] [MINUTES [SCENARIO...]]`: how long all of it may take, 40 by default, of which each
// scenario gets its part, and what the ones before have left; and which are explored: all by default, else the other rows stay as they
// are. With `--sample`, two million executions are then drawn at random of each that was not complete, which takes some minutes more
// for each. A violation ends it; what was explored before stays written.
import { readdirSync, readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { parseArgs } from "node:util";
import { exploration } from "@faultline/checker";
import { parseElf, ScenarioGuests } from "@faultline/riscv";
import { createJiti } from "jiti";

const ROOT = fileURLToPath(new URL("..", import.meta.url));
const SCENARIOS = join(ROOT, "scenarios");
const PAGE = join(ROOT, "docs/exploration.md");
const BEGIN = "<!-- written by scripts/exploration-table.mjs -->";
const END = "<!-- end of the table -->";
const HEAD = ["| scenario | threads | executions | reached | seconds | drawn at random |", "|---|---|---|---|---|---|"];
const EXECUTIONS_MAX = 2_000_000;
const SAMPLING = { policy: "pct", depth: 3, seed: 1 };
const { values: { sample }, positionals: [minutes = "40", ...only] } = parseArgs({ options: { sample: { type: "boolean" } }, allowPositionals: true });

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

/** Explores for so many seconds at most: the report, and how long it took. */
function explored(name, scenario, seconds, options) {
  const running = exploration(scenario, { executionsMax: EXECUTIONS_MAX, guests: guestsOf(scenario), ...options });
  const start = performance.now();
  const spent = () => (performance.now() - start) / 1000;
  while (spent() < seconds && running.step());
  const report = running.report();
  if (report.violation !== null) throw new Error(`${name}: ${report.violation.message}`);
  return { ...report, seconds: spent() };
}

function rowOf(name, scenario, seconds) {
  const { complete, executions, seconds: spent } = explored(name, scenario, seconds, { preemptions: Infinity });
  const reached = complete ? "complete" : executions >= EXECUTIONS_MAX ? "as many as wanted" : "as far as it came";
  const drawn = sample === true && !complete ? explored(name, scenario, Infinity, { sampling: SAMPLING }).executions : "";
  return `| \`${name}\` | ${Object.keys(scenario.threads).length} | ${executions} | ${reached} | ${spent < 1 ? "< 1" : spent.toFixed(0)} | ${drawn} |`;
}

function write(rows) {
  const page = readFileSync(PAGE, "utf8");
  const table = [...HEAD, ...[...rows].sort().map(([, row]) => row)].join("\n");
  writeFileSync(PAGE, `${page.slice(0, page.indexOf(BEGIN))}${BEGIN}\n${table}\n${page.slice(page.indexOf(END))}`);
}

const jiti = createJiti(import.meta.url);
const page = readFileSync(PAGE, "utf8");
const rows = new Map();
const chosen = [];
for (const file of readdirSync(SCENARIOS).filter((each) => each.endsWith(".ts"))) {
  const scenario = await jiti.import(join(SCENARIOS, file), { default: true });
  if ((scenario.machine?.devices ?? 0) === 0 && (scenario.drivers ?? []).length === 0) continue;
  const name = file.slice(0, -3);
  const known = page.split("\n").find((line) => line.startsWith(`| \`${name}\` |`));
  if (known !== undefined) rows.set(name, known);
  if (only.length === 0 || only.includes(name)) chosen.push([name, scenario]);
}
const end = performance.now() + Number(minutes) * 60_000;
let drawing = 0;
for (const [i, [name, scenario]] of chosen.entries()) {
  const begun = performance.now();
  const share = (end + drawing - begun) / 1000 / (chosen.length - i);
  const row = rowOf(name, scenario, Math.max(1, share));
  // What drawing takes does not count.
  drawing += Math.max(0, performance.now() - begun - share * 1000);
  process.stdout.write(`${row}\n`);
  rows.set(name, row);
  write(rows);
}
