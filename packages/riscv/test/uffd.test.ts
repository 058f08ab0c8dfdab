import { expect, test } from "vitest";
import { runGuest } from "./guest.js";

// The expected output is what the same source prints natively on Linux 6.18; of "uffd" and "uffd-rwp" on 7.3, which has more.
test.each(["uffd", "uffd-rwp", "uffd-shmem", "uffd-thp"])("%s: what userfaultfd takes, refuses and leaves is as on Linux", async (name) => {
  const run = runGuest(name);
  expect(run.exitCode).toBe(0);
  await expect(run.stdout).toMatchFileSnapshot(`./__snapshots__/${name}.txt`);
});

test("a monitor is told of faults and events as on Linux", async () => {
  for (const seed of [1, 2, 3]) {
    const run = runGuest("uffd-monitor", { seed });
    expect(run.exitCode).toBe(0);
    await expect(run.stdout).toMatchFileSnapshot("./__snapshots__/uffd-monitor.txt");
  }
});

test("files of huge pages are registered, filled and protected as on Linux", async () => {
  const run = runGuest("uffd-shmem", { args: ["huge"], memoryBytes: 256 * 2 ** 20 });
  expect(run.exitCode).toBe(0);
  await expect(run.stdout).toMatchFileSnapshot("./__snapshots__/uffd-hugetlb.txt");
});

test("pages put into another process's memory are charged to its cgroup", () => {
  const run = runGuest("remote-cgroup");
  expect(run.stdout).toBe(
    [
      "by userfaultfd: pages charged to the cgroup of the filled memory: 63, of the filling process: 0\n",
      "by process_vm_writev: pages charged to the cgroup of the filled memory: 63, of the filling process: 0\n",
      "the last pages: 7, 7\n",
    ].join(""),
  );
});
