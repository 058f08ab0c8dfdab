import { FrameMemory } from "@faultline/kernel";
import { expect, test } from "vitest";
import { fuzz, type FuzzOptions } from "./fuzz.js";

/** Plenty of RAM and a cgroup with too little of it. */
const LIMITED = { cpus: 3, devices: 2, frames: 160, swapSlots: 256, memoryMax: 30, ownPages: 8, sharedPages: 4, operations: 40 };
/** A machine with too little RAM. */
const SMALL = { ...LIMITED, frames: 80, memoryMax: Infinity, ownPages: 18 };
/** How often another executor goes on, in points: from nearly never at rest to hardly ever. */
const SWITCH_ONE_IN = [2, 3, 8, 40];
const SEEDS = 80;
/** Folios of 4 and 8 pages, mapped page by page. */
const LARGE = { ...LIMITED, memoryMax: 40, ownPages: 16, orders: [2, 3] };
/** Folios of 2 MiB. */
const HUGE = { cpus: 2, devices: 1, frames: 4096, swapSlots: 4096, memoryMax: 1300, ownPages: 514, sharedPages: 4, operations: 25, orders: [9] };

test.each([
  ["a cgroup at its limit", LIMITED],
  ["a machine short of memory", SMALL],
  ["a cgroup with large folios", LARGE],
  ["a cgroup with huge pages", HUGE],
])("random operations in %s: every byte and every counter is right", (_title, machine) => {
  const memory = new FrameMemory(machine.frames);
  for (let seed = 0; seed < SEEDS; seed++) {
    const options: FuzzOptions = { ...machine, seed, switchOneIn: SWITCH_ONE_IN[seed % SWITCH_ONE_IN.length]! };
    const wrong = fuzz(options, memory);
    expect(wrong === null ? null : `seed ${seed}: ${wrong}`).toBeNull();
  }
});

test("a stale translation may be used until reclaim has flushed, and no longer", () => {
  for (const seed of [50967, 51395]) {
    expect(fuzz({ ...LIMITED, seed, switchOneIn: SWITCH_ONE_IN[seed % SWITCH_ONE_IN.length]! })).toBeNull();
  }
});
