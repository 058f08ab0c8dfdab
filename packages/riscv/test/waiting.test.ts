import { expect, test } from "vitest";
import { runGuest } from "./guest.js";

// The expected output is what the same source prints natively on Linux 6.18.
test("select(), timers and signals that are read, and cachestat() answer as on Linux", async () => {
  const run = runGuest("waiting");
  await expect(run.stdout).toMatchFileSnapshot("./__snapshots__/waiting.txt");
  expect(run.exitCode).toBe(0);
});

test("futexes that processes share, that have owners, and several at once answer as on Linux", async () => {
  const run = runGuest("futex");
  await expect(run.stdout).toMatchFileSnapshot("./__snapshots__/futex.txt");
  expect(run.exitCode).toBe(0);
});
