import { useMemo, useState } from "preact/hooks";
import { Canvas, duration, firstAtOrBehind, explainAt, momentAt, timeAt, timeOf, type Lane, type MarkKind, type MarkRow, type Paper, type Place, type SpanKind, type SpanRow, type TimelineData, type View, type Viewer } from "../core/index.js";

const GUTTER = 190;
const RULER = 24;
const ROW = 15;
/** Heights of rows of marks: with a letter in each where there is room, or without. */
const MARKS: Readonly<Record<MarkKind, number>> = { fault: 13, tlb: 13, event: 9 };
const GROUP = 18;
const PAD = 3;
const FONT = "11px ui-monospace, 'DejaVu Sans Mono', monospace";
const FONT_LETTER = "bold 9px ui-monospace, 'DejaVu Sans Mono', monospace";
/** Ticks of the ruler lie this far apart at least. */
const TICK = 90;
const CALL_COLOURS = 7;

/** Where a row of a lane is drawn. Heights are fixed: nothing moves while one zooms. */
interface Placed {
  readonly y: number;
  readonly lane: Lane;
  readonly height: number;
  readonly row: SpanRow | MarkRow;
}

interface Layout {
  readonly placed: readonly Placed[];
  readonly groups: readonly { readonly y: number; readonly name: string }[];
  readonly lanes: readonly { readonly y: number; readonly height: number; readonly lane: Lane }[];
  readonly height: number;
}

function layoutOf({ lanes }: TimelineData): Layout {
  const placed: Placed[] = [];
  const groups: { readonly y: number; readonly name: string }[] = [];
  const boxes: { readonly y: number; readonly height: number; readonly lane: Lane }[] = [];
  let y = RULER;
  let group = "";
  for (const lane of lanes) {
    if (lane.group !== group) {
      group = lane.group;
      groups.push({ y, name: group });
      y += GROUP;
    }
    const top = y;
    y += PAD;
    // Faults come first: the calls of a task can be many rows.
    const faults = lane.marks.filter(({ kind }) => kind === "fault");
    for (const row of [...faults, ...lane.rows, ...lane.marks.filter(({ kind }) => kind !== "fault")]) {
      const height = "steps" in row ? MARKS[row.kind] : ROW;
      placed.push({ y, lane, height, row });
      y += height;
    }
    y = Math.max(y, top + ROW + PAD) + PAD;
    boxes.push({ y: top, height: y - top, lane });
  }
  return { placed, groups, lanes: boxes, height: y };
}

/** How steps lie along the axis: evenly, or by machine time. */
class Axis {
  private readonly begin: number;
  private readonly perUnit: number;

  constructor(
    private readonly timeline: TimelineData,
    readonly from: number,
    readonly to: number,
    readonly byTime: boolean,
    width: number,
  ) {
    this.begin = this.along(from);
    this.perUnit = Math.max(1, width - GUTTER) / Math.max(1e-9, this.along(to) - this.begin);
  }

  /** Pixels of a step, or of a nanosecond. */
  get scale(): number {
    return this.perUnit;
  }

  /** Where a moment between steps is. */
  x(moment: number): number {
    return GUTTER + (this.along(moment) - this.begin) * this.perUnit;
  }

  /** The moment at a place. */
  moment(x: number): number {
    return this.back(this.value(x));
  }

  /** What the axis counts at a place: steps, or nanoseconds. */
  value(x: number): number {
    return this.begin + (x - GUTTER) / this.perUnit;
  }

  private along(moment: number): number {
    return this.byTime ? timeOf(this.timeline.times, moment) : moment;
  }

  private back(value: number): number {
    return this.byTime ? momentAt(this.timeline.times, value) : value;
  }
}

function Timeline({ viewer }: { readonly viewer: Viewer }) {
  const timeline = viewer.timeline.value;
  const layout = useMemo(() => (timeline === null ? null : layoutOf(timeline)), [timeline]);
  const [hover, setHover] = useState<Place | null>(null);
  const { from, to } = viewer.range.value;
  const step = viewer.step.value;
  const byTime = viewer.byTime.value;
  const paint = useMemo(
    () => (paper: Paper) => {
      if (timeline !== null && layout !== null) new Drawing(paper, timeline, layout, new Axis(timeline, from, to, byTime, paper.width)).all();
    },
    [timeline, layout, from, to, byTime],
  );
  const overlay = useMemo(
    () => (paper: Paper) => {
      if (timeline !== null && layout !== null) new Drawing(paper, timeline, layout, new Axis(timeline, from, to, byTime, paper.width)).step(step);
    },
    [timeline, layout, from, to, byTime, step],
  );
  if (timeline === null || layout === null) return null;
  const axis = (): Axis => new Axis(timeline, from, to, byTime, document.querySelector<HTMLElement>(".timeline .scroller")?.clientWidth ?? GUTTER + 1);
  const hovered = hover === null ? null : wordsUnder(layout, timeline, hover, axis());
  return (
    <section class="view timeline" aria-label="Timeline">
      <Canvas
        paint={paint}
        overlay={overlay}
        contentHeight={layout.height}
        label="Timeline. W and S zoom, A and D move, arrow keys step, M is by machine time or by steps. The list of events has the same as text."
        testId="timeline"
        onPoint={(place, event) => {
          if (place.x < GUTTER) return;
          viewer.goTo(Math.floor(axis().moment(place.x)));
          const taken = event.type === "pointerdown" ? lockUnder(layout, place, axis()) : null;
          if (taken !== null) void viewer.follow.selectAbout(taken, "lock");
        }}
        onHover={(place, { clientX, clientY }) => {
          setHover(place);
          explainAt(place === null ? null : keyUnder(layout, timeline, place, axis()), clientX, clientY);
        }}
        onWheel={(event, { x }) => {
          if (event.ctrlKey || event.metaKey) viewer.zoom(event.deltaY > 0 ? 1.25 : 0.8, axis().moment(x));
          else if (event.shiftKey || Math.abs(event.deltaX) > Math.abs(event.deltaY)) viewer.pan((event.deltaX || event.deltaY) / 1000);
          else return false;
          return true;
        }}
      />
      <p class="hint" data-testid="hover">
        <button aria-pressed={byTime} title="The timeline by machine time, or by steps (m)" data-testid="by-time" onClick={() => (viewer.byTime.value = !byTime)}>
          {byTime ? "by time" : "by step"}
        </button>
        {"  "}
        {hovered ?? "click: go to a step   w s a d: zoom, move   ← →: step   m: by time   /: search   [ ]: events of the selected page   F: fault   T: TLB flush"}
      </p>
    </section>
  );
}

/** The row at a place, and which of its spans or marks that is. */
function under({ placed }: Layout, { x, y }: Place, axis: Axis): { readonly lane: Lane; readonly row: SpanRow | MarkRow; readonly i: number } | null {
  const found = x < GUTTER ? undefined : placed.find((place) => y >= place.y && y < place.y + place.height);
  if (found === undefined) return null;
  const { row, lane } = found;
  if ("steps" in row) {
    const i = firstAtOrBehind(row.steps, axis.moment(x - 4) - 0.5);
    return i < row.steps.length && axis.x(row.steps[i]! + 0.5) <= x + 4 ? { lane, row, i } : null;
  }
  const at = axis.moment(x);
  const i = firstAtOrBehind(row.ends, Math.floor(at) + 1);
  return i < row.starts.length && row.starts[i]! <= at ? { lane, row, i } : null;
}

/** The step at which the lock was taken, or wanted, whose span is at a place. */
function lockUnder(layout: Layout, place: Place, axis: Axis): number | null {
  const found = under(layout, place, axis);
  if (found === null || "steps" in found.row || (found.row.kind !== "held" && found.row.kind !== "wait")) return null;
  return found.row.starts[found.i]!;
}

/** What is at a place, in a line. */
function wordsUnder(layout: Layout, { strings, times }: TimelineData, place: Place, axis: Axis): string | null {
  const found = under(layout, place, axis);
  if (found === null) return null;
  const { lane, row, i } = found;
  const name = strings[row.names[i]!]!;
  if ("steps" in row) return `${lane.name}: ${name}, step ${row.steps[i]!}, ${duration(timeAt(times, row.steps[i]!))}`;
  const [start, end] = [row.starts[i]!, row.ends[i]!];
  return `${lane.name}: ${WORDS[row.kind]} ${name}, steps ${start} to ${end - 1}, ${duration(timeAt(times, end) - timeAt(times, start))}`;
}

/** What explains that which is at a place. */
function keyUnder(layout: Layout, { strings }: TimelineData, place: Place, axis: Axis): string | null {
  const found = under(layout, place, axis);
  if (found === null) return null;
  const { row, i } = found;
  const name = strings[row.names[i]!]!;
  if ("steps" in row) return `event ${name}`;
  if (row.kind === "call") return `function ${name}`;
  return row.kind === "run" ? null : row.kind === "invalidate" ? "event mmu_notifier_invalidate_range_start" : `lock ${name === "folio lock" ? "folio_lock" : name}`;
}

const WORDS: Readonly<Record<SpanKind, string>> = { run: "runs", call: "in", held: "holds", wait: "waits for", invalidate: "in" };

const MARK_LABELS: Readonly<Record<MarkKind, string>> = { fault: "F faults", tlb: "T TLB", event: "" };
/** Marks that lie this near each other are one bar. */
const APART = 3;
/** Room for a mark's letter. */
const LETTER = 9;
const LETTERS: Readonly<Record<MarkKind, string>> = { fault: "F", tlb: "T", event: "" };

/** One picture. Each row costs as many searches as it has pixels, however many events it has. */
class Drawing {
  constructor(
    private readonly paper: Paper,
    private readonly timeline: TimelineData,
    private readonly layout: Layout,
    private readonly axis: Axis,
  ) {}

  /** All but the step. */
  all(): void {
    const { ctx, top, height, width, colour } = this.paper;
    ctx.font = FONT;
    for (const [i, box] of this.layout.lanes.entries()) {
      if (i % 2 === 1) this.box(0, box.y - top, width, box.height, colour("stripe"));
    }
    for (const { y, height: tall, row } of this.layout.placed) {
      if (y + tall < top || y > top + height) continue;
      if ("steps" in row) this.marks(row, y - top);
      else this.spans(row, y - top);
    }
    this.labels();
    this.ruler();
  }

  /** A band as wide as the step is, with a line at its left, and its number. */
  step(step: number): void {
    const { ctx, width, height, colour } = this.paper;
    const [left, right] = [Math.max(GUTTER, this.axis.x(step)), this.axis.x(step + 1)];
    if (right < GUTTER || left > width) return;
    ctx.font = FONT;
    this.box(left, RULER, Math.max(1, right - left), height, colour("step-band"));
    this.box(left, 0, 1.5, height, colour("accent"));
    const label = this.axis.byTime ? `${step}, ${duration(timeAt(this.timeline.times, step))}` : `${step}`;
    const wide = label.length * 7 + 8;
    const at = Math.min(left, width - wide);
    this.box(at, 2, wide, RULER - 6, colour("accent"));
    this.text(label, at + 4, RULER / 2, wide, colour("accent-text"));
  }

  private spans(row: SpanRow, y: number): void {
    const { ctx, width, colour } = this.paper;
    const { axis } = this;
    const { starts, ends, names } = row;
    const dense = colour("dense");
    for (let i = firstAtOrBehind(ends, axis.from); i < starts.length && starts[i]! < axis.to; ) {
      const left = Math.max(GUTTER, axis.x(starts[i]!));
      const right = Math.min(width, axis.x(ends[i]!));
      if (right - left >= 2) {
        const name = this.timeline.strings[names[i]!] ?? "";
        this.box(left, y, right - left - 1, ROW - 1, this.colourOf(row.kind, name));
        if (row.kind === "wait") this.hatch(left, y, right - left - 1);
        if (right - left > 18) this.text(name, left + 3, y + ROW / 2, right - left - 6, colour(row.kind === "run" ? "run-text" : "span-text"));
        i++;
        continue;
      }
      // Too narrow: whatever ends within this pixel is one mark, and marks that touch are one bar.
      let end = left + 1.5;
      for (;;) {
        i = Math.max(i + 1, firstAtOrBehind(ends, axis.moment(end)));
        if (i >= starts.length || starts[i]! >= axis.to) break;
        const [next, nextEnd] = [axis.x(starts[i]!), axis.x(ends[i]!)];
        if (next > end + 0.5 || nextEnd - next >= 2) break;
        end = Math.max(next, end) + 1;
      }
      this.box(left, y, end - left, ROW - 1, dense);
    }
    ctx.globalAlpha = 1;
  }

  private marks({ kind, steps }: MarkRow, y: number): void {
    const { ctx, colour } = this.paper;
    const { axis } = this;
    const tall = MARKS[kind] - 1;
    // Letters stand in marks that nothing is near to: left of them, and right.
    const letters: number[] = [];
    ctx.fillStyle = colour(`mark-${kind}`);
    ctx.beginPath();
    let before = -Infinity;
    for (let i = firstAtOrBehind(steps, axis.from - 0.5); i < steps.length && steps[i]! < axis.to; ) {
      const x = axis.x(steps[i]! + 0.5);
      let end = x;
      let next = Infinity;
      for (;;) {
        i = Math.max(i + 1, firstAtOrBehind(steps, axis.moment(end + 1) - 0.5));
        next = i < steps.length && steps[i]! < axis.to ? axis.x(steps[i]! + 0.5) : Infinity;
        if (next - end > APART) break;
        end = next;
      }
      const left = Math.max(GUTTER, x - 1);
      if (end > x) ctx.rect(left, y + 1, Math.max(0, end + 1 - left), tall - 2);
      else if (x >= GUTTER) {
        this.shape(kind, x, y, tall);
        if (LETTERS[kind] !== "" && x - before >= LETTER && next - x >= LETTER) letters.push(x);
      }
      before = end;
    }
    ctx.fill();
    ctx.fillStyle = colour("span-text");
    ctx.font = FONT_LETTER;
    for (const x of letters) ctx.fillText(LETTERS[kind], x - 2.7, y + tall / 2 + 0.5);
    ctx.font = FONT;
  }

  /** A box for a fault, a diamond for a TLB flush, a triangle for anything else. */
  private shape(kind: MarkKind, x: number, y: number, tall: number): void {
    const { ctx } = this.paper;
    switch (kind) {
      case "fault":
        ctx.rect(x - 4, y, 8, tall);
        break;
      case "tlb":
        ctx.moveTo(x, y - 0.5);
        ctx.lineTo(x + 6, y + tall / 2);
        ctx.lineTo(x, y + tall + 0.5);
        ctx.lineTo(x - 6, y + tall / 2);
        ctx.closePath();
        break;
      case "event":
        ctx.moveTo(x, y + 1);
        ctx.lineTo(x + 3, y + tall);
        ctx.lineTo(x - 3, y + tall);
        ctx.closePath();
        break;
    }
  }

  private labels(): void {
    const { top, height, colour } = this.paper;
    this.box(0, 0, GUTTER, height, colour("panel"));
    for (const { y, name } of this.layout.groups) this.text(name.toUpperCase(), 8, y - top + GROUP / 2 + 2, GUTTER - 16, colour("dim"));
    for (const { y, height: tall, lane } of this.layout.lanes) {
      if (y + tall < top || y > top + height) continue;
      this.text(lane.name, 8, y - top + PAD + ROW / 2, GUTTER - 76, colour("text"));
    }
    for (const { y, height: tall, row } of this.layout.placed) {
      const label = "steps" in row ? MARK_LABELS[row.kind] : row.label;
      if (label === "" || label === "calls" || y + tall < top || y > top + height) continue;
      this.text(label, GUTTER - 66, y - top + tall / 2, 62, colour("dim"));
    }
    this.box(GUTTER - 1, 0, 1, height, colour("line"));
  }

  private ruler(): void {
    const { width, colour } = this.paper;
    const { axis } = this;
    this.box(0, 0, width, RULER - 2, colour("panel"));
    this.box(0, RULER - 2, width, 1, colour("line"));
    this.text(axis.byTime ? "machine time" : "step / machine time", 8, RULER / 2, GUTTER - 16, colour("dim"));
    const rough = TICK / axis.scale;
    const power = 10 ** Math.floor(Math.log10(Math.max(1, rough)));
    const every = Math.max(1, [1, 2, 5, 10].map((n) => n * power).find((n) => n >= rough) ?? 1);
    const last = axis.value(width);
    for (let value = Math.ceil(axis.value(GUTTER) / every) * every; value < last; value += every) {
      const x = GUTTER + (value - axis.value(GUTTER)) * axis.scale;
      this.box(x, RULER - 7, 1, 5, colour("dim"));
      if (axis.byTime) {
        this.text(duration(value), x + 3, RULER / 2 - 1, every * axis.scale - 6, colour("text"));
        continue;
      }
      this.text(`${value}`, x + 3, RULER / 2 - 1, 60, colour("text"));
      if (every * axis.scale > 120) this.text(duration(timeAt(this.timeline.times, value)), x + 8 + `${value}`.length * 7, RULER / 2 - 1, every * axis.scale - 60, colour("dim"));
    }
  }

  private colourOf(kind: SpanKind, name: string): string {
    const { colour } = this.paper;
    if (kind !== "call") return colour(`span-${kind}`);
    let hash = 0;
    for (let i = 0; i < name.length; i++) hash = (hash * 31 + name.charCodeAt(i)) | 0;
    return colour(`call-${(hash >>> 0) % CALL_COLOURS}`);
  }

  private hatch(x: number, y: number, width: number): void {
    const { ctx, colour } = this.paper;
    ctx.save();
    ctx.beginPath();
    ctx.rect(x, y, width, ROW - 1);
    ctx.clip();
    ctx.strokeStyle = colour("panel");
    ctx.beginPath();
    for (let at = x - ROW; at < Math.min(x + width, this.paper.width); at += 5) {
      ctx.moveTo(at, y + ROW);
      ctx.lineTo(at + ROW, y);
    }
    ctx.stroke();
    ctx.restore();
  }

  private box(x: number, y: number, width: number, height: number, colour: string): void {
    this.paper.ctx.fillStyle = colour;
    this.paper.ctx.fillRect(x, y, width, height);
  }

  /** Text, cut off where there is no room for it. */
  private text(text: string, x: number, y: number, width: number, colour: string): void {
    const { ctx } = this.paper;
    const room = Math.floor(width / 6.7);
    if (room < 2) return;
    ctx.fillStyle = colour;
    ctx.fillText(text.length <= room ? text : `${text.slice(0, room - 1)}…`, x, y);
  }
}

export const timelineView: View = { id: "timeline", title: "Timeline", panel: "timeline", component: Timeline };
