import { PATCHES } from "@faultline/kernel";
import { describe, expect, test } from "vitest";
import atomicAdd from "../../../scenarios/atomic-add.js";
import faultExclusiveDontneed from "../../../scenarios/fault-exclusive-dontneed.js";
import exclusiveFlush from "../../../scenarios/undone/exclusive-flush.js";
import { explore, replay, scenario, stateTable, type Scenario, type Step } from "../src/index.js";
import { describeRepetition, repetitionOf, withoutRepetitions } from "../src/repetition.js";

const withoutRef = { overlays: [PATCHES.find(({ name }) => name === "exclusive-fault-ref")!.undo!] };

describe("the state of what a violation is about", () => {
  test("ahead of the step that shows it, and when others have been", () => {
    const violation = explore(faultExclusiveDontneed, withoutRef).violation!;
    expect(violation).toMatchObject({ kind: "lock-on-free", about: { page: 6 } });
    const { before, after, step } = violation.state!;
    expect(violation.trace[step!]).toMatchObject({ thread: "fault", function: "folio_unlock", words: "unlock folio of frame 6" });
    expect(before).toMatchObject({
      entry: { address: "0x3ff7fff000", mm: 1, kind: "present", frame: 6, pfn: 0x80006, slot: null, flags: ["read", "write", "dirty"] },
      folio: { frame: 6, pages: 1, refcount: 1, mapcount: 1, free: false, lockedBy: "fault (CPU 0)", holders: [] },
      devices: [{ device: "hmm_dmirror0", sequence: 5, frame: null, access: null }],
      notifier: { mm: 1, sequence: 5, invalidations: 1, by: ["fault (CPU 0)"] },
    });
    expect(before.folio!.flags).toContain("locked");
    expect(after).toMatchObject({ entry: { kind: "none", frame: null }, folio: { refcount: 0, mapcount: 0, free: true, lockedBy: null, flags: [] } });
    expect(replay(faultExclusiveDontneed as Scenario, violation.decisions, withoutRef)).toEqual(violation);
  });

  test("what is found at rest: ahead of the last step that changed anything", () => {
    const violation = explore(atomicAdd, { overlays: [exclusiveFlush.apply] }).violation!;
    expect(violation).toMatchObject({ kind: "stale-tlb", at: null });
    const { before, after, step } = violation.state!;
    expect(violation.trace[step!]).toMatchObject({ thread: "device", function: "folio_put" });
    expect(before.folio).toMatchObject({ refcount: 3, holders: ["device: exclusive"] });
    expect(after).toMatchObject({
      entry: { kind: "device-exclusive", frame: 6 },
      folio: { refcount: 2, holders: [] },
      devices: [{ device: "hmm_dmirror0", frame: 6, access: "exclusive" }],
      tlb: [
        { cpu: "CPU 0", frame: 6, access: "rw" },
        { cpu: "CPU 1", frame: 6, access: "rw" },
      ],
    });
    expect(stateTable(violation)).toMatch(/^State ahead of "put reference to frame 6" in folio_put\(\), device \(device 0\), and when the rule was broken:\n {2}PTE of 0x3ff7fff000 +device-exclusive, frame 6 \(pfn 80006\) +the same\n/);
  });

  test("where it is about no page, there is none", () => {
    const failing = scenario({
      title: "fails",
      *setup() {},
      threads: { only: { on: { cpu: 0 }, *run() {} } },
      *check() {
        return "it never works";
      },
    });
    const violation = explore(failing).violation!;
    expect(violation).toMatchObject({ kind: "outcome", state: null });
    expect(stateTable(violation)).toBe("");
  });
});

test("a page that two devices hold exclusively", () => {
  const both = scenario({
    title: "two owners",
    machine: { devices: 2 },
    *setup(t) {
      const page = yield* t.mmap(1);
      yield* t.store32(page, 1);
      return { page };
    },
    threads: {
      only: {
        on: { cpu: 0 },
        *run(t, s) {
          yield* t.makeExclusive(0, s.page, 1);
          const vpn = s.page / 4096;
          t.devices[1]!.table.set(vpn, t.devices[0]!.table.get(vpn)!);
        },
      },
    },
  });
  expect(explore(both as Scenario, { ignore: ["notifier-protocol"] }).violation).toMatchObject({
    kind: "exclusive-access",
    message: "hmm_dmirror0 and hmm_dmirror1 both map frame 6 at rest, one of them exclusively",
  });
});

describe("loops that repeat themselves", () => {
  const step = (thread: string, op: string, object: number): Step => ({ executor: "CPU 0", thread, op, object, words: `${op} ${object}`, function: "f" });
  const steps = (thread: string, text: string): Step[] => [...text].map((letter) => step(thread, letter, 1));

  test("the shortest stretch that comes three times at the end", () => {
    expect(repetitionOf(steps("a", "xyabcabcabc"))).toEqual({ start: 2, period: 3 });
    expect(repetitionOf(steps("a", "xyaaaa"))).toEqual({ start: 2, period: 1 });
    expect(repetitionOf(steps("a", "xyabab"))).toBeNull();
  });

  test("are cut to two turns in each turn of a thread", () => {
    const trace = [...steps("a", "xababababab"), ...steps("b", "cde"), ...steps("a", "qqqqqq")];
    expect(withoutRepetitions(trace).map(({ op }) => op).join("")).toBe("xababcdeqq");
  });

  test("are told in words", () => {
    expect(describeRepetition(steps("a", "xabababab"), "CPU 0", "a")).toBe('repeats in f(): "a 1", "b 1"');
    expect(describeRepetition(steps("a", "xabc"), "CPU 0", "a")).toBe('last did in f(): "a 1", "b 1", "c 1"');
    expect(describeRepetition(steps("a", "xabc"), "CPU 0", "b")).toBe("");
  });
});
