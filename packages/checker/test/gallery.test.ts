import { readdirSync, readFileSync } from "node:fs";
import { dirname, join } from "node:path";
import { fileURLToPath } from "node:url";
import { resolvePatches, type UserPatch } from "@faultline/kernel";
import { describe, expect, test } from "vitest";
import { explore, type Scenario } from "../src/index.js";
import { guestsOf } from "./guests.js";

const SCENARIOS = join(dirname(fileURLToPath(import.meta.url)), "../../../scenarios");
const UNDONE = join(SCENARIOS, "undone");

/** For those that are too large for two preemptions in a few seconds. */
const ONE_PREEMPTION = [
  "coherent-store-fork-evict",
  "coherent-store-vs-pageout",
  "collapse-file-vs-store",
  "device-fault-fork-evict",
  "device-fault-munmap-store",
  "device-migrate-reclaim-fault",
  "device-migrate-vs-punch",
  "device-migrate-vs-reclaim",
  "dontneed-reclaim",
  "exclusive-fork-munmap",
  "exclusive-vs-punch",
  "large-folio-split",
  "migrate-huge-vs-store",
  "mprotect-reclaim-store",
  "reclaim-exclusive",
  "reclaim-store",
  "swap-in-dontneed-pageout",
  "two-devices",
  "uffd-rwp-vs-pageout",
  "uffd-wp-vs-pageout",
  "uprobe-vs-call",
  "uprobe-vs-mirror",
];

const modulesIn = (folder: string): string[] => readdirSync(folder).flatMap((file) => (file.endsWith(".ts") ? [file.slice(0, -3)] : []));

async function load<T>(folder: string, name: string): Promise<T> {
  return ((await import(join(folder, `${name}.ts`))) as { default: T }).default;
}

test.each(modulesIn(SCENARIOS))("%s holds", async (name) => {
  const scenario = await load<Scenario>(SCENARIOS, name);
  const report = explore(scenario, { preemptions: ONE_PREEMPTION.includes(name) ? 1 : 2, guests: guestsOf(scenario) });
  expect(report.violation).toBeNull();
  expect(report.complete).toBe(true);
  // Every loop that waits for somebody says so.
  expect(report.forced).toBe(0);
});

test("an execution of the scenario that is timed has 40 points at least", async () => {
  const report = explore(await load<Scenario>(SCENARIOS, "fault-vs-exclusive"), { preemptions: 2 });
  expect(report.pointsMin).toBeGreaterThanOrEqual(40);
});

test.each(["6.14", "6.1"])("fault against exclusive on %s holds", async (release) => {
  const overlays = resolvePatches({ release, without: [] });
  if (typeof overlays === "string") throw new Error(overlays);
  const report = explore(await load<Scenario>(SCENARIOS, "fault-vs-exclusive"), { overlays });
  expect(report.violation).toBeNull();
  expect(report.complete).toBe(true);
});

describe("undone", () => {
  interface Found {
    readonly scenario: string;
    readonly kinds: readonly string[];
    readonly message: string;
  }
  const found = JSON.parse(readFileSync(join(UNDONE, "found.json"), "utf8")) as Readonly<Record<string, Found>>;

  test("the list of what is found has each overlay", () => {
    expect(Object.keys(found).sort()).toEqual(modulesIn(UNDONE).sort());
  });

  test("docs/undone.md has a row for each", () => {
    const page = readFileSync(join(SCENARIOS, "../docs/undone.md"), "utf8");
    for (const [name, { scenario }] of Object.entries(found)) expect(page).toMatch(new RegExp(`^\\| \`${name}\` \\|.*\\| \`${scenario}\` \\|`, "m"));
  });

  test.each(Object.entries(found))("%s is found", async (name, { scenario, kinds, message }) => {
    const patch = await load<UserPatch>(UNDONE, name);
    expect(patch.name).toBe(name);
    const { violation } = explore(await load<Scenario>(SCENARIOS, scenario), { overlays: [patch.apply] });
    expect(kinds).toContain(violation?.kind);
    expect(violation?.message).toMatch(new RegExp(message));
  });
});
