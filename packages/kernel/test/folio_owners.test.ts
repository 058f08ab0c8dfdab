import fc from "fast-check";
import { expect, test } from "vitest";
import { FolioOwners } from "../src/mm/folio_owners.js";

const FOLIO = 4;

/** What address spaces do with one folio: a mapping more, or one less where it has any; all mappings, counted, after each. */
function play(steps: readonly (readonly [number, boolean])[], check: (owners: FolioOwners, mappings: ReadonlyMap<number, number>) => void): void {
  const owners = new FolioOwners(2 * FOLIO);
  const mappings = new Map<number, number>();
  let total = 0;
  for (const [mm, more] of steps) {
    const now = (mappings.get(mm) ?? 0) + (more ? 1 : -1);
    if (now < 0) continue;
    total += more ? 1 : -1;
    if (now === 0) mappings.delete(mm);
    else mappings.set(mm, now);
    if (more) owners.add(FOLIO, mm, total);
    else owners.remove(FOLIO, mm, total);
    check(owners, mappings);
  }
}

const stepsOf = (mms: number): fc.Arbitrary<[number, boolean][]> =>
  fc.array(fc.tuple(fc.integer({ min: 1, max: mms }), fc.boolean()), { maxLength: 60 });

test("with two address spaces it is exact whether one has all mappings", () => {
  fc.assert(fc.property(stepsOf(2), (steps) => play(steps, (owners, mappings) => expect(owners.maybeShared(FOLIO)).toBe(mappings.size > 1))));
});

test("with more it never says that one has all where it has not, and forgets all when nobody has any", () => {
  fc.assert(
    fc.property(stepsOf(5), (steps) =>
      play(steps, (owners, mappings) => {
        if (mappings.size > 1) expect(owners.maybeShared(FOLIO)).toBe(true);
        if (mappings.size === 0) expect([...owners.valuesOf(FOLIO)]).toEqual([0, 0, 0, 0, 0]);
      }),
    ),
  );
});

test("a third address space has no place, so that what it is left with may be shared for all that is known", () => {
  play([[1, true], [2, true], [3, true], [3, true], [1, false], [2, false]], (owners, mappings) => {
    if (mappings.size === 1 && mappings.has(3)) expect(owners.maybeShared(FOLIO)).toBe(true);
  });
});
