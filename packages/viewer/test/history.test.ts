import { describe, expect, test } from "vitest";
import { openScenario } from "./opened.js";

const PAGE = 0x3ff7fff;

describe("the history of a folio", () => {
  test("has a device, swap and back, and the next who is given the frame", async () => {
    const { history, ask, session, last } = await openScenario("reclaim-exclusive");
    const { pfn } = session.walk(0, 1, PAGE)!.folio!;
    const at = "at 0x3ff7fff000 of mm 1";
    const rows = history(pfn).filter((row) => !/^(lock|access)/.test(row));
    expect(rows.slice(0, 6)).toEqual([
      "device hmm_dmirror0 drops its translation at 0x3ff7fff000",
      `exclusive device-exclusive entry ${at} becomes present, writable`,
      `unmap present, writable entry ${at} is cleared`,
      `swap goes to swap slot 1: swap entry ${at}`,
      "swap reclaim writes it to swap",
      `swap swapped in from slot 1: present, writable entry ${at}`,
    ]);
    expect(rows.at(-1)).toBe("free freed");
    // Its rows are where its keys go.
    const view = ask("history", { pfn, step: 0, turn: 0 })!;
    const steps = view.rows.map(({ step }) => step);
    expect(view).toMatchObject({ total: steps.length, from: 0, lives: 0, cutAt: null, scanned: last + 1 });
    for (const [i, step] of steps.entries()) {
      expect(ask("folioNext", { pfn, from: step, forward: true })).toEqual({ step: steps[i + 1] ?? null, done: true });
      expect(ask("folioNext", { pfn, from: step, forward: false })).toEqual({ step: steps[i - 1] ?? null, done: true });
    }
  });

  test("tells where a page has gone, and where the other has come from", async () => {
    const { history, session, last } = await openScenario("migrate-exclusive");
    const { pfn } = session.walk(0, 1, PAGE)!.folio!;
    const gone = history(pfn).find((row) => row.startsWith("migrate has gone"));
    const to = /pfn (0x[0-9a-f]+): present/.exec(gone!)![1]!;
    expect(Number(to)).not.toBe(pfn);
    expect(history(Number(to))).toContain(`migrate has come from pfn 0x${pfn.toString(16)}: present, read-only entry at 0x3ff7fff000 of mm 1`);
    expect(history(Number(to))[0]).toBe("alloc allocated");
    expect(session.inside.stateAt(last).step).toBe(last);
  });

  test("is that of all pages of a large folio until it is split, and then of one", async () => {
    const { history, session } = await openScenario("large-folio-split");
    const first = session.walk(0, 1, 0x3ff7ff8)!.folio!;
    expect(first.order).toBe(2);
    const rows = history(first.pfn);
    const split = rows.indexOf("migrate migration entry at 0x3ff7ff8000 of mm 1 becomes present, writable");
    expect(split).toBeGreaterThan(0);
    for (const page of ["9", "a", "b"]) {
      const others = rows.flatMap((row, i) => (row.includes(`0x3ff7ff${page}000`) ? [i] : []));
      expect(others.length).toBeGreaterThan(0);
      expect(Math.max(...others), page).toBeLessThan(split);
    }
    // A tail page has its own life behind the split: the device took it.
    const third = history(first.pfn + 2);
    expect(third).toContain("exclusive present, writable entry at 0x3ff7ffa000 of mm 1 becomes device-exclusive");
    expect(third.find((row) => row.startsWith("lock"))).toBe("lock locked");
    expect(third[0]).toBe("access the kernel writes to it at 0x3ff7ff9000 for a process (page 1 of 4)");
  });

  test("of 2 MiB that one entry maps: it is invalid for a moment, and moves as a whole", async () => {
    const { history, session } = await openScenario("migrate-huge-vs-store");
    const { pfn, order } = session.walk(0, 1, 0x3ff7c00)!.folio!;
    expect(order).toBe(9);
    // The middle of it, by a pfn that no entry has.
    const rows = history(pfn + 300).filter((row) => !/^(lock|access)/.test(row));
    const at = "at 0x3ff7c00000 of mm 1, 2 MiB";
    expect(rows.slice(0, 3)).toEqual([
      `map present, writable entry ${at} becomes invalid (page 0 of 512)`,
      `migrate invalid entry ${at} becomes migration (page 0 of 512)`,
      expect.stringMatching(new RegExp(`^migrate has gone to pfn 0x[0-9a-f]+: present, writable entry ${at}`)),
    ]);
    expect(rows[3]).toBe("free freed, as page 300 of a block of order 9");
  });

  test("of memory of a device goes by its pfns, which are no pages", async () => {
    const { history, session, ask } = await openScenario("device-evict-vs-fault");
    const { pfn } = session.walk(0, 1, PAGE)!.folio!;
    expect(pfn).toBeGreaterThan(0x3ff00000);
    expect(history(pfn)).toContain("migrate device-private entry at 0x3ff7fff000 of mm 1 becomes migration");
    const folio = ask("folio", { step: 0, pfn })!;
    expect(folio.where).toBe("device-private memory of hmm_dmirror0");
    expect(folio.others).toBe(0);
    expect(folio.holders[0]).toMatchObject({ who: "device-private entry of mm 1 at 0x3ff7fff000", references: 1, page: { mm: 1, vpn: PAGE } });
    // And the frame behind it says so.
    const behind = ask("memory", { step: 0, known: null })!;
    expect(behind.regions.some(({ name, detail }) => name === "device-private" && detail.startsWith("of hmm_dmirror0, 1 of "))).toBe(true);
  });

  test("nothing is known of what is no memory", async () => {
    const { ask } = await openScenario("migrate-exclusive");
    expect(ask("folio", { step: 0, pfn: 1 })).toBeNull();
    expect(ask("history", { pfn: 1, step: 0, turn: 0 })).toBeNull();
    expect(ask("folioNext", { pfn: 1, from: 0, forward: true })).toEqual({ step: null, done: true });
  });
});
