import type { Keyframe, Trace } from "@faultline/trace";
import { columnsOf, folioOf } from "./page_use.js";

/** The largest folio: a huge page. */
const PAGES_MAX = 512;
/** Keyframes that are looked into, and their tables' bytes: each is put together from up to sixteen. */
const LOOKS_MAX = 4096;
const BYTES_MAX = 2 ** 30;

type Range = readonly [first: number, end: number];

/**
 * Which pages belong to one folio with a page, step by step. Its allocation says so, and each keyframe: a split, and all
 * that becomes of memory of devices, has no event, and is known from the next keyframe on.
 */
export class FolioRange {
  /** Steps of keyframes, ascending. */
  private readonly events: readonly number[];
  private readonly known = new Map<number, Range>();
  private alloc: { readonly step: number; readonly range: Range } | null = null;
  /** Where a folio that has the page can lie at all. */
  private candidate: Range;
  private looks = 0;
  private bytes = 0;
  private last: Range;

  constructor(
    private readonly trace: Trace,
    keyframe: Keyframe,
    private readonly page: number,
  ) {
    this.events = trace.keyframes.map(({ events }) => events);
    this.last = rangeIn(keyframe, page);
    const first = page - (page % PAGES_MAX);
    // Sections begin at multiples of it, but for small machines' memory of devices.
    this.candidate = [Math.min(first, this.last[0]), Math.max(first + PAGES_MAX, this.last[1])];
  }

  /** A block of 2^order pages that has the page was allocated. */
  allocated(step: number, first: number, order: number): void {
    this.last = [first, first + 2 ** order];
    this.alloc = { step, range: this.last };
    this.candidate = [Math.min(this.candidate[0], first), Math.max(this.candidate[1], first + 2 ** order)];
  }

  /** Whether a page could be of the folio at some time. */
  near(page: number): boolean {
    return page >= this.candidate[0] && page < this.candidate[1];
  }

  /** The same of one of the pages [first, end). */
  meets(first: number, end: number): boolean {
    return first < this.candidate[1] && end > this.candidate[0];
  }

  /** Whether a page is of the folio ahead of the event at a step. */
  has(page: number, step: number): boolean {
    if (page === this.page) return true;
    if (!this.near(page)) return false;
    const [first, end] = this.at(step);
    return page >= first && page < end;
  }

  /** Whether a page begins the folio. */
  isFolio(page: number, step: number): boolean {
    return this.near(page) && page === this.at(step)[0];
  }

  /** The pages of the folio ahead of the event at a step. */
  at(step: number): Range {
    const index = this.keyframeAt(step);
    const since = index < 0 ? -1 : this.events[index]!;
    if (this.alloc !== null && this.alloc.step >= since) return this.alloc.range;
    const known = this.known.get(index);
    if (known !== undefined) return known;
    if (index < 0 || this.looks >= LOOKS_MAX || this.bytes >= BYTES_MAX) return this.last;
    const keyframe = this.trace.keyframe(index);
    if (typeof keyframe === "string") return this.last;
    this.looks++;
    for (const table of keyframe.tables.values()) this.bytes += table.length;
    this.last = rangeIn(keyframe, this.page);
    this.known.set(index, this.last);
    return this.last;
  }

  /** The last keyframe that is of a step ahead of this one; -1 for none. */
  private keyframeAt(step: number): number {
    let [low, high] = [0, this.events.length];
    while (low < high) {
      const middle = (low + high) >> 1;
      if (this.events[middle]! <= step) low = middle + 1;
      else high = middle;
    }
    return low - 1;
  }
}

function rangeIn(keyframe: Keyframe, page: number): Range {
  const columns = columnsOf(keyframe);
  if (page >= columns.flags.length) return [page, page + 1];
  const { first, order } = folioOf(columns, page);
  return [first, first + 2 ** order];
}
