import { expect, test } from "vitest";
import { runGuest } from "./guest.js";

// The expected output is what the same source prints natively on Linux 6.18.
test.each([1, 2])("timers fire, and sleeps go on, as on Linux (seed %i)", async (seed) => {
  const run = runGuest("timers", { seed });
  await expect(run.stdout).toMatchFileSnapshot("./__snapshots__/timers.txt");
  expect(run.exitCode).toBe(0);
});
