import { expect, test } from "vitest";
import { runGuest } from "./guest.js";

test("policies on a machine of one node answer as Linux's do", async () => {
  const run = runGuest("numa");
  expect(run.exitCode).toBe(0);
  // What the same source prints natively on Linux 6.18.
  await expect(run.stdout).toMatchFileSnapshot("./__snapshots__/numa.txt");
});

test("on two nodes pages go where their policy says, and move where they are told to", async () => {
  const run = runGuest("numa", { args: ["two"], nodes: 2 });
  expect(run.exitCode).toBe(0);
  await expect(run.stdout).toMatchFileSnapshot("./__snapshots__/numa-two.txt");
});

test("memory that a thread or a child uses goes to and fro between nodes, and nothing is lost", async () => {
  const run = runGuest("numa-migration", { nodes: 2 });
  expect(run.exitCode).toBe(0);
  await expect(run.stdout).toMatchFileSnapshot("./__snapshots__/numa-migration.txt");
  // Five kinds of memory, two of them huge.
  expect(run.machine.m.vmstat.events.pgmigrate_success).toBe(3 * 20 + 2 * 20 * 512);
});

/** Memory is looked at often, and a piece at a time. */
const BALANCING = [
  "echo 1 > /sys/kernel/debug/sched/numa_balancing/scan_delay_ms",
  "echo 1 > /sys/kernel/debug/sched/numa_balancing/scan_period_min_ms",
  "echo 1 > /sys/kernel/debug/sched/numa_balancing/scan_size_mb",
];

test("memory follows the thread that uses it, unless its policy keeps it", async () => {
  const run = runGuest("numa-balancing", { nodes: 2, before: BALANCING });
  expect(run.exitCode).toBe(0);
  await expect(run.stdout).toMatchFileSnapshot("./__snapshots__/numa-balancing.txt");
});

test("where balancing is switched off, or there is one node, nothing is looked at", () => {
  for (const [nodes, off] of [
    [2, ["echo 0 > /proc/sys/kernel/numa_balancing"]],
    [1, []],
  ] as const) {
    const { exitCode, machine } = runGuest("numa-balancing", { nodes, before: [...BALANCING, ...off] });
    const { events } = machine.m.vmstat;
    expect([exitCode, events.numa_pte_updates, events.numa_hint_faults]).toEqual([0, 0, 0]);
  }
});

test("weights of nodes, and the pool of huge pages of one node, are set in sysfs", () => {
  const weights = "/sys/kernel/mm/mempolicy/weighted_interleave";
  const pool = "hugepages/hugepages-2048kB/nr_hugepages";
  const { machine } = runGuest("hello", {
    nodes: 2,
    before: [`echo 0 > ${weights}/node0`, `echo true > ${weights}/auto`, `echo 3 > ${weights}/node1`, `echo 2 > /sys/devices/system/node/node1/${pool}`, `echo 0 > /sys/devices/system/node/node0/${pool}`],
  });
  const { numa, hugetlb } = machine.m;
  // 0 is no weight, and there are no bandwidths to compute any from: EINVAL and ENODEV, as on Linux 6.18.
  expect([numa.weights[0], numa.weights[1], numa.weightsAuto]).toEqual([1, 3, false]);
  expect([0, 1].map((node) => hugetlb.defaultHstate.ofNode(node).nrHugePages)).toEqual([0, 2]);
});
