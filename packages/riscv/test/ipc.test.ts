import { expect, test } from "vitest";
import { runGuest } from "./guest.js";

// The expected output is what the same source prints natively on Linux 6.18.
test("System V shared memory, semaphores and message queues are what they are on Linux", async () => {
  const run = runGuest("ipc");
  await expect(run.stdout).toMatchFileSnapshot("./__snapshots__/ipc.txt");
  expect(run.exitCode).toBe(0);
});

test("SHM_LOCK keeps the pages of a segment from reclaim, within a user's limit", async () => {
  const run = runGuest("shm-lock", { cpus: 1 });
  await expect(run.stdout).toMatchFileSnapshot("./__snapshots__/shm-lock.txt");
  expect(run.exitCode).toBe(0);
  expect([...run.machine.m.lockedByUser.values()].every((pages) => pages === 0)).toBe(true);
});
