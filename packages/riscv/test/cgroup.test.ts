import { expect, test } from "vitest";
import { runGuest } from "./guest.js";

/** As root would put a shell, and what it starts, into a cgroup of its own. */
const LIMITED = ["mkdir /sys/fs/cgroup/a", "echo 8M > /sys/fs/cgroup/a/memory.max", "echo 0 > /sys/fs/cgroup/a/cgroup.procs"];

function numberAfter(text: string, key: string): number {
  return Number(new RegExp(`^${key} (\\d+)$`, "m").exec(text)![1]);
}

test("a program started from a cgroup lives within its limit, and swaps", () => {
  const run = runGuest("exclusive-check", {
    args: ["16"],
    before: LIMITED,
    lines: ["cat /sys/fs/cgroup/a/memory.current", "cat /sys/fs/cgroup/a/memory.stat", "kill -CONT $PID"],
  });
  expect(run.failures).toEqual([]);
  expect(run.stdout).toContain("the device reads: 2097152 words, 0 wrong\nthe CPU reads: 2097152 words, 0 wrong\n");
  expect(Number(run.operator.split("\n")[0])).toBeLessThanOrEqual(8 << 20);
  expect(numberAfter(run.operator, "pswpout")).toBeGreaterThan(2048);
  expect(numberAfter(run.operator, "pagetables")).toBeGreaterThan(0);
});

test("without swap the OOM killer of the cgroup ends it, with memory to spare elsewhere", () => {
  const run = runGuest("exclusive-check", {
    args: ["16"],
    before: [LIMITED[0]!, LIMITED[1]!, "echo 0 > /sys/fs/cgroup/a/memory.swap.max", LIMITED[2]!],
  });
  expect(run.exitCode).toBe(137);
  expect(run.machine.m.dmesg.lines.join("\n")).toMatch(/Memory cgroup out of memory: Killed process \d+ \(exclusive-check\)/);
});
