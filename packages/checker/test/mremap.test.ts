import { Errno, FrameMemory, Madv, type Kernel, type MaySleep, type Mm, type OverlayFactory } from "@faultline/kernel";
import { expect, test } from "vitest";
import { explore, scenario, type Scenario, type ThreadApi } from "../src/index.js";
import { fuzz, type FuzzOptions } from "./fuzz.js";

const SEEDS = Number(process.env.SEEDS ?? 40);
const SWITCH_ONE_IN = [2, 3, 8, 40];
const LIMITED = { cpus: 3, devices: 2, frames: 200, swapSlots: 256, memoryMax: 30, ownPages: 8, sharedPages: 4, operations: 40, moves: true };
const LARGE = { ...LIMITED, memoryMax: 40, ownPages: 16, orders: [2, 3] };
const HUGE = { cpus: 2, devices: 1, frames: 4096, swapSlots: 4096, memoryMax: 1300, ownPages: 514, sharedPages: 4, operations: 25, orders: [9], moves: true };

test.each([
  ["single pages", LIMITED],
  ["large folios", LARGE],
  ["huge pages", HUGE],
])("memory that moves, among reclaim, migration and devices, %s: every byte is right", (_title, machine) => {
  const memory = new FrameMemory(machine.frames);
  for (let seed = 0; seed < SEEDS; seed++) {
    const options: FuzzOptions = { ...machine, seed, switchOneIn: SWITCH_ONE_IN[seed % SWITCH_ONE_IN.length]! };
    const wrong = fuzz(options, memory);
    expect(wrong === null ? null : `seed ${seed}: ${wrong}`).toBeNull();
  }
});

interface Moving {
  readonly page: number;
  readonly to: number;
  /** What it is in at first. */
  readonly frame: number;
}

/** A page moves into another page table, against something else. */
function against(title: string, other: (t: ThreadApi, s: Moving) => MaySleep<unknown>, device = false): Scenario<Moving> {
  return scenario<Moving>({
    title: `mremap against ${title}`,
    machine: { cpus: 2, devices: 1, swapSlots: 16 },
    *setup(t) {
      const page = Math.floor((yield* t.mmap(1)) / 2 ** 21) * 2 ** 21 - 2 ** 23;
      yield* t.mmapFixed(page, 1);
      yield* t.store32(page, 100);
      yield* t.drainLruBatches();
      return { page, to: page + 2 ** 21, frame: t.frameOf(page) };
    },
    threads: {
      move: { on: { cpu: 0 }, run: (t, s) => t.mremap(s.page, 1, 1, s.to) },
      other: { on: device ? { device: 0 } : { cpu: 1 }, run: other },
    },
    *check(t, s) {
      const value = yield* t.load32(s.to);
      return value === 100 ? null : `the word is ${value} instead of 100`;
    },
  });
}

test.each([
  ["MADV_PAGEOUT", against("MADV_PAGEOUT", (t, s) => t.madvise(s.page, 1, Madv.PAGEOUT))],
  ["migration", against("migration", (t, s) => t.offline(s.frame))],
  ["exclusive access", against("exclusive access", (t, s) => t.makeExclusive(0, s.page, 1), true)],
  ["a mirror", against("a mirror", (t, s) => t.deviceFault(0, s.page, 1, true), true)],
  ["get_user_pages_fast()", against("get_user_pages_fast()", function* (t, s) {
    const page = yield* t.getUserPage(s.page, true);
    if (page >= 0) yield* t.putUserPage(page);
  })],
])("a page moves against %s", (_title, s) => {
  const report = explore(s, { preemptions: 2 });
  expect(report.violation).toBeNull();
  expect(report.complete).toBe(true);
});

test("where there is no memory for a page table, everything goes back to where it was", () => {
  const pages = [0, 1, 511, 512, 700];
  let to = 0;
  /** No table for the second 2 MiB of where it moves to. */
  const short: OverlayFactory = ({ memory }) => ({
    memory: {
      *pteAlloc(k: Kernel, mm: Mm, vpn: number, pmd: number): MaySleep<number> {
        return vpn === to / 4096 + 512 ? -1 : yield* memory.pteAlloc(k, mm, vpn, pmd);
      },
    },
  });
  const report = explore(
    scenario({
      title: "mremap without memory",
      machine: { cpus: 2, devices: 0, frames: 4096 },
      *setup(t) {
        const page = Math.ceil((yield* t.mmap(1024 + 512)) / 2 ** 21) * 2 ** 21;
        to = page - 2 ** 24;
        for (const i of pages) yield* t.store32(page + i * 4096, 100 + i);
        return { page, to, answer: 0 };
      },
      threads: {
        move: {
          on: { cpu: 0 },
          *run(t, s) {
            s.answer = yield* t.mremap(s.page, 1024, 1024, s.to);
          },
        },
      },
      *check(t, s) {
        if (s.answer !== -Errno.ENOMEM) return `it answers ${s.answer}`;
        for (const i of pages) {
          const value = yield* t.load32(s.page + i * 4096);
          if (value !== 100 + i) return `page ${i} has ${value}`;
        }
        return (yield* t.tryLoad32(s.to)) === null ? null : "the new address can be read";
      },
    }),
    { overlays: [short] },
  );
  expect(report.violation?.message).toBeUndefined();
  expect(report.complete).toBe(true);
});
