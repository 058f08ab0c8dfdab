import { expect, test } from "vitest";
import { runGuest } from "./guest.js";

// The expected output is what the same source prints natively on Linux 6.18, run as root.
test("pools of huge pages, and what maps them, answer as Linux does", async () => {
  for (const seed of [1, 2]) {
    const run = runGuest("hugetlb", { seed, memoryBytes: 256 * 2 ** 20 });
    expect(run.exitCode).toBe(0);
    await expect(run.stdout).toMatchFileSnapshot("./__snapshots__/hugetlb.txt");
  }
});

test("huge pages are had from memory in pieces: what lies between moves", () => {
  const run = runGuest("compaction", { memoryBytes: 128 * 2 ** 20 });
  expect(run.stdout).toBe("a third as huge pages: yes\nwrong pages: 0\nwrong pages: 0\n");
  expect(run.exitCode).toBe(0);
});
