// `npm run bench`: what Faultline does in a second, beside what does the same work elsewhere on
// this computer, measured one after the other in one run. The best of a few rounds counts.
import { spawnSync } from "node:child_process";
import { mkdtempSync, readFileSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { benchmark, exploration } from "@faultline/checker";
import { resolvePatches } from "@faultline/kernel";
import { LinuxMachine, warmUp } from "@faultline/riscv";
import Table from "cli-table3";
import { createJiti } from "jiti";
import { besideSpin, check } from "./spin.mjs";
import { viewerTable } from "./viewer.mjs";

const ROOT = fileURLToPath(new URL("..", import.meta.url));
const QEMU = "qemu-riscv64-static";
const ROUNDS = 3;
const TURNS_INTEGER = 20_000_000;
/** Somebody else may be so fast that his start would count: he gets as many times the work. */
const LONGER = 10;
const FAULT_ROUNDS = 100;
const FAULTS = FAULT_ROUNDS * 4096;
const DEVICE_ROUNDS = 40;
const WORK_ROUNDS = 20;
const EXECUTIONS = 250_000;

/** The shortest of a few rounds, in seconds. */
function best(work) {
  let least = Infinity;
  for (let i = 0; i < ROUNDS; i++) least = Math.min(least, work());
  return least;
}

function say(text) {
  if (process.stderr.isTTY) process.stderr.write(`\r\x1b[K${text}`);
}

function guest(name, args) {
  const bytes = readFileSync(join(ROOT, "programs/prebuilt", name));
  const linux = new LinuxMachine({
    memoryBytes: 2 ** 30,
    swapBytes: 0,
    cpus: 1,
    seed: 1,
    bytes,
    path: `/${name}`,
    argv: [name, ...args],
    env: [],
    stdout: () => {},
    stderr: () => {},
  });
  const start = performance.now();
  const result = linux.run();
  const seconds = (performance.now() - start) / 1000;
  if (result.status?.code !== 0) throw new Error(`${name} ended with ${JSON.stringify(result)}`);
  return { seconds, instructions: linux.cpus.reduce((sum, cpu) => sum + cpu.hart.instret, 0) };
}

function host(command, args) {
  const start = performance.now();
  const { status, error } = spawnSync(command, args, { stdio: "ignore" });
  const seconds = (performance.now() - start) / 1000;
  if (status !== 0) throw new Error(`${command} failed: ${error?.message ?? status}`);
  return seconds;
}

const has = (command) => spawnSync(command, ["--version"], { stdio: "ignore" }).status === 0;

/** The same source, for this computer's own processor. */
function compileNatively(folder, name) {
  const out = join(folder, name);
  const flags = "-O2 -ffreestanding -fno-stack-protector -fno-tree-loop-distribute-patterns -fno-pie -no-pie -nostdlib -static";
  const { status } = spawnSync("gcc", [...flags.split(" "), "-I", join(ROOT, "programs/include"), "-o", out, join(ROOT, `programs/${name}.c`)]);
  return status === 0 ? out : null;
}

function rate(perSecond, unit) {
  for (const [scale, prefix] of [[1e9, "G"], [1e6, "M"], [1e3, "k"]]) {
    if (perSecond >= scale) return `${(perSecond / scale).toPrecision(3)}${prefix} ${unit}`;
  }
  return `${perSecond.toFixed(0)} ${unit}`;
}

const rows = [];
const skipped = [];
/** The host's ordinary write faults in a second; null where there is no compiler for them. */
let nativeFaults = null;
/** What does not fit the table. */
const lines = [];

function row(work, unit, here, other) {
  rows.push([
    work,
    rate(here, unit),
    other === null ? "" : `${rate(other.perSecond, unit)} (${other.name})`,
    other === null ? "" : `${(here / other.perSecond).toFixed(2)} x`,
  ]);
}

function integer() {
  say("guest instructions …");
  let instructions = 0;
  const here = best(() => {
    const run = guest("bench-integer", [String(TURNS_INTEGER)]);
    instructions = run.instructions;
    return run.seconds;
  });
  let other = null;
  if (has(QEMU)) {
    const program = join(ROOT, "programs/prebuilt/bench-integer");
    const seconds = best(() => host(QEMU, [program, String(LONGER * TURNS_INTEGER)]));
    other = { name: "qemu-riscv64", perSecond: (LONGER * instructions) / seconds };
  } else skipped.push(`${QEMU} is not installed: no comparison of guest instructions`);
  row("guest instructions", "instructions/s", instructions / here, other);
}

function faults(folder) {
  say("page faults …");
  const here = best(() => guest("bench-fault", [String(FAULT_ROUNDS)]).seconds);
  const native = has("gcc") ? compileNatively(folder, "bench-fault") : null;
  let other = null;
  if (native !== null) {
    host(native, [String(FAULT_ROUNDS)]);
    nativeFaults = FAULTS / best(() => host(native, [String(FAULT_ROUNDS)]));
    other = { name: "native", perSecond: nativeFaults };
  } else skipped.push("gcc is not installed: no comparison of page faults");
  row("anonymous write faults", "faults/s", FAULTS / here, other);
}

/**
 * What is done to 4,096 pages with a device: bench-dmirror's work, what it is called, what a round has of it, and how long a page took
 * a kernel 6.12 under QEMU's software emulation on two cores (ns), where that was measured. A write fault of its host took 1,250 ns.
 */
const WITH_DEVICE = [
  ["exclusive", "pages made exclusive, and taken back", "pages/s", 4096, 10_600 + 3_300],
  ["migrate", "pages migrated to a device, and faulted back", "pages/s", 4096, 13_900 + 9_100],
  ["back", "pages migrated to a device, and back by it", "pages/s", 4096, null],
  ["snapshot", "hmm_range_fault(), pages that are there", "pages/s", 16 * 4096, null],
  ["read", "hmm_range_fault(), pages faulted in to be written", "pages/s", 4096, null],
  ["invalidate", "mprotect of a page that a device mirrors", "calls/s", 4096, null],
];

const NATIVE_FAULT_NS = 1250;

/** Beside the ordinary write fault of the host, where there is one. */
function devices() {
  for (const [work, title, unit, each, emulated] of WITH_DEVICE) {
    say(`${work} …`);
    const here = (DEVICE_ROUNDS * each) / best(() => guest("bench-dmirror", [work, String(DEVICE_ROUNDS)]).seconds);
    row(title, unit, here, nativeFaults === null ? null : { name: "native write faults", perSecond: nativeFaults });
    if (emulated === null || nativeFaults === null) continue;
    // As measured in write faults of the host, then and now, so that another computer, or a busy one, makes no difference.
    const faults = emulated / NATIVE_FAULT_NS;
    lines.push(`${title}: ${((here / nativeFaults) * faults).toFixed(1)} times a kernel in emulation, which takes ${faults.toFixed(1)} of its host's write faults for a page`);
  }
}

/** Programs' work that the host does as well: the program, its argument, what it is called, what is counted, and how many of that a round has. */
const BESIDE_NATIVE = [
  ["bench-mm", "fork", "pages of a process of 256 MiB, forked", "pages/s", 65_536],
  ["bench-mm", "cow", "pages written in a child", "pages/s", 4096],
  ["bench-mm", "mprotect", "mprotect of a page", "calls/s", 2 * 4096],
  ["bench-mm", "mremap", "mremap of a page to elsewhere", "calls/s", 2 * 4096],
  ["bench-mm", "munmap", "munmap and mmap of a page, and its fault", "pages/s", 4096],
  ["bench-file", "write", "pwrite of a page of a memfd", "calls/s", 4096],
  ["bench-file", "read", "pread of a page of a memfd", "calls/s", 4096],
  ["bench-file", "fault", "faults of a shared mapping of a memfd", "faults/s", 4096],
  ["bench-file", "punch", "hole punch of a page, and its fault", "pages/s", 4096],
];

function besideNative(folder) {
  const compiles = has("gcc");
  const programs = new Map(BESIDE_NATIVE.map(([program]) => [program, null]));
  if (compiles) for (const program of programs.keys()) programs.set(program, compileNatively(folder, program));
  for (const [program, work, title, unit, each] of BESIDE_NATIVE) {
    say(`${work} …`);
    const args = [work, String(WORK_ROUNDS)];
    const here = best(() => guest(program, args).seconds);
    const native = programs.get(program);
    let other = null;
    if (native !== null) {
      host(native, args);
      other = { name: "native", perSecond: (WORK_ROUNDS * each) / best(() => host(native, args)) };
    }
    row(title, unit, (WORK_ROUNDS * each) / here, other);
  }
  if (!compiles) skipped.push("gcc is not installed: no comparison of mappings and files");
}

const jiti = createJiti(import.meta.url);
const load = (name) => jiti.import(join(ROOT, `scenarios/${name}.ts`), { default: true });

async function explorer() {
  say("explorer …");
  const scenario = await load("fault-vs-exclusive");
  const speed = benchmark(scenario, { executions: EXECUTIONS, now: () => performance.now() / 1000 });
  if (speed === null) throw new Error("the benchmark's scenario has a violation");
  row("explorer, fault against exclusive, all invariants on", "executions/s", speed.executions / speed.seconds, null);
  lines.push(`explorer: ${(speed.points / speed.executions).toFixed(1)} points per execution, drawn at random; exhaustively: ${check(scenario)}`);
}

/** Heap in use after 100k executions, and after a million. */
async function memory() {
  say("a million executions …");
  const running = exploration(await load("fault-vs-exclusive"), { sampling: { policy: "random", seed: 1 } });
  const used = [];
  for (const executions of [100_000, 1_000_000]) {
    while (running.executions < executions) if (!running.step()) throw new Error("the benchmark's scenario has a violation");
    globalThis.gc?.();
    used.push(`${(process.memoryUsage().heapUsed / 2 ** 20).toFixed(1)} MB after ${executions} executions`);
  }
  lines.push(`explorer's heap in use: ${used.join(", ")}`);
}

async function spin() {
  const missing = [["spin", "-V"], ["gcc", "--version"]].filter(([command, option]) => spawnSync(command, [option], { stdio: "ignore" }).status !== 0);
  if (missing.length > 0) {
    skipped.push(`${missing.map(([command]) => command).join(" and ")} not installed: no comparison with spin`);
    return;
  }
  say("spin …");
  const without = resolvePatches({ release: "7.3", without: ["exclusive-fault-ref"] });
  if (typeof without === "string") throw new Error(without);
  const three = await load("fault-exclusive-dontneed");
  lines.push(
    "the checker on the engine, and spin on a model that describes far less of it (bench/exclusive.pml):",
    ...besideSpin(join(ROOT, "bench/exclusive.pml"), [
      { title: "fault against exclusive", macros: [], scenario: await load("fault-vs-exclusive"), overlays: [] },
      { title: "and MADV_DONTNEED, without exclusive-fault-ref", macros: ["-DDONTNEED", "-DNO_REF"], scenario: three, overlays: without },
    ]),
  );
}

const folder = mkdtempSync(join(tmpdir(), "faultline-bench-"));
try {
  // As `faultline check` does it: before any program has run in this process.
  await explorer();
  warmUp();
  integer();
  faults(folder);
  devices();
  besideNative(folder);
  await memory();
  await spin();
  lines.push(await viewerTable([], say));
} finally {
  say("");
  rmSync(folder, { recursive: true });
}
const table = new Table({
  head: ["work", "here", "elsewhere", "ratio"],
  style: { head: [], border: [], compact: true },
  colAligns: ["left", "right", "right", "right"],
});
table.push(...rows);
process.stdout.write(`${table.toString()}\n`);
for (const line of [...lines, ...skipped]) process.stdout.write(`${line}\n`);
