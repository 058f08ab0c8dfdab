import { Madv, type MaySleep } from "@faultline/kernel";
import { expect, test } from "vitest";
import { explore, scenario, type ThreadApi } from "../src/index.js";
import notify from "../../../scenarios/undone/device-migrate-notify.js";

const HUGE = 2 ** 21;
const EXECUTIONS = 60;

// An execution has thousands of points, since each of the 512 pages is copied by itself: drawn, not enumerated.
const sampling = { policy: "pct" } as const;

function* hugePage(t: ThreadApi): MaySleep<number> {
  const mapped = yield* t.mmap(1024);
  const page = Math.ceil(mapped / HUGE) * HUGE;
  yield* t.madvise(page, 512, Madv.HUGEPAGE);
  yield* t.store32(page, 100);
  yield* t.drainLruBatches();
  return page;
}

const migrateVsStore = scenario({
  title: "CPU stores against migration of 2 MiB to a device",
  machine: { cpus: 1, devices: 1, frames: 4096, devicePages: 512 },

  *setup(t) {
    const page = yield* hugePage(t);
    // So that the device has something to lose.
    yield* t.deviceStore32(0, page, 100);
    return { page };
  },

  threads: {
    migrate: {
      on: { device: 0 },
      *run(t, s) {
        yield* t.migrateToDevice(0, s.page, 512);
        yield* t.deviceStore32(0, s.page + 8192, 7);
      },
    },
    store: {
      on: { cpu: 0 },
      *run(t, s) {
        yield* t.atomicAdd32(s.page, 1);
        yield* t.atomicAdd32(s.page + 4096, 1);
      },
    },
  },

  *check(t, s) {
    const words = [yield* t.load32(s.page), yield* t.load32(s.page + 4096), yield* t.load32(s.page + 8192)];
    return words.join() === "101,1,7" ? null : `the words are ${words.join(", ")}: an update is lost`;
  },
});

const faultVsMunmap = scenario({
  title: "a CPU fault for a part of 2 MiB that a device has against munmap of another",
  machine: { cpus: 2, devices: 1, frames: 4096, devicePages: 512 },

  *setup(t) {
    const page = yield* hugePage(t);
    yield* t.migrateToDevice(0, page, 512);
    return { page };
  },

  threads: {
    fault: {
      on: { cpu: 0 },
      *run(t, s) {
        yield* t.atomicAdd32(s.page, 1);
      },
    },
    munmap: {
      on: { cpu: 1 },
      *run(t, s) {
        yield* t.munmap(s.page + 256 * 4096, 256);
      },
    },
  },

  *check(t, s) {
    const value = yield* t.load32(s.page);
    return value === 101 ? null : `the word is ${value} instead of 101: an update is lost`;
  },
});

test.each([migrateVsStore, faultVsMunmap])("$title: nothing is lost", (one) => {
  const { violation, executions } = explore(one, { sampling, executionsMax: EXECUTIONS });
  expect(violation).toBeNull();
  expect(executions).toBe(EXECUTIONS);
});

test("who migrates 2 MiB tells the mirrors", () => {
  const { violation } = explore(migrateVsStore, { sampling, executionsMax: EXECUTIONS, overlays: [notify.apply] });
  expect(violation!.kind).toBe("device-table");
});
