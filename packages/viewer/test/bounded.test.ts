import { expect, test } from "vitest";
import { bounded } from "../src/worker/bounded.js";

test("a finding of any size becomes one that a page can show", () => {
  const row = { text: "x".repeat(10_000), event: 3 };
  const finding = { kind: "k".repeat(10_000), rule: "r", message: "m", event: 7, page: { mm: 1, vpn: 2 }, diagram: Array.from({ length: 100_000 }, () => row), output: Array.from({ length: 100_000 }, () => "o") };
  const { kind, diagram, output, ...rest } = bounded(finding);
  expect(rest).toEqual({ rule: "r", message: "m", event: 7, page: { mm: 1, vpn: 2 } });
  expect(kind.length).toBeLessThan(500);
  expect(diagram.length).toBeLessThan(3000);
  expect(diagram[0]!.text.length).toBeLessThan(500);
  expect(output.at(-1)).toBe("…");
  const small = { ...finding, kind: "k", diagram: [{ text: "t", event: null }], output: ["o"] };
  expect(bounded(small)).toEqual(small);
});
