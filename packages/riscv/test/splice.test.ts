import { expect, test } from "vitest";
import { runGuest } from "./guest.js";

// The expected output is what the same source prints natively on Linux 6.18.
test("splice and its kin move what they move on Linux", async () => {
  const run = runGuest("splice");
  await expect(run.stdout).toMatchFileSnapshot("./__snapshots__/splice.txt");
  expect(run.exitCode).toBe(0);
});
