import { resolvePatches, type OverlayFactory } from "@faultline/kernel";
import { expect, test } from "vitest";
import { runGuest } from "./guest.js";

test("memory that nobody may access is seen by smaps, move_pages() and debuggers as any other", async () => {
  const run = runGuest("protnone");
  expect(run.exitCode).toBe(0);
  // What the same source prints natively on Linux 6.18.
  await expect(run.stdout).toMatchFileSnapshot("./__snapshots__/protnone.txt");
});

test.each([
  [["smaps-pmd-page"], "no access: Rss 0 Anonymous 0 AnonHugePages 0; move_pages: 0", "no access: Rss 64 Anonymous 64 AnonHugePages 0; move_pages: 0"],
  [
    ["gup-honor-numa-fault", "gup-numa-not-implicit"],
    "no access: Rss 2048 Anonymous 2048 AnonHugePages 2048; move_pages: -2",
    "no access: Rss 64 Anonymous 64 AnonHugePages 0; move_pages: -2",
  ],
])("without %j it was not", (without, huge, small) => {
  const overlays = resolvePatches({ release: "7.3", without }) as readonly OverlayFactory[];
  const { stdout } = runGuest("protnone", { overlays });
  expect(stdout).toContain(huge);
  expect(stdout).toContain(small);
  expect(stdout).toContain("/proc/self/mem: 8 bytes, 4097");
});
