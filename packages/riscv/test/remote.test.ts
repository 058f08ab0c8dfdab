import { expect, test } from "vitest";
import { runGuest } from "./guest.js";

test("memory of other processes is read and written as on Linux, and its mappings are told", async () => {
  const run = runGuest("remote");
  expect(run.exitCode).toBe(0);
  // What the same source prints natively on Linux 6.18.
  await expect(run.stdout).toMatchFileSnapshot("./__snapshots__/remote.txt");
});
