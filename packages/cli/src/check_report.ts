import { formatSchedule, RULES, type Violation } from "@faultline/checker";
import type { CheckResult, CheckWish } from "./check_run.js";

/** What `--json` prints: one object. */
export function jsonOfCheck(wish: CheckWish, strategy: string, { report, seconds }: CheckResult): string {
  const { title, executions, complete, points, covers, violation } = report;
  const object = {
    title,
    release: wish.release,
    strategy,
    executions,
    complete,
    executionsPerSecond: perSecond(executions, seconds),
    pointsPerExecution: executions === 0 ? 0 : Math.round((10 * points) / executions) / 10,
    covers,
    violations: violation === null ? [] : [jsonOfViolation(violation)],
  };
  return `${JSON.stringify(object, null, 2)}\n`;
}

function jsonOfViolation(violation: Violation): object {
  const { kind, message, decisions, preemptions, trace } = violation;
  return { invariant: kind, rule: RULES[kind], message, schedule: formatSchedule(decisions), preemptions, steps: trace };
}

/** What a person reads. */
export function describeCheck(wish: CheckWish, strategy: string, { report, seconds, interrupted }: CheckResult): string {
  const { title, executions, complete, covers, violation, pointsMin, pointsMax } = report;
  const kernel = [wish.release, ...wish.without.map((name) => `--without ${name}`), ...wish.patch.map((file) => `--patch ${file}`)];
  const how = violation !== null ? "up to the violation" : complete ? "complete" : interrupted ? "interrupted" : "not complete";
  const points = pointsMin === pointsMax ? `${pointsMin}` : `${pointsMin} to ${pointsMax}`;
  const lines = [
    title,
    `  kernel      ${kernel.join(" ")}`,
    `  strategy    ${strategy}`,
    `  executions  ${executions}, ${how}; ${perSecond(executions, seconds)}/s, of ${points} points`,
    `  covered     ${covers}`,
    "",
  ];
  if (violation === null) lines.push("Nothing found.");
  else lines.push(...describeViolation(violation));
  return `${lines.join("\n")}\n`;
}

function describeViolation({ kind, message, decisions, preemptions }: Violation): string[] {
  return [`VIOLATION (${kind}): ${message}`, `  rule        ${RULES[kind]}`, `  schedule    ${formatSchedule(decisions)}`, `  preemptions ${preemptions}`];
}

function perSecond(executions: number, seconds: number): number {
  return seconds > 0 ? Math.round(executions / seconds) : 0;
}
