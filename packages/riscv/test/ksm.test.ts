import { expect, test } from "vitest";
import { runGuest } from "./guest.js";

test("ksmd merges pages, and they are their own again when they are written, or that is undone", async () => {
  const run = runGuest("ksm", { args: ["all"] });
  expect(run.exitCode).toBe(0);
  await expect(run.stdout).toMatchFileSnapshot("./__snapshots__/ksm.txt");
});
