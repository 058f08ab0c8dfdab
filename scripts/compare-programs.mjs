// Rebuilds programs/ into a folder of its own and compares with what is committed: byte by byte
// where the toolchain is the recorded one, by behaviour elsewhere.
import { spawnSync } from "node:child_process";
import { mkdtempSync, readdirSync, readFileSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";

const root = fileURLToPath(new URL("..", import.meta.url));
const script = join(root, "programs/build.sh");
const recorded = /riscv64-linux-gnu-gcc .*$/m.exec(readFileSync(script, "utf8"))[0];

/** How each program is run where behaviour has to do; those that never end are told to. */
const RUNS = {
  args: [["a", "b c"]],
  "bench-dmirror": ["exclusive", "migrate", "back", "snapshot", "read", "invalidate"].map((work) => [work, "1"]),
  "bench-exclusive": [["1"]],
  "bench-fault": [["1"]],
  "bench-integer": [["1000"]],
  counter: [["3", "500"], ["3", "500", "device"]],
  "exclusive-check": [["4"]],
  "exclusive-swap": [["4"]],
  oom: [[]],
  spin: [],
};

function faultline(program, args) {
  const command = ["run", "--memory", "64M", "--swap", "16M", "--do", "kill -CONT $PID", "--do", "kill -TERM $PID", program, ...args];
  const { status, stdout } = spawnSync(process.execPath, [join(root, "packages/cli/bin/faultline.js"), ...command], { encoding: "utf8" });
  return `${status}: ${stdout.replaceAll(program, "PROGRAM")}`;
}

const folder = mkdtempSync(join(tmpdir(), "faultline-programs-"));
try {
  const version = spawnSync("riscv64-linux-gnu-gcc", ["--version"], { encoding: "utf8" });
  const same = version.stdout?.split("\n", 1)[0] === recorded;
  const built = spawnSync(script, [folder], { encoding: "utf8" });
  if (built.status !== 0) throw new Error(`programs/build.sh failed: ${built.stderr}${built.error?.message ?? ""}`);
  const names = readdirSync(folder).sort();
  const committed = readdirSync(join(root, "programs/prebuilt")).sort();
  const wrong = [];
  if (names.join() !== committed.join()) wrong.push(`sources make ${names.join(" ")}; committed are ${committed.join(" ")}`);
  for (const name of names.filter((n) => committed.includes(n))) {
    const [before, after] = [join(root, "programs/prebuilt", name), join(folder, name)];
    if (same) {
      if (!readFileSync(before).equals(readFileSync(after))) wrong.push(`${name}: other bytes than are committed`);
      continue;
    }
    for (const args of RUNS[name] ?? [[]]) {
      const [was, is] = [faultline(before, args), faultline(after, args)];
      if (was !== is) wrong.push(`${name} ${args.join(" ")}: committed gives ${was}, rebuilt gives ${is}`);
    }
  }
  for (const line of wrong) process.stderr.write(`${line}\n`);
  process.stdout.write(`${names.length} programs compared by ${same ? "their bytes" : "what they do"}\n`);
  process.exitCode = wrong.length === 0 ? 0 : 1;
} finally {
  rmSync(folder, { recursive: true });
}
