/** What the pages of a pageblock are mostly used for, so that those that can move lie together. */
export enum MigrateType {
  Unmovable,
  Movable,
  Reclaimable,
  HighAtomic,
  /** Free pages of an isolated pageblock are on lists of their own, and never handed out. */
  Isolate,
}

export const MIGRATE_TYPES = 5;
/** The types that per-CPU lists are kept for. */
export const MIGRATE_PCPTYPES = 3;
/** A pageblock is 2 MiB, as a huge page is. */
export const PAGEBLOCK_ORDER = 9;
export const PAGEBLOCK_PAGES = 1 << PAGEBLOCK_ORDER;

/** Where a type takes pages from when its own are used up, most welcome first. */
export const FALLBACKS: readonly (readonly MigrateType[])[] = [
  [MigrateType.Reclaimable, MigrateType.Movable],
  [MigrateType.Reclaimable, MigrateType.Unmovable],
  [MigrateType.Unmovable, MigrateType.Movable],
];

/** Type and isolation of every pageblock. The lock of its zone guards each. */
export class Pageblocks {
  private readonly types: Uint8Array;
  private readonly isolated: Uint8Array;

  /** `grouping`: false on machines too small for it, whose pageblocks are all of one type. */
  constructor(
    pages: number,
    readonly grouping: boolean,
  ) {
    const n = Math.ceil(pages / PAGEBLOCK_PAGES);
    this.types = new Uint8Array(n).fill(grouping ? MigrateType.Movable : MigrateType.Unmovable);
    this.isolated = new Uint8Array(n);
  }

  /** The list that a free page belongs on. */
  listOf(page: number): MigrateType {
    const block = page >>> PAGEBLOCK_ORDER;
    return this.isolated[block] !== 0 ? MigrateType.Isolate : this.types[block]!;
  }

  isIsolated(page: number): boolean {
    return this.isolated[page >>> PAGEBLOCK_ORDER] !== 0;
  }

  /** The type that the pageblock has, or had before it was isolated. */
  typeOf(page: number): MigrateType {
    return this.types[page >>> PAGEBLOCK_ORDER]!;
  }

  setType(page: number, type: MigrateType): void {
    this.types[page >>> PAGEBLOCK_ORDER] = type;
  }

  setIsolated(page: number, isolated: boolean): void {
    this.isolated[page >>> PAGEBLOCK_ORDER] = isolated ? 1 : 0;
  }
}
