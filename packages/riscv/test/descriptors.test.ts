import { expect, test } from "vitest";
import { runGuest } from "./guest.js";

// The expected output is what the same source prints natively on Linux 6.18.
test("pipes, eventfds, epolls and spliced pages are what they are on Linux", async () => {
  const run = runGuest("descriptors");
  await expect(run.stdout).toMatchFileSnapshot("./__snapshots__/descriptors.txt");
  expect(run.exitCode).toBe(0);
  const { m } = run.machine;
  expect(m.memmap.mapcount.every((count) => count === 0)).toBe(true);
});

test.each([1, 2, 3])("FIFOs wait for each other, and are read and written, as on Linux (seed %i)", async (seed) => {
  const run = runGuest("fifo", { seed });
  await expect(run.stdout).toMatchFileSnapshot("./__snapshots__/fifo.txt");
  expect(run.exitCode).toBe(0);
});
