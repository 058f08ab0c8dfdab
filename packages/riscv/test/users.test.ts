import { expect, test } from "vitest";
import { runGuest } from "./guest.js";

// The expected output is what the same source prints natively on Linux 6.18, as root.
test("who is not root any more can do what he can on Linux", async () => {
  const run = runGuest("users");
  await expect(run.stdout).toMatchFileSnapshot("./__snapshots__/users.txt");
  expect(run.exitCode).toBe(0);
});
