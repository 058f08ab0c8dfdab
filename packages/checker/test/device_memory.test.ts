import { expect, test } from "vitest";
import { explore, scenario } from "../src/index.js";

test("a large machine goes back to where its threads start with the memory of its devices, too", () => {
  const large = scenario({
    title: "a fault for a page that a device has, on a machine of 4096 frames and more",
    machine: { cpus: 2, devices: 1, frames: 4096, devicePages: 8 },

    *setup(t) {
      const page = yield* t.mmap(1);
      yield* t.store32(page, 1);
      yield* t.drainLruBatches();
      yield* t.migrateToDevice(0, page, 1);
      return { page };
    },

    threads: {
      fault: {
        on: { cpu: 0 },
        *run(t, s) {
          yield* t.tryStore32(s.page, 2);
        },
      },
      munmap: {
        on: { cpu: 1 },
        *run(t, s) {
          yield* t.munmap(s.page, 1);
        },
      },
    },
  });
  const report = explore(large, { preemptions: 0 });
  expect(report.executions).toBeGreaterThan(1);
  expect(report.violation).toBeNull();
  expect(report.complete).toBe(true);
});
