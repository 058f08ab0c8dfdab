import type { TraceFinding } from "@faultline/trace";
import type { FolioRequests } from "./folio_protocol.js";
import type { StepTimes } from "./times.js";

/* What the page and its worker say to each other. Everything is data: names out of traces are text. */

/** The kernel that something runs on. */
export interface KernelChoice {
  readonly release: string;
  /** Patches that are undone besides. */
  readonly without: readonly string[];
}

/** What a program is run with. */
export interface Launch extends KernelChoice {
  readonly args: readonly string[];
  readonly seed: number;
}

/** Where a trace comes from: what a link holds, or a file. */
export type Source =
  | (KernelChoice & { readonly kind: "scenario"; readonly name: string; readonly schedule: string })
  | (Launch & { readonly kind: "program"; readonly name: string })
  /** One that `faultline view FILE [FILE]` serves, counted from 1. */
  | { readonly kind: "served"; readonly number: number }
  /** A recording; or a program, which is run. */
  | (Launch & { readonly kind: "file"; readonly name: string; readonly content: Blob });

export interface Gallery {
  readonly scenarios: readonly { readonly name: string; readonly title: string }[];
  readonly programs: readonly string[];
  readonly releases: readonly string[];
  readonly patches: readonly { readonly name: string; readonly title: string }[];
}

export interface TraceInfo {
  readonly program: string;
  readonly args: readonly string[];
  readonly release: string;
  readonly without: readonly string[];
  /** Files of the user's own patches and drivers, which are named and no more. */
  readonly patches: readonly string[];
  readonly drivers: readonly string[];
  readonly machine: string;
  readonly events: number;
  /** Nanoseconds of machine time. */
  readonly duration: number;
  readonly keyframes: number;
  readonly hash: string;
  /** Whether its run can be repeated here. */
  readonly repeats: boolean;
  /** What is to be known ahead of trusting it: "cut off", no functions. */
  readonly notes: readonly string[];
  /** The rule that an execution broke. */
  readonly broken: TraceFinding | null;
  /** What the program wrote. */
  readonly output: string;
}

/** Spans that do not overlap, by where they begin. `ends` is the first step behind. */
export interface SpanRow {
  readonly label: string;
  readonly kind: SpanKind;
  readonly starts: Uint32Array;
  readonly ends: Uint32Array;
  /** Indices into `TimelineData.strings`. */
  readonly names: Uint16Array;
}

export type SpanKind = "run" | "call" | "held" | "wait" | "invalidate";

export interface Lane {
  readonly group: "CPUs and engines" | "Devices" | "Tasks";
  readonly name: string;
  readonly rows: readonly SpanRow[];
  readonly marks: readonly MarkRow[];
}

/** What is marked by a letter of its own; all else is an event. */
export type MarkKind = "fault" | "tlb" | "event";

/** Steps of what happens at one moment, in order, and which event each is (indices into `TimelineData.strings`). */
export interface MarkRow {
  readonly kind: MarkKind;
  readonly steps: Uint32Array;
  readonly names: Uint16Array;
}

export interface TimelineData {
  readonly strings: readonly string[];
  readonly lanes: readonly Lane[];
  readonly times: StepTimes;
}

export interface EventRow {
  readonly step: number;
  readonly time: number;
  readonly where: string;
  readonly task: string;
  readonly name: string;
  readonly text: string;
  /** By which core/docs.ts explains it. */
  readonly explain: string;
}

/** How far a state can be relied on. */
export interface Basis {
  /** The keyframe's place, and how many events have been put on top of it. */
  readonly keyframe: number;
  readonly since: number;
}

export interface SpaceList {
  readonly basis: Basis;
  readonly spaces: readonly { readonly mm: number; readonly tasks: readonly string[]; readonly resident: number; readonly pages: number }[];
}

/** Cells stand for `span` pages each: 1 or 512. */
export interface VmaView {
  readonly start: number;
  readonly end: number;
  readonly rights: string;
  readonly name: string;
  readonly flags: string;
  readonly span: number;
  /** Vpn of the first cell: below `start` where cells are of 2 MiB. */
  readonly first: number;
  /** `Kind` of each cell: of the page, or of most pages that have anything. */
  readonly cells: Uint8Array;
  /** Pages of each cell that have an entry; as `cells` where those are pages. */
  readonly filled: Uint16Array;
}

export interface MirrorView {
  readonly name: string;
  readonly notifier: number;
  /** For each VMA, for each cell: 0, or `MirrorBit`s. */
  readonly cells: readonly Uint8Array[];
}

export enum MirrorBit {
  Read = 1,
  Write = 2,
  Atomic = 4,
  /** The CPU's entry does not back it. */
  Disagrees = 8,
}

export interface SpaceView {
  readonly mm: number;
  readonly basis: Basis;
  readonly vmas: readonly VmaView[];
  readonly mirrors: readonly MirrorView[];
}

export interface BitView {
  readonly name: string;
  readonly set: boolean;
}

export interface LevelView {
  readonly level: string;
  readonly node: number;
  readonly index: number;
  readonly pfn: number;
  readonly flags: number;
  /** What the entry is, in words. */
  readonly words: string;
  readonly bits: readonly BitView[];
}

export interface WalkView {
  readonly mm: number;
  readonly vpn: number;
  readonly basis: Basis;
  readonly kind: number;
  readonly vma: string;
  readonly levels: readonly LevelView[];
  /** The page that it names, and counts of its folio, which are those of the keyframe. */
  readonly folio: { readonly pfn: number; readonly order: number; readonly refcount: number; readonly mapcount: number } | null;
  readonly mirrors: readonly { readonly name: string; readonly words: string; readonly disagrees: boolean }[];
}

/**
 * Events of a trace, task by task, by which another run of the same is held beside it. Keys say
 * what an event is: those of two traces can be compared.
 */
export interface Anchors {
  readonly tasks: readonly TaskAnchors[];
}

export interface TaskAnchors {
  /** The same in both traces: its name, and which of that name. */
  readonly task: string;
  readonly steps: Uint32Array;
  /** With its arguments. */
  readonly keys: Uint32Array;
  /** Without them. */
  readonly coarse: Uint32Array;
  /** 1: something that a user could observe, as a system call or a fault. */
  readonly outer: Uint8Array;
}

/** Steps of two traces that correspond, in pairs: within a task both ascend. */
export interface Pairs {
  readonly own: Uint32Array;
  readonly other: Uint32Array;
  /** Anchors that the other one does not have, ascending. */
  readonly ownOnly: Uint32Array;
  readonly otherOnly: Uint32Array;
}

/** What a question fails with whose search was ended, by another or by `cancel`. */
export const CANCELLED = "cancelled";

/** What the page may ask, and what it gets. */
export interface Requests extends FolioRequests {
  gallery: { ask: null; answer: Gallery };
  open: { ask: Source; answer: { readonly info: TraceInfo; readonly timeline: TimelineData } };
  spaces: { ask: { readonly step: number }; answer: SpaceList };
  space: { ask: { readonly step: number; readonly mm: number; readonly detail: number | null }; answer: SpaceView | null };
  walk: { ask: { readonly step: number; readonly mm: number; readonly vpn: number }; answer: WalkView | null };
  events: { ask: { readonly from: number; readonly to: number }; answer: readonly EventRow[] };
  /** The next event ahead of or behind `from` whose name or text has `text`. */
  search: { ask: { readonly text: string; readonly from: number; readonly forward: boolean }; answer: number | null };
  /** The next event that is about a page of an address space. */
  touching: { ask: { readonly mm: number; readonly vpn: number; readonly from: number; readonly forward: boolean }; answer: number | null };
  /** Computes all of the state at a step, where the run can be repeated; whether it is known now. */
  settle: { ask: { readonly step: number }; answer: boolean };
  /** Ends the search that is under way; it fails. */
  cancel: { ask: null; answer: null };
  /** `inner`: not only what a user could observe, but everything. */
  anchors: { ask: { readonly inner: boolean }; answer: Anchors };
  align: { ask: { readonly inner: boolean; readonly other: Anchors }; answer: Pairs };
}

export type RequestName = keyof Requests;
export interface Request<N extends RequestName = RequestName> {
  readonly id: number;
  readonly name: N;
  readonly ask: Requests[N]["ask"];
}
export type Reply = { readonly id: number; readonly answer: unknown } | { readonly id: number; readonly error: string } | { readonly id: number; readonly progress: string };
