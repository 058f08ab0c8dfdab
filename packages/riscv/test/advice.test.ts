import { expect, test } from "vitest";
import { runGuest } from "./guest.js";

test("advice, guard regions and seals answer, and leave the address space, as Linux does", async () => {
  for (const seed of [1, 2]) {
    const run = runGuest("advice", { seed });
    expect(run.exitCode).toBe(0);
    // What the same source prints natively on Linux 6.18.
    await expect(run.stdout).toMatchFileSnapshot("./__snapshots__/advice.txt");
  }
});

test("pages that are declared broken are gone, and said to be", () => {
  const run = runGuest("hwpoison", { args: ["all"] });
  expect(run.exitCode).toBe(0);
  expect(run.stdout).toMatchSnapshot();
  const { m } = run.machine;
  expect(m.dmesg.lines.filter((line) => line.includes("Memory failure")).length).toBeGreaterThan(3);
});
