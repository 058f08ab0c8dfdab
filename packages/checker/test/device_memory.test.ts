import { Madv, SWITCH, Op, type MaySleep, type OverlayFactory } from "@faultline/kernel";
import { expect, test } from "vitest";
import { explore, scenario, type Scenario } from "../src/index.js";
import vsDontneed from "../../../scenarios/device-migrate-vs-dontneed.js";

/** A driver that enters what it has migrated without asking, as Linux's test driver does. */
const unasked: OverlayFactory = () => ({
  testHmmMemory: {
    *mapMigrated(k, dmirror, { startVpn, dst }): MaySleep<boolean> {
      if (!dmirror.mutex.tryLock()) yield* dmirror.mutex.lock();
      if (k.m.point(Op.DeviceTable, dmirror.notifier.id)) yield SWITCH;
      for (const [i, page] of dst.entries()) if (page >= 0) dmirror.table.set(startVpn + i, { page: k.deviceMemory.backingPage(k, page), write: true, atomic: false });
      if (!dmirror.mutex.tryUnlock()) yield* dmirror.mutex.unlock();
      return true;
    },
  },
});

test("who migrates need not ask the notifier's sequence while nothing is invalidated, also where nothing was", () => {
  const alone = scenario({
    title: "nothing moves to a device",
    machine: { cpus: 1, devices: 1, devicePages: 4 },
    *setup(t) {
      return { page: yield* t.mmap(1), other: yield* t.mmap(1) };
    },
    threads: {
      migrate: {
        on: { device: 0 },
        *run(t, s) {
          yield* t.migrateToDevice(0, s.page, 1);
        },
      },
      other: {
        on: { cpu: 0 },
        *run(t, s) {
          yield* t.store32(s.other, 1);
        },
      },
    },
  });
  expect(explore(alone, { preemptions: 1, overlays: [unasked] }).violation).toBeNull();
});

test("and where something is, MADV_DONTNEED leaves the device with a page that is gone", () => {
  const { violation } = explore(vsDontneed, { overlays: [unasked] });
  expect(violation).toMatchObject({ kind: "freed-while-mapped", message: expect.stringMatching(/is freed while hmm_dmirror0 maps it/) as string });
});

test("a device without memory has no room, and who wants to move something there is told how to give it some", () => {
  const nowhere = (engine: boolean): Scenario => scenario({
    title: "a device without memory",
    machine: { cpus: 1, devices: 1 },
    *setup(t) {
      return { page: yield* t.mmap(1), fd: yield* t.open("hmm_dmirror0") };
    },
    threads: {
      migrate: {
        on: { device: 0 },
        *run(t, s) {
          if (engine) yield* t.engine(s.fd, "migrateToDevice", s.page, 1);
          else yield* t.migrateToDevice(0, s.page, 1);
        },
      },
      other: {
        on: { cpu: 0 },
        *run(t, s) {
          yield* t.madvise(s.page, 1, Madv.DONTNEED);
        },
      },
    },
  });
  expect(explore(nowhere(true), { preemptions: 0 })).toMatchObject({ violation: null, complete: true });
  expect(() => explore(nowhere(false))).toThrow("machine: { devicePages: 4 }");
});

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
