import { PG } from "@faultline/kernel";
import { describe, expect, test } from "vitest";
import { PageMark, PageUse, SlotUse } from "../src/core/page_use.js";
import { openScenario, type Opened } from "./opened.js";

const PAGE = 0x3ff7fff;

/** The pfns of all frames that somebody refers to. */
function* held({ session }: Opened, step: number): Generator<number> {
  const state = session.inside.stateAt(step);
  const [counts, flags] = [state.column("refcount"), state.column("flags")];
  const { page, pfn, pages } = state.keyframe.memory.sections[0]!;
  for (let i = page; i < page + pages; i++) if (counts[i]! > 0 && (flags[i]! & PG.reserved) === 0 && i !== state.keyframe.memory.zeroPage) yield pfn + i - page;
}

describe("who holds a folio", () => {
  test.each(["reclaim-exclusive", "pin-vs-pageout", "fork-vs-pin", "large-folio-split", "device-evict-vs-fault", "uffd-move-vs-pin", "collapse-vs-gup"])("%s: all references are accounted for, but for that of an entry which comes or goes", async (name) => {
    const opened = await openScenario(name);
    for (let step = 0; step <= opened.last; step += 3) {
      for (const pfn of held(opened, step)) {
        const { others, holders, part } = opened.ask("folio", { step, pfn })!;
        // An entry and its reference are not one step: a reference more ahead of it, or behind.
        const inFlight = step === 0 ? 0 : 1;
        expect(part > 0 || (others >= -inFlight && others <= inFlight), JSON.stringify({ step, pfn, others, holders })).toBe(true);
      }
    }
  });

  test("a pin counts 1024 on a small folio, and is named", async () => {
    const { ask, session, last } = await openScenario("fork-vs-pin");
    const { pfn } = session.walk(0, 1, PAGE)!.folio!;
    const steps = Array.from({ length: last + 1 }, (_, step) => step);
    const pinned = steps.find((step) => ask("folio", { step, pfn })!.pins === 1)!;
    const folio = ask("folio", { step: pinned, pfn })!;
    expect(folio.refcount).toBeGreaterThanOrEqual(1024);
    expect(folio.holders.find(({ doc }) => doc === "pin")).toMatchObject({ references: 1024 });
    const { uses, marks, regions } = ask("memory", { step: pinned, known: null })!;
    const at = regions[0]!.first + pfn - regions[0]!.pfn;
    expect(uses[at]).toBe(PageUse.Anon);
    expect(marks[at]! & PageMark.Pinned).not.toBe(0);
  });
});

describe("physical memory", () => {
  test("every frame is what its zone says, and slots hold what entries name", async () => {
    const { ask, session, last } = await openScenario("reclaim-exclusive");
    const steps = Array.from({ length: last + 1 }, (_, step) => step);
    for (const step of steps.filter((n) => n % 50 === 0)) {
      const { uses, regions, zones } = ask("memory", { step, known: null })!;
      const count = (use: number): number => uses.reduce((sum, one) => sum + (one === use ? 1 : 0), 0);
      expect(count(PageUse.Free)).toBe(zones[0]!.free);
      expect(count(PageUse.PerCpu)).toBe(zones[0]!.pcp);
      expect(uses.length).toBe(regions.reduce((sum, region) => sum + region.count, 0));
    }
    const swapped = steps.find((step) => session.walk(step, 1, PAGE)?.kind === 6)!;
    const slots = ask("memory", { step: swapped, known: null })!;
    const swap = slots.regions.find((region) => region.swap)!;
    expect(slots.uses[swap.first + 1]).toBe(SlotUse.Cached);
    const slot = ask("slot", { step: swapped, slot: 1 });
    expect(slot).toMatchObject({ page: { mm: 1, vpn: PAGE }, pfn: session.walk(0, 1, PAGE)!.folio!.pfn });
    expect(slot.words).toMatch(/^swap cache, entry of mm 1 at 0x3ff7fff000, swap cache: pfn 0x80006, count 1, charged to \/scenario$/);
    expect(ask("slot", { step: swapped, slot: 9999 }).words).toBe("there is no such slot");
    expect(ask("memory", { step: swapped, known: slots.keyframe })).toBeNull();
  });

  test("pages of a large folio are marked", async () => {
    const { ask, session } = await openScenario("large-folio-split");
    const { pfn } = session.walk(0, 1, 0x3ff7ff8)!.folio!;
    const { marks, regions } = ask("memory", { step: 0, known: null })!;
    const at = regions[0]!.first + pfn - regions[0]!.pfn;
    expect([...marks.subarray(at, at + 5)].map((mark) => mark & (PageMark.Head | PageMark.Tail))).toEqual([PageMark.Head, PageMark.Tail, PageMark.Tail, PageMark.Tail, 0]);
  });
});

describe("locks", () => {
  test("an event leads to its lock, and from there to the lock's other events", async () => {
    const { ask, session, last } = await openScenario("reclaim-exclusive");
    const { pfn } = session.walk(0, 1, PAGE)!.folio!;
    const first = (await ask("lockNext", { lock: { kind: "folio", pfn }, from: -1, forward: true }))!;
    expect(ask("about", { step: first })).toMatchObject({ pfn, lock: { kind: "folio", pfn } });
    expect(await ask("lockNext", { lock: { kind: "folio", pfn }, from: first, forward: false })).toBeNull();
    const seen = new Set<string>();
    for (let step = 0; step <= last; step++) {
      const { lock } = ask("about", { step });
      if (lock === null || seen.has(JSON.stringify(lock))) continue;
      seen.add(JSON.stringify(lock));
      const next = await ask("lockNext", { lock, from: step - 1, forward: true });
      expect(next).toBe(step);
    }
    expect([...seen].some((text) => text.includes('"mmap_lock"'))).toBe(true);
    expect([...seen].some((text) => text.includes('"ptl"'))).toBe(true);
  });
});
