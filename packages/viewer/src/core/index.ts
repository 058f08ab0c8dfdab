/* All that a view may import: the state of the app, the canvas, words and colours. */
import type { ComponentType } from "preact";
import type { Viewer } from "./viewer.js";

export { Canvas, type CanvasProps, type Paper, type Place } from "./canvas.js";
export { address, duration, parseAddress, size } from "./format.js";
export { Kind, KINDS, type KindInfo } from "./kinds.js";
export type { Selection } from "./link.js";
export { MirrorBit } from "./protocol.js";
export type { BitView, EventRow, FolioView, Lane, LevelView, MirrorView, SpanKind, SpanRow, SpaceView, TimelineData, TraceInfo, VmaView, WalkView } from "./protocol.js";
export type { Moment, Range, Viewer } from "./viewer.js";

/** A part of the window. */
export interface View {
  readonly id: string;
  readonly title: string;
  readonly component: ComponentType<{ readonly viewer: Viewer }>;
}
