import { Event, type EventSink } from "@faultline/kernel";

/**
 * Remembers which event of a recording was the last at each of the steps that the checker counts:
 * points, and events but for those of functions.
 */
export class StepCounter implements EventSink {
  private readonly last: number[] = [];

  /** @param events how many events have been recorded */
  constructor(
    private readonly recording: Pick<EventSink, "emit">,
    private readonly events: () => number,
  ) {}

  point(): void {
    this.last.push(this.events());
  }

  emit(event: Event, a: number, b: number, c: number, d: number, e?: number, f?: number, g?: number): void {
    this.recording.emit(event, a, b, c, d, e, f, g);
    if (event !== Event.FuncEntry && event !== Event.FuncExit) this.last.push(this.events());
  }

  /** The event that was the last when so many steps had happened; the first where there was none yet. */
  eventAt(steps: number): number {
    return Math.max(0, (this.last[Math.min(steps, this.last.length) - 1] ?? 0) - 1);
  }
}
