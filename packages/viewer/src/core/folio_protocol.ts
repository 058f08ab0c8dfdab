import type { Selection } from "./link.js";
import type { Basis } from "./protocol.js";

/* What the views of folios and of physical memory ask. */

/** A lock that somebody wants to follow. */
export type LockRef =
  | { readonly kind: "folio"; readonly pfn: number }
  | { readonly kind: "mmap_lock"; readonly mm: number }
  /** Any other, by the number that its events have. */
  | { readonly kind: "lock"; readonly id: number; readonly name: string };

/** Somebody who has references to a folio, or a translation of it, or an entry that has none. */
export interface HolderView {
  readonly who: string;
  /** By which `HOLDERS` of core/docs.ts explains it. */
  readonly doc: string;
  readonly references: number;
  /** Where it is mapped. */
  readonly page: Selection | null;
  /** A folio that is behind it. */
  readonly pfn: number | null;
}

export interface FolioView {
  readonly step: number;
  readonly basis: Basis;
  /** The page that was asked for; `first` is that of the folio's first page, `part` which of its pages this is. */
  readonly pfn: number;
  readonly first: number;
  readonly part: number;
  readonly order: number;
  /** A `PageUse`. */
  readonly use: number;
  readonly where: string;
  readonly refcount: number;
  /** Mappings of all its pages, and among them those of the whole. */
  readonly mapcount: number;
  readonly entireMapcount: number;
  /** Pins; null where a large folio's are not known. */
  readonly pins: number | null;
  /** Of the folio, and of this page of it. */
  readonly flags: readonly string[];
  readonly pageFlags: readonly string[];
  readonly lru: string;
  readonly memcg: string;
  readonly mapping: string;
  readonly index: number | null;
  readonly holders: readonly HolderView[];
  /** References that nothing in the trace accounts for. */
  readonly others: number;
  /** What this recording does not know. */
  readonly missing: readonly string[];
}

export type HistoryKind = "alloc" | "free" | "map" | "unmap" | "swap" | "migrate" | "exclusive" | "device" | "lock" | "lru" | "access";

export interface HistoryRow {
  readonly step: number;
  readonly time: number;
  readonly where: string;
  readonly task: string;
  readonly kind: HistoryKind;
  readonly text: string;
  /** Counts the times that the page was allocated: 0 was so when the recording began. */
  readonly life: number;
  /** The page that it is about, and another folio. */
  readonly page: Selection | null;
  readonly pfn: number | null;
}

export interface HistoryView {
  readonly pfn: number;
  /** Events that were looked through, of how many. */
  readonly scanned: number;
  readonly events: number;
  /** How many rows there are so far; `rows` are those from `from` on. */
  readonly total: number;
  readonly from: number;
  readonly rows: readonly HistoryRow[];
  readonly lives: number;
  /** Set where there was more than is kept: steps behind this are not listed. */
  readonly cutAt: number | null;
}

/** A part of physical memory that is drawn under one heading. */
export interface RegionView {
  readonly name: string;
  readonly detail: string;
  /** Where its cells begin in `uses`, how many they are, and the pfn (or slot) of the first. */
  readonly first: number;
  readonly count: number;
  readonly pfn: number;
  readonly swap: boolean;
}

export interface ZoneView {
  readonly name: string;
  readonly managed: number;
  readonly free: number;
  readonly pcp: number;
  readonly min: number;
  readonly low: number;
  readonly high: number;
}

export interface MemoryView {
  readonly keyframe: number;
  readonly regions: readonly RegionView[];
  readonly zones: readonly ZoneView[];
  /** `Use` and `PageMark`s of each page and slot. */
  readonly uses: Uint8Array;
  readonly marks: Uint8Array;
  readonly missing: readonly string[];
}

export interface FolioRequests {
  eventDocs: { ask: null; answer: readonly { readonly name: string; readonly system: string; readonly doc: string }[] };
  folio: { ask: { readonly step: number; readonly pfn: number }; answer: FolioView | null };
  /** Looks through some more events, and says what is known so far, around a step. */
  history: { ask: { readonly pfn: number; readonly step: number; readonly turn: number }; answer: HistoryView | null };
  /** The next step at which something happens to a folio. `done` false: ask again. */
  folioNext: { ask: { readonly pfn: number; readonly from: number; readonly forward: boolean }; answer: { readonly step: number | null; readonly done: boolean } };
  lockNext: { ask: { readonly lock: LockRef; readonly from: number; readonly forward: boolean }; answer: number | null };
  /** What the event at a step is about. */
  about: { ask: { readonly step: number }; answer: { readonly pfn: number | null; readonly lock: LockRef | null; readonly page: Selection | null } };
  /** `known`: a keyframe whose answer the page has already; then null. */
  memory: { ask: { readonly step: number; readonly known: number | null }; answer: MemoryView | null };
  /** What a slot of the swap device holds, in words. */
  slot: { ask: { readonly step: number; readonly slot: number }; answer: { readonly words: string; readonly page: Selection | null; readonly pfn: number | null } };
}
