import { join } from "node:path";
import { expect, test } from "vitest";
import { fidelityPage, readEvidence, readNotes } from "./fidelity.js";
import { ROOT } from "./points.js";

const notes = readNotes();
const evidence = readEvidence();

test("docs/fidelity.md says what modules say of themselves, and what was measured", async () => {
  await expect(fidelityPage(notes, evidence)).toMatchFileSnapshot(join(ROOT, "docs/fidelity.md"));
});

test("every module of the assembled kernel names the file of Linux whose work it does", () => {
  expect(notes.filter(({ linux }) => linux.length === 0).map(({ path }) => path)).toEqual([]);
  const known = /^(mm|mm\/\w+|arch\/riscv\/kernel\/probes|include\/linux|fs|fs\/proc|kernel|kernel\/\w+|ipc|lib|drivers\/\w+|arch\/riscv\/\w+)\/[\w-]+\.[ch]$/;
  expect(notes.flatMap(({ linux }) => linux).filter((file) => !known.test(file))).toEqual([]);
});

test("what is said of functions is said of functions that are there", () => {
  const gone = notes.flatMap(({ path, own, functions }) => own.filter((name) => functions.every((fn) => fn.name !== name)).map((name) => `${path}.${name}`));
  expect(gone).toEqual([]);
});

test("docs/evidence.json names no function that is gone", () => {
  const there = new Set(notes.flatMap(({ path, functions }) => functions.map(({ name }) => `${path}.${name}`)));
  const named = Object.values(evidence).flatMap(({ functions }) => Object.keys(functions));
  expect(named.length).toBeGreaterThan(0);
  expect([...new Set(named)].filter((name) => !there.has(name))).toEqual([]);
});

test("omissions are whole sentences", () => {
  const texts = notes.flatMap(({ omits, functions }) => [...omits, ...functions.flatMap((fn) => fn.omits)]);
  expect(texts.filter((text) => !/^[\w`/].*\.$/.test(text) || text.includes("|"))).toEqual([]);
});
