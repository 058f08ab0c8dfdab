import { expect, test } from "vitest";
import { surfaceImage, SURFACES, surfaceTrials, SYSCALLS, type Trial } from "../src/index.js";
import { runGuest } from "./guest.js";

/** What programs/refusals.c prints for an errno, or for a call that did not come back. */
function outcome(line: string | undefined): string {
  const value = Number(line);
  return value >= 1000 ? `signal ${value - 1000}` : `errno ${value}`;
}

function describe({ name, args, about }: Trial): string {
  return `${name}(${args.map((one) => JSON.stringify(one)).join(", ")}): ${about}`;
}

// An entry that is missing goes into packages/riscv/src/abi/syscalls/surface/, and `-u` makes docs/syscalls.md.
test("every call that is there, and no other, says what it takes and refuses", () => {
  const handled = [...SYSCALLS.values()].filter((call) => call.handler !== null).map((call) => call.name);
  expect(Object.keys(SURFACES).sort()).toEqual(handled.sort());
});

test("every call refuses what its table says it refuses, and nothing that it says it takes", () => {
  const trials = surfaceTrials();
  const run = runGuest("refusals", { stdin: surfaceImage(trials, ({ number }) => number) });
  expect(run.exitCode).toBe(0);
  const lines = run.stdout.trimEnd().split("\n");
  expect(lines.length).toBe(trials.length);
  const wrong = trials.flatMap((trial, i) => (outcome(lines[i]) === `errno ${trial.expected}` ? [] : [`${describe(trial)}: errno ${trial.expected}, but ${outcome(lines[i])}`]));
  expect(wrong).toEqual([]);
});
