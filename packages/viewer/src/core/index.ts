/* All that a view may import: the state of the app, the canvas, words and colours. */
import type { ComponentType } from "preact";
import type { Viewer } from "./viewer.js";

export { Canvas, type CanvasProps, type Paper, type Place } from "./canvas.js";
export { useAnswer } from "./answer.js";
export { kindsAt } from "./differences.js";
export { countUpTo, firstAtOrBehind } from "./ascending.js";
export { explainAt, explains } from "./explain.js";
export { lockWords } from "./follow.js";
export type { FolioView, HistoryKind, HistoryRow, HistoryView, HolderView, LockRef, MemoryView, RegionView, ZoneView } from "./folio_protocol.js";
export { address, duration, hex, parseAddress, size } from "./format.js";
export { Kind, KINDS, type KindInfo } from "./kinds.js";
export type { Selection } from "./link.js";
export { cellAtPlace, cellsOf, drawMemory, foundAt, foundWords, memoryLayout, moved, revealed, type Found } from "./memory_map.js";
export { PageMark, PageUse, SlotUse, USES, type Use } from "./page_use.js";
export { Title } from "./panel.js";
export { MirrorBit } from "./protocol.js";
export type { BitView, EventRow, Lane, LevelView, MarkKind, MarkRow, MirrorView, SpanKind, SpanRow, SpaceView, TimelineData, TraceInfo, VmaView, WalkView } from "./protocol.js";
export { lastNotAbove, momentAt, timeAt, timeOf, type StepTimes } from "./times.js";
export type { Moment, Range, Viewer } from "./viewer.js";

/** Parts of the window. The views of one share it, one shown at a time. */
export type PanelName = "timeline" | "space" | "entry" | "events";

/** A view, in the part of the window that it has or shares. */
export interface View {
  readonly id: string;
  readonly title: string;
  readonly panel: PanelName;
  /** Whether there is something to show, always unless given. */
  readonly available?: (viewer: Viewer) => boolean;
  readonly component: ComponentType<{ readonly viewer: Viewer }>;
}
