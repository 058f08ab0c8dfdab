import { expect, test } from "vitest";
import { runGuest } from "./guest.js";

// The expected output is what the same source prints natively on Linux 6.18, as root.
test("probes count what they are to, the code looks as it does on Linux, and goes on as if there were none", async () => {
  const run = runGuest("uprobe");
  expect(run.stderr).toBe("");
  expect(run.exitCode).toBe(0);
  await expect(run.stdout).toMatchFileSnapshot("./__snapshots__/uprobe.txt");
});

test.each([1, 4])("with %i CPUs, and in another order", async (cpus) => {
  const run = runGuest("uprobe", { cpus, seed: 7 });
  await expect(run.stdout).toMatchFileSnapshot("./__snapshots__/uprobe.txt");
});
