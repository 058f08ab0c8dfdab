import { expect, test } from "vitest";
import { runGuest } from "./guest.js";

// The expected output is what the same source prints natively on Linux 6.18, as root.
test("fsopen() and what follows it answer as on Linux", async () => {
  const run = runGuest("mounts");
  await expect(run.stdout).toMatchFileSnapshot("./__snapshots__/mounts.txt");
  expect(run.exitCode).toBe(0);
});
