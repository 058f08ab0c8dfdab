import { expect, test } from "vitest";
import { runGuest } from "./guest.js";

test("mappings lie where they do on Linux, merge as they do there, and are refused for the same reasons", async () => {
  for (const seed of [1, 2]) {
    const run = runGuest("mmap", { seed });
    expect(run.exitCode).toBe(0);
    // What the same source prints natively on Linux 6.18.
    await expect(run.stdout).toMatchFileSnapshot("./__snapshots__/mmap.txt");
  }
});

test.each([
  ["guess", 0, []],
  ["always", 1, []],
  ["never", 2, []],
  ["never, with more than there is", 2, ["echo 500 > /proc/sys/vm/overcommit_ratio"]],
  ["never, with little", 2, ["echo 4096 > /proc/sys/vm/overcommit_kbytes"]],
])("overcommit: %s", (_name, mode, settings) => {
  const before = [...settings, `echo ${mode} > /proc/sys/vm/overcommit_memory`];
  const run = runGuest("mmap", { args: ["promises"], before });
  expect(run.exitCode).toBe(0);
  expect(run.stdout).toMatchSnapshot();
});

test("a sysctl takes what it can be", () => {
  const vm = "/proc/sys/vm";
  const run = runGuest("hello", {
    before: [
      `cat ${vm}/max_map_count`,
      `echo 3 > ${vm}/overcommit_memory`,
      `echo -1 > ${vm}/max_map_count`,
      `echo 100 > ${vm}/overcommit_kbytes`,
      `cat ${vm}/overcommit_ratio`,
      `echo 70 > ${vm}/overcommit_ratio`,
      `cat ${vm}/overcommit_kbytes`,
    ],
  });
  expect([run.operator, run.failures]).toMatchSnapshot();
});

/** What the program prints natively on Linux 7.3. */
const SUMS = ["c19b4738a2717657", "c2cb6684fcb945ae", "6d7b908aa6d2d15d", "b3617298fa24abc4", "12e826babacb1381", "572bd6a1911d7c30"];

test.each(SUMS.map((sum, i) => [i + 1, sum]))("random calls, and after each the same mappings and pages as on Linux (seed %s)", (seed, sum) => {
  const run = runGuest("mm-random", { args: [String(seed), "250", "quiet"] });
  expect(run.stdout).toBe(`sum ${sum}\n`);
});
