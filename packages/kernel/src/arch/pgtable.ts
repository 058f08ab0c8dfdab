import { SpinLock } from "../kernel/locks.js";
import { NO_PAGE } from "../mm/page.js";
import { Event } from "../trace.js";
import type { Machine } from "../machine.js";

/**
 * Sv39 page tables. Every table is 512 entries in one flat array, so a pointer to an entry (ptep)
 * is a number: `node * 512 + index`. An entry is two words: a pfn or swap offset, and flags. The
 * low flag bits are the hardware's; the rest is what Linux keeps in software bits.
 *
 * Levels count as in the manual: 2 is the root (1 GiB entries), 1 has 2 MiB entries, 0 is last.
 */
export enum PTE {
  V = 1 << 0,
  R = 1 << 1,
  W = 1 << 2,
  X = 1 << 3,
  U = 1 << 4,
  /** Global in the manual; Linux's riscv uses it, without V, for PROT_NONE. */
  PROT_NONE = 1 << 5,
  A = 1 << 6,
  D = 1 << 7,
  SPECIAL = 1 << 8,
  SOFT_DIRTY = 1 << 9,
  UFFD_WP = 1 << 10,
  /** Not present and not none: a swap or special entry; its type stands in bits 16 to 20. */
  SWAP = 1 << 11,
  SWP_EXCLUSIVE = 1 << 12,
  SWP_SOFT_DIRTY = 1 << 13,
  SWP_UFFD_WP = 1 << 14,
  /** Of a migration entry: accessed and dirty bits of the entry that it stands for. */
  SWP_MIG_YOUNG = 1 << 21,
  SWP_MIG_DIRTY = 1 << 22,
}

export const SWAP_TYPE_SHIFT = 16;
export const PTRS_PER_TABLE = 512;
/** What one entry of level 1 maps: 2^9 pages, 2 MiB. */
export const HPAGE_PMD_ORDER = 9;
export const HPAGE_PMD_NR = 1 << HPAGE_PMD_ORDER;
/** User virtual page numbers are below this: 2^38 bytes. */
export const USER_VPN_END = 1 << 26;

export function ptePresent(flags: number): boolean {
  return (flags & (PTE.V | PTE.PROT_NONE)) !== 0;
}

export function swapType(flags: number): number {
  return (flags >>> SWAP_TYPE_SHIFT) & 31;
}

/** An entry's index within its table. */
export function tableIndex(vpn: number, level: number): number {
  return (vpn >>> (9 * level)) & 511;
}

/** What `PageTables.save` returns. */
export interface SavedTables {
  readonly entries: readonly { readonly ptep: number; readonly flags: number; readonly pfn: number }[];
  readonly nodes: number;
  readonly free: readonly number[];
  readonly locks: readonly (SpinLock | undefined)[];
  readonly frames: readonly number[];
  readonly levels: readonly number[];
}

/** Makes an array what another is. */
function assign<T>(array: T[], from: readonly T[]): void {
  if (array.length !== from.length) array.length = from.length;
  for (let i = 0; i < from.length; i++) array[i] = from[i]!;
}

function doubled(words: Uint32Array): Uint32Array {
  const grown = new Uint32Array(words.length * 2);
  grown.set(words);
  return grown;
}

/** All page tables of a machine: a pool of nodes. */
export class PageTables {
  /** Entry p is words[2p] (pfn or offset) and words[2p + 1] (flags). */
  words: Uint32Array;
  /** A bit for each entry that is not empty, so that walks skip what is. */
  private used: Uint32Array;
  private readonly free: number[] = [];
  private nodes = 0;
  private readonly locks: (SpinLock | undefined)[] = [];
  /** The frame that each node occupies, for the books: its contents are in `words`. */
  private readonly frames: number[] = [];
  /** The level of each node. */
  private readonly levels: number[] = [];

  constructor(private readonly m: Machine) {
    const nodes = m.config.checking ? 16 : 256;
    this.words = new Uint32Array(nodes * PTRS_PER_TABLE * 2);
    this.used = new Uint32Array((nodes * PTRS_PER_TABLE) / 32);
  }

  /** A new empty table of a level; `page` is the frame it stands for. */
  allocateNode(page: number, level: number): number {
    const reused = this.free.pop();
    const node = reused ?? this.nodes++;
    if (reused === undefined && this.nodes * PTRS_PER_TABLE * 2 > this.words.length) {
      this.words = doubled(this.words);
      this.used = doubled(this.used);
    }
    this.frames[node] = page;
    this.levels[node] = level;
    return node;
  }

  /** Takes an empty table back; returns its frame. */
  releaseNode(node: number): number {
    this.empty(node);
    this.locks[node] = undefined;
    this.free.push(node);
    const page = this.frames[node]!;
    this.frames[node] = NO_PAGE;
    this.m.sink?.emit(Event.TableFree, node, 0, 0, 0);
    return page;
  }

  /** False for an entry of a table that has been freed. */
  isAllocated(ptep: number): boolean {
    return this.frames[Math.floor(ptep / PTRS_PER_TABLE)]! !== NO_PAGE;
  }

  private empty(node: number): void {
    for (let i = this.nextUsed(node, 0); i < PTRS_PER_TABLE; i = this.nextUsed(node, i + 1)) this.clear(node * PTRS_PER_TABLE + i);
  }

  /** The split page-table lock of the node that an entry stands in. */
  lockOf(ptep: number): SpinLock {
    const node = Math.floor(ptep / PTRS_PER_TABLE);
    return (this.locks[node] ??= new SpinLock(this.m.locks, "ptl"));
  }

  /** The same, for who only looks: undefined where nobody has asked for it yet. */
  lockIfAny(ptep: number): SpinLock | undefined {
    return this.locks[Math.floor(ptep / PTRS_PER_TABLE)];
  }

  pfn(ptep: number): number {
    return this.words[ptep * 2]!;
  }

  flags(ptep: number): number {
    return this.words[ptep * 2 + 1]!;
  }

  isNone(ptep: number): boolean {
    return this.words[ptep * 2 + 1] === 0;
  }

  same(ptep: number, flags: number, pfn: number): boolean {
    return this.words[ptep * 2 + 1] === flags && this.words[ptep * 2] === pfn;
  }

  set(ptep: number, flags: number, pfn: number): void {
    this.words[ptep * 2] = pfn;
    this.words[ptep * 2 + 1] = flags;
    if (flags !== 0) this.used[ptep >>> 5]! |= 1 << (ptep & 31);
    else this.used[ptep >>> 5]! &= ~(1 << (ptep & 31));
  }

  clear(ptep: number): void {
    this.words[ptep * 2] = 0;
    this.words[ptep * 2 + 1] = 0;
    this.used[ptep >>> 5]! &= ~(1 << (ptep & 31));
  }

  /** The first entry of a table at or behind an index that is not empty, as an index; 512 for none. */
  nextUsed(node: number, index: number): number {
    if (index >= PTRS_PER_TABLE) return PTRS_PER_TABLE;
    const first = node * (PTRS_PER_TABLE / 32);
    let i = index >>> 5;
    let bits = this.used[first + i]! & (-1 << (index & 31));
    while (bits === 0) {
      if (++i === PTRS_PER_TABLE / 32) return PTRS_PER_TABLE;
      bits = this.used[first + i]!;
    }
    return i * 32 + 31 - Math.clz32(bits & -bits);
  }

  /** Every entry that is not empty, table by table. */
  eachUsed(visit: (ptep: number, flags: number, pfn: number) => void): void {
    for (let node = 0; node < this.nodes; node++) {
      for (let i = this.nextUsed(node, 0); i < PTRS_PER_TABLE; i = this.nextUsed(node, i + 1)) {
        const ptep = node * PTRS_PER_TABLE + i;
        visit(ptep, this.flags(ptep), this.pfn(ptep));
      }
    }
  }

  /** All tables as they are, to go back to; the state of their locks is not among it. */
  save(): SavedTables {
    const entries: SavedTables["entries"][number][] = [];
    this.eachUsed((ptep, flags, pfn) => entries.push({ ptep, flags, pfn }));
    const { nodes, free, locks, frames, levels } = this;
    return { entries, nodes, free: [...free], locks: [...locks], frames: [...frames], levels: [...levels] };
  }

  restore(saved: SavedTables): void {
    for (let node = 0; node < this.nodes; node++) this.empty(node);
    this.nodes = saved.nodes;
    assign(this.free, saved.free);
    assign(this.locks, saved.locks);
    assign(this.frames, saved.frames);
    assign(this.levels, saved.levels);
    for (const { ptep, flags, pfn } of saved.entries) this.set(ptep, flags, pfn);
  }

  /** Follows a table entry: the node it points to, or -1 where there is none or the entry is a leaf. */
  child(entry: number): number {
    return this.words[entry * 2 + 1] === PTE.V ? this.words[entry * 2]! : -1;
  }

  /** A pointer to a table is valid and grants nothing; every other entry is empty or a leaf. */
  setChild(entry: number, node: number): void {
    this.set(entry, PTE.V, node);
  }

  /** Whether an entry above the last level maps memory (or says where it went), instead of pointing to a table. */
  isLeaf(entry: number): boolean {
    const flags = this.words[entry * 2 + 1]!;
    return flags !== 0 && flags !== PTE.V;
  }

  /** Whether an entry maps 2 MiB: it stands in a table of level 1. */
  isHuge(entry: number): boolean {
    return this.levels[Math.floor(entry / PTRS_PER_TABLE)] === 1;
  }

  /** The level-1 entry for a page, whatever is in it; -1 where there is no table for it. */
  pmd(root: number, vpn: number): number {
    const mid = this.child(root * PTRS_PER_TABLE + tableIndex(vpn, 2));
    return mid < 0 ? -1 : mid * PTRS_PER_TABLE + tableIndex(vpn, 1);
  }

  /** The last-level entry for a page, or -1 where a table is missing or 2 MiB are mapped as one. */
  lookup(root: number, vpn: number): number {
    const mid = this.child(root * PTRS_PER_TABLE + tableIndex(vpn, 2));
    if (mid < 0) return -1;
    const last = this.child(mid * PTRS_PER_TABLE + tableIndex(vpn, 1));
    if (last < 0) return -1;
    return last * PTRS_PER_TABLE + tableIndex(vpn, 0);
  }

  /** The entry that decides over a page, as the hardware's walk finds it: of the last level, or a leaf of level 1 or 2. */
  find(root: number, vpn: number): number {
    const top = root * PTRS_PER_TABLE + tableIndex(vpn, 2);
    const mid = this.child(top);
    if (mid < 0) return this.isLeaf(top) ? top : -1;
    const entry = mid * PTRS_PER_TABLE + tableIndex(vpn, 1);
    const flags = this.words[entry * 2 + 1]!;
    if (flags === PTE.V) return this.words[entry * 2]! * PTRS_PER_TABLE + tableIndex(vpn, 0);
    return flags === 0 ? -1 : entry;
  }

  /** The pfn that an entry found by `find` has for a page. */
  pfnFor(entry: number, vpn: number): number {
    const pfn = this.words[entry * 2]!;
    const level = this.levels[Math.floor(entry / PTRS_PER_TABLE)]!;
    return level === 0 ? pfn : pfn + (vpn & ((1 << (9 * level)) - 1));
  }
}
