// Writes the table of docs/undone.md: how long each strategy takes to find each overlay of
// scenarios/undone/ in the scenario that found.json names for it, one after the other.
// `node scripts/undone-table.mjs [SECONDS [OVERLAY...]]`: how long a search may go on, 60 by default, and
// which rows are measured; all by default, else the others stay as they are.
import { spawnSync } from "node:child_process";
import { readFileSync, writeFileSync } from "node:fs";
import { cpus } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { createJiti } from "jiti";

const ROOT = fileURLToPath(new URL("..", import.meta.url));
const PAGE = join(ROOT, "docs/undone.md");
const STRATEGIES = ["exhaustive", "pct", "walk", "random"];
const BEGIN = "<!-- written by scripts/undone-table.mjs -->";
const END = "<!-- end of the table -->";
const [, , seconds = "60", ...only] = process.argv;
const LIMIT = Number(seconds);

/** One search, as `faultline check --json` tells of it. */
function check(overlay, scenario, strategy) {
  const patch = `scenarios/undone/${overlay}.ts`;
  const args = ["check", `scenarios/${scenario}.ts`, "--patch", patch, "--strategy", strategy, "--seconds", String(LIMIT), "--executions", "100000000", "--workers", "1", "--json"];
  const { status, stdout, stderr } = spawnSync(process.execPath, [join(ROOT, "packages/cli/bin/faultline.js"), ...args], { cwd: ROOT, encoding: "utf8", maxBuffer: 2 ** 28 });
  if (status !== 0 && status !== 1) throw new Error(`faultline ${args.join(" ")}: ${stderr}`);
  return JSON.parse(stdout);
}

function cell({ violations, executions, executionsPerSecond, complete }) {
  if (violations.length === 0) return complete ? `not there (${executions})` : `not in ${executions}`;
  const seconds = executions / Math.max(1, executionsPerSecond);
  return `${executions}, ${seconds < 0.1 ? "< 0.1" : seconds.toFixed(1)} s`;
}

const jiti = createJiti(import.meta.url);
const found = JSON.parse(readFileSync(join(ROOT, "scenarios/undone/found.json"), "utf8"));
const page = readFileSync(PAGE, "utf8");
const rows = [];
for (const [overlay, { scenario }] of Object.entries(found)) {
  const known = page.split("\n").find((line) => line.startsWith(`| \`${overlay}\` |`));
  if (only.length > 0 && !only.includes(overlay) && known !== undefined) {
    rows.push(known);
    continue;
  }
  const { title } = await jiti.import(join(ROOT, `scenarios/undone/${overlay}.ts`), { default: true });
  const results = STRATEGIES.map((strategy) => check(overlay, scenario, strategy));
  const kinds = [...new Set(results.flatMap(({ violations }) => violations.map(({ invariant }) => invariant)))];
  rows.push(`| \`${overlay}\` | ${title} | \`${scenario}\` | ${kinds.join(", ")} | ${results.map(cell).join(" | ")} |`);
  process.stderr.write(`${rows.at(-1)}\n`);
}
const table = [
  `| overlay | undoes | found in | as | ${STRATEGIES.join(" | ")} |`,
  `|---|---|---|---|${STRATEGIES.map(() => "---|").join("")}`,
  ...rows,
  "",
  `On one core of ${cpus()[0].model.trim()}, Node ${process.versions.node}; at most ${LIMIT} seconds each.`,
];
const [before, rest] = page.split(BEGIN);
const after = rest.split(END)[1];
writeFileSync(PAGE, `${before}${BEGIN}\n${table.join("\n")}\n${END}${after}`);
