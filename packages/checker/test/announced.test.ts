import { readdirSync } from "node:fs";
import { dirname, join } from "node:path";
import { fileURLToPath } from "node:url";
import { expect, test } from "vitest";
import type { Scenario } from "../src/index.js";
import { Announced } from "./announced.js";
import { guestsOf } from "./guests.js";
import { fuzz, runAtRandom, type Watch } from "./fuzz.js";

const SCENARIOS = join(dirname(fileURLToPath(import.meta.url)), "../../../scenarios");
const SEEDS = 20;

const watch: Watch = (m, next, report) => new Announced(m, next, report);

test.each(readdirSync(SCENARIOS).filter((file) => file.endsWith(".ts")))("%s does what its points say", async (file) => {
  const { default: scenario } = (await import(join(SCENARIOS, file))) as { default: Scenario };
  const guests = guestsOf(scenario);
  for (let seed = 0; seed < SEEDS; seed++) {
    expect(runAtRandom(scenario, { seed, switchOneIn: 4, pointsMax: 100_000, guests }, null, watch)).toBeNull();
  }
});

test.each([false, true])("random operations do what their points say, memory that moves among them: %s", (moves) => {
  const machine = { cpus: 3, devices: 2, frames: 160, swapSlots: 256, memoryMax: 30, ownPages: 8, sharedPages: 4, operations: 40, moves };
  for (let seed = 0; seed < SEEDS; seed++) {
    expect(fuzz({ ...machine, seed, switchOneIn: 3 }, null, watch)).toBeNull();
  }
});
