import { useMemo, useState } from "preact/hooks";
import { Canvas, duration, explainAt, type Lane, type Paper, type Place, type SpanKind, type SpanRow, type TimelineData, type View, type Viewer } from "../core/index.js";

const GUTTER = 190;
const RULER = 24;
const ROW = 15;
const POINTS = 9;
const GROUP = 18;
const PAD = 3;
const FONT = "11px ui-monospace, 'DejaVu Sans Mono', monospace";
/** Ticks of the ruler lie this far apart at least. */
const TICK = 90;
const CALL_COLOURS = 7;

/** Where a row of a lane is drawn. Heights are fixed: nothing moves while one zooms. */
interface Placed {
  readonly y: number;
  readonly lane: Lane;
  /** Null for the points of the lane. */
  readonly row: SpanRow | null;
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
    for (const row of lane.rows) {
      placed.push({ y, lane, row });
      y += ROW;
    }
    if (lane.points.length > 0) {
      placed.push({ y, lane, row: null });
      y += POINTS;
    }
    y = Math.max(y, top + ROW + PAD) + PAD;
    boxes.push({ y: top, height: y - top, lane });
  }
  return { placed, groups, lanes: boxes, height: y };
}

function Timeline({ viewer }: { readonly viewer: Viewer }) {
  const timeline = viewer.timeline.value;
  const layout = useMemo(() => (timeline === null ? null : layoutOf(timeline)), [timeline]);
  const [hover, setHover] = useState<Place | null>(null);
  const { from, to } = viewer.range.value;
  const step = viewer.step.value;
  const paint = useMemo(
    () => (paper: Paper) => {
      if (timeline !== null && layout !== null) new Drawing(paper, timeline, layout, from, to, step).all();
    },
    [timeline, layout, from, to, step],
  );
  if (timeline === null || layout === null) return null;
  const width = (): number => Math.max(1, (document.querySelector<HTMLElement>(".timeline .scroller")?.clientWidth ?? GUTTER + 1) - GUTTER);
  const stepAt = (x: number): number => from + ((x - GUTTER) / width()) * (to - from);
  const under = hover === null ? null : underPointer(layout, timeline, hover, stepAt(hover.x), ((to - from) / width()) * 3);
  return (
    <section class="view timeline" aria-label="Timeline">
      <Canvas
        paint={paint}
        contentHeight={layout.height}
        label="Timeline. W and S zoom, A and D move, arrow keys step. The list of events has the same as text."
        testId="timeline"
        onPoint={(place, event) => {
          if (place.x < GUTTER) return;
          viewer.goTo(Math.floor(stepAt(place.x)));
          const taken = event.type === "pointerdown" ? lockUnder(layout, place, stepAt(place.x)) : null;
          if (taken !== null) void viewer.follow.selectAbout(taken, "lock");
        }}
        onHover={(place, { clientX, clientY }) => {
          setHover(place);
          explainAt(place === null ? null : keyUnder(layout, timeline, place, stepAt(place.x), ((to - from) / width()) * 3), clientX, clientY);
        }}
        onWheel={(event, { x }) => {
          if (event.ctrlKey || event.metaKey) viewer.zoom(event.deltaY > 0 ? 1.25 : 0.8, stepAt(x));
          else if (event.shiftKey || Math.abs(event.deltaX) > Math.abs(event.deltaY)) viewer.pan((event.deltaX || event.deltaY) / 1000);
          else return false;
          return true;
        }}
      />
      <p class="hint" data-testid="hover">
        {under ?? "click: go to a step   w s a d: zoom, move   ← →: step   /: search   [ ]: events of the selected page"}
      </p>
    </section>
  );
}

/** The step at which the lock was taken, or wanted, whose span is at a place. */
function lockUnder(layout: Layout, { y }: Place, at: number): number | null {
  const row = layout.placed.find((place) => y >= place.y && y < place.y + ROW)?.row ?? null;
  if (row === null || (row.kind !== "held" && row.kind !== "wait")) return null;
  const i = firstAtOrBehind(row.ends, Math.floor(at) + 1);
  return i < row.starts.length && row.starts[i]! <= at ? row.starts[i]! : null;
}

/** What is under the pointer, in a line. */
function underPointer(layout: Layout, { strings, times }: TimelineData, { y }: Place, at: number, slack: number): string | null {
  const found = layout.placed.find((place) => y >= place.y && y < place.y + (place.row === null ? POINTS : ROW));
  if (found === undefined || at < 0) return null;
  const { row, lane } = found;
  if (row === null) {
    const i = firstAtOrBehind(lane.points, at - slack);
    const point = lane.points[i];
    return point === undefined || point > at + slack ? null : `${lane.name}: ${strings[lane.pointNames[i]!]}, step ${point}`;
  }
  const i = firstAtOrBehind(row.ends, Math.floor(at) + 1);
  if (i >= row.starts.length || row.starts[i]! > at) return null;
  const [start, end] = [row.starts[i]!, row.ends[i]!];
  const took = (times[Math.min(end, times.length - 1)] ?? 0) - (times[start] ?? 0);
  return `${lane.name}: ${WORDS[row.kind]} ${strings[row.names[i]!]}, steps ${start} to ${end - 1}, ${duration(took)}`;
}

/** What explains that which is at a place. */
function keyUnder({ placed }: Layout, { strings }: TimelineData, { x, y }: Place, at: number, slack: number): string | null {
  const found = x < GUTTER ? undefined : placed.find((place) => y >= place.y && y < place.y + (place.row === null ? POINTS : ROW));
  if (found === undefined) return null;
  const { row, lane } = found;
  if (row === null) {
    const i = firstAtOrBehind(lane.points, at - slack);
    return (lane.points[i] ?? Infinity) > at + slack ? null : `event ${strings[lane.pointNames[i]!]}`;
  }
  const i = firstAtOrBehind(row.ends, Math.floor(at) + 1);
  if (i >= row.starts.length || row.starts[i]! > at) return null;
  const name = strings[row.names[i]!]!;
  if (row.kind === "call") return `function ${name}`;
  return row.kind === "run" ? null : row.kind === "invalidate" ? "event mmu_notifier_invalidate_range_start" : `lock ${name === "folio lock" ? "folio_lock" : name}`;
}

const WORDS: Readonly<Record<SpanKind, string>> = { run: "runs", call: "in", held: "holds", wait: "waits for", invalidate: "in" };

/** The first index whose value is at or behind another; the values ascend. */
function firstAtOrBehind(values: Uint32Array, value: number): number {
  let low = 0;
  let high = values.length;
  while (low < high) {
    const middle = (low + high) >> 1;
    if (values[middle]! < value) low = middle + 1;
    else high = middle;
  }
  return low;
}

/** One picture. Each row costs as many searches as it has pixels, however many events it has. */
class Drawing {
  private readonly scale: number;

  constructor(
    private readonly paper: Paper,
    private readonly timeline: TimelineData,
    private readonly layout: Layout,
    private readonly from: number,
    private readonly to: number,
    private readonly step: number,
  ) {
    this.scale = (paper.width - GUTTER) / Math.max(1e-9, to - from);
  }

  all(): void {
    const { ctx, top, height, width, colour } = this.paper;
    ctx.font = FONT;
    for (const [i, box] of this.layout.lanes.entries()) {
      if (i % 2 === 1) this.box(0, box.y - top, width, box.height, colour("stripe"));
    }
    this.currentStep();
    for (const { y, lane, row } of this.layout.placed) {
      if (y + ROW < top || y > top + height) continue;
      if (row === null) this.points(lane, y - top);
      else this.spans(row, y - top);
    }
    this.labels();
    this.ruler();
  }

  private x(step: number): number {
    return GUTTER + (step - this.from) * this.scale;
  }

  private spans(row: SpanRow, y: number): void {
    const { ctx, width, colour } = this.paper;
    const { starts, ends, names } = row;
    const dense = colour("dense");
    for (let i = firstAtOrBehind(ends, this.from); i < starts.length && starts[i]! < this.to; ) {
      const left = Math.max(GUTTER, this.x(starts[i]!));
      const right = Math.min(width, this.x(ends[i]!));
      if (right - left >= 2) {
        const name = this.timeline.strings[names[i]!] ?? "";
        this.box(left, y, right - left - 1, ROW - 1, this.colourOf(row.kind, name));
        if (row.kind === "wait") this.hatch(left, y, right - left - 1);
        if (right - left > 18) this.text(name, left + 3, y + ROW / 2, right - left - 6, colour(row.kind === "run" ? "run-text" : "span-text"));
        i++;
        continue;
      }
      // Too narrow: whatever ends within this pixel is one mark.
      this.box(left, y, 1.5, ROW - 1, dense);
      i = Math.max(i + 1, firstAtOrBehind(ends, this.from + (left + 1.5 - GUTTER) / this.scale));
    }
    ctx.globalAlpha = 1;
  }

  private points({ points }: Lane, y: number): void {
    const { ctx, colour } = this.paper;
    ctx.fillStyle = colour("point");
    for (let i = firstAtOrBehind(points, Math.floor(this.from)); i < points.length && points[i]! < this.to; ) {
      const x = this.x(points[i]! + 0.5);
      if (x >= GUTTER) {
        ctx.beginPath();
        ctx.moveTo(x, y + 1);
        ctx.lineTo(x + 3, y + POINTS - 1);
        ctx.lineTo(x - 3, y + POINTS - 1);
        ctx.fill();
      }
      i = Math.max(i + 1, firstAtOrBehind(points, Math.floor(this.from + (x + 1 - GUTTER) / this.scale)));
    }
  }

  /** A band as wide as the step is, with a line at its left. */
  private currentStep(): void {
    const { height, colour } = this.paper;
    const [left, right] = [Math.max(GUTTER, this.x(this.step)), this.x(this.step + 1)];
    if (right < GUTTER) return;
    this.box(left, 0, Math.max(1, right - left), height, colour("step-band"));
    this.box(left, 0, 1.5, height, colour("accent"));
  }

  private labels(): void {
    const { top, height, colour } = this.paper;
    this.box(0, 0, GUTTER, height, colour("panel"));
    for (const { y, name } of this.layout.groups) this.text(name.toUpperCase(), 8, y - top + GROUP / 2 + 2, GUTTER - 16, colour("dim"));
    for (const { y, height: tall, lane } of this.layout.lanes) {
      if (y + tall < top || y > top + height) continue;
      this.text(lane.name, 8, y - top + PAD + ROW / 2, GUTTER - 76, colour("text"));
    }
    for (const { y, row } of this.layout.placed) {
      if (row === null || row.label === "" || row.label === "calls" || y + ROW < top || y > top + height) continue;
      this.text(row.label, GUTTER - 66, y - top + ROW / 2, 62, colour("dim"));
    }
    this.box(GUTTER - 1, 0, 1, height, colour("line"));
  }

  private ruler(): void {
    const { width, colour } = this.paper;
    this.box(0, 0, width, RULER - 2, colour("panel"));
    this.box(0, RULER - 2, width, 1, colour("line"));
    this.text("step / machine time", 8, RULER / 2, GUTTER - 16, colour("dim"));
    const rough = TICK / this.scale;
    const power = 10 ** Math.floor(Math.log10(Math.max(1, rough)));
    const every = Math.max(1, [1, 2, 5, 10].map((n) => n * power).find((n) => n >= rough) ?? 1);
    for (let step = Math.ceil(this.from / every) * every; step < this.to; step += every) {
      const x = this.x(step);
      this.box(x, RULER - 7, 1, 5, colour("dim"));
      this.text(`${step}`, x + 3, RULER / 2 - 1, 44, colour("text"));
      if (every * this.scale > 120) this.text(duration(this.timeline.times[step] ?? 0), x + 8 + `${step}`.length * 7, RULER / 2 - 1, every * this.scale - 60, colour("dim"));
    }
    const x = Math.max(GUTTER, this.x(this.step));
    if (this.x(this.step + 1) >= GUTTER && x <= width) {
      const label = `${this.step}`;
      const wide = label.length * 7 + 8;
      const left = Math.min(x, width - wide);
      this.box(left, 2, wide, RULER - 6, colour("accent"));
      this.text(label, left + 4, RULER / 2, wide, colour("accent-text"));
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
