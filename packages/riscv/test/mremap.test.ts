import { expect, test } from "vitest";
import { runGuest } from "./guest.js";

// Without "all" the expected output is what the same source prints natively on Linux 7.3.
test("mremap answers, and leaves the address space, as Linux does", async () => {
  for (const seed of [1, 2]) {
    const run = runGuest("mremap", { seed });
    expect(run.exitCode).toBe(0);
    await expect(run.stdout).toMatchFileSnapshot("./__snapshots__/mremap.txt");
  }
});

test("pages in swap, and those that a device has for itself, move as they are", () => {
  const run = runGuest("mremap", { args: ["all"] });
  expect(run.exitCode).toBe(0);
  const own = run.stdout.split("\n");
  const from = own.findIndex((line) => line.startsWith("paged out"));
  expect(own.slice(from)).toMatchSnapshot();
});
