import { readTrace, sha256Digest, type Trace, type TraceConsumer } from "@faultline/trace";
import type { Anchors, EventRow, SpaceList, SpaceView, TimelineData, TraceInfo, WalkView } from "../core/protocol.js";
import { AnchorBuilder } from "./anchors.js";
import { bounded, line, words } from "./bounded.js";
import { describeEvent, touches } from "./describe.js";
import { Entries } from "./entries.js";
import type { Inside } from "./inside.js";
import { Refusal, type Repetition } from "./live.js";
import { Overviews } from "./overview.js";
import { Searches, textMatcher, type Look } from "./search.js";
import { Spaces } from "./space.js";
import { States, type State } from "./state.js";
import { TimelineBuilder } from "./timeline.js";

/** More events than these are not taken in: a page would need 800 MB for them, at 12 bytes each. */
const EVENTS_MAX = 1 << 26;
/** Steps before and behind the one that a run is repeated for, which one may go to next. */
const AROUND = 64;
/** No trace has more keyframes: those of the next repetition are numbered from there. */
const NUMBERS = 2 ** 32;
/** Runs a trace's run once more, with a keyframe after each of the steps [from, to]. */
type Repeat = (from: number, to: number) => Repetition;
/** Rows of one answer at most. */
const ROWS_MAX = 512;

/** An open trace, and what can be asked about it. */
export class Session {
  readonly info: TraceInfo;
  /** Given away once, with its arrays. */
  readonly timeline: TimelineData;
  private readonly trace: Trace;
  private readonly built: TimelineBuilder;
  private readonly states: States;
  private readonly entries: Entries;
  private readonly overviews: Overviews;
  private readonly searches: Searches;
  /** States around a step that the run was repeated for. */
  private fine: { readonly from: number; readonly to: number; readonly states: States } | null = null;
  private firstKeyframe = 0;
  private settling: object | null = null;

  /**
   * @param output what a program wrote, which its trace does not have
   * @param progress is told how much has been read, from 0 to 1
   * @param repeat runs it once more, where that can be done
   * @throws Refusal for bytes that are no good trace
   */
  constructor(bytes: Uint8Array, output = "", progress: (done: number) => void = () => {}, private readonly repeat: Repeat | null = null) {
    const trace = readTrace(bytes);
    if (typeof trace === "string") throw new Refusal(trace);
    const { events, head, keyframes, end } = trace;
    if (events === 0) throw new Refusal("it has no events");
    if (events > EVENTS_MAX) throw new Refusal(`it has ${events} events, and the viewer takes up to ${EVENTS_MAX}`);
    const first = keyframes.length === 0 ? null : trace.keyframe(keyframes.length - 1);
    if (typeof first === "string") throw new Refusal(first);
    const mirrors = [...(first?.mirrors ?? []), ...this.earlyMirrors(trace)];
    this.built = new TimelineBuilder(events, head.functions, (notifier) => mirrors.find((mirror) => mirror.notifier === notifier));
    const digest = sha256Digest();
    const wrong = trace.replay(this.built, progress, digest);
    if (wrong !== null) throw new Refusal(wrong);
    if (this.built.step !== events) throw new Refusal("a block has other events than it says");
    const hash = digest.hex();
    if (end !== null && end.hash !== hash) throw new Refusal("its events are not those that were recorded");
    this.trace = trace;
    this.timeline = this.built.done();
    this.states = new States(trace);
    this.entries = new Entries(head.release, head.without);
    this.overviews = new Overviews(this.entries);
    this.searches = new Searches(events, (from, to, look) => this.read(from, to, look));
    const { program, args, release, without, patches, drivers, memory, swap, cpus, seed } = head;
    const notes = [
      ...(end === null ? ["its run was cut off; this is what was complete by then"] : end.end === "interrupted" ? ["its run was interrupted"] : end.end === "stuck" ? ["every thread was stuck for good"] : []),
      ...(head.functions ? [] : ["kernel functions were not recorded (--trace-functions)"]),
    ];
    const machine = `${memory / 1024} KiB of RAM, ${swap / 1024} KiB of swap, ${cpus} CPUs, seed ${seed}`;
    const broken = end?.finding === undefined ? null : bounded(end.finding);
    this.info = {
      program: line(program),
      args: words(args),
      release: line(release),
      without: words(without),
      patches: words(patches),
      drivers: words(drivers),
      machine,
      events,
      duration: trace.duration,
      keyframes: keyframes.length,
      hash,
      repeats: repeat !== null,
      notes,
      broken,
      output: output === "" ? (broken?.output.join("\n") ?? "") : output,
    };
  }

  /** Mirrors at the beginning: they may be gone at the end. */
  private earlyMirrors(trace: Trace): readonly { readonly notifier: number; readonly device: number; readonly name: string }[] {
    const middle = trace.keyframe(Math.floor(trace.keyframes.length / 2));
    return typeof middle === "string" ? [] : middle.mirrors;
  }

  /** Unpacks what questions about a step will need, as fast as the platform can. */
  async prepare(step: number): Promise<void> {
    await this.statesOf(step).prepare(step);
  }

  /**
   * Repeats the run up to a step, where it can be repeated, so that the state there is all known. False where it cannot,
   * or another step was asked for meanwhile.
   */
  async settle(step: number): Promise<boolean> {
    const mine = (this.settling = {});
    if (this.repeat === null) return false;
    if (this.statesOf(step) !== this.states) return true;
    const [from, to] = [Math.max(0, step - AROUND), Math.min(step + AROUND, this.info.events - 1)];
    const repetition = this.repeat(from, to);
    let bytes: Uint8Array | null = null;
    while (bytes === null) {
      await new Promise((resolve) => setTimeout(resolve));
      if (this.settling !== mine) return false;
      bytes = repetition.go();
    }
    const trace = readTrace(bytes);
    if (typeof trace === "string") throw new Error(trace);
    this.firstKeyframe += NUMBERS;
    this.fine = { from, to, states: new States(trace, this.firstKeyframe) };
    return true;
  }

  private statesOf(step: number): States {
    return this.fine !== null && step >= this.fine.from && step <= this.fine.to ? this.fine.states : this.states;
  }

  spaces(step: number): SpaceList {
    return this.at(step).list();
  }

  space(step: number, mm: number, detail: number | null): SpaceView | null {
    return this.at(step).space(mm, detail);
  }

  walk(step: number, mm: number, vpn: number): WalkView | null {
    return this.at(step).walk(mm, vpn);
  }

  events(from: number, to: number): readonly EventRow[] {
    const rows: EventRow[] = [];
    this.read(Math.max(0, from), Math.min(to, from + ROWS_MAX), (step, time, executor, task, event, args) => {
      rows.push(describeEvent(this.built.names, step, time, executor, task, event, args));
      return false;
    });
    return rows;
  }

  /**
   * The nearest event whose name, place or arguments have a text.
   * @throws Cancelled when another search begins
   */
  search(text: string, from: number, forward: boolean, progress?: (done: number) => void): Promise<number | null> {
    return this.searches.nearest(from, forward, textMatcher(this.built.names, text), progress);
  }

  /** @throws Cancelled when another search begins */
  touching(mm: number, vpn: number, from: number, forward: boolean, progress?: (done: number) => void): Promise<number | null> {
    return this.searches.nearest(from, forward, (_step, _time, _executor, _task, event, args) => touches(event, args, mm, vpn), progress);
  }

  /** Ends the search that is under way, if any. */
  cancel(): void {
    this.searches.cancel();
  }

  anchors(inner: boolean): Anchors {
    const builder = new AnchorBuilder(inner);
    const wrong = this.trace.replay(builder);
    if (wrong !== null) throw new Refusal(wrong);
    return builder.done();
  }

  /** For those who answer further questions. */
  get inside(): Inside {
    const { trace, entries, states } = this;
    return {
      trace,
      events: this.info.events,
      names: this.built.names,
      entries,
      states,
      stateAt: (step) => this.stateAt(step),
      read: (from, to, look) => this.read(from, to, look),
      nearest: (from, forward, matches) => this.searches.nearest(from, forward, matches),
    };
  }

  private at(step: number): Spaces {
    return new Spaces(this.entries, this.stateAt(step), this.overviews);
  }

  private stateAt(step: number): State {
    const at = Math.min(Math.max(0, step), this.info.events - 1);
    const state = this.statesOf(at).at(at);
    if (typeof state === "string") throw new Refusal(state);
    return state;
  }

  private read(from: number, to: number, look: (...event: Parameters<Look>) => unknown): void {
    let step = from;
    const consumer: TraceConsumer = {
      name: () => {},
      event: (time, executor, task, event, ...args) => {
        look(step++, time, executor, task, event, args);
      },
    };
    const wrong = this.trace.replayRange(from, to, consumer);
    if (wrong !== null) throw new Refusal(wrong);
  }
}
