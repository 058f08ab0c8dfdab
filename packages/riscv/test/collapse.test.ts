import { expect, test } from "vitest";
import { runGuest } from "./guest.js";

// Without "all" the expected output is what the same source prints natively on Linux 6.18.
test("MADV_COLLAPSE answers, and leaves memory, as on Linux", async () => {
  const run = runGuest("collapse");
  expect(run.exitCode).toBe(0);
  await expect(run.stdout).toMatchFileSnapshot("./__snapshots__/collapse.txt");
});

test("what is in swap, and what a device has for itself, is collapsed as well", () => {
  const run = runGuest("collapse", { args: ["all"] });
  expect(run.exitCode).toBe(0);
  const lines = run.stdout.split("\n");
  expect(lines.slice(lines.findIndex((line) => line.startsWith("paged out")))).toMatchSnapshot();
});

// The expected output is what the same source prints natively on Linux 6.18, as root.
test("khugepaged takes its settings, and keeps to them", async () => {
  const run = runGuest("khugepaged");
  expect(run.exitCode).toBe(0);
  await expect(run.stdout).toMatchFileSnapshot("./__snapshots__/khugepaged.txt");
});

test("huge pages are split into parts of each size", () => {
  const run = runGuest("split");
  expect(run.exitCode).toBe(0);
  expect(run.stdout).toMatchSnapshot();
});

// The expected output is what the same source prints natively on Linux 6.18, as root.
test("files in memory have huge pages where the settings say so", async () => {
  const run = runGuest("shmem-thp");
  expect(run.exitCode).toBe(0);
  await expect(run.stdout).toMatchFileSnapshot("./__snapshots__/shmem-thp.txt");
});

test("huge pages of files go to swap, and come back, as a whole where they can", () => {
  const run = runGuest("shmem-thp", { args: ["all"] });
  expect(run.exitCode).toBe(0);
  const lines = run.stdout.split("\n");
  expect(lines.slice(lines.findIndex((line) => line.startsWith("paged out")))).toMatchSnapshot();
});

test("khugepaged makes folios of the sizes that are enabled", () => {
  const run = runGuest("khugepaged-mthp");
  expect(run.exitCode).toBe(0);
  expect(run.stdout.trimEnd().split("\n")).toMatchSnapshot();
});
