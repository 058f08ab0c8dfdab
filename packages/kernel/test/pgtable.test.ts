import { expect, test } from "vitest";
import { PTE } from "../src/index.js";
import { makeKernel } from "./harness.js";

const ENTRIES = 512;

/** Every entry of a table that is not empty, looked for one by one. */
function used(pt: ReturnType<typeof makeKernel>["m"]["pt"], node: number): number[] {
  return Array.from({ length: ENTRIES }, (_, i) => i).filter((i) => !pt.isNone(node * ENTRIES + i));
}

function walked(pt: ReturnType<typeof makeKernel>["m"]["pt"], node: number): number[] {
  const found: number[] = [];
  for (let i = pt.nextUsed(node, 0); i < ENTRIES; i = pt.nextUsed(node, i + 1)) found.push(i);
  return found;
}

test("a walk meets every entry that is not empty, and no other, however tables come and go", () => {
  const { pt, choices } = makeKernel().m;
  const nodes = Array.from({ length: 400 }, () => pt.allocateNode(1, 0));
  for (let i = 0; i < 4000; i++) {
    const ptep = choices.pick("entry", nodes.length * ENTRIES);
    pt.set(ptep, choices.pick("flags", 3) === 0 ? 0 : PTE.V | PTE.R, i);
    if (choices.pick("clear", 4) === 0) pt.clear(choices.pick("entry", nodes.length * ENTRIES));
  }
  for (const edge of [0, 31, 32, 63, 511]) pt.set(edge, PTE.V, edge);
  for (const node of nodes) expect(walked(pt, node)).toEqual(used(pt, node));
  pt.releaseNode(7);
  expect(used(pt, 7)).toEqual([]);
  expect(pt.allocateNode(1, 0)).toBe(7);
  expect(walked(pt, 7)).toEqual([]);
});

test("tables go back to what was saved, entries and nodes made since among it", () => {
  const { pt } = makeKernel().m;
  const node = pt.allocateNode(5, 2);
  pt.set(node * ENTRIES + 3, PTE.V, 9);
  pt.releaseNode(pt.allocateNode(6, 1));
  const saved = pt.save();
  const lock = pt.lockOf(node * ENTRIES);

  pt.clear(node * ENTRIES + 3);
  // More nodes than there is room for: the arrays grow.
  for (let i = 0; i < 300; i++) pt.set(pt.allocateNode(i, 0) * ENTRIES + i, PTE.V, i);
  pt.restore(saved);
  expect(walked(pt, node)).toEqual([3]);
  expect(pt.pfn(node * ENTRIES + 3)).toBe(9);
  expect(pt.lockOf(node * ENTRIES)).not.toBe(lock);
  expect(pt.allocateNode(6, 1)).toBe(1);
  for (let i = 2; i < 302; i++) expect(used(pt, pt.allocateNode(1, 0))).toEqual([]);
});
