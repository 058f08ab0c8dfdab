import { PATCHES, resolvePatches, type OverlayFactory } from "@faultline/kernel";
import { describe, expect, test } from "vitest";
import exclusiveVsOffline from "../../../scenarios/exclusive-vs-offline.js";
import migrateDontneed from "../../../scenarios/migrate-dontneed.js";
import migrateExclusive from "../../../scenarios/migrate-exclusive.js";
import migrateFault from "../../../scenarios/migrate-fault.js";
import migrateReclaim from "../../../scenarios/migrate-reclaim.js";
import { explore, type Scenario } from "../src/index.js";

function undone(name: string): OverlayFactory {
  const patch = PATCHES.find((p) => p.name === name);
  if (patch?.undo === undefined) throw new Error(`no patch ${name}`);
  return patch.undo;
}

const SCENARIOS = [migrateDontneed, migrateExclusive, migrateFault, migrateReclaim].map((s) => [s.title, s as Scenario] as const);

test.each(SCENARIOS)("%s: every schedule of two preemptions is clean", (_title, s) => {
  const report = explore(s);
  expect(report.violation).toBeNull();
  expect(report.complete).toBe(true);
});

describe("a page that a device has exclusively never moves", () => {
  const never = (overlays: readonly OverlayFactory[]): void => {
    const { violation } = explore(migrateExclusive, { overlays, preemptions: 0 });
    expect(violation).toMatchObject({ kind: "livelock", preemptions: 0 });
    expect(violation!.message).toContain("offline (CPU 1)");
  };

  test("while its entry is no mapping", () => {
    never([undone("exclusive-mapcount")]);
  });

  test("while migration cannot replace its entry", () => {
    never([undone("migrate-exclusive")]);
  });

  test("on 6.14", () => {
    const overlays = resolvePatches({ release: "6.14", without: [] });
    never(overlays as OverlayFactory[]);
  });
});

test("a check that retries for ever is a livelock of the kernel, not a mistake of the scenario", () => {
  const overlays = resolvePatches({ release: "6.14", without: [] });
  const { violation } = explore(exclusiveVsOffline, { overlays: overlays as OverlayFactory[] });
  expect(violation).toMatchObject({ kind: "livelock", message: "check does not end: check retries offline_pages, and nothing changes any more" });
});

test("what is not exclusive moves on 6.14 as well", () => {
  const overlays = resolvePatches({ release: "6.14", without: [] });
  const report = explore(migrateFault, { overlays: overlays as OverlayFactory[], preemptions: 1 });
  expect(report.violation).toBeNull();
});
