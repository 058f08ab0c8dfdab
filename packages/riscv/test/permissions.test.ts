import { expect, test } from "vitest";
import { runGuest } from "./guest.js";

// The expected output is what the same source prints natively on Linux 6.18, as root.
test("files let do with them what they let do on Linux", async () => {
  const run = runGuest("permissions");
  await expect(run.stdout).toMatchFileSnapshot("./__snapshots__/permissions.txt");
  expect(run.exitCode).toBe(0);
});
