import { PTE, pteMarker, PTRS_PER_TABLE } from "@faultline/kernel";
import type { MemoryState, VmaState } from "@faultline/trace";
import { Kind, KINDS } from "../core/kinds.js";
import { pageOf, placeOf, type Entries } from "./entries.js";
import { find, type State } from "./state.js";

const KIND_COUNT = Object.keys(KINDS).length;

/** What 2 MiB of a VMA have. */
export interface Summary {
  /** Of most of its pages that have any entry. */
  readonly kind: Kind;
  /** Pages that have one. */
  readonly filled: number;
}

const NOTHING: Summary = { kind: Kind.None, filled: 0 };

interface Known<T> {
  readonly node: number;
  readonly version: number;
  /** Of a device's table. */
  readonly own: number;
  readonly vmaFlags: number;
  readonly value: T;
}

/** Summaries of 2 MiB each, made again where the table has changed: what a step costs does not depend on how large a VMA is. */
export class Overviews {
  private run: object | null = null;
  private readonly summaries = new Map<number, Known<Summary>>();
  private readonly bits = new Map<string, Known<number>>();
  private readonly counts = new Uint16Array(KIND_COUNT);

  constructor(private readonly entries: Entries) {}

  /** Of the pages of a VMA in the 2 MiB from `first` on, a multiple of 512. */
  summary(state: State, mm: number, root: number, vma: VmaState, first: number): Summary {
    this.begin(state);
    const node = lastTable(state.words, root, first);
    if (node === null) return NOTHING;
    // One entry maps all of it: nothing to remember.
    if (node < 0) return this.look(state, root, node, vma, first);
    const key = mm * 2 ** 26 + Math.max(first, vma.start);
    const version = versionOf(state, node);
    const known = this.summaries.get(key);
    if (known?.node === node && known.version === version && known.vmaFlags === vma.flags) return known.value;
    const value = this.look(state, root, node, vma, first);
    this.summaries.set(key, { node, version, own: 0, vmaFlags: vma.flags, value });
    return value;
  }

  /** What `compute` says of a device's translations in the 2 MiB around a page, as long as neither its table nor the CPUs' changes. */
  mirrored(state: State, notifier: number, root: number, vma: VmaState, vpn: number, own: number, compute: () => number): number {
    this.begin(state);
    const node = lastTable(state.words, root, vpn);
    if (node === null || node < 0) return compute();
    const version = versionOf(state, node);
    const key = `${notifier} ${vpn} ${vma.end}`;
    const known = this.bits.get(key);
    if (known?.node === node && known.version === version && known.own === own && known.vmaFlags === vma.flags) return known.value;
    const value = compute();
    this.bits.set(key, { node, version, own, vmaFlags: vma.flags, value });
    return value;
  }

  private begin({ run }: State): void {
    if (run === this.run) return;
    this.run = run;
    this.summaries.clear();
    this.bits.clear();
  }

  private look(state: State, root: number, node: number, vma: VmaState, first: number): Summary {
    const { counts } = this;
    const { memory } = state.keyframe;
    const [from, to] = [Math.max(first, vma.start), Math.min(first + PTRS_PER_TABLE, vma.end)];
    counts.fill(0);
    if (node < 0) {
      const { flags, pfn } = find(state.words, root, from)!;
      counts[this.entries.kind(flags, pfn, pageOf(memory, pfn), vma.flags, memory)] = to - from;
    } else this.count(state.words, node * PTRS_PER_TABLE + (from - first), to - from, vma.flags, memory);
    let most: Kind = Kind.None;
    let filled = 0;
    for (let kind = 1; kind < KIND_COUNT; kind++) {
      filled += counts[kind]!;
      if (counts[kind]! > 0 && (most === Kind.None || counts[kind]! > counts[most]!)) most = kind;
    }
    return { kind: most, filled };
  }

  private count(words: Uint32Array, first: number, n: number, vmaFlags: number, memory: MemoryState): void {
    const { counts } = this;
    const special = memory.sections.some(({ kind }) => kind === "coherent");
    const zeroPfn = placeOf(memory, memory.zeroPage)?.pfn;
    let lastFlags = 0;
    let lastKind: Kind = Kind.None;
    for (let entry = first; entry < first + n; entry++) {
      const flags = words[entry * 2 + 1]!;
      if (flags === 0) continue;
      const pfn = words[entry * 2]!;
      const present = (flags & PTE.V) !== 0;
      // Of most entries flags alone say what they are: not of the zero page, a device's memory, or markers.
      const known = flags === lastFlags && lastKind !== Kind.Zero && (present ? !special && pfn !== zeroPfn : pteMarker(flags, 1) === 0);
      if (!known) {
        lastFlags = flags;
        lastKind = this.entries.kind(flags, pfn, pageOf(memory, pfn), vmaFlags, memory);
      }
      counts[lastKind]!++;
    }
  }
}

/** Grows with each change to what a table has. */
function versionOf({ versions }: State, node: number): number {
  return versions[node] ?? 0;
}

/** The table that the last entry for a page is in; -1 where a larger entry maps it, null where there is none. */
function lastTable(words: Uint32Array, root: number, vpn: number): number | null {
  let node = root;
  for (let level = 2; level > 0; level--) {
    const entry = node * PTRS_PER_TABLE + ((vpn >>> (9 * level)) & 511);
    const flags = words[entry * 2 + 1] ?? 0;
    if (flags === 0) return null;
    if (flags !== PTE.V) return -1;
    node = words[entry * 2]!;
  }
  return node;
}
