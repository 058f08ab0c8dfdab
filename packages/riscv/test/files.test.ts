import { expect, test } from "vitest";
import { runGuest } from "./guest.js";

// What the same source prints natively on Linux 6.18.
test.each(["1", "2", "3"])("files in memory are mapped, cut, punched and shared as on Linux (%s)", async (seed) => {
  const run = runGuest("files", { args: [seed, "60"] });
  expect(run.exitCode).toBe(0);
  await expect(run.stdout).toMatchFileSnapshot(`./__snapshots__/files-${seed}.txt`);
});

// Without swap of its own, the Linux underneath printed this.
test("their pages come back from swap as they were", async () => {
  const run = runGuest("files", { args: ["4", "60", "swap"] });
  expect(run.exitCode).toBe(0);
  await expect(run.stdout).toMatchFileSnapshot("./__snapshots__/files-swap.txt");
});

test("names change places and come to unnamed files, and processes share a directory, as on Linux", async () => {
  const run = runGuest("names");
  await expect(run.stdout).toMatchFileSnapshot("./__snapshots__/names.txt");
  expect(run.exitCode).toBe(0);
});
