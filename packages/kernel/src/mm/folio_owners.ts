/**
 * Whose mappings a large folio has: two address spaces are kept with it, each with the number of its mappings, and whether others
 * than one may have any. A third address space finds no place, so that a folio which only that one still maps goes on being "maybe
 * shared". Folios of one page need none of it, since one mapping is one owner; hugetlb has its own rules.
 *
 * Source: Documentation/mm/transhuge.rst, the two slots for tracking MM owners (since 6.15).
 */
const SLOTS = 2;
const NOBODY = 0;

export class FolioOwners {
  /** Ids of address spaces and their mappings: a folio's slots are at its first two pages. */
  private readonly mm: Int32Array;
  private readonly mapcount: Int32Array;
  private readonly shared: Uint8Array;

  constructor(pages: number) {
    this.mm = new Int32Array(pages);
    this.mapcount = new Int32Array(pages);
    this.shared = new Uint8Array(pages);
  }

  /** A folio that nobody maps. */
  reset(folio: number): void {
    this.mm.fill(NOBODY, folio, folio + SLOTS);
    this.mapcount.fill(0, folio, folio + SLOTS);
    this.shared[folio] = 0;
  }

  /** A mapping more by `mm`, which makes `total`. */
  add(folio: number, mm: number, total: number): void {
    let slot = this.slotOf(folio, mm);
    if (slot < 0) {
      if (total !== 1) this.shared[folio] = 1;
      slot = this.slotOf(folio, NOBODY);
      if (slot < 0) return;
      this.mm[slot] = mm;
    }
    this.mapcount[slot]!++;
  }

  /** A mapping less by `mm`, which leaves `total`. */
  remove(folio: number, mm: number, total: number): void {
    const slot = this.slotOf(folio, mm);
    if (slot >= 0) {
      this.mapcount[slot]!--;
      if (this.mapcount[slot] !== 0) return;
      this.mm[slot] = NOBODY;
    }
    // Who is left has all of them; with none left, neither slot has any.
    if (this.mapcount[folio] === total || this.mapcount[folio + 1] === total) this.shared[folio] = 0;
  }

  /** False where one address space has all mappings. */
  maybeShared(folio: number): boolean {
    return this.shared[folio] !== 0;
  }

  /** All that is kept with a folio, for whoever compares states. */
  *valuesOf(folio: number): Generator<number> {
    for (let slot = folio; slot < folio + SLOTS; slot++) {
      yield this.mm[slot]!;
      yield this.mapcount[slot]!;
    }
    yield this.shared[folio]!;
  }

  private slotOf(folio: number, mm: number): number {
    if (this.mm[folio] === mm) return folio;
    return this.mm[folio + 1] === mm ? folio + 1 : -1;
  }
}
