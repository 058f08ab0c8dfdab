// Writes docs/evidence.json: which kernel functions are reached by what, for docs/fidelity.md.
//
//   node scripts/evidence.mjs [--selftests DIR] [--seconds N] [KIND|KIND/RUN...]
//   node scripts/evidence.mjs --prune
//
// A KIND is one of difftest, programs, reproducer, scenarios, selftests, hmm-tests; all by default, the last
// two only with a folder that has the kernel's selftests as static riscv64 ELF files (docs/selftests.md says how to
// build them; those of older kernels in folders 6.1 and 6.12 in it). Kinds that are not named stay as they were, and
// KIND/RUN adds one run to what was measured before. A run
// that fails, or takes longer than N seconds, 120 by default, counts for nothing, and is named. --prune runs nothing, and
// drops functions that are gone.
import { spawnSync } from "node:child_process";
import { existsSync, mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { parseArgs } from "node:util";
import { runs } from "./evidence/runs.mjs";

const ROOT = fileURLToPath(new URL("..", import.meta.url)).replace(/\/$/, "");
const FILE = join(ROOT, "docs/evidence.json");
/** So many runs are named for a function, those that reach fewest others first. */
const NAMED = 3;

const { values, positionals } = parseArgs({
  allowPositionals: true,
  options: { selftests: { type: "string" }, seconds: { type: "string", default: "120" }, prune: { type: "boolean", default: false } },
});

const { MAINLINE } = await import(join(ROOT, "packages/kernel/dist/kernel.js"));
const source = readFileSync(join(ROOT, "packages/kernel/src/kernel.ts"), "utf8");
const paths = new Map([...source.matchAll(/^import \* as (\w+) from "\.\/(.+)\.js";$/gm)].map(([, name, path]) => [name, path]));
/** Functions of the assembled kernel: `mm/rmap.tryToUnmap`. */
const assembled = new Set(
  Object.entries(MAINLINE).flatMap(([module, members]) =>
    Object.entries(members)
      .filter(([, member]) => typeof member === "function" && !String(member).startsWith("class"))
      .map(([name]) => `${paths.get(module)}.${name}`),
  ),
);

/** The functions that a command reaches; null where it fails. */
function reached({ args, status: expected = 0 }) {
  const folder = mkdtempSync(join(tmpdir(), "faultline-evidence-"));
  try {
    const preload = `--import=${new URL("evidence/reached.mjs", import.meta.url).href}`;
    const { status } = spawnSync(process.execPath, [preload, join(ROOT, "packages/cli/bin/faultline.js"), ...args], {
      env: { ...process.env, REACHED: folder, NODE_OPTIONS: preload },
      stdio: "ignore",
      timeout: Number(values.seconds) * 1000,
      killSignal: "SIGKILL",
    });
    if (status !== expected) return null;
    const names = readdirSync(folder).flatMap((file) => readFileSync(join(folder, file), "utf8").split("\n"));
    return new Set(names.filter((name) => assembled.has(name)));
  } finally {
    rmSync(folder, { recursive: true });
  }
}

/** What each of some runs reaches; what fails is left out, and named. */
function results(kind, list) {
  const found = new Map();
  for (const run of list) {
    if (run.needs !== undefined && !existsSync(run.needs)) continue;
    const functions = reached(run);
    if (functions === null) process.stderr.write(`${kind}/${run.name}: failed, and counts for nothing\n`);
    else found.set(run.name, functions);
  }
  return found;
}

function sorted(functions) {
  return Object.fromEntries(Object.entries(functions).sort(([a], [b]) => (a < b ? -1 : 1)));
}

/** A kind of evidence: its runs, and for each function some of those that reach it, and how many more do. */
function measure(kind, list) {
  const found = results(kind, list);
  const byFunction = new Map();
  for (const [name, functions] of found) {
    for (const fn of functions) byFunction.set(fn, [...(byFunction.get(fn) ?? []), name]);
  }
  const functions = {};
  for (const [fn, names] of byFunction) {
    const fewestFirst = names.toSorted((a, b) => found.get(a).size - found.get(b).size);
    functions[fn] = names.length > NAMED ? [...fewestFirst.slice(0, NAMED), names.length - NAMED] : fewestFirst;
  }
  return { runs: [...found.keys()], functions: sorted(functions) };
}

/** The same with one run more. */
function add(before, kind, run) {
  if (before.runs.includes(run.name)) throw new Error(`${kind}/${run.name} has been measured: measure all of ${kind} anew`);
  const [reach] = results(kind, [run]).values();
  if (reach === undefined) return before;
  const functions = { ...before.functions };
  for (const fn of reach) {
    const known = functions[fn] ?? [];
    const more = typeof known.at(-1) === "number" ? known.at(-1) : 0;
    functions[fn] = known.length < NAMED ? [...known, run.name] : [...known.slice(0, NAMED), more + 1];
  }
  return { runs: [...before.runs, run.name], functions: sorted(functions) };
}

/** One function a line, so that a change of one is a change of one line. */
function text(evidence) {
  const kinds = Object.entries(evidence).map(([kind, { runs: names, functions }]) => {
    const lines = Object.entries(functions).map(([fn, value]) => `      ${JSON.stringify(fn)}: ${JSON.stringify(value)}`);
    return `  ${JSON.stringify(kind)}: {\n    "runs": ${JSON.stringify(names)},\n    "functions": {\n${lines.join(",\n")}\n    }\n  }`;
  });
  return `{\n${kinds.join(",\n")}\n}\n`;
}

const evidence = existsSync(FILE) ? JSON.parse(readFileSync(FILE, "utf8")) : {};

function save() {
  for (const { functions } of Object.values(evidence)) {
    for (const fn of Object.keys(functions)) if (!assembled.has(fn)) delete functions[fn];
  }
  writeFileSync(FILE, text(evidence));
}

const kinds = values.prune ? {} : runs(ROOT, values.selftests);
for (const [kind, list] of Object.entries(kinds)) {
  if (positionals.length > 0 && !positionals.includes(kind)) continue;
  evidence[kind] = measure(kind, list);
  save();
  process.stderr.write(`${kind}: ${evidence[kind].runs.length} runs reach ${Object.keys(evidence[kind].functions).length} of ${assembled.size} functions\n`);
}
for (const wish of positionals) {
  const [kind, name] = wish.split("/");
  if (name === undefined && kinds[kind] !== undefined) continue;
  const run = kinds[kind]?.find((one) => one.name === name);
  if (run === undefined || evidence[kind] === undefined) {
    process.stderr.write(`${wish}: no such kind of evidence or run, or it needs --selftests\n`);
    process.exitCode = 1;
    continue;
  }
  try {
    evidence[kind] = add(evidence[kind], kind, run);
  } catch (error) {
    process.stderr.write(`${error.message}\n`);
    process.exitCode = 1;
  }
}
save();
