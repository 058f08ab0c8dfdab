import { resolvePatches } from "@faultline/kernel";
import { expect, test } from "vitest";
import { runGuest } from "./guest.js";

function answers(release: string): string[] {
  const overlays = resolvePatches({ release, without: [] });
  if (typeof overlays === "string") throw new Error(overlays);
  const run = runGuest("dmirror-contract", { overlays });
  expect(run.exitCode).toBe(0);
  return run.stdout.trimEnd().split("\n");
}

test("the test driver answers as the one of 7.3 does", () => {
  expect(answers("7.3")).toMatchSnapshot();
});

test("before 2025, whatever cannot be exclusive is EBUSY, and nothing else differs", () => {
  const now = answers("7.3");
  for (const release of ["6.14", "6.1"]) {
    const before = answers(release);
    const different = before.filter((line, i) => line !== now[i]);
    expect(different).toEqual([
      "EXCLUSIVE of ro: -16 cpages 99 faults 99",
      "EXCLUSIVE of none: -16 cpages 99 faults 99",
      "EXCLUSIVE of a hole: -16 cpages 99 faults 99",
    ]);
  }
});
