import type { Paper } from "./canvas.js";
import type { MemoryView, RegionView } from "./folio_protocol.js";
import { PageMark, PageUse, SlotUse, USES, type Use } from "./page_use.js";

/* How physical memory is laid out and drawn: cells that stand for as many pages as the zoom says. */

export const GUTTER = 100;
const HEADER = 18;
const ZONE = 17;
const GAP = 7;
const FONT = "11px ui-monospace, 'DejaVu Sans Mono', monospace";

export interface Cells {
  /** Pages that one stands for: a power of two. */
  readonly span: number;
  /** Edge in pixels. */
  readonly size: number;
  /** Where those of each region begin. */
  readonly offsets: readonly number[];
  /** The use that most of its pages have, those that are free aside. */
  readonly uses: Uint8Array;
  /** Of 255: how much of it is in use. */
  readonly full: Uint8Array;
  readonly marks: Uint8Array;
}

const isFree = (use: number): boolean => use === PageUse.Free || use === PageUse.PerCpu || use === PageUse.DeviceFree || use === SlotUse.Free;

/** Sums pages up into cells: once for a keyframe and a zoom, so that painting costs what is visible. */
export function cellsOf({ regions, uses, marks }: MemoryView, span: number): Cells {
  const offsets: number[] = [];
  let n = 0;
  for (const { count } of regions) {
    offsets.push(n);
    n += Math.ceil(count / span);
  }
  const cells = { span, size: span === 1 ? 17 : 14, offsets, uses: new Uint8Array(n), full: new Uint8Array(n), marks: new Uint8Array(n) };
  const counts = new Uint32Array(64);
  for (const [r, { first, count }] of regions.entries()) {
    for (let from = 0, cell = offsets[r]!; from < count; from += span, cell++) {
      const end = Math.min(count, from + span);
      if (span === 1) {
        cells.uses[cell] = uses[first + from]!;
        cells.full[cell] = isFree(uses[first + from]!) ? 0 : 255;
        cells.marks[cell] = marks[first + from]!;
        continue;
      }
      counts.fill(0);
      let mark = 0;
      for (let i = first + from; i < first + end; i++) {
        counts[uses[i]! & 63]!++;
        mark |= marks[i]!;
      }
      let [most, used] = [-1, 0];
      let free = 0;
      for (let use = 0; use < 64; use++) {
        if (counts[use] === 0) continue;
        if (isFree(use)) {
          if (counts[use]! > (counts[free] ?? 0) || counts[free] === 0) free = use;
          continue;
        }
        used += counts[use]!;
        if (most < 0 || counts[use]! > counts[most]!) most = use;
      }
      cells.uses[cell] = most < 0 ? free : most;
      cells.full[cell] = Math.max(used > 0 ? 1 : 0, Math.round((255 * used) / (end - from)));
      cells.marks[cell] = mark;
    }
  }
  return cells;
}

export interface MemoryLayout {
  readonly perLine: number;
  readonly zones: number;
  /** Of each region: where its heading and its cells begin, and where it ends. */
  readonly tops: readonly number[];
  readonly height: number;
}

export function memoryLayout(view: MemoryView, cells: Cells, width: number): MemoryLayout {
  const perLine = Math.max(8, 8 * Math.floor((width - GUTTER - 4) / cells.size / 8));
  let y = 4 + view.zones.length * ZONE + (view.zones.length > 0 ? GAP : 0);
  const tops: number[] = [];
  for (const { count } of view.regions) {
    tops.push(y);
    y += HEADER + Math.ceil(Math.ceil(count / cells.span) / perLine) * cells.size + GAP;
  }
  return { perLine, zones: view.zones.length, tops, height: y };
}

/** A page or a slot under a place; null for none. `at` counts in `MemoryView.uses`. */
export function cellAtPlace(view: MemoryView, cells: Cells, layout: MemoryLayout, x: number, y: number): Found | null {
  const r = layout.tops.findLastIndex((top) => y >= top + HEADER);
  const column = Math.floor((x - GUTTER) / cells.size);
  if (r < 0 || column < 0 || column >= layout.perLine) return null;
  const line = Math.floor((y - layout.tops[r]! - HEADER) / cells.size);
  const from = (line * layout.perLine + column) * cells.span;
  const region = view.regions[r]!;
  return from >= region.count ? null : { region, at: region.first + from, pages: Math.min(cells.span, region.count - from) };
}

export interface Found {
  readonly region: RegionView;
  readonly at: number;
  readonly pages: number;
}

/** What is at a pfn. */
export function foundAt({ regions }: MemoryView, pfn: number): Found | null {
  const region = regions.find((one) => !one.swap && pfn >= one.pfn && pfn < one.pfn + one.count);
  return region === undefined ? null : { region, at: region.first + pfn - region.pfn, pages: 1 };
}

/** From one cell to another by an arrow key: across regions, too. */
export function moved(view: MemoryView, cells: Cells, { perLine }: MemoryLayout, { region, at }: Found, by: number): Found | null {
  const step = (Math.abs(by) === 1 ? by : Math.sign(by) * perLine) * cells.span;
  const within = at - region.first;
  const target = within - (within % cells.span) + step;
  const r = view.regions.indexOf(region);
  if (target >= 0 && target < region.count) return { region, at: region.first + target, pages: 1 };
  const next = view.regions[r + Math.sign(by)];
  return next === undefined ? null : { region: next, at: by > 0 ? next.first : next.first + (next.count - 1 - ((next.count - 1) % cells.span)), pages: 1 };
}

/** The part of the content that a page is drawn in. */
export function revealed(view: MemoryView, cells: Cells, layout: MemoryLayout, { region, at }: Found): readonly [number, number] {
  const top = layout.tops[view.regions.indexOf(region)]! + HEADER;
  const line = Math.floor(Math.floor((at - region.first) / cells.span) / layout.perLine);
  return [top + line * cells.size, top + (line + 1) * cells.size];
}

/** What a cell is, in words. */
export function foundWords({ uses, marks }: MemoryView, { region, at, pages }: Found): string {
  const number = region.pfn + at - region.first;
  const name = region.swap ? "slot" : "pfn";
  const written = (n: number): string => (region.swap ? String(n) : `0x${n.toString(16)}`);
  if (pages === 1) {
    const mark = marks[at]!;
    const more = [
      [PageMark.Pinned, "pinned"],
      [PageMark.Head, "first of a large folio"],
      [PageMark.Tail, "of a large folio"],
      [PageMark.Locked, "locked"],
      [PageMark.Dirty, "dirty"],
      [PageMark.Writeback, "under writeback"],
    ].flatMap(([bit, word]) => ((mark & (bit as number)) !== 0 ? [word] : []));
    return `${name} ${written(number)}: ${[USES[uses[at]! as Use].name, ...more].join(", ")}`;
  }
  const counts = new Map<number, number>();
  for (let i = at; i < at + pages; i++) counts.set(uses[i]!, (counts.get(uses[i]!) ?? 0) + 1);
  const words = [...counts].sort(([, a], [, b]) => b - a).map(([use, n]) => `${n} ${USES[use as Use].name}`);
  return `${name} ${written(number)}–${written(number + pages - 1)}: ${words.join(", ")}`;
}

export function drawMemory(paper: Paper, view: MemoryView, cells: Cells, layout: MemoryLayout, selected: Found | null): void {
  const { ctx, top, height, width, colour } = paper;
  const text = (words: string, x: number, y: number, ink: string): void => {
    ctx.fillStyle = colour(ink);
    ctx.fillText(words, x, y);
  };
  ctx.font = FONT;
  for (const [i, zone] of view.zones.entries()) drawZone(paper, zone, 4 + i * ZONE - top, width);
  for (const [r, region] of view.regions.entries()) {
    const y = layout.tops[r]!;
    const n = Math.ceil(region.count / cells.span);
    const lines = Math.ceil(n / layout.perLine);
    if (y > top + height || y + HEADER + lines * cells.size < top) continue;
    ctx.font = FONT;
    text(region.name, 6, y - top + HEADER / 2, "text");
    text(region.detail, 14 + ctx.measureText(region.name).width, y - top + HEADER / 2, "dim");
    const from = Math.max(0, Math.floor((top - y - HEADER) / cells.size));
    const to = Math.min(lines, Math.ceil((top + height - y - HEADER) / cells.size));
    for (let line = from; line < to; line++) {
      const at = y + HEADER + line * cells.size - top;
      ctx.font = FONT;
      const number = region.pfn + line * layout.perLine * cells.span;
      if (cells.size > 15 || line % 2 === 0) text(region.swap ? `slot ${number}` : `0x${number.toString(16)}`, 6, at + cells.size / 2, "dim");
      ctx.font = cells.span === 1 ? "bold 11px ui-monospace, 'DejaVu Sans Mono', monospace" : "bold 9px ui-monospace, 'DejaVu Sans Mono', monospace";
      for (let i = line * layout.perLine; i < Math.min(n, (line + 1) * layout.perLine); i++) {
        drawCell(paper, cells, cells.offsets[r]! + i, GUTTER + (i - line * layout.perLine) * cells.size, at);
      }
    }
    if (selected === null || selected.region !== region) continue;
    const index = Math.floor((selected.at - region.first) / cells.span);
    ctx.strokeStyle = colour("accent");
    ctx.lineWidth = 2;
    ctx.strokeRect(GUTTER + (index % layout.perLine) * cells.size, y + HEADER + Math.floor(index / layout.perLine) * cells.size - top, cells.size - 1, cells.size - 1);
    ctx.lineWidth = 1;
  }
}

function drawCell({ ctx, colour }: Paper, { size, span, uses, full, marks }: Cells, cell: number, x: number, y: number): void {
  const { css, letter } = USES[uses[cell]! as Use];
  const mark = marks[cell]!;
  const edge = size - 2;
  // Pages of a large folio hang together: no gap behind one that goes on.
  const wide = span === 1 && (mark & PageMark.Tail) !== 0 ? size : edge;
  const left = wide === size ? x - 1 : x;
  if (full[cell] === 0) {
    ctx.strokeStyle = colour("line");
    ctx.strokeRect(x + 0.5, y + 0.5, edge - 1, edge - 1);
    if (letter === "") return;
    ctx.fillStyle = colour("dim");
    ctx.fillText(letter, x + edge / 2 - 3, y + size / 2);
    return;
  }
  ctx.fillStyle = colour(css);
  if (span === 1) ctx.fillRect(left, y, wide, edge);
  else {
    ctx.strokeStyle = colour("line");
    ctx.strokeRect(x + 0.5, y + 0.5, edge - 1, edge - 1);
    // How much of it is in use is how high the colour stands.
    const tall = Math.max(2, Math.round((edge * full[cell]!) / 255));
    ctx.fillRect(x, y + edge - tall, edge, tall);
  }
  ctx.fillStyle = colour(span > 1 && full[cell]! < 128 ? "text" : "cell-text");
  ctx.fillText(span === 1 && (mark & PageMark.Tail) !== 0 ? "·" : letter, x + edge / 2 - (span === 1 ? 3 : 2.5), y + size / 2);
  if ((mark & PageMark.Pinned) === 0) return;
  // A corner, for what is pinned.
  ctx.fillStyle = colour("bad");
  ctx.beginPath();
  ctx.moveTo(x + edge, y);
  ctx.lineTo(x + edge, y + 6);
  ctx.lineTo(x + edge - 6, y);
  ctx.fill();
}

/** A zone as a bar: what is free of it, and its watermarks as ticks. */
function drawZone({ ctx, colour }: Paper, { name, managed, free, pcp, min, low, high }: MemoryView["zones"][number], y: number, width: number): void {
  const [left, wide] = [GUTTER, Math.max(40, Math.min(170, width - GUTTER - 370))];
  const x = (pages: number): number => left + (wide * Math.min(pages, managed)) / Math.max(1, managed);
  ctx.fillStyle = colour("text");
  ctx.fillText(name, 6, y + ZONE / 2);
  ctx.strokeStyle = colour("line");
  ctx.strokeRect(left + 0.5, y + 3.5, wide, ZONE - 7);
  ctx.fillStyle = colour("u-percpu");
  ctx.fillRect(left + 1, y + 4, x(free) - left, ZONE - 8);
  ctx.fillStyle = colour("bad-ink");
  for (const mark of [min, low, high]) ctx.fillRect(x(mark), y + 1, 1, ZONE - 3);
  ctx.fillStyle = colour("dim");
  ctx.fillText(`${free} + ${pcp} of ${managed} free; min ${min} low ${low} high ${high}`, left + wide + 8, y + ZONE / 2);
}
