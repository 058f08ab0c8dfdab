import { formatSchedule, raceDiagram, RULES, stateTable, type Report, type Violation } from "@faultline/checker";
import type { CheckResult, CheckWish } from "./check_run.js";
import { shellQuote } from "./values.js";

/** What a command is made of that shows a violation again. */
type ReplayedWish = Pick<CheckWish, "file" | "release" | "without" | "patch"> & Partial<Pick<CheckWish, "driver">>;

/** What `--json` prints: one object. A replay has explored nothing, and has no figures. */
export function jsonOfCheck(wish: CheckWish, strategy: string, { report, title, violation, rate }: CheckResult): string {
  const explored =
    report === null
      ? { strategy: "replay" }
      : {
          strategy,
          executions: report.executions,
          complete: report.complete,
          executionsPerSecond: rate,
          pointsPerExecution: report.executions === 0 ? 0 : Math.round((10 * report.points) / report.executions) / 10,
          covers: report.covers,
        };
  const { release, without, patch: patches, driver: drivers } = wish;
  const object = { title, release, without, patches, drivers, ...explored, violations: violation === null ? [] : [jsonOfViolation(wish, violation)] };
  return `${JSON.stringify(object, null, 2)}\n`;
}

export function jsonOfViolation(wish: ReplayedWish, violation: Violation): object {
  const { kind, message, decisions, preemptions, trace, decisive, output } = violation;
  return {
    invariant: kind,
    rule: RULES[kind],
    message,
    schedule: formatSchedule(decisions),
    again: commandThatReplays(wish, violation),
    preemptions,
    steps: trace.slice(0, decisive),
    diagram: raceDiagram(violation),
    ...(output.length === 0 ? {} : { output }),
    state: violation.state,
  };
}

/** What a person reads. */
export function describeCheck(wish: CheckWish, strategy: string, result: CheckResult): string {
  const { report, title, violation } = result;
  const kernel = [wish.release, ...wish.without.map((name) => `--without ${name}`), ...wish.patch.map((file) => `--patch ${file}`), ...wish.driver.map((file) => `--driver ${file}`)];
  const lines = [title, `  kernel      ${kernel.join(" ")}`, ...(report === null ? ["  strategy    replay of one schedule"] : explored(strategy, result, report)), ""];
  if (violation === null) lines.push("Nothing found.");
  else lines.push(...describeViolation(wish, violation));
  return `${lines.join("\n")}\n`;
}

function explored(strategy: string, { rate, interrupted, violation }: CheckResult, report: Report): string[] {
  const { executions, complete, covers, pointsMin, pointsMax } = report;
  const how = violation !== null ? "up to the violation" : complete ? "complete" : interrupted ? "interrupted" : "not complete";
  const points = pointsMin === pointsMax ? `${pointsMin}` : `${pointsMin} to ${pointsMax}`;
  return [
    `  strategy    ${strategy}`,
    `  executions  ${executions}, ${how}; ${rate}/s, of ${points} points`,
    `  covered     ${covers}`,
  ];
}

export function describeViolation(wish: ReplayedWish, violation: Violation): string[] {
  const { kind, message, decisions, preemptions } = violation;
  return [
    `VIOLATION (${kind}): ${message}`,
    `  rule        ${RULES[kind]}`,
    `  schedule    ${formatSchedule(decisions)}, ${preemptions} preemption${preemptions === 1 ? "" : "s"}`,
    "",
    raceDiagram(violation),
    ...(violation.output.length === 0 ? [] : ["Written by programs:", ...violation.output.map((line) => `  ${line}`), ""]),
    ...[stateTable(violation)].filter((table) => table !== ""),
    "Again:",
    `  ${commandThatReplays(wish, violation)}`,
  ];
}

/** The command that shows a violation again. */
export function commandThatReplays(wish: ReplayedWish, { decisions }: Violation): string {
  const words = ["faultline", "check", wish.file, "--release", wish.release];
  for (const name of wish.without) words.push("--without", name);
  for (const file of wish.patch) words.push("--patch", file);
  for (const file of wish.driver ?? []) words.push("--driver", file);
  words.push("--replay", formatSchedule(decisions));
  return words.map(shellQuote).join(" ");
}
