import type { Event, Machine } from "@faultline/kernel";
import { KeyframeTaker } from "./keyframe.js";
import type { NameKind } from "./names.js";
import type { TraceConsumer } from "./tracer.js";
import type { TraceWriter } from "./writer.js";

/** How far keyframes lie apart, in events. */
export interface KeyframeSpacing {
  /** At the beginning of the trace. */
  readonly first: number;
  /** After so many at one distance, they lie twice as far apart. */
  readonly each: number;
  /** But no further than this. */
  readonly last: number;
}

/** What happens in a race is looked at event by event. */
export const EVERY_EVENT: KeyframeSpacing = { first: 1, each: 1 << 13, last: 1 << 18 };
/** A short run in steps that can be told apart, a long one at no cost that is noticed. */
export const AS_THE_RUN_GROWS: KeyframeSpacing = { first: 32, each: 8, last: 1 << 18 };

/** Writes a trace of a machine with keyframes in it: the first before any event, the last at the end. */
export class KeyframingWriter implements TraceConsumer {
  private readonly taker: KeyframeTaker;
  private distance: number;
  private taken = 0;
  private next: number;

  constructor(
    private readonly m: Machine,
    private readonly writer: TraceWriter,
    private readonly spacing: KeyframeSpacing,
  ) {
    this.taker = new KeyframeTaker(m);
    this.distance = spacing.first;
    this.next = writer.events + this.distance;
    this.take();
  }

  name(kind: NameKind, id: number, text: string): void {
    this.writer.name(kind, id, text);
  }

  event(time: number, executor: number, task: number, event: Event, a: number, b: number, c: number, d: number, e: number, f: number, g: number): void {
    const { writer, spacing } = this;
    writer.event(time, executor, task, event, a, b, c, d, e, f, g);
    if (writer.events < this.next) return;
    this.take();
    if (++this.taken % spacing.each === 0) this.distance = Math.min(2 * this.distance, spacing.last);
    this.next = writer.events + this.distance;
  }

  /** The run is over. */
  end(): void {
    this.take();
  }

  private take(): void {
    this.writer.keyframe(this.taker.take(), Math.floor(this.m.now()));
  }
}
