import { expect, test } from "vitest";
import { runGuest } from "./guest.js";

// The expected output is what the same source prints natively on Linux 6.18.
test("System V shared memory, semaphores and message queues are what they are on Linux", async () => {
  const run = runGuest("ipc");
  await expect(run.stdout).toMatchFileSnapshot("./__snapshots__/ipc.txt");
  expect(run.exitCode).toBe(0);
});
