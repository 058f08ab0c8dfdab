import { expect, test } from "vitest";
import { runGuest } from "./guest.js";

// The expected output is what the same source prints natively on Linux 6.18.
test("message queues are what they are on Linux", async () => {
  const run = runGuest("mqueue");
  await expect(run.stdout).toMatchFileSnapshot("./__snapshots__/mqueue.txt");
  expect(run.exitCode).toBe(0);
});
