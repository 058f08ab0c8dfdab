import { resolvePatches } from "@faultline/kernel";
import { expect, test } from "vitest";
import { runGuest } from "./guest.js";

function answers(release: string): string[] {
  const overlays = resolvePatches({ release, without: [] });
  if (typeof overlays === "string") throw new Error(overlays);
  const run = runGuest("device-thp", { overlays, memoryBytes: 128 * 2 ** 20 });
  expect(run.stderr).toBe("");
  expect(run.exitCode).toBe(0);
  return run.stdout.trimEnd().split("\n");
}

test("2 MiB go to memory of a device and back as one", () => {
  expect(answers("7.3")).toMatchSnapshot();
});

test("before 6.19 they go page by page, and nothing fails on demand", () => {
  expect(answers("6.14")).toMatchSnapshot();
});
