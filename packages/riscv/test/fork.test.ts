import { resolvePatches } from "@faultline/kernel";
import { expect, test } from "vitest";
import { runGuest } from "./guest.js";

test("a child has its parent's memory, from RAM, swap and a device, and its own from the first write on", () => {
  const run = runGuest("fork", { args: ["all"] });
  expect(run.exitCode).toBe(0);
  expect(run.stdout).toMatchSnapshot();
});

test.each(["6.14", "6.1"])("on %s, too", (release) => {
  const overlays = resolvePatches({ release, without: [] });
  if (typeof overlays === "string") throw new Error(overlays);
  const now = runGuest("fork", { args: ["all"] }).stdout;
  // The type of exclusive entries was another.
  expect(runGuest("fork", { args: ["all"], overlays }).stdout).toBe(now.replace("in pagemap: 0x1e", "in pagemap: 0x1d"));
});

test("with large folios mapped page by page", () => {
  const thp = "/sys/kernel/mm/transparent_hugepage";
  const before = [`echo never > ${thp}/hugepages-2048kB/enabled`, `echo always > ${thp}/hugepages-64kB/enabled`];
  const run = runGuest("fork", { args: ["all"], before });
  expect(run.stdout).toBe(runGuest("fork", { args: ["all"] }).stdout);
});

test("nothing is left of children", () => {
  const { machine } = runGuest("fork", { args: ["all"] });
  const { m } = machine;
  expect(m.mms).toEqual([]);
  expect(m.swap.used).toBe(0);
  expect([...m.processes.keys()].filter((pid) => pid > machine.program!.pid)).toEqual([]);
  expect(m.memmap.mapcount.every((count) => count === 0)).toBe(true);
});

test("a machine that is full lets fork fail, and goes on", () => {
  const run = runGuest("fork", { memoryBytes: 8 * 2 ** 20, swapBytes: 0 });
  expect(run.result.end).toBe("exited");
});

/** What the program prints on a Linux that has nothing to do with this one. */
const TREES = { 1: "835c9835861d2cac", 2: "333d224634dd36c7", 3: "64ba71d17af05514" } as const;

test.each(Object.entries(TREES))("a tree of processes, each with memory of its own (seed %s)", (seed, sum) => {
  expect(runGuest("fork-tree", { args: [seed] }).stdout).toBe(`${sum}\n`);
});

test.each(Object.entries(TREES))("the same where most of that memory is in swap (seed %s)", (seed, sum) => {
  const run = runGuest("fork-tree", { args: [seed], memoryBytes: 12 * 2 ** 20, swapBytes: 256 * 2 ** 20, cpus: 3 });
  expect(run.stdout).toBe(`${sum}\n`);
  expect(run.machine.m.vmstat.events.pswpout).toBeGreaterThan(1000);
  // What was being written when its last owner exited stays in the swap cache, for reclaim to find.
  expect(run.machine.m.swap.count.every((count) => count === 0)).toBe(true);
});

test("strace says whose each line is once there are two", () => {
  const { strace } = runGuest("fork");
  const first = strace.findIndex((line) => line.startsWith("[pid "));
  expect(strace[first]).toMatch(/clone\(flags=SIGCHLD|exit_group/);
  expect(strace.slice(first).every((line) => /^\[pid +\d+\] /.test(line))).toBe(true);
  expect(strace.join("\n")).toMatch(/wait4\(\d+, \[\{WIFEXITED\(s\) && WEXITSTATUS\(s\) == 3\}\], 0, NULL\)/);
});
