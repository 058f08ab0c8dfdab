import { expect, test } from "vitest";
import { runGuest } from "./guest.js";

// The expected output is what the same source prints natively on Linux 6.18.
test("locks and owners of files are what they are on Linux", async () => {
  const run = runGuest("file-locks");
  await expect(run.stdout).toMatchFileSnapshot("./__snapshots__/file-locks.txt");
  expect(run.exitCode).toBe(0);
});
