import { PATCHES, resolvePatches, type MaySleep, type OverlayFactory } from "@faultline/kernel";
import { expect, test } from "vitest";
import atomicAdd from "../../../scenarios/atomic-add.js";
import faultExclusiveDontneed from "../../../scenarios/fault-exclusive-dontneed.js";
import noExclusiveFlush from "../../../scenarios/undone/exclusive-flush.js";
import noExclusiveRecheck from "../../../scenarios/undone/exclusive-fault-recheck.js";
import { explore, replay, scenario, type ExploreOptions, type Scenario, type ThreadApi, type Violation } from "@faultline/checker";

function undone(name: string): OverlayFactory {
  const patch = PATCHES.find((p) => p.name === name);
  if (patch?.undo === undefined) throw new Error(`no patch ${name}`);
  return patch.undo;
}

/** The violation that the explorer finds, which must show again when its decisions are replayed. */
function found(scenario: Scenario<never>, options: ExploreOptions): Violation {
  const report = explore(scenario, options);
  expect(report.violation).not.toBeNull();
  const violation = report.violation!;
  expect(violation.trace.length).toBeGreaterThan(10);
  const again = replay(scenario, violation.decisions, options);
  expect(again).toMatchObject({ kind: violation.kind, message: violation.message });
  expect(again!.trace).toEqual(violation.trace);
  return violation;
}

test("fault against exclusive against MADV_DONTNEED: every schedule of two preemptions is clean", () => {
  const report = explore(faultExclusiveDontneed);
  expect(report.violation).toBeNull();
  expect(report.complete).toBe(true);
  expect(report.executions).toBeGreaterThan(10_000);
});

test("CPU and device add to one word: every schedule of two preemptions sums up", () => {
  const report = explore(atomicAdd);
  expect(report.violation).toBeNull();
  expect(report.complete).toBe(true);
});

test("without the reference of 2023 a folio lock is taken on a page that was freed", () => {
  const violation = found(faultExclusiveDontneed as never, { overlays: [undone("exclusive-fault-ref")] });
  expect(violation.kind).toBe("lock-on-free");
  expect(violation.message).toMatch(/fault (takes|releases) the folio lock of frame \d+, which is free/);
  expect(violation.preemptions).toBeLessThanOrEqual(2);
});

test("without the TLB flush a CPU reaches a page that a device has exclusively", () => {
  const violation = found(atomicAdd as never, { overlays: [noExclusiveFlush.apply], ignore: ["stale-tlb"] });
  expect(violation.kind).toBe("exclusive-access");
  expect(violation.message).toMatch(/CPU 0 \(\w+\) reaches frame \d+ .* while hmm_dmirror0 has it exclusively/);
});

test("without the TLB flush a TLB is stale even when nobody races", () => {
  const violation = found(atomicAdd as never, { overlays: [noExclusiveFlush.apply] });
  expect(violation).toMatchObject({ kind: "stale-tlb", preemptions: 0 });
});

test("without the TLB flush an update is lost", () => {
  const violation = found(atomicAdd as never, {
    overlays: [noExclusiveFlush.apply],
    ignore: ["exclusive-access", "stale-tlb"],
  });
  expect(violation.kind).toBe("outcome");
  expect(violation.message).toMatch(/an update is lost: the word is \d+ instead of 12/);
  expect(violation.preemptions).toBeLessThanOrEqual(2);
});

test("without the recheck a page comes back that MADV_DONTNEED took away", () => {
  const violation = found(faultExclusiveDontneed as never, { overlays: [noExclusiveRecheck.apply] });
  expect(violation.kind).toMatch(/freed-while-mapped|mapcount|refcount/);
  expect(violation.preemptions).toBeLessThanOrEqual(2);
  expect(violation.message).toMatchInlineSnapshot(`"frame 6 is freed while a page table maps it at page 0x3ff7fff"`);
});

/** A folio of four pages that a device has exclusively, but for the first page, which a CPU takes back: what is then done to it. */
function partlyExclusive(work: (t: ThreadApi, addr: number, folio: number) => MaySleep<unknown>): Scenario {
  return scenario({
    title: "a large folio of which a device has three pages",
    machine: { cpus: 1, devices: 1 },
    *setup(t) {
      t.k.m.thp.setSizeEnabled(2, "always");
      const addr = Math.ceil((yield* t.mmap(8)) / 16384) * 16384;
      yield* t.store32(addr, 1);
      yield* t.drainLruBatches();
      const folio = t.frameOf(addr);
      yield* t.makeExclusive(0, addr, 4);
      yield* t.store32(addr, 2);
      yield* t.drainLruBatches();
      return { addr, folio };
    },
    threads: {
      cpu: {
        on: { cpu: 0 },
        *run(t, s) {
          yield* work(t, s.addr, s.folio);
        },
      },
    },
    *check(t, s) {
      const value = yield* t.load32(s.addr);
      return value === 2 ? null : `the word is ${value}`;
    },
  });
}

function release(name: string, has: readonly string[] = []): ExploreOptions {
  const overlays = resolvePatches({ release: name, without: [] });
  if (typeof overlays === "string") throw new Error(overlays);
  return { overlays: overlays.filter((overlay) => !has.map(undone).includes(overlay)) };
}

test("a large folio that is exclusive in part moves, and before 6.15 has too many references when it does not", () => {
  const migrate = partlyExclusive((t, _addr, folio) => t.migrate(folio));
  expect(explore(migrate).violation).toBeNull();
  for (const name of ["6.14", "6.1"]) {
    expect(explore(migrate, release(name)).violation).toMatchObject({ kind: "refcount", message: expect.stringMatching(/has 7 references, and 4 holders/) as string });
    // When migration fails, entries that it has not replaced are restored as if it had.
    expect(explore(migrate, release(name, ["exclusive-not-migration"])).violation).toBeNull();
  }
});

test("reclaim has added a large folio to the swap cache, and a device has most of it when it unmaps it", () => {
  const reclaim = scenario({
    title: "reclaim of a large folio against device-exclusive access",
    machine: { cpus: 3, devices: 1, swapSlots: 16 },
    *setup(t) {
      t.k.m.thp.setSizeEnabled(2, "always");
      const addr = Math.ceil((yield* t.mmap(8)) / 16384) * 16384;
      yield* t.store32(addr + 4096, 1);
      yield* t.drainLruBatches();
      return { addr };
    },
    threads: {
      reclaim: {
        on: { cpu: 2 },
        *run(t) {
          yield* t.reclaim(1);
        },
      },
      device: {
        on: { device: 0 },
        *run(t, s) {
          yield* t.makeExclusive(0, s.addr, 3);
          yield* t.deviceFault(0, s.addr, 1, false);
        },
      },
    },
  });
  for (const name of ["7.3", "6.14", "6.1"]) expect(explore(reclaim, { ...release(name), executionsMax: 300 }).violation, name).toBeNull();
});
