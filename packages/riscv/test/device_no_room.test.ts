import { resolvePatches } from "@faultline/kernel";
import { expect, test } from "vitest";
import { runGuest } from "./guest.js";

test.each(["7.3", "6.14"])("%s: what a device has comes back at its cgroup's limit, and once a page is there", (release) => {
  const overlays = resolvePatches({ release, without: [] });
  if (typeof overlays === "string") throw new Error(overlays);
  const run = runGuest("device-no-room", { overlays, memoryBytes: 128 * 2 ** 20 });
  expect(run.stderr).toBe("");
  expect(run.exitCode).toBe(0);
  expect(run.stdout.trimEnd().split("\n")).toMatchSnapshot();
});
