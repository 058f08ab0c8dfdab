import { expect, test } from "vitest";
import { Lru } from "@faultline/kernel";
import { runGuest } from "./guest.js";

test("memory that the kernel cannot read: what its files and pages answer is as on Linux", async () => {
  const run = runGuest("secretmem");
  expect(run.exitCode).toBe(0);
  // What the same source prints natively on Linux 7.3.
  await expect(run.stdout).toMatchFileSnapshot("./__snapshots__/secretmem.txt");
});

test("it is gone with its last file, and never was where reclaim looks", () => {
  const { m } = runGuest("secretmem").machine;
  expect([...m.lockedByUser.values()]).toEqual([0]);
  expect(m.memcgs.root.lruvec.pages[Lru.unevictable]).toBe(0);
  expect(m.vmstat.events.unevictable_pgs_culled).toBeGreaterThan(0);
});
