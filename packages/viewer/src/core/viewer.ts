import { computed, effect, signal } from "@preact/signals";
import { Client } from "./client.js";
import { Follow } from "./follow.js";
import type { Followed, Selection } from "./link.js";
import { CANCELLED } from "./protocol.js";
import type { EventRow, RequestName, Requests, Source, SpaceList, SpaceView, TimelineData, TraceInfo, WalkView } from "./protocol.js";
import { momentAt, timeOf } from "./times.js";

/** A part of the timeline, in steps: [from, to), fractions of steps among them. */
export interface Range {
  readonly from: number;
  readonly to: number;
}

/** What is known of the machine at the step, all of it of the same step. */
export interface Moment {
  readonly step: number;
  readonly spaces: SpaceList;
  readonly space: SpaceView | null;
  readonly walk: WalkView | null;
  readonly events: readonly EventRow[];
  /** The first step in `events`. */
  readonly eventsFrom: number;
}

/** Another run, held at the step that corresponds. */
export interface Peer {
  readonly viewer: Viewer;
  /** Steps of this run that the other does not have, ascending. */
  readonly only: Uint32Array;
}

const EVENTS_BEFORE = 60;
const EVENTS_SHOWN = 160;
/** What is followed in a trace that no link leads into. */
export const NOTHING: Followed = { folio: null, lock: null };
/** Steps that are visible at least. */
const RANGE_MIN = 8;
/** Milliseconds that one stays at a step before more than events is computed for it. */
const REST_MS = 300;
/** Milliseconds between two steps while playing. */
const PLAY_MS = 120;

/** The state of the app: which trace, which step of it, what is selected. Views read it and ask it for changes. */
export class Viewer {
  readonly source = signal<Source | null>(null);
  readonly info = signal<TraceInfo | null>(null);
  readonly timeline = signal<TimelineData | null>(null);
  readonly step = signal(0);
  readonly range = signal<Range>({ from: 0, to: 1 });
  /** Whether the timeline goes by machine time; else by steps. */
  readonly byTime = signal(false);
  readonly selection = signal<Selection | null>(null);
  /** The folio and the lock that are followed. */
  readonly follow = new Follow(this);
  /** Which address space is shown: that of the selection, or the first. */
  readonly mm = signal<number | null>(null);
  readonly moment = signal<Moment | null>(null);
  readonly playing = signal(false);
  /** The ids of views that were asked for, the last one first: which view of a panel is shown. */
  readonly shown = signal<readonly string[]>([]);
  /** What cannot be done, in a line; what is being waited for. */
  readonly error = signal<string | null>(null);
  readonly busy = signal<string | null>(null);
  /** How often a state has become known that was not all known before. */
  readonly settled = signal(0);
  /** What is searched for, while that takes time. */
  readonly searching = signal<string | null>(null);
  /** What was searched for last. */
  readonly query = signal("");
  /** The run that this one is compared with. */
  readonly peer = signal<Peer | null>(null);
  readonly last = computed(() => Math.max(0, (this.info.value?.events ?? 1) - 1));

  private readonly client: Client;
  private restTimer: ReturnType<typeof setTimeout> | null = null;
  /** Searches so far: the answer of any but the last is not wanted. */
  private jumps = 0;
  private refreshing = false;
  private wanted = 0;
  private answered = 0;
  private timer: ReturnType<typeof setInterval> | null = null;
  private readonly stopRefreshing: () => void;

  constructor(private readonly worker: Worker) {
    this.client = new Client(worker);
    this.stopRefreshing = effect(() => {
      void [this.step.value, this.selection.value, this.mm.value];
      if (this.info.value === null) return;
      this.wanted++;
      void this.refresh();
    });
  }

  /** Opens a trace; whether it could. What is open stays so where not, and `error` says why. */
  async open(source: Source, step: number | null = null, selection: Selection | null = null, followed = NOTHING): Promise<boolean> {
    this.error.value = null;
    this.pause();
    this.busy.value = source.kind === "scenario" ? `running scenario ${source.name}` : source.kind === "program" ? `running ${source.name}` : "reading the trace";
    const waitingFor = this.busy.value;
    try {
      const { info, timeline } = await this.client.ask("open", source, (text) => {
        this.busy.value = `${waitingFor}: ${text}`;
      });
      this.source.value = source;
      this.moment.value = null;
      this.timeline.value = timeline;
      // A race opens on what it is about.
      this.selection.value = selection ?? (step === null ? (info.broken?.page ?? null) : null);
      this.mm.value = this.selection.value?.mm ?? null;
      this.follow.reset(followed);
      this.step.value = clamp(step ?? info.broken?.event ?? 0, 0, info.events - 1);
      this.range.value = { from: 0, to: info.events };
      this.info.value = info;
      return true;
    } catch (error) {
      const name = source.kind === "served" ? "the trace" : source.name;
      this.error.value = `${name}: ${lineOf(error)}`;
      return false;
    } finally {
      this.busy.value = null;
    }
  }

  /** Nothing is open any more. */
  close(): void {
    this.pause();
    this.info.value = null;
    this.timeline.value = null;
    this.moment.value = null;
    this.source.value = null;
    this.error.value = null;
  }

  /** Ends its worker. */
  dispose(): void {
    this.pause();
    this.stopRefreshing();
    this.worker.terminate();
  }

  goTo(step: number): void {
    this.step.value = clamp(Math.round(step), 0, this.last.value);
    const { from, to } = this.range.value;
    const span = to - from;
    // It stays visible, and nothing moves unless it must.
    if (this.step.value < from) this.show(this.step.value - span * 0.1, span);
    else if (this.step.value + 1 > to) this.show(this.step.value + 1 - span * 0.9, span);
  }

  select(selection: Selection | null): void {
    this.selection.value = selection;
    if (selection === null) return;
    this.mm.value = selection.mm;
    this.follow.pageSelected();
  }

  showSpace(mm: number): void {
    this.mm.value = mm;
  }

  /** Shows a view in place of what shares its panel. */
  showView(id: string): void {
    this.shown.value = [id, ...this.shown.value.filter((other) => other !== id)];
  }

  /** A view's own question to the worker. */
  ask<N extends RequestName>(name: N, ask: Requests[N]["ask"]): Promise<Requests[N]["answer"]> {
    return this.client.ask(name, ask);
  }

  fail(error: unknown): void {
    // Whoever has ended a search knows.
    if (lineOf(error) !== CANCELLED) this.error.value = lineOf(error);
  }

  /** Makes so many steps visible, beginning with `from`. */
  show(from: number, span: number): void {
    const events = this.last.value + 1;
    const width = clamp(span, Math.min(RANGE_MIN, events), events);
    const begin = clamp(from, 0, events - width);
    this.range.value = { from: begin, to: begin + width };
  }

  /** `factor` below 1 shows less; `around`, a moment between steps, stays where it is. */
  zoom(factor: number, around = this.step.value + 0.5): void {
    const { from, to } = this.range.value;
    const fixed = around >= from && around <= to ? around : (from + to) / 2;
    this.showAlong(from, to, (begin, end, along) => [along(fixed) - (along(fixed) - begin) * factor, along(fixed) + (end - along(fixed)) * factor]);
  }

  /** Moves by a part of what is visible. */
  pan(part: number): void {
    const { from, to } = this.range.value;
    this.showAlong(from, to, (begin, end) => {
      // Up to where there is nothing more, as wide as it was.
      const [first, last] = this.ends();
      const by = clamp(part * (end - begin), first - begin, last - end);
      return [begin + by, end + by];
    });
  }

  /** The first and the last moment along the axis of the timeline. */
  private ends(): readonly [number, number] {
    const times = this.timeline.value?.times;
    const events = this.last.value + 1;
    return times !== undefined && this.byTime.value ? [timeOf(times, 0), timeOf(times, events)] : [0, events];
  }

  /** Changes what is visible along the axis that the timeline has. */
  private showAlong(from: number, to: number, change: (begin: number, end: number, along: (moment: number) => number) => readonly [number, number]): void {
    const times = this.timeline.value?.times;
    if (times === undefined || !this.byTime.value) {
      const [begin, end] = change(from, to, (moment) => moment);
      this.show(begin, end - begin);
      return;
    }
    const [begin, end] = change(timeOf(times, from), timeOf(times, to), (moment) => timeOf(times, moment));
    const first = momentAt(times, begin);
    const last = end >= timeOf(times, this.last.value + 1) ? this.last.value + 1 : momentAt(times, end);
    this.show(first, last - first);
  }

  async search(text: string, forward: boolean): Promise<void> {
    this.query.value = text;
    if (text === "") return;
    await this.jump(forward, `'${text}'`, (progress) => this.client.ask("search", { text, from: this.step.value, forward }, progress));
  }

  /** To the next event about the selected page. */
  async nextTouching(forward: boolean): Promise<void> {
    const selection = this.selection.value;
    if (selection === null) {
      this.error.value = "no page is selected";
      return;
    }
    await this.jump(forward, "this page", (progress) => this.client.ask("touching", { ...selection, from: this.step.value, forward }, progress));
  }

  togglePlay(): void {
    if (this.timer !== null) {
      this.pause();
      return;
    }
    this.playing.value = true;
    this.timer = setInterval(() => {
      if (this.step.value >= this.last.value) this.pause();
      else this.goTo(this.step.value + 1);
    }, PLAY_MS);
  }

  pause(): void {
    if (this.timer !== null) clearInterval(this.timer);
    this.timer = null;
    this.playing.value = false;
  }

  /** Goes where `find` leads, unless something else is searched for meanwhile. `what`: as the user calls it. */
  async jump(forward: boolean, what: string, find: (progress: (text: string) => void) => Promise<number | null>): Promise<void> {
    this.error.value = null;
    const mine = ++this.jumps;
    const text = `searching ${what}, Esc ends it`;
    const { value: info } = this.info;
    // Most are answered at once, and nothing is to flicker.
    const shown = setTimeout(() => {
      if (this.jumps === mine) this.searching.value = text;
    }, 150);
    try {
      const step = await find((progress) => {
        if (this.jumps === mine && this.searching.value !== null) this.searching.value = `${text}: ${progress}`;
      });
      if (this.jumps !== mine || this.info.value !== info) return;
      if (step === null) this.error.value = `no ${forward ? "later" : "earlier"} event has ${what}`;
      else this.goTo(step);
    } catch (error) {
      if (this.jumps === mine) this.fail(error);
    } finally {
      clearTimeout(shown);
      if (this.jumps === mine) this.searching.value = null;
    }
  }

  /** Ends a search that is under way. */
  stopSearching(): void {
    if (this.searching.value === null) return;
    this.jumps++;
    this.searching.value = null;
    void this.client.ask("cancel", null);
  }

  /** Where one stays at a step, its state is to be all known. */
  private settleLater(info: TraceInfo, step: number): void {
    const stays = (): boolean => this.info.value === info && this.step.value === step && !this.playing.value;
    if (this.restTimer !== null) clearTimeout(this.restTimer);
    this.restTimer = setTimeout(() => {
      this.restTimer = null;
      if (!stays()) return;
      this.client.ask("settle", { step }).then(
        (known) => {
          if (!known || !stays()) return;
          this.settled.value++;
          this.wanted++;
          void this.refresh();
        },
        (error: unknown) => this.fail(error),
      );
    }, REST_MS);
  }

  /** Asks for the state at the step; one question at a time, and the last one wins. */
  private async refresh(): Promise<void> {
    if (this.refreshing) return;
    this.refreshing = true;
    try {
      while (this.answered !== this.wanted) {
        const wanted = this.wanted;
        const [info, step, selection] = [this.info.value, this.step.value, this.selection.value];
        if (info === null) break;
        const eventsFrom = Math.max(0, step - EVENTS_BEFORE);
        const spaces = await this.client.ask("spaces", { step });
        const mm = this.mm.value !== null && spaces.spaces.some((space) => space.mm === this.mm.value) ? this.mm.value : (spaces.spaces[0]?.mm ?? null);
        const [space, walk, events] = await Promise.all([
          mm === null ? null : this.client.ask("space", { step, mm, detail: selection?.mm === mm ? selection.vpn : null }),
          selection === null ? null : this.client.ask("walk", { step, ...selection }),
          this.client.ask("events", { from: eventsFrom, to: eventsFrom + EVENTS_SHOWN }),
        ]);
        this.answered = wanted;
        if (this.info.value !== info) continue;
        if (selection === this.selection.value) this.follow.pageHas(walk?.folio?.pfn ?? null);
        this.moment.value = { step, spaces, space, walk, events, eventsFrom };
        if (info.repeats && spaces.basis.since > 0) this.settleLater(info, step);
      }
    } catch (error) {
      this.answered = this.wanted;
      this.error.value = lineOf(error);
    } finally {
      this.refreshing = false;
    }
  }
}

function clamp(value: number, min: number, max: number): number {
  return Math.min(Math.max(value, min), Math.max(min, max));
}

export function lineOf(error: unknown): string {
  return (error instanceof Error ? error.message : String(error)).split("\n", 1)[0]!;
}
