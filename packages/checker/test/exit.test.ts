import { Madv } from "@faultline/kernel";
import { expect, test } from "vitest";
import { explore, scenario } from "../src/index.js";

/** A child ends, while its parent needs a page table: the child's root may be that by then, and nobody must take it for the child's. */
const exitVsFault = scenario({
  title: "exit against a fault",
  machine: { cpus: 2, devices: 0 },

  *setup(t) {
    const low = yield* t.mmap(16);
    for (let i = 0; i < 16; i++) yield* t.store32(low + i * 4096, 1);
    const page = Math.floor(low / 2 ** 30) * 2 ** 30 - 2 ** 30;
    yield* t.mmapFixed(page, 16);
    yield* t.madvise(low, 16, Madv.DONTNEED);
    const child = yield* t.fork();
    yield* t.drainLruBatches();
    return { page, child };
  },

  threads: {
    exit: {
      on: { cpu: 0 },
      *run(t, s) {
        yield* t.exit(s.child);
      },
    },
    store: {
      on: { cpu: 1 },
      *run(t, s) {
        for (let i = 0; i < 4; i++) yield* t.store32(s.page + i * 4096, i);
      },
    },
  },
});

test("a page table that is used again is not the one of the process that has ended", () => {
  const report = explore(exitVsFault, { preemptions: 1 });
  expect(report.violation).toBeNull();
  expect(report.complete).toBe(true);
});
