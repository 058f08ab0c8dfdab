// The checker beside spin (https://spinroot.com) on a model of the same race, exclusive.pml.
import { spawnSync } from "node:child_process";
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { exploration } from "@faultline/checker";

/** Seconds that an exploration, or a verification, may take. */
const LIMIT = 30;
const DEPTH_MAX = 1_000_000;

function run(command, args, cwd) {
  const start = performance.now();
  const { status, stdout, error } = spawnSync(command, args, { cwd, encoding: "utf8", timeout: LIMIT * 1000 });
  const seconds = (performance.now() - start) / 1000;
  const late = error?.code === "ETIMEDOUT";
  if (!late && status !== 0) throw new Error(`${command} failed: ${error?.message ?? stdout}`);
  return { seconds, stdout: stdout ?? "", late };
}

/** What spin does with the model: states, transitions, and seconds with and without translating and compiling. */
function verify(model, macros) {
  const folder = mkdtempSync(join(tmpdir(), "faultline-spin-"));
  try {
    const translate = run("spin", [...macros, "-a", model], folder).seconds;
    const compile = run("gcc", ["-O2", "-DSAFETY", "-o", "pan", "pan.c"], folder).seconds;
    const { seconds, stdout, late } = run("./pan", [`-m${DEPTH_MAX}`], folder);
    const number = (pattern) => Number(pattern.exec(stdout)?.[1] ?? NaN);
    const errors = number(/errors: (\d+)/);
    const whole = !late && !/max search depth too small|out of memory/.test(stdout);
    const end = errors > 0 ? "violation" : whole ? "complete" : "not complete";
    return `${end} after ${seconds.toFixed(2)} s (and ${(translate + compile).toFixed(2)} s to translate and compile), ${number(/(\d+) states, stored/)} states, ${number(/(\d+) transitions/)} transitions`;
  } finally {
    rmSync(folder, { recursive: true });
  }
}

/** What the exhaustive exploration of a scenario comes to, in words. */
export function check(scenario, overlays = []) {
  const start = performance.now();
  const seconds = () => (performance.now() - start) / 1000;
  const running = exploration(scenario, { preemptions: Infinity, overlays });
  while (seconds() < LIMIT && running.step());
  const taken = seconds();
  const { violation, complete, executions, points } = running.report();
  const end = violation !== null ? "violation" : complete ? "complete" : "not complete";
  return `${end} after ${taken.toFixed(2)} s, ${executions} executions, ${points} points`;
}

/** Lines of text: each case by both, one after the other. `cases` have title, macros, scenario and overlays. */
export function besideSpin(model, cases) {
  return cases.flatMap(({ title, macros, scenario, overlays }) => [
    title,
    `  checker: ${check(scenario, overlays)}`,
    `  spin:    ${verify(model, macros)}`,
  ]);
}
