import { expect, test } from "vitest";
import { runGuest } from "./guest.js";

const MACHINE = { memoryBytes: 2 ** 26, swapBytes: 2 ** 26, cpus: 2 };
const ADMIN = "/sys/kernel/mm/damon/admin/kdamonds";

test.each([
  ["regions of a process that are given", []],
  ["a process whose memory it finds", ["vaddr"]],
  ["physical memory", ["paddr"]],
])("DAMON tells what is used from what is not, and its schemes page that out: %s", async (_what, args) => {
  const run = runGuest("damon", { ...MACHINE, args });
  expect(run.exitCode).toBe(0);
  await expect(run.stdout).toMatchFileSnapshot(`./__snapshots__/damon-${args[0] ?? "fvaddr"}.txt`);
});

/** Physical memory, watched from the operator's console. */
const watch = (scheme: readonly string[]): string[] => [
  `echo 1 > ${ADMIN}/nr_kdamonds`,
  `echo 1 > ${ADMIN}/0/contexts/nr_contexts`,
  `echo paddr > ${ADMIN}/0/contexts/0/operations`,
  `echo 1 > ${ADMIN}/0/contexts/0/targets/nr_targets`,
  `echo 1 > ${ADMIN}/0/contexts/0/targets/0/regions/nr_regions`,
  `echo 0x84000000 > ${ADMIN}/0/contexts/0/targets/0/regions/0/end`,
  `echo 0x80000000 > ${ADMIN}/0/contexts/0/targets/0/regions/0/start`,
  `echo 1 > ${ADMIN}/0/contexts/0/schemes/nr_schemes`,
  ...["sz/max", "nr_accesses/max", "age/max"].map((name) => `echo 4000000000 > ${ADMIN}/0/contexts/0/schemes/0/access_pattern/${name}`),
  ...scheme.map((line) => line.replace(" > ", ` > ${ADMIN}/0/contexts/0/schemes/0/`)),
  `echo on > ${ADMIN}/0/state`,
];

test("who waits for kdamond has time go on; nobody else keeps the machine running for it", () => {
  const run = runGuest("exclusive-swap", {
    ...MACHINE,
    args: ["4"],
    before: watch(["echo stat > action"]),
    lines: [`echo update_schemes_tried_regions > ${ADMIN}/0/state`, `cat ${ADMIN}/0/contexts/0/schemes/0/tried_regions/total_bytes`, `cat ${ADMIN}/0/state`],
  });
  expect(run.failures).toEqual([]);
  expect(run.operator).toBe(`${2 ** 26}\non\n`);
  expect(run.result.end).not.toBe("stuck");
});

test.each([
  ["no more in a window than its quota", ["echo 1048576 > quotas/bytes", "echo 60000 > quotas/reset_interval_ms"], { sz_tried: 2 ** 20, effective: 2 ** 20 }],
  [
    "what two filters of addresses let through",
    ["echo 2 > core_filters/nr_filters", ...[0, 1].flatMap((i) => [`echo addr > core_filters/${i}/type`, `echo Y > core_filters/${i}/matching`, `echo Y > core_filters/${i}/allow`, `echo 0x8${i}100000 > core_filters/${i}/addr_start`, `echo 0x8${i}200000 > core_filters/${i}/addr_end`])],
    { sz_tried: 2 ** 21, effective: 0 },
  ],
  ["what lies between two addresses", ["echo 1 > core_filters/nr_filters", "echo addr > core_filters/0/type", "echo Y > core_filters/0/matching", "echo Y > core_filters/0/allow", "echo 0x80100000 > core_filters/0/addr_start", "echo 0x80200000 > core_filters/0/addr_end"], { sz_tried: 2 ** 20, effective: 0 }],
])("a scheme is tried on %s", (_what, scheme, { sz_tried, effective }) => {
  const dir = `${ADMIN}/0/contexts/0/schemes/0`;
  const run = runGuest("exclusive-swap", {
    ...MACHINE,
    args: ["4"],
    before: watch(scheme),
    lines: [
      `echo update_schemes_tried_regions > ${ADMIN}/0/state`,
      `echo update_schemes_stats > ${ADMIN}/0/state`,
      `echo update_schemes_effective_quotas > ${ADMIN}/0/state`,
      `cat ${dir}/stats/sz_tried`,
      `cat ${dir}/quotas/effective_bytes`,
    ],
  });
  expect(run.failures).toEqual([]);
  expect(run.operator).toBe(`${sz_tried}\n${effective}\n`);
});

test.each([
  ["a process that is not there", [`echo vaddr > ${ADMIN}/0/contexts/0/operations`, `echo 4321 > ${ADMIN}/0/contexts/0/targets/0/pid_target`], "EINVAL"],
  ["regions that overlap", [`echo 2 > ${ADMIN}/0/contexts/0/targets/0/regions/nr_regions`, `echo 8192 > ${ADMIN}/0/contexts/0/targets/0/regions/0/end`, `echo 4096 > ${ADMIN}/0/contexts/0/targets/0/regions/1/start`, `echo 8192 > ${ADMIN}/0/contexts/0/targets/0/regions/1/end`], "EINVAL"],
  ["a cgroup that is not there", [`echo 1 > ${ADMIN}/0/contexts/0/schemes/0/filters/nr_filters`, `echo memcg > ${ADMIN}/0/contexts/0/schemes/0/filters/0/type`, `echo /nobody > ${ADMIN}/0/contexts/0/schemes/0/filters/0/memcg_path`], "EINVAL"],
  ["a filter of pages among those of addresses", [`echo 1 > ${ADMIN}/0/contexts/0/schemes/0/core_filters/nr_filters`], "EINVAL"],
])("it does not begin with %s", (_what, lines, error) => {
  const begin = watch([]);
  const run = runGuest("exclusive-swap", { ...MACHINE, args: ["4"], before: [...begin.slice(0, -1), ...lines], lines: [begin.at(-1)!, `cat ${ADMIN}/0/state`] });
  expect(run.failures.map((line) => line.replace(/^.*: (\w+) \(.*$/, "$1"))).toEqual([error]);
  expect(run.operator).toBe("off\n");
});
