import { describeViolation, jsonOfViolation } from "./check_report.js";
import { perSecond } from "./values.js";
import type { FuzzResult, FuzzWish } from "./fuzz_run.js";

/** What `--json` prints: one object. */
export function jsonOfFuzz(wish: FuzzWish, { programs, executions, points, seconds, found }: FuzzResult): string {
  const object = {
    title: found?.title ?? null,
    release: wish.release,
    without: wish.without,
    patches: wish.patch,
    strategy: "fuzz",
    seed: wish.seed,
    programs,
    executions,
    complete: false,
    executionsPerSecond: perSecond(executions, seconds),
    pointsPerExecution: executions === 0 ? 0 : Math.round((10 * points) / executions) / 10,
    file: found?.file ?? null,
    violations: found === null ? [] : [jsonOfViolation({ ...wish, file: found.file }, found.violation)],
  };
  return `${JSON.stringify(object, null, 2)}\n`;
}

/** What a person reads. */
export function describeFuzz(wish: FuzzWish, { programs, executions, seconds, interrupted, found }: FuzzResult): string {
  const kernel = [wish.release, ...wish.without.map((name) => `--without ${name}`), ...wish.patch.map((file) => `--patch ${file}`)];
  const end = found !== null ? "up to the violation" : interrupted ? "interrupted" : "no more were asked for";
  const lines = [
    "Random programs on random schedules",
    `  kernel      ${kernel.join(" ")}`,
    `  covered     ${programs} programs of seed ${wish.seed}, in ${executions} executions, ${end}; ${perSecond(executions, seconds)}/s`,
    "",
  ];
  if (found === null) lines.push("Nothing found.");
  else lines.push(`${found.file} has it in ${found.operations} operations: ${found.title}${found.bounded ? "" : ". Its schedule is none of those that check tries by default"}`, "", ...describeViolation({ ...wish, file: found.file }, found.violation));
  return `${lines.join("\n")}\n`;
}
