import { expect, test } from "vitest";
import { runGuest } from "./guest.js";

test("mlock and its kin answer, and leave the address space, as Linux does", async () => {
  const run = runGuest("mlock");
  expect(run.exitCode).toBe(0);
  // What the same source prints natively on Linux 6.18.
  await expect(run.stdout).toMatchFileSnapshot("./__snapshots__/mlock.txt");
});

test("what is locked stays in memory, on the unevictable list, as long as a locked mapping has it", () => {
  const run = runGuest("mlock", { args: ["all"], memoryBytes: 16 * 2 ** 20 });
  expect(run.exitCode).toBe(0);
  expect(run.stdout).toMatchSnapshot();
  const { m } = run.machine;
  expect(m.vmstat.events.pswpout).toBeGreaterThan(1000);
  // Some wait in a batch for the way back.
  expect(m.vmstat.pages.mlock).toBeLessThan(31 * m.config.cpus);
});
