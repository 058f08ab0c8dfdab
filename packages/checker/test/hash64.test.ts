import fc from "fast-check";
import { expect, test } from "vitest";
import { HashSet } from "../src/hash64.js";

const word = fc.oneof(fc.integer({ min: -3, max: 3 }), fc.integer({ min: -(2 ** 31), max: 2 ** 31 - 1 }));
const hash = fc.tuple(word, word);

/** A second word of 0 marks an empty slot, and counts as 1. */
const text = ([lo, hi]: readonly [number, number]): string => `${lo} ${hi === 0 ? 1 : hi}`;

test("a set of hashes is a set", () => {
  fc.assert(
    fc.property(fc.array(hash, { maxLength: 200 }), fc.array(hash, { maxLength: 50 }), (added, asked) => {
      const set = new HashSet();
      const plain = new Set<string>();
      for (const one of added) {
        expect(set.add(...one)).toBe(!plain.has(text(one)));
        plain.add(text(one));
        expect(set.size).toBe(plain.size);
      }
      for (const one of [...added, ...asked]) expect(set.has(...one)).toBe(plain.has(text(one)));
    }),
    { seed: 1 },
  );
});

test("it grows, and keeps all, where many hashes begin in the same slot", () => {
  const set = new HashSet();
  for (let i = 1; i <= 5_000; i++) expect(set.add(0, i)).toBe(true);
  for (let i = 1; i <= 5_000; i++) expect(set.add(i << 19, -i)).toBe(true);
  expect(set.size).toBe(10_000);
  for (let i = 1; i <= 5_000; i++) {
    expect(set.has(0, i) && set.has(i << 19, -i)).toBe(true);
    expect(set.has(0, -i) || set.has(i << 19, i)).toBe(false);
  }
  const saved = set.save();
  const pairs = Array.from({ length: saved.length / 2 }, (_, i) => `${saved[2 * i]} ${saved[2 * i + 1]}`);
  expect(new Set(pairs).size).toBe(10_000);
});
