import { resolvePatches } from "@faultline/kernel";
import { expect, test } from "vitest";
import { runGuest } from "./guest.js";

test("huge pages, piece by piece: what smaps says, and every word", () => {
  const run = runGuest("thp", { args: ["all"] });
  expect(run.exitCode).toBe(0);
  expect(run.stdout).toMatchSnapshot();
});

test("before 2025 a range backed by a huge page could not be made exclusive", () => {
  const overlays = resolvePatches({ release: "6.14", without: [] });
  if (typeof overlays === "string") throw new Error(overlays);
  const run = runGuest("thp", { args: ["all"], overlays });
  expect(run.stdout).toContain("EXCLUSIVE of 2 MiB: -16");
});

test.each(["16kB", "64kB", "1024kB"])("the same with folios of %s, mapped page by page", (size) => {
  const thp = "/sys/kernel/mm/transparent_hugepage";
  const before = [`echo never > ${thp}/hugepages-2048kB/enabled`, `echo madvise > ${thp}/hugepages-${size}/enabled`];
  const run = runGuest("thp", { args: ["all"], before });
  expect(run.failures).toEqual([]);
  expect(run.exitCode).toBe(0);
  expect(run.stdout).toMatchSnapshot();
});
