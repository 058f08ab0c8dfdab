import { Event, PG } from "@faultline/kernel";
import { EVENTS } from "@faultline/trace";
import { describe, expect, test } from "vitest";
import { firstSentence, functionDocs } from "../function_docs.js";
import { docOf, learnEvents, learnFunctions } from "../src/core/docs.js";
import { Kind } from "../src/core/kinds.js";
import { PageUse, SlotUse } from "../src/core/page_use.js";
import { openScenario } from "./opened.js";

const numbers = (values: object): number[] => Object.values(values).filter((value): value is number => typeof value === "number");
const names = (values: object): string[] => Object.keys(values).filter((key) => !/^\d+$/.test(key));

/** Each has a sentence, and a page of the kernel's documentation. */
function expectExplained(key: string): void {
  const doc = docOf(key);
  expect(doc, key).not.toBeNull();
  expect(doc!.text, key).toMatch(/^[A-Z].{8,}\.$/s);
  expect(doc!.url, key).toMatch(/^https:\/\/docs\.kernel\.org\/[\w/-]+\.html$/);
}

describe("explanations", () => {
  test("kinds of entries, uses of pages and slots, page flags", () => {
    for (const kind of numbers(Kind)) expectExplained(`kind ${kind}`);
    for (const use of [...numbers(PageUse), ...numbers(SlotUse)]) expectExplained(`use ${use}`);
    for (const flag of names(PG)) expectExplained(`flag ${flag}`);
  });

  test("events, each with what the schema says", () => {
    learnEvents(EVENTS);
    for (const { name } of EVENTS) expectExplained(`event ${name}`);
    expect(EVENTS.length).toBe(numbers(Event).length);
  });

  test("bits, locks and functions of an execution", async () => {
    learnFunctions(functionDocs());
    const { ask, session, last } = await openScenario("reclaim-exclusive");
    const bits = [0, Math.floor(last / 2), last].flatMap((step) => session.walk(step, 1, 0x3ff7fff)?.levels.flatMap((level) => level.bits.map(({ name }) => name)) ?? []);
    expect(bits.length).toBeGreaterThan(20);
    for (const bit of bits) expectExplained(`bit ${bit}`);
    for (let step = 0; step <= last; step++) {
      const lock = ask("about", { step }).lock;
      if (lock !== null) expectExplained(`lock ${lock.kind === "folio" ? "folio_lock" : lock.kind === "mmap_lock" ? "mmap_lock" : lock.name}`);
    }
    const functions = new Set<string>();
    for (let from = 0; from <= last; from += 500) for (const { explain } of session.events(from, from + 500)) if (explain.startsWith("function ")) functions.add(explain);
    expect(functions.size).toBeGreaterThan(50);
    const silent = [...functions].filter((key) => docOf(key) === null);
    expect(silent.length / functions.size).toBeLessThan(0.1);
    expect(docOf("function try_to_unmap")).toMatchObject({ title: "try_to_unmap(), mm/rmap.c", url: "https://docs.kernel.org/mm/process_addrs.html" });
  });

  test("what nobody explains is null, whatever it is called", () => {
    for (const key of ["", "kind", "kind 99", "flag constructor", "lock __proto__", "function toString", "event x", "no such"]) expect(docOf(key), key).toBeNull();
  });

  test("a docstring's first sentence", () => {
    expect(firstSentence("/** Does it, e.g. twice. And more. */")).toBe("Does it, e.g. twice.");
    expect(firstSentence("/**\n * Over two\n * lines: 1.5 of them.\n * @omits Much.\n */")).toBe("Over two lines: 1.5 of them.");
    expect(firstSentence("/** @own x */")).toBe("");
  });
});
