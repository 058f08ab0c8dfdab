import { PATCHES, type OverlayFactory } from "@faultline/kernel";
import { expect, test } from "vitest";
import atomicAdd from "../../../scenarios/atomic-add.js";
import faultExclusiveDontneed from "../../../scenarios/fault-exclusive-dontneed.js";
import noExclusiveFlush from "../../../scenarios/undone/exclusive-flush.js";
import noExclusiveRecheck from "../../../scenarios/undone/exclusive-fault-recheck.js";
import { explore, replay, type ExploreOptions, type Scenario, type Violation } from "@faultline/checker";

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
